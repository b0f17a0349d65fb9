/** What the viewer does how fast, beside native code and in Chromium: `cargo xtask bench-viewer`. */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync, rmSync, statSync } from "node:fs";
import { open } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { initSync, Trace } from "@nsscope/wasm";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Machine, chosen } from "../tests/browser";
import { ACTOR, TARGET, manySwitches, nsscope, scratch } from "../tests/capture";
import { type Sizes, sent } from "../tests/sent";

const LARGE = join(TARGET, "dist/examples/large");
const WALK = process.env.WALK ?? "";
const WASM = fileURLToPath(new URL("../../wasm/pkg/nsscope_wasm_bg.wasm", import.meta.url));
const RUNS = 7;

const machine = new Machine();
const dir = scratch();
const rows: [string, string, string][] = [];
const say = (what: string, figure: string, target: string) => rows.push([what, figure, target]);

/** A real capture of a storm and of shells that unshare, and larger ones made of it. */
const real = join(dir, "real.data");
function made(mib: number, of = real): string {
  const file = join(dir, `${mib.toString()}.data`);
  execFileSync(LARGE, ["repeat", of, file, mib.toString()]);
  return file;
}

beforeAll(async () => {
  await machine.start();
  const shells = "i=0; while [ $i -lt 600 ]; do unshare -u -i sh -c 'unshare -n true; :'; i=$((i+1)); done";
  nsscope("record", "--no-synth", "-o", real, "--", "sh", "-c", `${ACTOR} storm 20000 4 > /dev/null & ${shells}; wait`);
});

afterAll(async () => {
  await machine.stop();
  rmSync(dir, { recursive: true });
  for (const [what, figure, target] of rows) {
    console.log(`${what.padEnd(62)} ${figure.padStart(26)}   ${target}`);
  }
});

const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(0)} MiB`;

/** The shortest of some runs of what is called like a function, in seconds. */
function shortest(work: () => void): number {
  const times = Array.from({ length: RUNS }, () => {
    const begun = performance.now();
    work();
    return (performance.now() - begun) / 1000;
  });
  return Math.min(...times);
}

interface Walk {
  memory: WebAssembly.Memory;
  reserve: (length: number) => number;
  codec: (at: number, length: number) => bigint;
  pointers: (at: number, length: number) => bigint;
}

/** The records of a perf.data file: offset and size are in its header (FORMAT: `perf_file_header.data`). */
function records(file: string): Buffer {
  const bytes = readFileSync(file);
  const from = Number(bytes.readBigUInt64LE(40));
  return bytes.subarray(from, from + Number(bytes.readBigUInt64LE(48)));
}

/** Seconds for the loop of unchecked reads and for the codec. Runs here and in the browser. */
async function walks(module: BufferSource, bytes: Uint8Array, runs: number): Promise<[number, number]> {
  const { instance } = await WebAssembly.instantiate(module);
  const { memory, reserve, codec, pointers } = instance.exports as unknown as Walk;
  const at = reserve(bytes.length);
  new Uint8Array(memory.buffer, at, bytes.length).set(bytes);
  if (codec(at, bytes.length) !== pointers(at, bytes.length)) {
    throw new Error("the two do not see the same");
  }
  const shortest = (work: typeof codec) => {
    const times = [];
    for (let run = 0; run < runs; run++) {
      const begun = performance.now();
      work(at, bytes.length);
      times.push((performance.now() - begun) / 1000);
    }
    return Math.min(...times);
  };
  return [shortest(pointers), shortest(codec)];
}

test("walking records in wasm", async () => {
  const bytes = records(made(100));
  const told = (where: string, [pointers, codec]: [number, number]) => {
    const speed = (seconds: number) => `${(bytes.length / seconds / 1e9).toFixed(2)} GB/s`;
    say(`walk in wasm, ${where}: unchecked pointer loop`, speed(pointers), "");
    say(`walk in wasm, ${where}: codec`, `${speed(codec)}  ${(pointers / codec).toFixed(2)} x`, ">= 0.8");
  };
  const module = readFileSync(WALK);
  told("Node", await walks(module, bytes, RUNS));
  const server = createServer((request, answer) => {
    answer.end(request.url === "/walk" ? module : request.url === "/records" ? bytes : "");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const visit = await machine.visit("walk");
  if (visit !== undefined) {
    await visit.page.goto(`http://127.0.0.1:${port.toString()}/`);
    const [pointers = 0, codec = 0] = await visit.page.evaluate(async ([walks, runs]) => {
      const of = async (path: string) => (await fetch(path)).arrayBuffer();
      const run = (0, eval)(`(${walks})`) as (m: ArrayBuffer, b: Uint8Array, r: number) => Promise<number[]>;
      return run(await of("/walk"), new Uint8Array(await of("/records")), runs);
    }, [walks.toString(), RUNS] as const);
    told("Chromium", [pointers, codec]);
    await visit.page.context().close();
  }
  server.close();
});

