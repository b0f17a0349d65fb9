import { expect, test } from "vitest";
import { type Lane, MISSING, at, columns, neighbours, paint, shares, sums, waiting, waits } from "../src/lanes";

const PREEMPTS = 1 << 30;
const none = { times: new Float64Array(), who: new Uint32Array() };

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
const key = (tid: number, membership: number) => (tid === 0 ? "idle" : tid === MISSING ? "missing" : `membership ${membership.toString()}`);

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
  const lanes = [
    // 7 is preempted by 8 at 100, which gives way to 9 at 300.
    lane(0, [0, 7, 1], [100, 8 | PREEMPTS, 2], [300, 9, 3]),
    // It goes on at the other CPU; 5 slept there.
    lane(1, [0, 5, 5], [350, 7, 1]),
  ];
  const found = waits(lanes, none);
  expect(found).toEqual([{ tid: 7, membership: 1, lane: 0, from: 100, to: 350 }]);
  const others = neighbours(lanes, found, 400, key);
  expect([...(others.get("membership 1") ?? [])]).toEqual([
    ["membership 2", 200],
    ["membership 3", 50],
  ]);
  expect(sums(lanes, 400, key).get("membership 1")).toEqual([100, 50]);
  const rows = new Map([[1, 0]]);
  const view = { from: 0, to: 400, pixels: 4 };
  const drawn: number[] = [];
  waiting(found, rows, view, membershipOf, drawn);
  expect(drawn).toEqual([0, 16, 32, 6, 255, 0, 32, 48, 6, 255, 0, 48, 64, 6, 128]);
  const ran: number[] = [];
  shares(lanes, rows, view, 400, membershipOf, ran);
  expect(ran).toEqual([0, 0, 16, 4, 255, 0, 48, 64, 4, 128]);
});

test("who sleeps waits from being woken up on", () => {
  const lanes = [
    // 7 gives way to 8 and is woken up at 200; 8 leaves for it at 300.
    lane(0, [0, 7, 1], [100, 8, 2], [300, 7, 1], [400, 8, 2]),
    lane(1, [0, 5, 3]),
  ];
  // Woken twice; who runs does not wait; nor is anything known of another CPU.
  const wakeups = {
    times: Float64Array.of(150, 200, 250, 260, 270),
    who: Uint32Array.of(8, 0, 7, 0, 7, 0, 5, 0, 9, 64),
  };
  const found = waits(lanes, wakeups);
  expect(found).toEqual([{ tid: 7, membership: 1, lane: 0, from: 200, to: 300 }]);
  expect([...(neighbours(lanes, found, 400, key).get("membership 1") ?? [])]).toEqual([["membership 2", 100]]);
});

test("where records are missing nobody is said to have waited", () => {
  const lanes = [lane(0, [0, 7, 1], [100, 8 | PREEMPTS, 2], [200, MISSING, 0xffffffff], [300, 7, 1])];
  expect(waits(lanes, none)).toEqual([]);
  expect(sums(lanes, 400, key).get("missing")).toEqual([100]);
});
