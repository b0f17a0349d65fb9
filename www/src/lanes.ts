// Who had which CPU, from the switches that are kept: what runs at a time, spans of lanes, shares of containers. Not here:
// keeping them, and who waited.

/** The idle task's thread id. */
export const IDLE = 0;
/** The thread id of a task that has ended. */
const ENDED = 0xffffffff;
/** In place of a thread id: records are missing. */
export const MISSING = 0xfffffffe;
/** In place of a thread id: several threads of one membership, in turns too short to be kept. */
export const SEVERAL = 0xfffffffd;
/** No row, no membership. */
export const NOWHERE = 0xffffffff;

/** Stretches of a pixel that are looked at; of more, every so many. */
const LOOKS = 32;

/** The switches of a CPU, in order: when, and for each the thread's id and its membership. Times are ns. */
export interface Lane {
  cpu: number;
  times: Float64Array;
  who: Uint32Array;
}

/** What a membership is: the row of its container ({@link NOWHERE}: none), and the number of its namespaces. */
export interface Membership {
  row: number;
  set: number;
}

/** A window of time, ns, and how wide it is drawn. */
export interface View {
  from: number;
  to: number;
  pixels: number;
}

/** One that ran without a break. */
export interface Stretch {
  cpu: number;
  tid: number;
  membership: number;
  from: number;
  to: number;
}

/** How many times are before one, or at it. */
export function upTo(times: Float64Array, time: number): number {
  let [low, high] = [0, times.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((times[middle] ?? 0) <= time) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

/** Whether it is the id of one thread, or of several. */
export function isThread(tid: number): boolean {
  return tid !== IDLE && tid < MISSING;
}

/** Who runs, where it is no thread of a membership: not a number that one has. */
export const OTHERS = { idle: -1, missing: -2, ended: -3 } as const;

/** What a thread is added up as: its membership, or one of {@link OTHERS}. */
export function keyOf(tid: number, membership: number): number {
  switch (tid) {
    case IDLE:
      return OTHERS.idle;
    case MISSING:
      return OTHERS.missing;
    case ENDED:
      return OTHERS.ended;
    default:
      return membership;
  }
}

/** Whether anybody is known to run there. */
function runs(tid: number): boolean {
  return tid !== IDLE && tid !== MISSING;
}

/** Who ran at a time; undefined before the first switch. */
export function at({ cpu, times, who }: Lane, time: number, end: number): Stretch | undefined {
  const next = upTo(times, time);
  if (next === 0) {
    return undefined;
  }
  const number = next - 1;
  const membership = who[2 * number + 1] ?? NOWHERE;
  return { cpu, tid: who[2 * number] ?? IDLE, membership, from: times[number] ?? 0, to: times[next] ?? end };
}

/**
 * Tells of each pixel which memberships had which part of it, from 0 to 1. Of a pixel with more than a few stretches some are
 * looked at, evenly: what it takes depends on the pixels, not on the switches.
 */
export function columns(
  { times, who }: Lane,
  { from, to, pixels }: View,
  end: number,
  each: (pixel: number, membership: number, part: number) => void,
) {
  const wide = (to - from) / pixels;
  for (let pixel = 0; pixel < pixels; pixel++) {
    const [left, right] = [from + pixel * wide, Math.min(end, from + (pixel + 1) * wide)];
    const first = Math.max(0, upTo(times, left) - 1);
    const last = upTo(times, right);
    // An odd step, for threads often take turns with the idle task.
    const step = Math.floor((last - first) / LOOKS) | 1;
    let seen = 0;
    const found: [number, number][] = [];
    for (let number = first; number < last; number += step) {
      const begin = Math.max(left, times[number] ?? left);
      const length = Math.min(right, times[number + 1] ?? end) - begin;
      if (length <= 0) {
        continue;
      }
      seen += length;
      if (runs(who[2 * number] ?? IDLE)) {
        found.push([who[2 * number + 1] ?? NOWHERE, length]);
      }
    }
    // All of a pixel was looked at but what is before the first switch, or a sample of it.
    const whole = step === 1 ? wide : seen;
    for (const [membership, length] of found) {
      each(pixel, membership, length / whole);
    }
  }
}

/** Spans of a lane as words, five a span, as `Trace.spans` has them: shape 5, in the flags so many of 255 that the CPU was busy. */
export function paint(lane: Lane, row: number, view: View, end: number, membershipOf: (membership: number) => Membership, out: number[]) {
  const { times, who } = lane;
  const { from, to, pixels } = view;
  const first = Math.max(0, upTo(times, from) - 1);
  const last = upTo(times, to);
  const x = (time: number) => Math.round(Math.min(1.01, Math.max(-0.01, (time - from) / (to - from))) * pixels * 16);
  if (last - first <= 2 * pixels) {
    for (let number = first; number < last; number++) {
      if (runs(who[2 * number] ?? IDLE)) {
        const { set } = membershipOf(who[2 * number + 1] ?? NOWHERE);
        out.push(row, x(times[number] ?? 0), x(times[number + 1] ?? end), 5 | (255 << 8), set);
      }
    }
    return;
  }
  // The namespaces that had most of a pixel colour it.
  const parts = new Map<number, number>();
  let at = 0;
  let run = { begin: 0, busy: 0, set: 0 };
  const close = (pixel: number, busy: number, set: number) => {
    if (busy === run.busy && set === run.set) {
      return;
    }
    if (run.busy > 0) {
      out.push(row, run.begin * 16, pixel * 16, 5 | (run.busy << 8), run.set);
    }
    run = { begin: pixel, busy, set };
  };
  const settle = (pixel: number) => {
    let [most, all, set] = [0, 0, 0];
    for (const [of, part] of parts) {
      all += part;
      if (part > most) {
        [most, set] = [part, of];
      }
    }
    parts.clear();
    close(pixel, Math.min(255, Math.round(all * 255)), all > 0 ? set : 0);
  };
  columns(lane, view, end, (pixel, membership, part) => {
    while (at < pixel) {
      settle(at++);
    }
    const { set } = membershipOf(membership);
    parts.set(set, (parts.get(set) ?? 0) + part);
  });
  while (at < pixels) {
    settle(at++);
  }
  close(pixels, 0, 0);
}

/** Spans of rows of containers: how much of a CPU they had, shape 4, of 255 where it is all of one. */
export function shares(
  lanes: Lane[],
  rows: Map<number, number>,
  view: View,
  end: number,
  membershipOf: (membership: number) => Membership,
  out: number[],
) {
  const found = new Map([...rows.keys()].map((row) => [row, new Float64Array(view.pixels)]));
  for (const lane of lanes) {
    columns(lane, view, end, (pixel, membership, part) => {
      const column = found.get(membershipOf(membership).row);
      if (column) {
        column[pixel] = (column[pixel] ?? 0) + part;
      }
    });
  }
  for (const [row, column] of found) {
    const drawn = rows.get(row) ?? 0;
    for (const [pixel, part] of column.entries()) {
      if (part > 0) {
        out.push(drawn, pixel * 16, (pixel + 1) * 16, 4, Math.min(255, Math.ceil(part * 255)));
      }
    }
  }
}
