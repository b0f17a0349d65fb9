// What the page and the worker say to each other. Times are ns since the beginning of the earliest recording. Not
// here: who says it when.

import type { Container, Details, FileFacts, Process, Row, TraceEvent } from "@nsscope/wasm";

/** A recording that is open, or being read. */
export interface Loaded {
  name: string;
  /** Bytes of the file, as it lies on the disk. */
  size: number;
  /** Where it is on the common axis, ns: recordings are aligned by their wall clocks, where all tell theirs. */
  offset: number;
  facts: FileFacts;
  /** How many rows there are, folded away or not. */
  rows: number;
  containers: number;
}

export interface Progress {
  name: string;
  /** Bytes looked at, of `size`; 0 where that is not known. */
  read: number;
  size: number;
  /** Bytes a second. */
  speed: number;
}

/** A row in its place. `trace` is its recording; a row of a recording itself has no number, that of a CPU is below 0. */
export interface PlacedRow extends Omit<Row, "row" | "kind"> {
  trace: number;
  row: number | undefined;
  /** As the module has it; 5: a CPU. */
  kind: Row["kind"] | 5;
}

/** Who had a CPU at a time. */
export interface Ran extends Details {
  /** The row of the thread; undefined where it has none. */
  row: number | undefined;
}

/** What one had of the CPUs. */
export interface CpuUse {
  title: string;
  /** The container's row; undefined for what is in none. */
  row: number | undefined;
  /** Whom it waited for, preempted, and how long, ns; most first. */
  waited: [string, number][];
  /** ns, by CPU in the order of `cpuUse`. */
  cpus: number[];
}

export interface Picture {
  /** Rows that are not folded away, in all. */
  total: number;
  /** Place of the first of `rows`. */
  first: number;
  rows: PlacedRow[];
  /** Five words a span, as `Trace.spans` has them; rows are places among all. */
  spans: Int32Array;
  from: number;
  to: number;
  pixels: number;
  /** Whether {@link Viewer.closer} makes it better. */
  isCoarse: boolean;
}

export interface Found {
  trace: number;
  row: number;
}

export interface Open {
  loaded: Loaded[];
  /** Bytes that the wasm has taken. */
  memory: number;
  /** Whether more is to come. */
  reading: boolean;
  progress: Progress | undefined;
  /** What went wrong, in words. */
  error: string | undefined;
}

/** Which rows there are, and in which order. */
export interface Arrangement {
  /** What makes a container. */
  definition: string;
  /** Which of them. */
  filter: string;
  /** What is put together: `kind`, `image`, `none`; empty: pods and projects. */
  group: string;
  /** `first`, `cpu`, `processes`, `name`, as `nsscope report --sort`; empty: `first`, or `cpu` where there are many. */
  order: string;
}

export const BEGINNING: Arrangement = { definition: "auto", filter: "", group: "", order: "" };

export interface Viewer {
  /** Opens files, or what is at URLs, instead of those that are open; tells of each step. Ends when all are read, or are no longer wanted. */
  open(files: { name: string; from: Blob | string }[], tell: (open: Open) => void): Promise<void>;
  /** Leaves what has been read as it is. */
  cancel(): void;
  /** @throws where definition or filter cannot be understood */
  layout(arrangement: Arrangement): Open;
  picture(first: number, count: number, from: number, to: number, pixels: number): Picture;
  /** Reads that part of the files again where more switches are in it than are kept. Returns whether a picture is better then. */
  closer(from: number, to: number): Promise<boolean>;
  toggle(trace: number, row: number): void;
  toggleAll(open: boolean): void;
  search(text: string): Found[];
  /** Its place among the rows, once all above it are unfolded. */
  reveal(trace: number, row: number): number;
  details(trace: number, row: number): Details | undefined;
  /** Who had the CPU of a row at a time. */
  ran(trace: number, row: number, time: number): Ran | undefined;
  /** What each container had of each CPU, by the switches that were recorded; most first. */
  cpuUse(trace: number): { cpus: number[]; uses: CpuUse[] };
  containers(trace: number): Container[];
  processes(trace: number): Process[];
  /** What is shown, as JSON. */
  export(trace: number): string;
  /** @throws where the filter cannot be understood */
  filterEvents(trace: number, filter: string, kinds: number): number;
  events(trace: number, from: number, count: number): TraceEvent[];
  eventAt(trace: number, time: number): number;
}
