// Who ran, who would have run and did not, and who ran instead, added up from switches and wake-ups as they come. Not here:
// what is drawn of the switches themselves.

import { Kept, Sums, doubled } from "./kept";
import { MISSING, type Membership, NOWHERE, type View, isThread, keyOf, upTo } from "./lanes";

/** Added to a thread's id: the one before it would have run on. */
const PREEMPTS = 2 ** 30;
/** Added to a CPU's number: the thread was woken up, and is to run there. */
const WAKES = 2 ** 31;

/** Waits that are kept; of more, short ones are put together. */
const WAITS = 1_000_000;

/** The thread's id in a word of `Trace.takeSwitches`. */
export function tidOf(word: number): number {
  return word >= PREEMPTS && word < MISSING ? word - PREEMPTS : word;
}

/** Waits, in the order of their ends. Times are ns. */
export interface Waits {
  from: Float64Array;
  to: Float64Array;
  /** How long one waited within that, ns. */
  ns: Float64Array;
  memberships: Uint32Array;
  length: number;
}

interface Waiting {
  membership: number;
  cpu: number;
  from: number;
}

/** A CPU: who runs, since when, and who ran for how long. */
interface Cpu {
  tid: number;
  membership: number;
  since: number;
  /** When records were missing last. */
  missing: number;
  ran: Sums;
}

/** A thread: where it came last, and since when it has its membership; another one before. */
interface Thread {
  cpu: number;
  membership: number;
  since: number;
  before: Thread | undefined;
}

/** Threads whose memberships are kept. */
const THREADS = 1_000_000;
/** How many memberships of a thread are looked at to find that of a time. */
const CHANGES = 100;

/** What the switches of a recording say. */
export class Scheduling {
  private readonly cpus: (Cpu | undefined)[] = [];
  private readonly threads = new Map<number, Thread>();
  private readonly waiting = new Map<number, Waiting>();
  /** Who ran while who waited. */
  private readonly meanwhile = new Map<number, Sums>();
  readonly found: Waits = {
    from: new Float64Array(1024),
    to: new Float64Array(1024),
    ns: new Float64Array(1024),
    memberships: new Uint32Array(1024),
    length: 0,
  };
  /** Within so many ns waits were put together. */
  private wide = 1 << 14;
  /** Whether there is no room even so. */
  private full = false;

  constructor(
    readonly kept = new Kept(),
    private readonly mostWaits = WAITS,
  ) {}

  /** Takes what `Trace.takeSwitches` gives: for each time three words. */
  take(times: Float64Array, words: Uint32Array) {
    for (let index = 0; index < times.length; index++) {
      const time = times[index] ?? 0;
      const [cpu, word, membership] = [words[3 * index] ?? 0, words[3 * index + 1] ?? 0, words[3 * index + 2] ?? NOWHERE];
      if (cpu >= WAKES) {
        this.wakes(cpu - WAKES, word, time);
      } else {
        const tid = tidOf(word);
        this.comes(cpu, tid, membership, tid !== word, time);
      }
    }
  }

  /** Since when a thread waits: where records of its CPU are missing it may have run since. */
  private waits(tid: number): Waiting | undefined {
    const wait = this.waiting.get(tid);
    return wait !== undefined && wait.from >= (this.cpus[wait.cpu]?.missing ?? 0) ? wait : undefined;
  }

  /** One is woken up. Who runs does not wait; who waits already goes on. */
  private wakes(cpu: number, tid: number, time: number) {
    const runs = this.cpus[this.threads.get(tid)?.cpu ?? -1]?.tid === tid;
    if (this.cpus[cpu] !== undefined && !runs && this.waits(tid) === undefined) {
      this.waiting.set(tid, { membership: NOWHERE, cpu, from: time });
    }
  }

  /** One runs from now on. */
  private comes(number: number, tid: number, membership: number, preempts: boolean, time: number) {
    const cpu = this.cpus[number];
    const wait = this.waits(tid);
    this.waiting.delete(tid);
    if (wait !== undefined) {
      // Of who was woken up it is known now where it is.
      this.waited(wait.cpu, wait.from, wait.membership === NOWHERE ? membership : wait.membership, time);
    }
    this.kept.push(number, time, tid, membership);
    if (isThread(tid)) {
      this.known(tid, number, membership, time);
    }
    if (cpu === undefined) {
      this.cpus[number] = { tid, membership, since: time, missing: 0, ran: new Sums() };
      return;
    }
    if (tid === MISSING) {
      cpu.missing = time;
    }
    cpu.ran.add(keyOf(cpu.tid, cpu.membership), Math.max(0, time - cpu.since));
    if (preempts && isThread(cpu.tid)) {
      this.waiting.set(cpu.tid, { membership: cpu.membership, cpu: number, from: time });
    }
    cpu.tid = tid;
    cpu.membership = membership;
    cpu.since = time;
  }

