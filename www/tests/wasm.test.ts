import { open, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import init, { Capture } from "@nsscope/wasm";
import { beforeAll, expect, test } from "vitest";
import { type Source, readAll } from "../src/read";
import { capture } from "./capture";

beforeAll(async () => {
  const module = fileURLToPath(new URL("../../wasm/pkg/nsscope_wasm_bg.wasm", import.meta.url));
  await init({ module_or_path: await readFile(module) });
});

function inMemory(bytes: Uint8Array, chunk = Infinity): Source {
  return {
    read: (offset, length) => Promise.resolve(bytes.subarray(offset, offset + Math.min(length, chunk))),
  };
}

const quiet = () => undefined;

test("wasm tells of a fresh capture what the command line tells", async () => {
  const { file, report } = capture();
  const handle = await open(file);
  const source: Source = {
    read: async (offset, length) => {
      const { buffer, bytesRead } = await handle.read(new Uint8Array(length), 0, length, offset);
      return buffer.subarray(0, bytesRead);
    },
  };
  const summary = await readAll(new Capture(), source, quiet);
  await handle.close();
  expect(summary.hostname).toBe(report.hostname);
  expect(summary.threads).toBe(report.threads);
  expect(summary.containers).toHaveLength(report.containers.length);
  for (const [index, container] of summary.containers.entries()) {
    const told = report.containers[index];
    expect({ ...container, runtime: container.runtime ?? null }).toMatchObject({
      id: told?.id,
      runtime: told?.runtime,
      processes: told?.processes,
      peakProcesses: told?.peak_processes,
      threads: told?.threads,
      commands: told?.commands,
    });
    expect(container.ownNamespaces.map((name) => name.split(":")[0])).toEqual(told?.own);
  }

  // The size of the chunks makes no difference, and neither does what is cut off, but for what it held.
  const bytes = await readFile(file);
  expect(await readAll(new Capture(), inMemory(bytes, 1000), quiet)).toEqual(summary);
  const cut = await readAll(new Capture(), inMemory(bytes.subarray(0, bytes.length / 2)), quiet);
  expect(cut.faultCount).toBeGreaterThan(0);
  expect(cut.records).toBeGreaterThan(0);
  expect(cut.records).toBeLessThan(summary.records);
});

test.each([
  ["an empty file", "", "the file is empty"],
  ["text", "hello, this is no capture at all", "does not begin with PERFILE2"],
  ["a header alone", `PERFILE2\x68\0\0\0\0\0\0\0`, "not readable as perf.data"],
])("%s is refused in words", async (_, text, message) => {
  const bytes = new TextEncoder().encode(text);
  await expect(readAll(new Capture(), inMemory(bytes), quiet)).rejects.toThrow(message);
});
