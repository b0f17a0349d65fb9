// Who had which CPU, from the switches that the module keeps: lanes, shares of containers, sums. Not here: reading them,
// and drawing.

/** The idle task's thread id. */
const IDLE = 0;
/** The thread id of a task that has ended. */
export const ENDED = 0xffffffff;
/** In place of a thread id: records are missing. */
export const MISSING = 0xfffffffe;
/** No row, no membership. */
export const NOWHERE = 0xffffffff;

/** Added to a thread's id: the one before it would have run on. */
const PREEMPTS = 1 << 30;

/** Waits that are found; of more than so many, the first. */
const WAITS = 1_000_000;

/** Stretches of a pixel that are looked at; of more, every so many. */
const LOOKS = 32;

/** The switches of a CPU, in order: when, and for each the thread's id and its membership. Times are ns. */
export interface Lane {
  cpu: number;
  times: Float64Array;
  who: Uint32Array;
}

/** Wake-ups, in order: when, ns, and for each the thread's id and the number of the CPU that it is to run on. */
export interface Wakeups {
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

/** How many switches are before a time, or at it. */
function upTo(times: Float64Array, time: number): number {
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

/** Whether anybody is known to run there. */
function runs(tid: number): boolean {
  return tid !== IDLE && tid !== MISSING;
}

/** The id of the thread that runs from a switch on. */
function tidOf(who: Uint32Array, number: number): number {
  const word = who[2 * number] ?? IDLE;
  return word >= MISSING ? word : word & ~PREEMPTS;
}

/** Who ran at a time; undefined before the first switch. */
export function at({ cpu, times, who }: Lane, time: number, end: number): Stretch | undefined {
  const next = upTo(times, time);
  if (next === 0) {
    return undefined;
  }
  const number = next - 1;
  const membership = who[2 * number + 1] ?? NOWHERE;
  return { cpu, tid: tidOf(who, number), membership, from: times[number] ?? 0, to: times[next] ?? end };
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
      if (runs(tidOf(who, number))) {
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
      if (runs(tidOf(who, number))) {
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

/** How long each ran on each CPU, ns: by what `keyOf` says of a thread and its membership. */
export function sums<Key>(lanes: Lane[], end: number, keyOf: (tid: number, membership: number) => Key): Map<Key, number[]> {
  const found = new Map<Key, number[]>();
  for (const [index, { times, who }] of lanes.entries()) {
    for (let number = 0; number < times.length; number++) {
      const key = keyOf(tidOf(who, number), who[2 * number + 1] ?? NOWHERE);
      let cpus = found.get(key);
      if (cpus === undefined) {
        cpus = lanes.map(() => 0);
        found.set(key, cpus);
      }
      cpus[index] = (cpus[index] ?? 0) + Math.max(0, (times[number + 1] ?? end) - (times[number] ?? 0));
    }
  }
  return found;
}

/** One that would have run, and did not. */
export interface Wait {
  tid: number;
  membership: number;
  /** The CPU that was taken from it, as an index among the lanes. */
  lane: number;
  from: number;
  to: number;
}

/** From being preempted or woken up until running, wherever that is: each thread's waits, in the order of their ends. */
export function waits(lanes: Lane[], wakeups: Wakeups): Wait[] {
  const found: Wait[] = [];
  const waiting = new Map<number, Wait>();
  const next = lanes.map(() => 0);
  const running = lanes.map(() => IDLE);
  const laneOf = new Map(lanes.map(({ cpu }, index) => [cpu, index]));
  let woken = 0;
  for (;;) {
    // The lane whose next switch is first.
    let first = -1;
    let time = Infinity;
    for (const [index, { times }] of lanes.entries()) {
      const its = times[next[index] ?? 0] ?? Infinity;
      if (its < time) {
        [first, time] = [index, its];
      }
    }
    const lane = lanes[first];
    if (lane === undefined || found.length >= WAITS) {
      return found;
    }
    for (; (wakeups.times[woken] ?? Infinity) <= time; woken++) {
      const tid = wakeups.who[2 * woken] ?? IDLE;
      const its = laneOf.get(wakeups.who[2 * woken + 1] ?? 0);
      // Who runs does not wait; who waits already goes on.
      if (its !== undefined && !running.includes(tid) && !waiting.has(tid)) {
        const from = wakeups.times[woken] ?? time;
        waiting.set(tid, { tid, membership: NOWHERE, lane: its, from, to: from });
      }
    }
    const number = next[first] ?? 0;
    next[first] = number + 1;
    const word = lane.who[2 * number] ?? IDLE;
    const tid = tidOf(lane.who, number);
    if (word === MISSING) {
      // Who waits for this CPU may have run since.
      for (const [waiter, wait] of waiting) {
        if (wait.lane === first) {
          waiting.delete(waiter);
        }
      }
    }
    const wait = waiting.get(tid);
    if (wait !== undefined) {
      waiting.delete(tid);
      // Of who was woken up it is known now where it is.
      const membership = wait.membership === NOWHERE ? (lane.who[2 * number + 1] ?? NOWHERE) : wait.membership;
      found.push({ ...wait, membership, to: time });
    }
    running[first] = tid;
    if (number > 0 && word < MISSING && (word & PREEMPTS) !== 0) {
      const before = tidOf(lane.who, number - 1);
      if (runs(before) && before !== ENDED) {
        const membership = lane.who[2 * number - 1] ?? NOWHERE;
        waiting.set(before, { tid: before, membership, lane: first, from: time, to: time });
      }
    }
  }
}

/** Who ran while who waited, ns: by what `keyOf` says of a thread and its membership. */
export function neighbours(
  lanes: Lane[],
  all: Wait[],
  end: number,
  keyOf: (tid: number, membership: number) => string,
): Map<string, Map<string, number>> {
  const found = new Map<string, Map<string, number>>();
  for (const { tid, membership, lane, from, to } of all) {
    const { times, who } = lanes[lane] ?? { times: new Float64Array(), who: new Uint32Array() };
    const key = keyOf(tid, membership);
    const others = found.get(key) ?? new Map<string, number>();
    found.set(key, others);
    for (let number = Math.max(0, upTo(times, from) - 1); number < times.length && (times[number] ?? to) < to; number++) {
      const length = Math.min(to, times[number + 1] ?? end) - Math.max(from, times[number] ?? from);
      if (length > 0) {
        const ran = keyOf(tidOf(who, number), who[2 * number + 1] ?? NOWHERE);
        others.set(ran, (others.get(ran) ?? 0) + length);
      }
    }
  }
  return found;
}

/** Spans of rows of containers: how many of its threads waited, shape 6, of 255 where it is one all the time. */
export function waiting(all: Wait[], rows: Map<number, number>, { from, to, pixels }: View, membershipOf: (membership: number) => Membership, out: number[]) {
  const found = new Map<number, Float64Array>();
  const per = pixels / (to - from);
  for (const wait of all) {
    const drawn = wait.to > from && wait.from < to ? rows.get(membershipOf(wait.membership).row) : undefined;
    if (drawn === undefined) {
      continue;
    }
    const column = found.get(drawn) ?? new Float64Array(pixels);
    found.set(drawn, column);
    const [left, right] = [Math.max(0, (wait.from - from) * per), Math.min(pixels, (wait.to - from) * per)];
    for (let pixel = Math.floor(left); pixel < right; pixel++) {
      column[pixel] = (column[pixel] ?? 0) + Math.min(right, pixel + 1) - Math.max(left, pixel);
    }
  }
  for (const [drawn, column] of found) {
    for (const [pixel, part] of column.entries()) {
      if (part > 0) {
        out.push(drawn, pixel * 16, (pixel + 1) * 16, 6, Math.min(255, Math.ceil(part * 255)));
      }
    }
  }
}