  private known(tid: number, cpu: number, membership: number, time: number) {
    const before = this.threads.get(tid);
    if (before?.membership === membership) {
      before.cpu = cpu;
    } else if (before !== undefined || this.threads.size < THREADS) {
      this.threads.set(tid, { cpu, membership, since: time, before });
    }
  }

  /** The membership of a thread that ran at a time. */
  membershipAt(tid: number, time: number): number {
    let thread = this.threads.get(tid);
    for (let step = 0; step < CHANGES && thread !== undefined && thread.since > time; step++) {
      thread = thread.before;
    }
    return thread !== undefined && thread.since <= time ? thread.membership : NOWHERE;
  }

  private waited(cpu: number, from: number, membership: number, to: number) {
    let others = this.meanwhile.get(membership);
    if (others === undefined) {
      others = new Sums();
      this.meanwhile.set(membership, others);
    }
    this.kept.back(cpu, from, to, others);
    if (to > from) {
      this.keep(from, to, to - from, membership);
    }
  }

  private keep(from: number, to: number, ns: number, membership: number) {
    const waits = this.found;
    if (waits.length >= this.mostWaits) {
      // Those that nothing puts together are added up all the same.
      for (let times = 0; times < 40 && !this.full; times++) {
        this.coarsen();
        if (waits.length <= this.mostWaits / 2) {
          break;
        }
        this.wide *= 2;
      }
      this.full = waits.length >= this.mostWaits;
      if (this.full) {
        return;
      }
    }
    if (waits.length === waits.ns.length) {
      waits.from = doubled(waits.from);
      waits.to = doubled(waits.to);
      waits.ns = doubled(waits.ns);
      waits.memberships = doubled(waits.memberships);
    }
    put(waits, waits.length++, from, to, ns, membership);
  }

  /** Puts waits of a membership together that are within the same `wide` ns. */
  private coarsen() {
    const { found: waits, wide } = this;
    let kept = 0;
    const at = new Map<number, number>();
    let window = -1;
    for (let index = 0; index < waits.length; index++) {
      const [from, to] = [waits.from[index] ?? 0, waits.to[index] ?? 0];
      const [ns, membership] = [waits.ns[index] ?? 0, waits.memberships[index] ?? 0];
      const its = Math.floor(to / wide);
      if (its !== window) {
        at.clear();
        window = its;
      }
      const same = Math.floor(from / wide) === its ? at.get(membership) : undefined;
      if (same !== undefined) {
        put(waits, same, Math.min(from, waits.from[same] ?? from), to, ns + (waits.ns[same] ?? 0), membership);
        continue;
      }
      if (Math.floor(from / wide) === its) {
        at.set(membership, kept);
      }
      put(waits, kept++, from, to, ns, membership);
    }
    waits.length = kept;
  }

  /** How long each ran until a time, and on which CPU: key, CPU, ns. */
  sums(end: number): [number, number, number][] {
    return this.cpus.flatMap((cpu, number) => {
      const open: [number, number][] = cpu === undefined ? [] : [[keyOf(cpu.tid, cpu.membership), Math.max(0, end - cpu.since)]];
      return [...(cpu?.ran.entries() ?? []), ...open].map(([key, ns]): [number, number, number] => [key, number, ns]);
    });
  }

  /** Who ran while who waited: both keys, ns. */
  neighbours(): [number, number, number][] {
    return [...this.meanwhile].flatMap(([waited, others]) => others.entries().map(([ran, ns]): [number, number, number] => [waited, ran, ns]));
  }
}

function put(waits: Waits, index: number, from: number, to: number, ns: number, membership: number) {
  waits.from[index] = from;
  waits.to[index] = to;
  waits.ns[index] = ns;
  waits.memberships[index] = membership;
}

/** Spans of rows of containers: how many of its threads waited, shape 6, of 255 where it is one all the time. */
export function waiting(all: Waits, rows: Map<number, number>, { from, to, pixels }: View, membershipOf: (membership: number) => Membership, out: number[]) {
  const found = new Map<number, Float64Array>();
  const per = pixels / (to - from);
  const { ns, memberships, length } = all;
  for (let index = upTo(all.to.subarray(0, length), from); index < length; index++) {
    const [begin = 0, end = 0] = [all.from[index], all.to[index]];
    const drawn = begin < to ? rows.get(membershipOf(memberships[index] ?? NOWHERE).row) : undefined;
    if (drawn === undefined) {
      continue;
    }
    const column = found.get(drawn) ?? new Float64Array(pixels);
    found.set(drawn, column);
    const part = (ns[index] ?? 0) / (end - begin);
    const [left, right] = [Math.max(0, (begin - from) * per), Math.min(pixels, (end - from) * per)];
    for (let pixel = Math.floor(left); pixel < right; pixel++) {
      column[pixel] = (column[pixel] ?? 0) + part * (Math.min(right, pixel + 1) - Math.max(left, pixel));
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
