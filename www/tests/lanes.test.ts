import { expect, test } from "vitest";
import { Kept } from "../src/kept";
import { type Lane, MISSING, OTHERS, SEVERAL, at, columns, paint, shares } from "../src/lanes";
import { Scheduling, waiting } from "../src/waits";

const PREEMPTS = 1 << 30;
const WAKES = 2 ** 31;

/** A lane from [time, tid, membership]. */
function lane(cpu: number, ...switches: [number, number, number][]): Lane {
  return {
    cpu,
    times: Float64Array.from(switches, ([time]) => time),
    who: Uint32Array.from(switches.flatMap(([, tid, membership]) => [tid, membership])),
  };
}

/** Memberships are rows and sets of their own number. */
const membershipOf = (membership: number) => ({ row: membership, set: membership });

/** What comes of [time, CPU, tid, membership], in order. */
function scheduled(scheduling: Scheduling, ...switches: [number, number, number, number][]): Scheduling {
  const times = Float64Array.from(switches, ([time]) => time);
  scheduling.take(times, Uint32Array.from(switches.flatMap(([, ...words]) => words)));
  return scheduling;
}

/** The waits: membership, from, to. */
function waitsOf({ found: { from, to, memberships, length } }: Scheduling) {
  return Array.from({ length }, (_, at) => [memberships[at], from[at], to[at]]);
}

test("who ran at a time, to the next switch or the end", () => {
  const cpu = lane(3, [100, 7, 1], [200, 0, 0], [300, 8, 2]);
  expect(at(cpu, 99, 400)).toBeUndefined();
  expect(at(cpu, 100, 400)).toEqual({ cpu: 3, tid: 7, membership: 1, from: 100, to: 200 });
  expect(at(cpu, 399, 400)).toMatchObject({ tid: 8, from: 300, to: 400 });
});

test("few switches are drawn each, many by who had most of a pixel", () => {
  const cpu = lane(0, [0, 7, 1], [250, 0, 0], [500, 8, 2]);
  const out: number[] = [];
  paint(cpu, 4, { from: 0, to: 1000, pixels: 100 }, 1000, membershipOf, out);
  expect(out).toEqual([4, 0, 400, 5 | (255 << 8), 1, 4, 800, 1600, 5 | (255 << 8), 2]);

  // 3 of 4 parts are the first's, the rest idle, in the first half; the second is the other's alone.
  const many: [number, number, number][] = [];
  for (let time = 0; time < 100_000; time += 100) {
    many.push(...(time < 50_000 ? ([[time, 7, 1], [time + 75, 0, 0]] as [number, number, number][]) : ([[time, 8, 2]] as [number, number, number][])));
  }
  const coarse: number[] = [];
  paint(lane(0, ...many), 0, { from: 0, to: 100_000, pixels: 10 }, 100_000, membershipOf, coarse);
  const runs = Array.from({ length: coarse.length / 5 }, (_, at) => coarse.slice(5 * at, 5 * at + 5));
  for (const [, left = 0, right = 0, shape = 0, set] of runs) {
    expect([set, shape & 255, right <= 80]).toEqual([left < 80 ? 1 : 2, 5, left < 80]);
    // Of 255, a sample of the pixel's stretches.
    expect(Math.abs((shape >> 8) - (left < 80 ? 191 : 255))).toBeLessThan(12);
  }
  expect([runs[0]?.[1], runs.at(-1)?.[2]]).toEqual([0, 160]);
});

test("what a picture takes depends on its pixels, not on the switches", () => {
  const count = 400_000;
  const all: Lane = {
    cpu: 0,
    times: Float64Array.from({ length: count }, (_, at) => at * 10),
    who: Uint32Array.from({ length: 2 * count }, (_, at) => 1 + (at % 2)),
  };
  let looks = 0;
  columns(all, { from: 0, to: count * 10, pixels: 100 }, count * 10, () => {
    looks++;
  });
  expect(looks).toBeLessThan(100 * 70);
});

test("a wait lasts from being preempted until running anywhere, and has its neighbours", () => {
  const all = scheduled(
    new Scheduling(),
    [0, 0, 7, 1],
    [0, 1, 5, 5],
    // 7 is preempted by 8 at 100, which gives way to 9 at 300.
    [100, 0, 8 + PREEMPTS, 2],
    [300, 0, 9, 3],
    // It goes on at the other CPU; 5 slept there.
    [350, 1, 7, 1],
  );
  expect(waitsOf(all)).toEqual([[1, 100, 350]]);
  expect(all.neighbours()).toEqual([[1, 3, 50], [1, 2, 200]]);
  expect(all.sums(400).filter(([key]) => key === 1)).toEqual([[1, 0, 100], [1, 1, 50]]);
  const rows = new Map([[1, 0]]);
  const view = { from: 0, to: 400, pixels: 4 };
  const drawn: number[] = [];
  waiting(all.found, rows, view, membershipOf, drawn);
  expect(drawn).toEqual([0, 16, 32, 6, 255, 0, 32, 48, 6, 255, 0, 48, 64, 6, 128]);
  const ran: number[] = [];
  shares(all.kept.lanes(), rows, view, 400, membershipOf, ran);
  expect(ran).toEqual([0, 0, 16, 4, 255, 0, 48, 64, 4, 128]);
});

