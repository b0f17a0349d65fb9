//! The shapes of what is handed to the page, for TypeScript. Not here: how the values are made.

use wasm_bindgen::prelude::*;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** What a row stands for: 0 all that is in no container, 1 a group such as a pod, 2 a container, 3 a process, 4 a thread. */
export type RowKind = 0 | 1 | 2 | 3 | 4;

/** A row of the picture. */
export interface Row {
  /** Its number, which stays until the next layout. */
  row: number;
  kind: RowKind;
  depth: number;
  label: string;
  /** What is told beside the label: a runtime, a command. */
  note: string;
  /** Whether it has rows below it. */
  expandable: boolean;
  open: boolean;
}

export interface Container {
  id: string;
  /** Its name, else its id, the long ones cut. */
  title: string;
  name: string | undefined;
  image: string | undefined;
  kind: string;
  runtime: string | undefined;
  cgroup: string | undefined;
  /** Sentences: the evidence that it is a container. */
  why: string[];
  /** The namespaces in which it differs from the host, `net:[4026532000]`. */
  ownNamespaces: string[];
  /** Inodes of its namespaces by `FileFacts.namespaceTypes`; 0 is not known. */
  namespaces: number[];
  processes: number;
  peakProcesses: number;
  threads: number;
  /** CPU time in ns that samples stand for. */
  cpu: number;
  samples: number;
  first: number;
  /** Whether `first` is its beginning; otherwise it was there before. */
  firstExact: boolean;
  /** When its last process ended; undefined while one runs. */
  last: number | undefined;
  commands: string[];
  pids: number[];
  row: number | undefined;
}

export interface Process {
  row: number;
  pid: number;
  ppid: number | undefined;
  /** The pid in the innermost pid namespace, where it is another. */
  inside: number | undefined;
  /** How deep it is in the tree of forks. */
  depth: number;
  commands: string[];
  container: string | undefined;
  threads: number;
  start: number;
  startExact: boolean;
  end: number | undefined;
}

export interface TraceEvent {
  time: number;
  kind: string;
  pid: number;
  tid: number;
  comm: string;
  container: string;
  detail: string;
}

export interface Details {
  title: string;
  /** What is told, by name. */
  lines: [string, string][];
  /** When it is there; undefined: until the end. */
  from: number;
  to: number | undefined;
  /** A filter that selects it. */
  filter: string;
}

export interface FileFacts {
  hostname: string | undefined;
  kernel: string | undefined;
  arch: string | undefined;
  version: string | undefined;
  command: string;
  /** ms since 1970, where the file tells. */
  began: number | undefined;
  /** ns. */
  duration: number;
  records: number;
  kinds: [string, number][];
  features: string[];
  threads: number;
  /** Threads that ended and have no row. */
  notShown: number;
  events: number;
  /** Events that are not listed. */
  unlisted: number;
  lost: { time: number; count: number }[];
  outside: number;
  faults: string[];
  faultCount: number;
  hasNamespaces: boolean;
  /** `perf`, `proc` or `snapshot`, where nsscope recorded. */
  backend: string | undefined;
  /** Between two looks at /proc, ns; 0 where the kernel told by itself. */
  interval: number;
  /** Types of the recorder's own namespaces, where it ran in a container. */
  insideOf: string[];
  /** The types of namespace, in the order of all lists of inodes. */
  namespaceTypes: string[];
  /** The kinds of events, by their bit in a mask. */
  eventKinds: string[];
  /** Inodes of the host's namespaces. */
  host: number[];
  /** The number that spans give the host's namespaces. */
  hostSet: number;
}
"#;
