// The CPUs of a recording, and who had them when. Not here: the sums and spans, and what is drawn.

import type { Trace } from "@nsscope/wasm";
import { duration, moment } from "./format";
import { ENDED, type Lane, MISSING, type Membership, NOWHERE, type Wait, type Wakeups, at, neighbours, sums, waits } from "./lanes";
import type { CpuUse, Ran } from "./protocol";

/** Whether this is the id of a thread that could run. */
function isThread(tid: number): boolean {
  return tid !== 0 && tid < MISSING;
}

export class Cpus {
  private count = 0;
  private copied: Lane[] = [];
  private wakeups: Wakeups = { times: new Float64Array(), who: new Uint32Array() };
  private found: Wait[] | undefined;
  /** What memberships are, by their numbers. */
  private memberships = new Map<number, Membership>();

  constructor(
    private readonly trace: Trace,
    private readonly memory: WebAssembly.Memory,
  ) {}

  /** Rows have other numbers now. */
  forget() {
    this.memberships.clear();
  }

  /** Copies times and the two words for each out of the module's memory, which moves. */
  private copy(words: Uint32Array): Wakeups {
    const [length = 0, times = 0, who = 0] = words;
    const { buffer } = this.memory;
    return {
      times: new Float64Array(buffer, times, length).slice(),
      who: new Uint32Array(buffer, who, 2 * length).slice(),
    };
  }

  /** The CPUs whose switches are known. They are copied when there are more. */
  lanes(): Lane[] {
    const words = this.trace.lanes();
    const wakeups = this.trace.wakeups();
    const count = [...words, ...wakeups].reduce((sum, word, index) => sum + (index % 3 === 0 ? word : 0), 0);
    if (count !== this.count) {
      [this.count, this.copied, this.found] = [count, [], undefined];
      this.wakeups = this.copy(wakeups);
      for (let cpu = 0; 3 * cpu + 2 < words.length; cpu++) {
        const lane = this.copy(words.subarray(3 * cpu, 3 * cpu + 3));
        if (lane.times.length > 0) {
          this.copied.push({ cpu, ...lane });
        }
      }
    }
    return this.copied;
  }

  membership(number: number): Membership {
    let found = this.memberships.get(number);
    if (found === undefined) {
      const [row = NOWHERE, set = 0] = this.trace.membership(number);
      found = { row, set };
      this.memberships.set(number, found);
    }
    return found;
  }

  /** Who would have run, and did not. */
  waits(): Wait[] {
    const lanes = this.lanes();
    this.found ??= waits(lanes, this.wakeups);
    return this.found;
  }

  private get end(): number {
    return this.trace.begin() + this.trace.duration();
  }

  private titles(): Map<number, string> {
    return new Map(this.trace.containers().flatMap(({ row, title }) => (row === undefined ? [] : [[row, title] as const])));
  }

  /** What is said of one that ran in no container. */
  private other(tid: number): string {
    switch (tid) {
      case 0:
        return "idle";
      case MISSING:
        return "not known: records are missing";
      case ENDED:
        return "threads that have ended";
      default:
        return "host";
    }
  }

  /** Who had a CPU at a time, ns since the beginning. */
  ran(index: number, time: number): Ran | undefined {
    const begin = this.trace.begin();
    const lane = this.lanes()[index];
    const ran = lane && at(lane, time + begin, this.end);
    if (ran === undefined) {
      return undefined;
    }
    const { tid } = ran;
    const title = (isThread(tid) ? this.titles().get(this.membership(ran.membership).row) : undefined) ?? this.other(tid);
    const lines: [string, string][] = [["who", title]];
    const row = isThread(tid) ? this.trace.thread(tid, time) : undefined;
    const its = row === undefined ? undefined : this.trace.details(row);
    if (isThread(tid)) {
      const name = its?.lines.findLast(([key]) => key === "name")?.[1].split(" from ")[0];
      lines.push(["thread", name === undefined ? tid.toString() : `${name} (${tid.toString()})`]);
    }
    const [from, to] = [ran.from - begin, ran.to - begin];
    lines.push(["from", moment(from)], ["for", duration(to - from)]);
    return { title: `CPU ${ran.cpu.toString()} at ${moment(time)}`, lines, from, to, filter: its?.filter ?? "", row };
  }

  /** What each container had of all CPUs, ns, by its row. */
  ofRows(): Map<number, number> {
    const had = sums(this.lanes(), this.end, (tid, membership) => (isThread(tid) ? this.membership(membership).row : NOWHERE));
    return new Map([...had].map(([row, cpus]) => [row, cpus.reduce((sum, ns) => sum + ns, 0)]));
  }

  /** What each container had of each CPU, and whom it waited for, most first. */
  use(): { cpus: number[]; uses: CpuUse[] } {
    const lanes = this.lanes();
    const titles = this.titles();
    // A container is known by its row: several may have one title.
    const keyOf = (tid: number, membership: number) => {
      const { row } = this.membership(membership);
      return isThread(tid) && titles.has(row) ? row.toString() : this.other(tid);
    };
    const titleOf = (key: string) => titles.get(Number(key)) ?? key;
    const others = neighbours(lanes, this.waits(), this.end, keyOf);
    const all = ({ cpus }: CpuUse) => cpus.reduce((sum, ns) => sum + ns, 0);
    const uses = [...sums(lanes, this.end, keyOf)].map(([key, cpus]): CpuUse => {
      const waited = [...(others.get(key) ?? [])].map(([other, ns]): [string, number] => [titleOf(other), ns]);
      waited.sort(([, a], [, b]) => b - a);
      return { title: titleOf(key), row: titles.has(Number(key)) ? Number(key) : undefined, cpus, waited };
    });
    return { cpus: lanes.map(({ cpu }) => cpu), uses: uses.sort((a, b) => all(b) - all(a)) };
  }
}