test("who sleeps waits from being woken up on", () => {
  const all = scheduled(
    new Scheduling(),
    // 7 gives way to 8 and is woken up at 200; 8 leaves for it at 300.
    [0, 0, 7, 1],
    [0, 1, 5, 3],
    [100, 0, 8, 2],
    // Who runs does not wait; woken twice; nor is anything known of another CPU.
    [150, WAKES, 8, 0],
    [200, WAKES, 7, 0],
    [250, WAKES, 7, 0],
    [260, WAKES, 5, 0],
    [270, WAKES + 64, 9, 0],
    [300, 0, 7, 1],
    [400, 0, 8, 2],
  );
  expect(waitsOf(all)).toEqual([[1, 200, 300]]);
  expect(all.neighbours()).toEqual([[1, 2, 100]]);
});

test("where records are missing nobody is said to have waited", () => {
  const all = scheduled(
    new Scheduling(),
    [0, 0, 7, 1],
    [100, 0, 8 + PREEMPTS, 2],
    [200, 0, MISSING, 0xffffffff],
    [300, 0, 7, 1],
  );
  expect(waitsOf(all)).toEqual([]);
  expect(all.sums(400)).toContainEqual([OTHERS.missing, 0, 100]);
});

test("more switches than are kept: short turns are put together, and who had how much stays", () => {
  // Two of a container take turns of 1 µs with another one and the idle task; once in 5000 turns one has 2 ms.
  const [few, all] = [new Scheduling(new Kept(10_000), 1000), new Scheduling()];
  let time = 5000;
  const turns: [number, number, number, number][] = [];
  for (let turn = 0; turn < 100_000; turn++) {
    const [tid = 0, membership = 0] = [[7, 1], [9 + PREEMPTS, 2], [8, 1], [0, 0xffffffff]][turn % 4] ?? [];
    turns.push([time, turn % 3, tid, membership]);
    time += turn % 5000 === 0 ? 2_000_000 : 1000;
  }
  scheduled(few, ...turns);
  scheduled(all, ...turns);
  expect(few.kept.wide).toBeGreaterThan(0);
  expect(all.kept.wide).toBe(0);
  const lanes = few.kept.lanes();
  const kept = lanes.reduce((sum, { times }) => sum + times.length, 0);
  expect(kept).toBeLessThanOrEqual(10_000);
  // No more was put together than was needed.
  expect(kept).toBeGreaterThan(10_000 / 4);
  expect(few.found.length).toBeLessThanOrEqual(1000);
  // What is added up is exact, and so are the lanes, but for where in a short while a turn was.
  expect(few.sums(time)).toEqual(all.sums(time));
  const had = (lanes: Lane[], from: number, to: number) => {
    const ns = new Map<number, number>();
    for (const { times, who } of lanes) {
      for (const [at, begin] of times.entries()) {
        const length = Math.min(to, times[at + 1] ?? time) - Math.max(from, begin);
        const membership = who[2 * at + 1] ?? 0;
        ns.set(membership, (ns.get(membership) ?? 0) + Math.max(0, length));
      }
    }
    return ns;
  };
  for (const lane of lanes) {
    expect([...lane.times].every((time, at) => at === 0 || time >= (lane.times[at - 1] ?? 0))).toBe(true);
    expect([...lane.who].includes(SEVERAL)).toBe(true);
  }
  const waited = ({ found: { ns, length } }: Scheduling) => ns.subarray(0, length).reduce((sum, one) => sum + one, 0);
  expect(waited(few)).toBeCloseTo(waited(all), 0);
  // Within the short whiles nothing is moved beyond them.
  const within = few.kept.wide;
  for (let from = within; from + 40 * within < time; from += 40 * within) {
    const [coarse, exact] = [few, all].map(({ kept }) => had(kept.lanes(), from, from + 40 * within));
    for (const [membership, ns] of exact ?? []) {
      expect(Math.abs((coarse?.get(membership) ?? 0) - ns)).toBeLessThanOrEqual(3 * 2 * within);
    }
  }
  // A turn that is longer than these whiles is where it was.
  expect(within).toBeLessThan(1_000_000);
  const long = turns.filter((_, turn) => turn % 5000 === 0);
  expect(long.length).toBe(20);
  for (const [begin, cpu] of long) {
    const lane = lanes.find((lane) => lane.cpu === cpu);
    expect(lane && at(lane, begin + 1_000_000, time)?.membership).toBe(1);
  }
});

test("memberships without number take no more room", () => {
  const kept = new Kept(1000);
  for (let turn = 0; turn < 50_000; turn++) {
    kept.push(0, turn * 1000, 1 + turn, turn);
  }
  expect(kept.lanes()[0]?.times.length).toBeLessThanOrEqual(1001);
  expect(kept.lanes()[0]?.who.at(-2)).toBe(MISSING);
});
