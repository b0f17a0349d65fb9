// The CPUs of a recording, and who had them when. Not here: the sums and spans, and what is drawn.

import type { Trace } from "@nsscope/wasm";
import { type Close, type Parts, blocks, parts, read } from "./close";
import { duration, moment } from "./format";
import { Kept } from "./kept";
import { type Lane, type Membership, NOWHERE, OTHERS, SEVERAL, at, isThread, keyOf } from "./lanes";
import type { CpuUse, Ran } from "./protocol";
import type { Source } from "./source";
import { Scheduling, type Waits } from "./waits";

export class Cpus {
  private readonly scheduling: Scheduling;
  /** What was read again last. */
  private close: Close | undefined;
  private isClosing = false;
  private blocks: ReturnType<typeof blocks> | undefined;
  /** What memberships are, by their numbers. */
  private memberships = new Map<number, Membership>();

  constructor(
    private readonly trace: Trace,
    private readonly memory: WebAssembly.Memory,
    kept?: number,
  ) {
    this.scheduling = new Scheduling(new Kept(kept));
  }

  /** Rows have other numbers now. */
  forget() {
    this.memberships.clear();
  }

  private words([count = 0, times = 0, words = 0]: Uint32Array): [Float64Array, Uint32Array] {
    const { buffer } = this.memory;
    return [new Float64Array(buffer, times, count), new Uint32Array(buffer, words, 3 * count)];
  }

  /** Takes the switches that the module has read since. */
  take() {
    this.scheduling.take(...this.words(this.trace.takeSwitches()));
  }

  /** The CPUs whose switches are known; those between two times, ns of the recording's clock, as closely as they are. */
  lanes(from = -Infinity, to = Infinity): Lane[] {
    return this.closeTo(from, to)?.lanes ?? this.scheduling.kept.lanes();
  }

  /** What was read again last, where that is all between two times. */
  private closeTo(from: number, to: number): Close | undefined {
    const { close } = this;
    return close !== undefined && close.from <= from && to <= close.to ? close : undefined;
  }

  /** What to read again to know more of the time between two. */
  private parts(from: number, to: number): Parts | undefined {
    if (this.scheduling.kept.wide === 0 || this.isClosing || this.closeTo(from, to) !== undefined) {
      return undefined;
    }
    this.blocks ??= blocks(this.trace);
    const found = parts(this.blocks, from, to);
    return found.parts.length > 0 ? found : undefined;
  }

  /** Whether more can be known of the time between two. */
  hasCloser(from: number, to: number): boolean {
    return this.parts(from, to) !== undefined;
  }

  /** Reads that part of the file again. Returns whether there is more to see then. */
  async closer(bytes: Source, from: number, to: number, isOpen: () => boolean): Promise<boolean> {
    const found = this.parts(from, to);
    if (found === undefined) {
      return false;
    }
    this.isClosing = true;
    try {
      this.close = await read(bytes, found, this.scheduling, (records) => {
        if (!isOpen()) {
          throw new Error("that file is not open any more");
        }
        return this.words(this.trace.switchesOf(records));
      });
    } finally {
      this.isClosing = false;
    }
    return true;
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
  waits(): Waits {
    return this.scheduling.found;
  }

  private get end(): number {
    return this.trace.begin() + this.trace.duration();
  }

  private titles(): Map<number, string> {
    return new Map(this.trace.containers().flatMap(({ row, title }) => (row === undefined ? [] : [[row, title] as const])));
  }

  /** What is said of one that ran in no container. */
  private other(key: number): string {
    switch (key) {
      case OTHERS.idle:
        return "idle";
      case OTHERS.missing:
        return "not known: records are missing";
      case OTHERS.ended:
        return "threads that have ended";
      default:
        return "host";
    }
  }

  /** Who had a CPU at a time, ns since the beginning. */
  ran(index: number, time: number): Ran | undefined {
    const begin = this.trace.begin();
    const lane = this.lanes(time + begin, time + begin)[index];
    const ran = lane && at(lane, time + begin, this.end);
    if (ran === undefined) {
      return undefined;
    }
    const { tid } = ran;
    const title = (isThread(tid) ? this.titles().get(this.membership(ran.membership).row) : undefined) ?? this.other(keyOf(tid, ran.membership));
    const lines: [string, string][] = [["who", title]];
    const row = isThread(tid) ? this.trace.thread(tid, time) : undefined;
    const its = row === undefined ? undefined : this.trace.details(row);
    if (isThread(tid)) {
      const name = its?.lines.findLast(([key]) => key === "name")?.[1].split(" from ")[0];
      lines.push(tid === SEVERAL ? ["threads", "several, in turns"] : ["thread", name === undefined ? tid.toString() : `${name} (${tid.toString()})`]);
    }
    const [from, to] = [ran.from - begin, ran.to - begin];
    lines.push(["from", moment(from)], ["for", duration(to - from)]);
    return { title: `CPU ${ran.cpu.toString()} at ${moment(time)}`, lines, from, to, filter: its?.filter ?? "", row };
  }

  /** What each container had of all CPUs, ns, by its row. */
  ofRows(): Map<number, number> {
    const had = new Map<number, number>();
    for (const [key, , ns] of this.scheduling.sums(this.end)) {
      const row = key < 0 ? NOWHERE : this.membership(key).row;
      had.set(row, (had.get(row) ?? 0) + ns);
    }
    return had;
  }

  /** What each container had of each CPU, and whom it waited for, most first. */
  use(): { cpus: number[]; uses: CpuUse[] } {
    const cpus = this.lanes().map(({ cpu }) => cpu);
    const titles = this.titles();
    // A container is known by its row: several may have one title.
    const idOf = (key: number) => {
      const row = key < 0 ? key : this.membership(key).row;
      return key < 0 || titles.has(row) ? row : NOWHERE;
    };
    const titleOf = (id: number) => titles.get(id) ?? this.other(id);
    const uses = new Map<number, { cpus: number[]; waited: Map<number, number> }>();
    const useOf = (key: number) => {
      const use = uses.get(idOf(key)) ?? { cpus: cpus.map(() => 0), waited: new Map<number, number>() };
      uses.set(idOf(key), use);
      return use;
    };
    const places = new Map(cpus.map((cpu, index) => [cpu, index]));
    for (const [key, cpu, ns] of this.scheduling.sums(this.end)) {
      const [use, index] = [useOf(key), places.get(cpu) ?? 0];
      use.cpus[index] = (use.cpus[index] ?? 0) + ns;
    }
    for (const [key, other, ns] of this.scheduling.neighbours()) {
      const { waited } = useOf(key);
      waited.set(idOf(other), (waited.get(idOf(other)) ?? 0) + ns);
    }
    const all = [...uses].map(([id, { cpus, waited }]): CpuUse => {
      const others = [...waited].sort(([, a], [, b]) => b - a).map(([other, ns]): [string, number] => [titleOf(other), ns]);
      return { title: titleOf(id), row: titles.has(id) ? id : undefined, cpus, waited: others };
    });
    return { cpus, uses: all.sort((a, b) => sum(b.cpus) - sum(a.cpus)) };
  }
}

function sum(all: number[]): number {
  return all.reduce((sum, one) => sum + one, 0);
}
