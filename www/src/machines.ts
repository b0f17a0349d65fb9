// Files that are being read, in the worker, and what is asked of them. Not here: the page.

import { Trace } from "@nsscope/wasm";
import { Cpus } from "./cpus";
import { type Lane, paint, shares } from "./lanes";
import { orderOf, ranks } from "./order";
import { type Arrangement, BEGINNING, type CpuUse, type Found, type Loaded, type Open, type Picture, type PlacedRow, type Ran, type Viewer } from "./protocol";
import { type Source, source } from "./source";
import { waiting } from "./waits";

/** How much of a file is read at once, in bytes. */
const CHUNK = 1 << 20;
/** How often the page hears of a file that is being read, ms; a picture is made no more often than it takes four of. */
const REPORT_INTERVAL = 100;

interface Machine {
  name: string;
  size: number;
  trace: Trace;
  open: boolean;
  rows: number;
  cpus: Cpus;
  /** The file's bytes, where any of them can be read again. */
  bytes: Source | undefined;
}

/** The recordings that are open: what the worker does. */
export class Machines implements Viewer {
  private machines: Machine[] = [];
  /** Changes when other files are wanted. */
  private wanted = 0;
  private arrangement = BEGINNING;
  private reading = false;
  /** How long pictures have taken since the page heard of the reading last, ms. */
  private drawing = 0;

  /** @param kept how many switches of a recording are kept; see {@link closer} */
  constructor(
    private readonly memory: WebAssembly.Memory,
    private readonly kept?: number,
  ) {}

  async open(files: { name: string; from: Blob | string }[], report: (open: Open) => void): Promise<void> {
    const mine = ++this.wanted;
    for (const { trace } of this.machines) {
      trace.free();
    }
    this.machines = [];
    this.reading = true;
    let error: string | undefined;
    for (const { name, from } of files) {
      const trace = new Trace();
      const machine = { name, size: 0, trace, open: true, rows: 0, cpus: new Cpus(trace, this.memory, this.kept), bytes: undefined };
      this.machines.push(machine);
      try {
        const damage = await this.read(machine, from, mine, report);
        if (damage !== undefined) {
          error = `${name}: ${damage}; what could be unpacked is shown`;
        }
      } catch (failure) {
        if (mine === this.wanted) {
          this.machines.pop();
          error = `${name}: ${failure instanceof Error ? failure.message : String(failure)}`;
        }
        machine.trace.free();
      }
      if (mine !== this.wanted) {
        return;
      }
    }
    this.reading = false;
    this.arrange();
    report({ ...this.summary(), error });
  }

  /** Reads a file to its end. Returns what was wrong with a packed one, of which the rest is then missing. */
  private async read(machine: Machine, from: Blob | string, mine: number, report: (open: Open) => void) {
    const { trace } = machine;
    const { bytes, size, isPacked } = await source(from);
    machine.size = size;
    const begun = performance.now();
    let read = 0;
    let damage: string | undefined;
    let [reported, took] = [begun, 0];
    for (let offset = trace.wanted(); offset !== undefined; offset = trace.wanted()) {
      const chunk = await bytes.read(offset, CHUNK).catch((error: unknown) => {
        damage = error instanceof Error ? error.message : String(error);
        return new Uint8Array(0);
      });
      if (mine !== this.wanted || !this.reading) {
        break;
      }
      try {
        trace.push(chunk);
      } catch (error) {
        throw damage === undefined ? error : new Error(damage, { cause: error });
      }
      machine.cpus.take();
      // What describes the records may be behind them, and is read first: the offset says nothing of how far this is.
      read += chunk.length;
      const now = performance.now();
      if (now >= reported + Math.max(REPORT_INTERVAL, 4 * (took + this.drawing))) {
        this.drawing = 0;
        this.arrange();
        const speed = (read / (now - begun)) * 1000;
        report({ ...this.summary(), progress: { name: machine.name, read, size: size === 0 ? 0 : Math.max(read, size), speed } });
        reported = performance.now();
        took = reported - now;
      }
    }
    if (mine === this.wanted) {
      trace.finish();
      machine.cpus.take();
      // What was taken last is held until then.
      machine.cpus.take();
      machine.bytes = isPacked ? undefined : bytes;
    }
    return damage;
  }

  cancel() {
    this.reading = false;
  }

