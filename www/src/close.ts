// A part of a recording's switches, read again from the file: closer than what is kept of them. Not here: what is kept.

import type { Trace } from "@nsscope/wasm";
import { Kept } from "./kept";
import { IDLE, type Lane, MISSING, at } from "./lanes";
import { type Source, exactly } from "./source";
import { type Scheduling, tidOf } from "./waits";

/** Most switches that are read again. */
const MOST = 500_000;

/** A part of the file with switches: offsets in bytes, times in ns. */
interface Block {
  from: number;
  to: number;
  first: number;
  last: number;
  switches: number;
}

/** What is known more closely, and from when until when, ns. */
export interface Close {
  from: number;
  to: number;
  lanes: Lane[];
}

export function blocks(trace: Trace): Block[] {
  const all = trace.switchBlocks();
  return Array.from({ length: all.length / 5 }, (_, index) => {
    const [from = 0, to = 0, first = 0, last = 0, switches = 0] = all.subarray(5 * index, 5 * index + 5);
    return { from, to, first, last, switches };
  });
}

/** What is to be read, and the time that it is read for, ns. */
export interface Parts {
  parts: Block[];
  from: number;
  to: number;
}

/** The parts to read for the time between two, and some before and behind; none where these are too many switches. */
export function parts(all: Block[], from: number, to: number): Parts {
  const within = (begin: number, end: number) => {
    const found = all.filter(({ first, last }) => first <= end && last >= begin);
    return found.reduce((sum, { switches }) => sum + switches, 0) <= MOST ? found : [];
  };
  const wide = to - from;
  for (const more of [1, 0.25, 0]) {
    const [begin, end] = [from - more * wide, to + more * wide];
    const found = within(begin, end);
    if (found.length > 0) {
      return { parts: found, from: begin, to: end };
    }
  }
  return { parts: [], from, to };
}

/**
 * Reads them.
 *
 * @param switchesOf gives the switches among records: times, and three words for each
 */
export async function read(
  bytes: Source,
  { parts, from, to }: Parts,
  scheduling: Scheduling,
  switchesOf: (records: Uint8Array) => [Float64Array, Uint32Array],
): Promise<Close> {
  const kept = new Kept();
  const last = new Map<number, number>();
  const coarse = scheduling.kept.lanes();
  for (const lane of coarse) {
    const ran = at(lane, from, to);
    kept.push(lane.cpu, from, ran?.tid ?? MISSING, ran?.membership ?? 0);
  }
  for (const part of parts) {
    const records = await exactly(bytes, part.from, part.to - part.from);
    const [times, words] = switchesOf(records);
    for (let index = 0; index < times.length; index++) {
      const time = times[index] ?? 0;
      const [cpu, word] = [words[3 * index] ?? 0, words[3 * index + 1] ?? IDLE];
      const tid = tidOf(word);
      // That one comes may have been said by the last record of the part before.
      const comes = last.get(cpu) !== tid;
      last.set(cpu, tid);
      if (comes && time >= from && time <= to) {
        kept.push(cpu, time, tid, scheduling.membershipAt(tid, time));
      }
    }
  }
  return { from, to, lanes: kept.lanes() };
}
