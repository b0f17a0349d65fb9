// The switches of the CPUs, kept in bounded memory: of more than that holds, short turns are put together. Not here: what is
// made of them.

import { IDLE, type Lane, MISSING, NOWHERE, OTHERS, SEVERAL, isThread, keyOf } from "./lanes";

/** Switches that are kept, of all CPUs together. 16 bytes each. */
const KEPT = 4_000_000;
/** How far back it is said who had a CPU, in switches: what is before is not known. */
const PAST = 1 << 16;
/** How many turns are put together at once: who had them is looked for one by one. */
const TOGETHER = 64;
/** Turns that end within so many ns are the first to be put together. */
const SHORT = 1 << 14;

/** The same numbers, with room for as many again. */
export function doubled<A extends Float64Array | Uint32Array>(array: A): A {
  const longer = new (array.constructor as new (length: number) => A)(2 * array.length);
  longer.set(array);
  return longer;
}

/** ns by what is added up. */
export class Sums {
  private readonly all = new Map<number, { ns: number }>();

  add(key: number, ns: number) {
    const found = this.all.get(key);
    if (found === undefined) {
      this.all.set(key, { ns });
    } else {
      found.ns += ns;
    }
  }

  entries(): [number, number][] {
    return Array.from(this.all, ([key, { ns }]) => [key, ns]);
  }
}

/** The switches of a CPU, in arrays that are longer than they are many. */
class Growing {
  private times = new Float64Array(1024);
  private who = new Uint32Array(2048);
  length = 0;
  private view: Lane | undefined;

  constructor(private readonly cpu: number) {}

  /** The thread that runs. */
  last(): number | undefined {
    return this.who[2 * this.length - 2];
  }

  /** Adds up who had the CPU between two times, of which the second is now. */
  back(from: number, to: number, sums: Sums) {
    let end = to;
    for (let at = this.length - 1; at >= Math.max(0, this.length - PAST) && end > from; at--) {
      const begin = Math.max(from, this.times[at] ?? from);
      if (end > begin) {
        sums.add(keyOf(this.who[2 * at] ?? IDLE, this.who[2 * at + 1] ?? NOWHERE), end - begin);
        end = begin;
      }
    }
    if (end > from) {
      sums.add(OTHERS.missing, end - from);
    }
  }

  push(after: number, tid: number, membership: number) {
    // What comes late is sorted as well as can be.
    const time = Math.max(after, this.times[this.length - 1] ?? after);
    if (this.length === this.times.length) {
      this.times = doubled(this.times);
      this.who = doubled(this.who);
    }
    this.times[this.length] = time;
    this.who[2 * this.length] = tid;
    this.who[2 * this.length + 1] = membership;
    this.length++;
    this.view = undefined;
  }

  lane(): Lane {
    this.view ??= {
      cpu: this.cpu,
      times: this.times.subarray(0, this.length),
      who: this.who.subarray(0, 2 * this.length),
    };
    return this.view;
  }

  /**
   * Puts turns together that begin in the same `wide` ns and end there, so that everyone has one there: who had how much of
   * that time stays as it was, and turns that go on beyond it do, too. The last `recent` turns are left alone.
   */
  coarsen(wide: number, recent: number) {
    const { times, who } = this;
    const length = Math.max(0, this.length - recent);
    const found: { tid: number; membership: number; ns: number }[] = [];
    let kept = 0;
    const keep = (time: number, tid: number, membership: number) => {
      times[kept] = time;
      who[2 * kept] = tid;
      who[2 * kept + 1] = membership;
      kept++;
    };
    for (let first = 0; first < length; ) {
      let time = times[first] ?? 0;
      const end = (Math.floor(time / wide) + 1) * wide;
      let next = first;
      found.length = 0;
      // What is kept takes no more room than what was there.
      while (next + 1 < length && (times[next + 1] ?? end) <= end && next - first < TOGETHER) {
        const [tid = 0, membership = 0] = [who[2 * next], who[2 * next + 1]];
        const ns = (times[next + 1] ?? time) - (times[next] ?? time);
        const same = found.find((one) => one.membership === membership && (one.tid === tid || (isThread(one.tid) && isThread(tid))));
        if (same === undefined) {
          found.push({ tid, membership, ns });
        } else {
          same.ns += ns;
          same.tid = same.tid === tid ? tid : SEVERAL;
        }
        next++;
      }
      for (const { tid, membership, ns } of found) {
        keep(time, tid, membership);
        time += ns;
      }
      if (next === first) {
        keep(time, who[2 * first] ?? 0, who[2 * first + 1] ?? 0);
        next++;
      }
      first = next;
    }
    times.copyWithin(kept, length, this.length);
    who.copyWithin(2 * kept, 2 * length, 2 * this.length);
    this.length += kept - length;
    this.view = undefined;
  }
}

/** The switches of all CPUs. */
export class Kept {
  private readonly found = new Map<number, Growing>();
  private sorted: Growing[] = [];
  private count = 0;
  /** Within so many ns turns were put together; 0: none was. */
  wide = 0;
  /** Whether there is no room even so. */
  private full = false;

  constructor(private readonly most = KEPT) {}

  /** The switches by CPU, in the order of their numbers. */
  lanes(): Lane[] {
    return this.sorted.map((growing) => growing.lane());
  }

  /** Adds up who had a CPU between two times, of which the second is now. */
  back(cpu: number, from: number, to: number, sums: Sums) {
    this.found.get(cpu)?.back(from, to, sums);
  }

  push(cpu: number, time: number, tid: number, membership: number) {
    let lane = this.found.get(cpu);
    if (lane === undefined) {
      lane = new Growing(cpu);
      this.found.set(cpu, lane);
      this.sorted = [...this.found].sort(([a], [b]) => a - b).map(([, growing]) => growing);
    }
    if (this.count >= this.most && !this.full) {
      this.coarsen();
    }
    if (!this.full) {
      lane.push(time, tid, membership);
      this.count++;
    } else if (lane.last() !== MISSING) {
      lane.push(time, MISSING, NOWHERE);
    }
  }

  /** Makes room for as many again as are left. */
  private coarsen() {
    // Who waits does so since a short time, mostly.
    const recent = Math.floor(this.most / 8 / this.sorted.length);
    this.wide = Math.max(SHORT, this.wide);
    for (let times = 0; times < 40; times++) {
      this.count = 0;
      for (const growing of this.sorted) {
        growing.coarsen(this.wide, recent);
        this.count += growing.length;
      }
      if (this.count <= this.most / 2) {
        break;
      }
      this.wide *= 2;
    }
    // So many memberships take turns on no machine but that of who wants to see what happens.
    this.full = this.count >= this.most;
  }
}