  layout(arrangement: Arrangement): Open {
    const before = this.arrangement;
    try {
      this.arrangement = arrangement;
      if (this.machines.length === 0) {
        // There is nothing to lay out, but something to check.
        const trace = new Trace();
        this.rows(trace);
        trace.free();
      }
      this.arrange();
    } catch (error) {
      this.arrangement = before;
      throw error;
    }
    return this.summary();
  }

  private rows(trace: Trace, ranks?: Uint32Array): number {
    const { definition, filter, group } = this.arrangement;
    return trace.layout(definition, filter, group, ranks);
  }

  /** Makes the rows anew. */
  private arrange() {
    for (const machine of this.machines) {
      const { trace, cpus } = machine;
      machine.rows = this.rows(trace);
      cpus.forget();
      // Who had most is not known before all is read.
      const order = this.reading ? "first" : orderOf(this.arrangement.order, trace.containerCount());
      if (order !== "first") {
        machine.rows = this.rows(trace, ranks(order, trace.containers(), () => cpus.ofRows()));
        cpus.forget();
      }
    }
  }

  private summary(): Open {
    const offsets = this.offsets();
    const loaded = this.machines.map(({ name, size, trace, rows }, index): Loaded => {
      const containers = trace.containerCount();
      return { name, size, offset: offsets[index] ?? 0, facts: trace.facts(), rows, containers };
    });
    const memory = this.memory.buffer.byteLength;
    return { loaded, memory, reading: this.reading, progress: undefined, error: undefined };
  }

  /** Where each recording begins on the common axis, ns. */
  private offsets(): number[] {
    const began = this.machines.map(({ trace }) => trace.began());
    if (!began.every((time) => time !== undefined)) {
      return began.map(() => 0);
    }
    const first = Math.min(...began);
    return began.map((time) => (time - first) * 1e6);
  }

  private trace(index: number): Trace {
    const machine = this.machines[index];
    if (machine === undefined) {
      throw new Error("that file is not open any more");
    }
    return machine.trace;
  }

  /**
   * Each recording with the place of its first row. Before it are a row of its own, where there are several, and one for
   * each CPU.
   */
  private *placed(): Generator<{ machine: Machine; trace: number; head: number; lanes: Lane[]; from: number; count: number }> {
    let place = 0;
    for (const [trace, machine] of this.machines.entries()) {
      const head = this.machines.length > 1 ? 1 : 0;
      const lanes = machine.open ? machine.cpus.lanes() : [];
      const count = machine.open ? machine.trace.visibleRows() : 0;
      yield { machine, trace, head, lanes, from: place + head + lanes.length, count };
      place += head + lanes.length + count;
    }
  }

  picture(first: number, count: number, from: number, to: number, pixels: number): Picture {
    const begun = performance.now();
    const rows: PlacedRow[] = [];
    const pieces: Int32Array[] = [];
    const offsets = this.offsets();
    let total = 0;
    let isCoarse = false;
    for (const { machine, trace, head, lanes, from: place, count: has } of this.placed()) {
      total = place + has;
      const own = place - lanes.length - 1;
      const begin = machine.trace.begin();
      const offset = offsets[trace] ?? 0;
      // The lanes' times are the recording's own.
      const view = { from: from - offset + begin, to: to - offset + begin, pixels: Math.floor(pixels) };
      const close = machine.cpus.lanes(view.from, view.to);
      isCoarse ||= machine.bytes !== undefined && lanes.length > 0 && machine.cpus.hasCloser(view.from, view.to);
      const end = begin + machine.trace.duration();
      const drawn: number[] = [];
      const membershipOf = (of: number) => machine.cpus.membership(of);
      if (head === 1 && own >= first && own < first + count) {
        const label = machine.trace.facts().hostname ?? machine.name;
        const fixed = { kind: 0 as const, depth: 0, expandable: true, open: machine.open };
        rows.push({ ...fixed, label, note: machine.name, trace, row: undefined });
      }
      for (const [index, lane] of close.slice(0, lanes.length).entries()) {
        const at = place - lanes.length + index;
        if (at >= first && at < first + count) {
          const fixed = { kind: 5 as const, depth: head, expandable: false, open: false, note: "" };
          rows.push({ ...fixed, label: `CPU ${lane.cpu.toString()}`, trace, row: -1 - index });
          paint(lane, at, view, end, membershipOf, drawn);
        }
      }
      const skip = Math.max(0, first - place);
      const most = Math.min(has - skip, first + count - (place + skip));
      if (most <= 0) {
        pieces.push(Int32Array.from(drawn));
        continue;
      }
      const containers = new Map<number, number>();
      for (const [index, row] of machine.trace.rows(skip, most).entries()) {
        rows.push({ ...row, depth: row.depth + head, trace });
        if (row.kind === 2) {
          containers.set(row.row, place + skip + index);
        }
      }
      const words = machine.trace.spans(skip, most, from - offset, to - offset, pixels);
      const spans = new Int32Array(this.memory.buffer, machine.trace.spansAt(), words).slice();
      let kept = 0;
      for (let word = 0; word < spans.length; word += 5) {
        // Where switches tell it exactly, samples do not.
        if (lanes.length === 0 || ((spans[word + 3] ?? 0) & 255) !== 4) {
          spans.copyWithin(kept, word, word + 5);
          spans[kept] = (spans[kept] ?? 0) + place;
          kept += 5;
        }
      }
      shares(close, containers, view, end, membershipOf, drawn);
      if (lanes.length > 0) {
        waiting(machine.cpus.waits(), containers, view, membershipOf, drawn);
      }
      pieces.push(spans.subarray(0, kept), Int32Array.from(drawn));
    }
    const spans = new Int32Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
    let at = 0;
    for (const piece of pieces) {
      spans.set(piece, at);
      at += piece.length;
    }
    this.drawing += performance.now() - begun;
    return { total, first, rows, spans, from, to, pixels, isCoarse };
  }

