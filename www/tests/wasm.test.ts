import { execFileSync, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from "node:fs";
import { type FileHandle, open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import init, { Trace } from "@nsscope/wasm";
import { beforeAll, expect, test } from "vitest";
import { Machines } from "../src/machines";
import { BEGINNING } from "../src/protocol";
import type { Open } from "../src/protocol";
import { type Source, source } from "../src/source";
import { ACTOR, NSSCOPE, capture, nsscope, records, report, scratch, skip } from "./capture";
import { sent } from "./sent";

let machines: Machines;
let memory: WebAssembly.Memory;

beforeAll(async () => {
  const module = fileURLToPath(new URL("../../wasm/pkg/nsscope_wasm_bg.wasm", import.meta.url));
  memory = (await init({ module_or_path: await readFile(module) })).memory;
  machines = new Machines(memory);
});

function inMemory(bytes: Uint8Array, chunk = Infinity): Source {
  return {
    read: (offset, length) => Promise.resolve(bytes.subarray(offset, offset + Math.min(length, chunk))),
  };
}

function onDisk(handle: FileHandle): Source {
  return {
    read: async (offset, length) => {
      const { buffer, bytesRead } = await handle.read(new Uint8Array(length), 0, length, offset);
      return buffer.subarray(0, bytesRead);
    },
  };
}

/** Reads all there is, and makes rows of it. */
async function readAll(from: Source): Promise<Trace> {
  const trace = new Trace();
  for (let offset = trace.wanted(); offset !== undefined; offset = trace.wanted()) {
    trace.push(await from.read(offset, 1 << 20));
  }
  trace.layout("auto", "");
  return trace;
}

async function opened(...files: { name: string; from: Blob }[]): Promise<Open> {
  return openedIn(machines, ...files);
}

async function openedIn(machines: Machines, ...files: { name: string; from: Blob }[]): Promise<Open> {
  let last: Open | undefined;
  await machines.open(files, (open) => {
    last = open;
  });
  if (last === undefined) {
    throw new Error("nothing was told");
  }
  return last;
}

test("what is sent is no larger than promised", () => {
  const { page, wasm } = sent();
  expect(wasm.brotli).toBeLessThan(120);
  expect(page.brotli).toBeLessThan(300);
});

test("wasm tells of a fresh capture what the command line tells", async () => {
  const { file, report } = capture();
  const handle = await open(file);
  const trace = await readAll(onDisk(handle));
  await handle.close();
  const facts = trace.facts();
  expect([facts.hostname, facts.threads, facts.faultCount]).toEqual([report.hostname, report.threads, 0]);
  const containers = trace.containers();
  expect(containers.length).toBeGreaterThanOrEqual(3);
  expect(
    containers.map((c) => ({
      id: c.id,
      runtime: c.runtime ?? null,
      kind: c.kind,
      why: c.why,
      own: c.ownNamespaces.map((name) => name.split(":")[0]),
      namespaces: c.namespaces,
      processes: c.processes,
      peak_processes: c.peakProcesses,
      threads: c.threads,
      samples: c.samples,
      first: c.first,
      first_exact: c.firstExact,
      last: c.last ?? null,
      commands: c.commands,
      pids: c.pids,
    })),
  ).toEqual(
    report.containers.map((c) => ({
      id: c.id,
      runtime: c.runtime,
      kind: c.kind,
      why: c.why,
      own: c.own,
      namespaces: facts.namespaceTypes.map((kind) => c.namespaces[kind] ?? 0),
      processes: c.processes,
      peak_processes: c.peak_processes,
      threads: c.threads,
      samples: c.samples,
      first: c.first - report.first,
      first_exact: c.first_exact,
      last: c.last === null ? null : c.last - report.first,
      commands: c.commands,
      pids: c.pids,
    })),
  );
  const processes = trace.processes(0, trace.processCount());
  const told = new Map(processes.map((process) => [`${process.pid.toString()} ${process.start.toString()}`, process]));
  for (const { pid, start, end } of report.containers.flatMap(({ members }) => members)) {
    const process = told.get(`${pid.toString()} ${(start - report.first).toString()}`);
    expect(process?.end ?? null).toBe(end === null ? null : end - report.first);
  }
  // The events are those that the command line prints.
  const lines = nsscope("script", "--format", "json", "--kind", "namespaces,fork,exit,comm", file).trim().split("\n");
  const events = trace.events(0, facts.events).filter(({ kind }) => kind !== "cgroup");
  expect(events).toHaveLength(lines.length);
  const counted = (kind: string) => events.filter((event) => event.kind === kind).length;
  const kinds = new Map(facts.kinds);
  expect([counted("fork"), counted("exit"), counted("namespaces"), counted("exec") + counted("name")]).toEqual(
    ["fork", "exit", "namespaces", "comm"].map((kind) => kinds.get(kind)),
  );
  expect(events.every(({ time }, at) => at === 0 || time >= (events[at - 1]?.time ?? 0))).toBe(true);
  trace.free();

  // The size of the chunks makes no difference, and neither does what is cut off, but for what it held.
  const bytes = await readFile(file);
  const small = await readAll(inMemory(bytes, 1000));
  expect(small.containers()).toEqual(containers);
  const cut = await readAll(inMemory(bytes.subarray(0, bytes.length / 2)));
  expect(cut.facts().faultCount).toBeGreaterThan(0);
  expect(cut.records()).toBeGreaterThan(0);
  expect(cut.records()).toBeLessThan(small.records());
});

test("a recording by eBPF programs shows what they add, once", async () => {
  const file = join(scratch(), "bpf.data");
  const does = "unshare -T -m -p -f sh -c 'sleep 0.1; true'; unshare -T true; unshare -n true";
  const recorded = spawnSync(NSSCOPE, ["record", "--backend", "bpf", "-o", file, "--", "sh", "-c", does], { encoding: "utf8" });
  if (recorded.status !== 0) {
    skip("a recording by eBPF programs", recorded.stderr);
    return;
  }
  const trace = await readAll(inMemory(await readFile(file)));
  const facts = trace.facts();
  const events = trace.events(0, facts.events);
  const kinds = new Map(facts.kinds);
  const of = (kind: string) => events.filter((event) => event.kind === kind);
  expect([of("fork").length, of("exit").length]).toEqual([kinds.get("fork"), kinds.get("exit")]);
  // Each record is listed once, and beside them the exec into the time namespace.
  const lines = nsscope("script", "--format", "json", file).trim().split("\n");
  const told = lines.map((line) => JSON.parse(line) as { event?: string; fields?: { reason: number } });
  const execs = told.filter(({ event, fields }) => event === "nsscope:task_namespaces" && fields?.reason === 4);
  expect(execs.length).toBeGreaterThan(0);
  const listed = of("namespaces").length - (kinds.get("namespaces") ?? 0);
  expect(listed).toBeGreaterThan(0);
  expect(listed).toBeLessThanOrEqual(execs.length);
  // Nobody was moved.
  const born = new Set(of("fork").map(({ time, pid }) => (time > 0 ? pid : 0)));
  const began = told.length > 0 ? report(file).containers.flatMap(({ pids }) => pids) : [];
  expect(of("cgroup").filter(({ pid }) => began.includes(pid) && born.has(pid))).toEqual([]);
  // The time namespace is a definition, and a column of the matrix.
  expect(facts.host[facts.namespaceTypes.indexOf("time")]).not.toBe(0);
  trace.layout("by:time", "");
  expect(trace.containers().map((c) => c.ownNamespaces.some((name) => name.startsWith("time:")))).toEqual([true, true]);
  trace.free();
});

test("rows are a tree that folds, spans lie where times are", async () => {
  const { file } = capture();
  const trace = await readAll(inMemory(await readFile(file)));
  const rows = () => trace.rows(0, trace.visibleRows());
  const all = rows();
  expect(all.filter(({ kind }) => kind === 2)).toHaveLength(trace.containerCount());
  expect(all.some(({ kind }) => kind === 1)).toBe(true);
  const parent = all.findIndex(({ kind, expandable }) => kind === 2 && expandable);
  const container = all[parent];
  expect(all[parent + 1]).toMatchObject({ kind: 3, depth: (container?.depth ?? 0) + 1 });
  trace.toggle(container?.row ?? 0);
  expect(rows().length).toBeLessThan(all.length);
  expect(rows()[parent]).toMatchObject({ row: container?.row, open: false });
  const below = all[parent + 1]?.row ?? 0;
  expect(trace.reveal(below)).toBe(parent + 1);
  expect(rows()).toEqual(all);

  const pixels = 1000;
  const spans = (from: number, to: number) => {
    const words = trace.spans(0, trace.visibleRows(), from, to, pixels);
    const read = Array.from(new Int32Array(memory.buffer, trace.spansAt(), words));
    return Array.from({ length: words / 5 }, (_, at) => read.slice(at * 5, at * 5 + 5));
  };
  const length = trace.duration();
  const whole = spans(0, length);
  for (const { row, first, last } of trace.containers()) {
    const place = all.findIndex((one) => one.row === row);
    const life = whole.find(([at, , , shape]) => at === place && ((shape ?? 0) & 255) === 0);
    expect(life?.[1]).toBe(Math.floor((first / length) * pixels * 16));
    if (last !== undefined) {
      expect(life?.[2]).toBe(Math.floor((last / length) * pixels * 16));
      expect((life?.[3] ?? 0) & 512).toBe(0);
    }
  }
  // A change of namespaces within a life is marked, and its colour changes there; so are execs.
  const shapes = new Set(whole.map(([, , , shape]) => (shape ?? 0) & 255));
  expect([0, 1, 2, 3].filter((shape) => !shapes.has(shape))).toEqual([]);
  // Nothing is drawn twice as finely as there are pixels.
  expect(spans(length, length)).toEqual([]);
  expect(spans(NaN, NaN)).toEqual([]);
  trace.free();
});

test("filters and definitions are those of the command line", async () => {
  const { file, report } = capture();
  const trace = await readAll(inMemory(await readFile(file)));
  for (const [definition, filter] of [
    ["auto", "comm=uname"],
    ["by:net", ""],
    ["auto", `container=${report.containers[1]?.id ?? ""}`],
    ["perf", ""],
    ["by:net,uts", "comm~sl"],
  ] as const) {
    const told = nsscope("report", "--json", "--definition", definition, "--filter", filter, file);
    trace.layout(definition, filter);
    const ids = (JSON.parse(told) as typeof report).containers.map(({ id, pids }) => ({ id, pids }));
    expect(trace.containers().map(({ id, pids }) => ({ id, pids }))).toEqual(ids);
  }
  expect(() => trace.layout("by:disk", "")).toThrow("net, uts");
  expect(() => trace.layout("auto", "name=x")).toThrow("comm, pid");
  trace.layout("auto", "");
  const total = trace.filterEvents("", -1);
  const forks = trace.filterEvents("", 1 << 3);
  expect(forks).toBeLessThan(total);
  expect(new Set(trace.events(0, forks).map(({ kind }) => kind))).toEqual(new Set(["fork"]));
  const uname = trace.filterEvents("comm=uname container!=host", -1);
  expect(uname).toBeGreaterThan(0);
  expect(trace.events(0, uname).every(({ container }) => container !== "host")).toBe(true);
  expect(trace.filterEvents("comm=nobody", -1)).toBe(0);
  expect(trace.search("uname").length).toBeGreaterThan(0);
  const [row] = trace.search(report.containers[0]?.id ?? "");
  expect(trace.details(row ?? -1)?.lines.flat()).toContain(report.containers[0]?.why[0]);
  trace.free();
});

test("packed files, and several side by side", async () => {
  const { file } = capture();
  const bytes = await readFile(file);
  const plain = await opened({ name: "a", from: new Blob([bytes]) });
  const told = machines.containers(0);
  const gzip = await opened({ name: "a.gz", from: new Blob([gzipSync(bytes)]) });
  expect(machines.containers(0)).toEqual(told);
  expect(gzip.loaded[0]?.facts).toEqual(plain.loaded[0]?.facts);
  if (records && spawnSync("zstd", ["--version"]).status === 0) {
    const packed = execFileSync("zstd", ["-q", "-c", file]);
    const zstd = await opened({ name: "a.zst", from: new Blob([packed]) });
    expect(machines.containers(0)).toEqual(told);
    expect(zstd.loaded[0]?.facts).toEqual(plain.loaded[0]?.facts);
    const broken = Uint8Array.from(packed).fill(0xff, 9, 12);
    const nothing = await opened({ name: "a.zst", from: new Blob([broken]) });
    expect(nothing.error).toBe("a.zst: the zstd stream is damaged");
    // What can be unpacked of a long one is shown.
    const storm = execFileSync("zstd", ["-q", "-c", capture(`${ACTOR} storm 4000 1 > /dev/null`).file]);
    const half = Uint8Array.from(storm).fill(0xff, storm.length * 0.7, storm.length * 0.7 + 200);
    const some = await opened({ name: "a.zst", from: new Blob([half]) });
    expect(some.error).toBe("a.zst: the zstd stream is damaged; what could be unpacked is shown");
    expect(some.loaded[0]?.facts.records).toBeGreaterThan(100);
  } else {
    skip("packed files: zstd", "zstd is not installed, or this user may not record (Debian: zstd)");
  }
  const dir = scratch();
  writeFileSync(join(dir, "notes"), "of something else".repeat(100));
  writeFileSync(join(dir, "a.data"), bytes);
  for (const options of ["-c", "-cz"]) {
    const packed = execFileSync("tar", [options, "notes", "a.data"], { cwd: dir });
    const archive = await opened({ name: "a.tar", from: new Blob([packed]) });
    expect(machines.containers(0)).toEqual(told);
    expect(archive.loaded[0]?.facts).toEqual(plain.loaded[0]?.facts);
  }
  const none = await opened({ name: "a.tar", from: new Blob([execFileSync("tar", ["-c", "notes"], { cwd: dir })]) });
  expect(none.error).toBe("a.tar: it is a tar archive, and holds no perf.data file");
  // Unpacked from anywhere, forwards and backwards.
  const { bytes: from } = await source(new Blob([gzipSync(bytes)]));
  for (const at of [bytes.length - 100, 0, 5000, 4000, bytes.length]) {
    const piece = await from.read(at, 64);
    expect(Buffer.from(piece).equals(bytes.subarray(at, at + piece.length))).toBe(true);
    expect(piece.length > 0).toBe(at < bytes.length);
  }
  const later = await readFile(capture().file);
  const both = await opened({ name: "a", from: new Blob([bytes]) }, { name: "b", from: new Blob([later]) });
  const [first, second] = both.loaded;
  const apart = ((second?.facts.began ?? 0) - (first?.facts.began ?? 0)) * 1e6;
  expect(first?.offset).toBe(0);
  expect(second?.offset).toBe(apart);
  expect(apart).toBeGreaterThan(0);
  const picture = machines.picture(0, 1000, 0, apart + (second?.facts.duration ?? 0), 500);
  expect(picture.rows.filter(({ row }) => row === undefined)).toHaveLength(2);
  expect(picture.total).toBe(picture.rows.length);
  const seconds = picture.rows.findIndex(({ trace }) => trace === 1);
  const left = [];
  for (let at = 0; at < picture.spans.length; at += 5) {
    if ((picture.spans[at] ?? 0) >= seconds && ((picture.spans[at + 3] ?? 0) & 0xff) === 3) {
      left.push(picture.spans[at + 1] ?? 0);
    }
  }
  expect(Math.min(...left)).toBeGreaterThan(0);
  // One that is none does not keep the others from being shown.
  const mixed = await opened({ name: "no", from: new Blob(["no capture"]) }, { name: "b", from: new Blob([later]) });
  expect(mixed.error).toBe("no: not a perf.data file: it does not begin with PERFILE2");
  expect(mixed.loaded).toHaveLength(1);
});

test.each([
  ["an empty file", "", "the file is empty"],
  ["text", "hello, this is no capture at all", "does not begin with PERFILE2"],
  ["a header alone", `PERFILE2\x68\0\0\0\0\0\0\0`, "not readable as perf.data"],
])("%s is refused in words", async (_, text, message) => {
  const bytes = new TextEncoder().encode(text);
  await expect(readAll(inMemory(bytes))).rejects.toThrow(message);
});

test("damaged bytes neither throw nor hang", async () => {
  const bytes = await readFile(capture().file);
  let random = 1;
  for (let round = 0; round < 60; round++) {
    const damaged = Uint8Array.from(bytes);
    for (let times = 0; times < 20; times++) {
      random = (Math.imul(random, 1_103_515_245) + 12_345) >>> 0;
      damaged[random % damaged.length] = random >>> 24;
    }
    let trace: Trace;
    try {
      trace = await readAll(inMemory(damaged));
    } catch (error) {
      expect(String(error)).toMatch(/perf\.data/);
      continue;
    }
    trace.spans(0, trace.visibleRows(), 0, trace.duration(), 800);
    trace.containers();
    trace.processes(0, trace.processCount());
    trace.events(0, 10_000);
    trace.facts();
    trace.search("a");
    trace.free();
  }
});

test("many containers are sorted by CPU time and grouped by what they are", async () => {
  const busy = "unshare -m -p -f sh -c 'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; exit 0' & ";
  const { file, report } = capture(`for i in $(seq 55); do unshare -m -p -f true; done; ${records ? busy : ""} wait`);
  const { loaded } = await opened({ name: "many.data", from: new Blob([await readFile(file)]) });
  const look = (arrangement: Partial<typeof BEGINNING>) => {
    machines.layout({ ...BEGINNING, ...arrangement });
    const { rows } = machines.picture(0, 1000, 0, 1, 100);
    const titles = rows.filter(({ kind }) => kind === 2).map(({ label }) => label);
    return { groups: rows.filter(({ kind }) => kind === 1), titles, table: machines.containers(0) };
  };
  const sorted = (sort: string) => {
    const told = nsscope("report", "--json", "--sort", sort, file);
    return (JSON.parse(told) as typeof report).containers.map(({ id }) => id);
  };
  const orders = [["first", "first"], ["processes", "processes"], ["cpu", "cpu"], ["", records ? "cpu" : "processes"]] as const;
  for (const [order, sort] of orders) {
    const { table } = look({ order });
    const values = table.map(({ [sort]: value }) => value);
    expect(table.map(({ id }) => id).sort()).toEqual(sorted(sort).sort());
    expect(values).toEqual(values.toSorted((a, b) => (sort === "first" ? a - b : b - a)));
  }
  if (records) {
    expect(look({}).titles[0]).toContain("sh:");
  }
  // Samples are drawn in the row of whoever had the namespaces then, not of others that had the same inodes.
  machines.layout({ ...BEGINNING, order: "first", group: "none" });
  const { rows, spans } = machines.picture(0, 1000, 0, loaded[0]?.facts.duration ?? 0, 2000);
  const drawn = new Set<number | undefined>();
  for (let word = 0; word < spans.length; word += 5) {
    const row = rows[spans[word] ?? 0];
    if (((spans[word + 3] ?? 0) & 255) === 4 && row?.kind === 2) {
      drawn.add(row.row);
    }
  }
  const sampled = machines.containers(0).filter(({ samples }) => samples > 0);
  expect([...drawn].sort()).toEqual(sampled.map(({ row }) => row).sort());
  const named = look({ order: "name" }).table.map(({ title }) => title);
  expect(named).toEqual(named.toSorted(new Intl.Collator("en", { numeric: true }).compare));
  const { groups, titles } = look({ group: "kind", filter: "kind=unshare" });
  const count = report.containers.filter(({ kind }) => kind === "unshare").length;
  expect(groups.map(({ label, note, open }) => [label, note, open])).toEqual([["kind unshare", count.toString(), true]]);
  expect(titles).toHaveLength(count);
  expect(machines.details(0, groups[0]?.row ?? 0)?.filter).toBe("kind=unshare");
  expect(look({ group: "none" }).groups).toEqual([]);
});

test.runIf(records)("containers of an image are together", async () => {
  const example = fileURLToPath(new URL("../public/example.data", import.meta.url));
  await opened({ name: "example.data", from: new Blob([await readFile(example)]) });
  machines.layout({ ...BEGINNING, group: "image" });
  const { rows } = machines.picture(0, 1000, 0, 1, 100);
  const images = report(example).containers.map(({ image }) => image).filter((image) => image !== null);
  const expected = [...new Set(images)].map((image) => [1, images.filter((other) => other === image).length.toString()]);
  expect(rows.filter(({ kind }) => kind === 1).map(({ kind, note }) => [kind, note])).toEqual(expected);
  expect(rows.find(({ kind }) => kind === 1)?.label).toBe(`image ${images[0] ?? ""}`);
});

test.runIf(records).each(["--switch-events", "--wakeups"])("lanes have the CPU time and the waits of %s that the command line has", async (flag) => {
  const file = join(scratch(), "switches.data");
  const busy = "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done";
  // The other one sleeps most of the time: without wake-ups it hardly waits.
  const sleeper = "i=0; while [ $i -lt 40 ]; do sleep 0.005; i=$((i+1)); done";
  const one = (what: string) => `taskset -c 0 unshare -p -m -f sh -c '${what}; exit 0'`;
  nsscope("record", "-a", flag, "-o", file, "--", "sh", "-c", `${one(busy)} & ${one(sleeper)} & wait`);
  const { cpu_use } = JSON.parse(nsscope("report", "--waits", "--json", file)) as {
    cpu_use: { who: { kind: string; title?: string }; cpu_ns: number; waited_ns: number; waited_for: { ns: number }[] }[];
  };
  await opened({ name: "switches.data", from: new Blob([await readFile(file)]) });
  const { cpus, uses } = machines.cpuUse(0);
  expect(cpus.length).toBeGreaterThan(0);
  const containers = cpu_use.filter(({ who }) => who.kind === "container");
  expect(containers.length).toBeGreaterThanOrEqual(2);
  for (const { who, cpu_ns, waited_ns } of containers) {
    const use = uses.find(({ title }) => title === who.title);
    const sum = (all: number[]) => all.reduce((sum, ns) => sum + ns, 0);
    // Both are exact; what a task did before it was in the container is counted there by one of the two.
    expect(Math.abs(sum(use?.cpus ?? []) - cpu_ns)).toBeLessThan(0.02 * cpu_ns + 1e6);
    expect(Math.abs(sum((use?.waited ?? []).map(([, ns]) => ns)) - waited_ns)).toBeLessThan(0.02 * waited_ns + 2e6);
  }
  // Each lane is a row, and says who ran.
  const picture = machines.picture(0, cpus.length + 1, 0, 1e9, 500);
  expect(picture.rows.slice(0, cpus.length).map(({ kind, label }) => [kind, label])).toEqual(
    cpus.map((cpu) => [5, `CPU ${cpu.toString()}`]),
  );
  expect(machines.ran(0, -1, machines.layout(BEGINNING).loaded[0]?.facts.duration ?? 0)?.title).toContain("CPU 0 at ");
});

test.runIf(records)("of more switches than are kept a part is read again, and is as exact as if all were", async () => {
  const file = join(scratch(), "switches.data");
  const busy = "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); (:); done";
  const one = `unshare -p -m -f sh -c '${busy}; exit 0'`;
  const command = ["-a", "--switch-events", "--", "sh", "-c", `${one} & ${one} & wait`];
  nsscope("record", "-o", file, ...command);
  const bytes = await readFile(file);
  const [exact, few] = [new Machines(memory), new Machines(memory, 2000)];
  const from = new Blob([bytes]);
  let { loaded } = await openedIn(exact, { name: "switches.data", from });
  await openedIn(few, { name: "switches.data", from });
  const length = loaded[0]?.facts.duration ?? 0;
  // Added up is all there is; who ran during a long wait may be known as late as who ran around it.
  const added = (machines: Machines) =>
    machines.cpuUse(0).uses.map(({ waited, ...use }) => ({ ...use, ns: waited.reduce((sum, [, ns]) => sum + ns, 0) }));
  expect(added(few)).toEqual(added(exact));
  const rows = exact.cpuUse(0).cpus.length;
  // Waits that were put together are drawn as wide as the while they were in.
  const drawn = (machines: Machines, from: number, to: number) => {
    const { spans, isCoarse } = machines.picture(0, rows + 20, from, to, 1000);
    const words = Array.from({ length: spans.length / 5 }, (_, at) => [...spans.subarray(5 * at, 5 * at + 5)]);
    return { isCoarse, spans: words.filter(([, , , shape = 0]) => [4, 5].includes(shape & 255)) };
  };
  const [begin, end] = [0.4 * length, 0.5 * length];
  expect(drawn(exact, begin, end)).toMatchObject({ isCoarse: false });
  const coarse = drawn(few, begin, end);
  expect(coarse.isCoarse).toBe(true);
  expect(coarse.spans).not.toEqual(drawn(exact, begin, end).spans);
  expect(await few.closer(begin, end)).toBe(true);
  expect(drawn(few, begin, end)).toEqual(drawn(exact, begin, end));
  // What is around it was read with it.
  expect(drawn(few, begin - 0.05 * length, end)).toEqual(drawn(exact, begin - 0.05 * length, end));
  expect(await few.closer(begin, end)).toBe(false);
  for (let time = begin; time < end; time += (end - begin) / 50) {
    expect(few.ran(0, -1, time)).toEqual(exact.ran(0, -1, time));
  }
  // One that changes its membership had the old one before.
  expect(new Set(drawn(few, begin, end).spans.map(([, , , , set]) => set)).size).toBeGreaterThan(1);

  // What is compressed is read from its beginning alone: it stays as it is.
  const packed = join(scratch(), "packed.data");
  nsscope("record", "-z", "-o", packed, ...command);
  execFileSync("zstd", ["-q", "-o", `${file}.zst`, file]);
  for (const path of [packed, `${file}.zst`]) {
    ({ loaded } = await openedIn(few, { name: "packed", from: new Blob([await readFile(path)]) }));
    expect(few.picture(0, rows, 0, loaded[0]?.facts.duration ?? 0, 1000)).toMatchObject({ isCoarse: false });
    expect(await few.closer(0, 1e9)).toBe(false);
  }
});

test.runIf(records)("what a limit held back is drawn and told as the command line tells it", async () => {
  // The cgroup of a container of Docker's, with a fifth of a CPU.
  const older = existsSync("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
  const parent = older ? "/sys/fs/cgroup/cpu/docker" : "/sys/fs/cgroup/docker";
  const had = existsSync(parent);
  const cgroup = join(parent, randomBytes(32).toString("hex"));
  try {
    mkdirSync(cgroup, { recursive: true });
    if (!older) {
      for (const dir of ["/sys/fs/cgroup", parent]) {
        writeFileSync(join(dir, "cgroup.subtree_control"), "+cpu");
      }
    }
    writeFileSync(join(cgroup, older ? "cpu.cfs_quota_us" : "cpu.max"), older ? "20000" : "20000 100000");
  } catch (error) {
    skip("what a limit held back is drawn", `no cgroup with a limit can be made here: ${String(error)}`);
    return;
  }
  const file = join(scratch(), "limited.data");
  const busy = `echo 0 > ${cgroup}/cgroup.procs; timeout 3 sh -c 'while :; do :; done'`;
  nsscope("record", "-a", "--switch-events", "-o", file, "--", "unshare", "-p", "-f", "sh", "-c", `${busy}; true`);
  rmdirSync(cgroup);
  if (!had) {
    rmdirSync(parent);
  }
  const { cpu_use } = JSON.parse(nsscope("report", "--waits", "--json", file)) as {
    cpu_use: { who: { kind: string; id?: string; title?: string }; limit: { throttled_ns: number; throttled_periods: number; periods: number } | null }[];
  };
  const limited = cpu_use.find(({ limit }) => (limit?.throttled_ns ?? 0) > 0);
  const { throttled_ns: ns = 0, throttled_periods: held = 0, periods = 0 } = limited?.limit ?? {};
  expect(ns).toBeGreaterThan(5e8);
  const { facts } = (await opened({ name: "limited.data", from: new Blob([await readFile(file)]) })).loaded[0] ?? {};
  const { rows, spans } = machines.picture(0, 1000, 0, facts?.duration ?? 0, 1000);
  const drawn = [];
  for (let word = 0; word < spans.length; word += 5) {
    const [place, left, right, shape, value] = spans.subarray(word, word + 5) as unknown as [number, number, number, number, number];
    if ((shape & 255) === 7) {
      drawn.push({ row: rows[place], ns: (((right - left) / 16000) * (facts?.duration ?? 0) * value) / 255 });
    }
  }
  // It is in no other row, and as long as the kernel says, as far as pixels are fine.
  expect([...new Set(drawn.map(({ row }) => row?.label))]).toEqual([limited?.who.title]);
  expect(Math.abs(drawn.reduce((sum, { ns }) => sum + ns, 0) - ns)).toBeLessThan(0.05 * ns);
  const lines = machines.details(0, drawn[0]?.row?.row ?? -1)?.lines;
  const told = `${(ns / 1e9).toFixed(3)} s by its limit, in ${held.toString()} of ${periods.toString()} periods`;
  expect(lines?.find(([name]) => name === "throttled")?.[1]).toBe(told);
});
