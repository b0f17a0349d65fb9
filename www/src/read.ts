import type { Capture } from "@nsscope/wasm";
import type { Summary } from "./protocol";

/** How much of a file is read at once, in bytes. */
const CHUNK = 1 << 20;

/** Where the bytes are. `read` gives at most `length` bytes from `offset`; none at the end. */
export interface Source {
  read(offset: number, length: number): Promise<Uint8Array>;
}

/** Feeds a capture from a source until it has all that it wants. */
export async function readAll(capture: Capture, source: Source, progress: (bytes: number) => void): Promise<Summary> {
  for (let offset = capture.wanted(); offset !== undefined; offset = capture.wanted()) {
    capture.push(await source.read(offset, CHUNK));
    progress(offset);
  }
  const containers = capture.containers().map((container) => {
    const { id, runtime, cgroup, ownNamespaces, processes, peakProcesses, threads } = container;
    const { first, firstExact, last, commands } = container;
    container.free();
    const counts = { processes, peakProcesses, threads };
    return { id, runtime, cgroup, ownNamespaces, ...counts, first, firstExact, last, commands };
  });
  return {
    records: capture.records(),
    threads: capture.threads(),
    lost: capture.lost(),
    faults: capture.faults(),
    faultCount: capture.faultCount(),
    hasNamespaces: capture.hasNamespaces(),
    duration: capture.duration(),
    began: capture.began(),
    hostname: capture.hostname(),
    kernel: capture.kernel(),
    containers,
  };
}
