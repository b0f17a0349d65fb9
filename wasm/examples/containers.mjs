// Prints the containers of captures, in Node: node containers.mjs perf.data...
//
//   npm install @nsscope/wasm

import { open, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import init, { Trace } from "@nsscope/wasm";

// In a browser: init({ module_or_path: the module's address }).
const module = createRequire(import.meta.url).resolve("@nsscope/wasm/nsscope_wasm_bg.wasm");
await init({ module_or_path: await readFile(module) });

for (const path of process.argv.slice(2)) {
  const file = await open(path);
  const trace = new Trace();
  // The trace says which offset it wants next, until it wants no more. The file never has to fit in memory.
  for (let offset = trace.wanted(); offset !== undefined; offset = trace.wanted()) {
    const { buffer, bytesRead } = await file.read(new Uint8Array(1 << 20), 0, 1 << 20, offset);
    trace.push(buffer.subarray(0, bytesRead));
  }
  await file.close();
  // By the default idea of what a container is, and without a filter.
  trace.layout("auto", "");
  for (const { title, kind, processes, first, last } of trace.containers()) {
    const lived = last === undefined ? "still runs" : `lived for ${((last - first) / 1e6).toFixed(1)} ms`;
    console.log(`${title} (${kind}): ${processes} processes, ${lived}`);
  }
  for (const fault of trace.facts().faults) {
    console.error(`${path}: ${fault}`);
  }
  trace.free();
}