  async closer(from: number, to: number): Promise<boolean> {
    const [mine, offsets] = [this.wanted, this.offsets()];
    const closer = this.machines.map(async (machine, index) => {
      const { trace, cpus, bytes } = machine;
      const begin = trace.begin() - (offsets[index] ?? 0);
      try {
        return bytes !== undefined && (await cpus.closer(bytes, from + begin, to + begin, () => mine === this.wanted));
      } catch {
        // A file that has changed since cannot be read again: what was seen of it stays.
        machine.bytes = undefined;
        return false;
      }
    });
    return (await Promise.all(closer)).includes(true);
  }

  toggle(trace: number, row: number) {
    const machine = this.machines[trace];
    if (row < 0 && machine !== undefined) {
      machine.open = !machine.open;
    } else {
      this.trace(trace).toggle(row);
    }
  }

  toggleAll(open: boolean) {
    for (const machine of this.machines) {
      machine.open = true;
      machine.trace.toggleAll(open);
    }
  }

  search(text: string): Found[] {
    if (text === "") {
      return [];
    }
    return this.machines.flatMap(({ trace }, index) =>
      Array.from(trace.search(text), (row) => ({ trace: index, row })),
    );
  }

  reveal(trace: number, row: number): number {
    const machine = this.machines[trace];
    if (machine === undefined) {
      return 0;
    }
    machine.open = true;
    const place = row < 0 ? -machine.cpus.lanes().length - row - 1 : (machine.trace.reveal(row) ?? 0);
    for (const placed of this.placed()) {
      if (placed.trace === trace) {
        return placed.from + place;
      }
    }
    return place;
  }

  details(trace: number, row: number) {
    return row < 0 ? undefined : this.trace(trace).details(row);
  }

  ran(trace: number, row: number, time: number): Ran | undefined {
    return this.machines[trace]?.cpus.ran(-1 - row, time - (this.offsets()[trace] ?? 0));
  }

  cpuUse(trace: number): { cpus: number[]; uses: CpuUse[] } {
    return this.machines[trace]?.cpus.use() ?? { cpus: [], uses: [] };
  }

  containers(trace: number) {
    // As their rows are.
    return this.trace(trace).containers().sort((a, b) => (a.row ?? Infinity) - (b.row ?? Infinity));
  }

  processes(trace: number) {
    const of = this.trace(trace);
    return of.processes(0, of.processCount());
  }

  filterEvents(trace: number, filter: string, kinds: number) {
    return this.trace(trace).filterEvents(filter, kinds);
  }

  events(trace: number, from: number, count: number) {
    return this.trace(trace).events(from, count);
  }

  eventAt(trace: number, time: number) {
    return this.trace(trace).eventAt(time - (this.offsets()[trace] ?? 0));
  }

  export(trace: number) {
    const [of, every] = [this.trace(trace), 2 ** 32 - 1];
    const processes = of.processes(0, every);
    return JSON.stringify({ facts: of.facts(), containers: of.containers(), processes, events: of.events(0, every) }, null, 2);
  }
}