test("chunks to a finished timeline, natively and in wasm", async () => {
  const file = made(100);
  const native = Number(execFileSync(LARGE, ["timeline", file], { encoding: "utf8" }));
  initSync({ module: readFileSync(WASM) });
  const handle = await open(file);
  const { size } = await handle.stat();
  const bytes = readFileSync(file);
  const wasm = shortest(() => {
    const trace = new Trace();
    for (let offset = trace.wanted(); offset !== undefined; offset = trace.wanted()) {
      trace.push(bytes.subarray(offset, offset + (1 << 20)));
    }
    trace.finish();
    trace.free();
  });
  await handle.close();
  const speed = (seconds: number) => `${(size / seconds / 1e6).toFixed(0)} MB/s`;
  say("timeline and events from chunks, native", speed(native), "");
  say("timeline and events from chunks, wasm in Node", `${speed(wasm)}  ${(native / wasm).toFixed(2)} x`, ">= 0.5");
});

/** Opens a file, and gives how far it was read at the first pixels, the most memory, and the longest block, ms. */
async function opened(page: Page, file: string) {
  await page.evaluate(() => {
    const seen = globalThis as unknown as { longest: number };
    seen.longest = 0;
    new PerformanceObserver((list) => {
      seen.longest = Math.max(seen.longest, ...list.getEntries().map(({ duration }) => duration));
    }).observe({ type: "longtask" });
  });
  const begun = performance.now();
  await chosen(page, file, 0);
  const seconds = (performance.now() - begun) / 1000;
  const longest = await page.evaluate(() => (globalThis as unknown as { longest: number }).longest);
  const [pixels, memory] = await page.evaluate(() => [document.body.dataset.pixels, document.body.dataset.memory]);
  return { seconds, longest, pixels: Number(pixels), memory: Number(memory) };
}

for (const size of [1024, 4200]) {
  test(`a file of ${size.toString()} MiB`, async () => {
    const file = made(size);
    const visit = await machine.visit("large");
    if (visit === undefined) {
      return;
    }
    const { seconds, longest, pixels, memory } = await opened(visit.page, file);
    const name = `${size.toString()} MiB in Chromium`;
    say(`${name}: opens whole`, `${seconds.toFixed(1)} s, ${(statSync(file).size / seconds / 1e6).toFixed(0)} MB/s`, "");
    say(`${name}: wasm memory`, mib(memory), "< 256 MiB");
    say(`${name}: read at the first pixels`, `${(pixels * 100).toFixed(2)} %`, "< 5 %");
    say(`${name}: longest block of the page`, longest === 0 ? "none of 50 ms" : `${longest.toFixed(0)} ms`, "<= 50 ms");
    const status = await visit.page.locator("#status").innerText();
    const { size: all } = statSync(file);
    const records_ = Number(/([\d,]+) records/.exec(status)?.[1]?.replaceAll(",", ""));
    const native = JSON.parse(nsscope("stat", "--json", real)) as { kinds: Record<string, { count: number }> };
    const once = Object.values(native.kinds).reduce((sum, { count }) => sum + count, 0);
    const times = all / statSync(real).size;
    expect(records_ / once / times, status).toBeCloseTo(1, 1);
    expect(visit.problems).toEqual([]);
    await visit.page.context().close();
    rmSync(file);
  });
}

interface TraceEvent {
  name: string;
  ph: string;
  ts: number;
  dur?: number;
  tid: number;
  pid: number;
}

/** Main-thread work of each frame, ms, from a trace of Chromium's. */
function frames(trace: Buffer): number[] {
  const { traceEvents } = JSON.parse(trace.toString()) as { traceEvents: TraceEvent[] };
  const ticks = traceEvents.filter(({ name }) => name === "FireAnimationFrame");
  const main = ticks[0];
  const mine = (event: TraceEvent) => event.pid === main?.pid && event.tid === main.tid;
  const tasks = traceEvents.filter((event) => mine(event) && event.name.endsWith("RunTask") && event.dur !== undefined);
  expect(ticks.length).toBeGreaterThan(50);
  expect(tasks.length).toBeGreaterThan(50);
  const starts = ticks.map(({ ts }) => ts).sort((a, b) => a - b);
  return starts.slice(1).map((end, index) => {
    const begin = starts[index] ?? end;
    const within = tasks.filter(({ ts, dur = 0 }) => ts + dur > begin && ts + dur <= end);
    return within.reduce((sum, { dur = 0 }) => sum + dur, 0) / 1000;
  });
}

