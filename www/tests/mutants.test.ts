// Damaged captures through the module: none stops it, and none takes long.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import init, { Trace } from "@nsscope/wasm";
import { expect, test } from "vitest";
import { Machines } from "../src/machines";
import { BEGINNING } from "../src/protocol";
import { TARGET, nsscope, records, scratch } from "./capture";

/** How many of each capture; MUTANTS=500000 takes three hours. */
const COUNT = Number(process.env.MUTANTS ?? 1000);
/** Which ones: SEED=2 has others. */
const SEED = Number(process.env.SEED ?? 1);

const EXAMPLE = fileURLToPath(new URL("../public/example.data", import.meta.url));

/** Damaged copies of a file, one by one. */
async function* mutants(file: string): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const made = spawn(join(TARGET, "release/ns-mutants"), [file, SEED.toString(), COUNT.toString()]);
  let rest = Buffer.alloc(0);
  for await (const part of made.stdout as AsyncIterable<Buffer>) {
    rest = Buffer.concat([rest, part]);
    while (rest.length >= 4 && rest.length >= 4 + rest.readUInt32LE()) {
      const length = rest.readUInt32LE();
      yield new Uint8Array(rest.subarray(4, 4 + length));
      rest = rest.subarray(4 + length);
    }
  }
}

/** All that the page asks of a file. */
async function shown(machines: Machines, bytes: Uint8Array<ArrayBuffer>) {
  await machines.open([{ name: "mutant.data", from: new Blob([bytes]) }], () => undefined);
  const { loaded } = machines.layout(BEGINNING);
  const duration = loaded[0]?.facts.duration ?? 0;
  const { rows } = machines.picture(0, 100, 0, duration, 500);
  for (const { row = -1 } of rows.slice(0, 20)) {
    machines.details(0, row);
  }
  machines.cpuUse(0);
}

test.runIf(records)("no damage stops the module or keeps it busy", async () => {
  const module = fileURLToPath(new URL("../../wasm/pkg/nsscope_wasm_bg.wasm", import.meta.url));
  const { memory } = await init({ module_or_path: await readFile(module) });
  const fresh = join(scratch(), "fresh.data");
  nsscope("record", "-a", "--wakeups", "-F", "499", "-o", fresh, "--", "unshare", "-p", "-n", "-f", "sleep", "0.1");
  const machines = new Machines(memory);
  let [slowest, seen] = [0, 0];
  for (const file of [fresh, EXAMPLE].filter((file) => existsSync(file))) {
    for await (const mutant of mutants(file)) {
      const begun = performance.now();
      try {
        await shown(machines, mutant);
      } catch (error) {
        throw new Error(`mutant ${seen.toString()} of ${file}, seed ${SEED.toString()}`, { cause: error });
      }
      slowest = Math.max(slowest, performance.now() - begun);
      seen++;
    }
  }
  expect(seen).toBeGreaterThanOrEqual(COUNT);
  // It still works, and holds no more than its largest file wants.
  expect(new Trace().wanted()).toBe(0);
  console.log(`${seen.toString()} mutants, the slowest ${slowest.toFixed(0)} ms, ${(memory.buffer.byteLength / 1e6).toFixed(0)} MB`);
  expect(memory.buffer.byteLength).toBeLessThan(512e6);
}, 0);