/** Pans and zooms. Gives quantiles of the main thread's work of a frame, ms. */
async function panned(page: Page): Promise<(part: number) => string> {
  const browser = page.context().browser();
  await browser?.startTracing(page, { categories: ["toplevel", "devtools.timeline"] });
  await page.evaluate(async () => {
    const canvas = document.querySelector("#spans");
    const box = canvas?.getBoundingClientRect() ?? new DOMRect();
    const [clientX, clientY] = [box.x + box.width * 0.4, box.y + 20];
    for (let frame = 0; frame < 300; frame++) {
      await new Promise(requestAnimationFrame);
      const zoom = { deltaY: frame % 120 < 60 ? -60 : 60, clientX, clientY, bubbles: true, cancelable: true };
      const pan = { ...zoom, deltaY: 0, deltaX: frame % 40 < 20 ? 80 : -80 };
      canvas?.dispatchEvent(new WheelEvent("wheel", frame % 3 === 0 ? pan : zoom));
    }
  });
  const work = frames((await browser?.stopTracing()) ?? Buffer.from("{}")).sort((a, b) => a - b);
  return (part: number) => (work[Math.floor(work.length * part)] ?? 0).toFixed(1);
}

test("pan and zoom over a million spans", async () => {
  // Processes that change their namespaces and programs over and over.
  const busy = join(dir, "busy.data");
  const process = "unshare -u unshare -i unshare -u unshare -i true";
  nsscope("record", "--no-synth", "-o", busy, "--", "sh", "-c", `i=0; while [ $i -lt 600 ]; do ${process}; i=$((i+1)); done`);
  const file = made(400, busy);
  const trace = new Trace();
  const bytes = readFileSync(file);
  for (let offset = trace.wanted(); offset !== undefined; offset = trace.wanted()) {
    trace.push(bytes.subarray(offset, offset + (1 << 20)));
  }
  trace.finish();
  trace.layout("auto", "");
  trace.toggleAll(true);
  // All there are, at a resolution at which none hides another.
  const spans = trace.spans(0, trace.visibleRows(), 0, trace.duration(), 1e6) / 5;
  const visit = await machine.visit("frames", { width: 1600, height: 1000 });
  if (visit === undefined) {
    return;
  }
  const { page } = visit;
  await opened(page, file);
  await page.locator("#unfold").click();
  await page.waitForTimeout(1000);
  const at = await panned(page);
  const name = `pan and zoom, ${spans.toLocaleString("en")} spans`;
  say(`${name}: main-thread work of a frame`, `p50 ${at(0.5)}, p95 ${at(0.95)} ms`, "< 16 ms");
  await page.context().close();
});

test("a hundred million context switches", async () => {
  // Two containers that have the CPUs to share.
  const load = "unshare -p -f -m --mount-proc perf bench sched pipe -l 100000 > /dev/null";
  const { file, switches } = manySwitches(100_000_000, "sh", "-c", `${load} & ${load}; wait`);
  const visit = await machine.visit("switches", { width: 1600, height: 1000 });
  if (visit === undefined) {
    return;
  }
  const { page } = visit;
  const { seconds, memory } = await opened(page, file);
  const name = `${(switches / 1e6).toFixed(0)} M switches in Chromium`;
  say(`${name}: opens whole`, `${seconds.toFixed(1)} s, ${(switches / seconds / 1e6).toFixed(2)} M/s`, "");
  say(`${name}: wasm memory`, mib(memory), "< 256 MiB");
  const at = await panned(page);
  say(`${name}: pan and zoom, main-thread work of a frame`, `p50 ${at(0.5)}, p95 ${at(0.95)} ms`, "< 16 ms");
  // The table of the CPUs is there, too.
  await page.getByRole("tab", { name: "CPUs" }).click();
  await expect.poll(() => page.locator("#panel tbody tr").count(), { timeout: 60_000 }).toBeGreaterThan(2);
  expect(visit.problems).toEqual([]);
  await page.context().close();
  rmSync(file);
});

test("what is sent", () => {
  const { page, wasm } = sent();
  const told = (sizes: Sizes) => `gzip ${sizes.gzip.toFixed(0)}, brotli ${sizes.brotli.toFixed(0)} kB`;
  say("sent, all of the page", told(page), "< 300 kB");
  say("sent, wasm alone", told(wasm), "< 120 kB");
});
