import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Machine, chosen, drop, eventually, picture, ready } from "./browser";
import { capture, manySwitches, nsscope, records, scratch, skip } from "./capture";

const machine = new Machine();
beforeAll(() => machine.start());
afterAll(() => machine.stop());

/** A page on which a fresh capture is shown. */
async function shown(name: string, options: Parameters<Machine["visit"]>[1] = {}, script?: string) {
  const visit = await machine.visit(name, options);
  if (visit === undefined) {
    return undefined;
  }
  const made = capture(script);
  await drop(visit.page, { name: "fresh.data", bytes: readFileSync(made.file) });
  await ready(visit.page);
  return { ...visit, ...made };
}

async function tab(page: Page, name: string) {
  await page.locator("#panel > *").evaluate((before) => {
    before.id = "before";
  });
  await page.getByRole("tab", { name }).click();
  await page.locator("#panel > :not(#before)").waitFor();
}

const labels = (page: Page) => page.locator("[role=treeitem]").allInnerTexts();
const window_ = (page: Page) => page.locator("#readout").innerText();
const fragment = (page: Page) => page.evaluate(() => location.hash);
/** How many pixels of the picture are not empty. */
const painted = (page: Page) =>
  page.evaluate(() => {
    const canvas = document.querySelector<HTMLCanvasElement>("#spans");
    const data = canvas?.getContext("2d")?.getImageData(0, 0, canvas.width, canvas.height).data ?? [];
    let count = 0;
    for (let at = 3; at < data.length; at += 4) {
      count += (data[at] ?? 0) > 200 ? 1 : 0;
    }
    return count;
  });

/** The pictures that are looked at, and that the page is usable by all: no violation that axe knows. */
async function accessible(page: Page) {
  const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
  await page.evaluate(axe);
  const found = await page.evaluate(async () => {
    const { axe } = globalThis as unknown as {
      axe: { run: () => Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> };
    };
    const { violations } = await axe.run();
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
  });
  expect(found).toEqual([]);
}

test("a fresh capture that is dropped shows what the command line tells", async () => {
  const visit = await shown("a fresh capture", { height: 1200 });
  if (visit === undefined) {
    return;
  }
  const { page, problems, requests, report } = visit;
  await picture(page, "light");
  const rows = await page.locator("#panel tbody tr").allInnerTexts();
  expect(rows).toHaveLength(report.containers.length);
  for (const [index, { title, commands, processes }] of report.containers.entries()) {
    for (const part of [title, ...commands.slice(0, 6), processes.toString()]) {
      expect(rows[index]).toContain(part);
    }
  }
  // Why it is one is in the details of the one that is chosen.
  await page.locator("#panel tbody tr").first().click();
  await eventually(async () => {
    const details = await page.locator("#details").innerText();
    for (const why of report.containers[0]?.why ?? []) {
      expect(details).toContain(why);
    }
  });
  await tab(page, "Processes");
  await eventually(async () => {
    const processes = await page
      .locator("#panel [role=row]")
      .evaluateAll((rows) => rows.map((row) => [...row.children].map((cell) => cell.textContent.trim())));
    for (const { members } of report.containers) {
      for (const { pid, start } of members) {
        const row = processes.find(([first]) => first === pid.toString());
        expect(row?.join(" ")).toContain(`${((start - report.first) / 1e9).toFixed(6)} s`);
      }
    }
  });
  // The tree and the picture show them, too.
  const tree = (await labels(page)).join("\n");
  for (const { title, members } of report.containers) {
    expect(tree).toContain(title);
    expect(members.every(({ pid }) => tree.includes(pid.toString()))).toBe(true);
  }
  expect(tree.includes("pod net:[")).toBe(report.groups.length > 0);
  expect(await painted(page)).toBeGreaterThan(5000);
  await accessible(page);
  expect(problems).toEqual([]);
  const origin = new URL(page.url()).origin;
  expect(requests.filter((url) => !url.startsWith("blob:") && new URL(url).origin !== origin)).toEqual([]);
  await page.context().close();
});

test("the panels tell who shares what, every event, and the file's own facts", async () => {
  const visit = await shown("panels", { dark: true });
  if (visit === undefined) {
    return;
  }
  const { page, problems, report } = visit;
  await tab(page, "Namespaces");
  const matrix = await page.locator("#panel tbody tr").first().locator("td").allInnerTexts();
  const first = report.containers[0];
  const kinds = await page.locator("#panel th").allInnerTexts();
  for (const [index, kind] of kinds.entries()) {
    if (index > 0) {
      const own = first?.own.includes(kind) ?? false;
      expect(matrix[index]).toBe(own ? first?.namespaces[kind]?.toString() : "host");
    }
  }
  await picture(page, "dark");
  await tab(page, "Events");
  const number = page.locator(".events .bar .soft");
  const listed = async () => Number(/^([\d,]+) events?$/.exec(await number.innerText())?.[1]?.replaceAll(",", ""));
  const all = await eventually(async () => {
    const all = await listed();
    expect(all).toBeGreaterThan(0);
    return all;
  });
  const lines = nsscope("script", "--format", "json", "--kind", "namespaces,fork,exit,comm", visit.file).trim();
  await page.getByLabel("cgroup").uncheck();
  await eventually(async () => {
    expect(await listed()).toBe(lines.split("\n").length);
  });
  expect(all).toBeGreaterThan(lines.split("\n").length - 1);
  await page.getByLabel("Filter of the events").fill("comm=uname container!=host");
  await page.keyboard.press("Enter");
  await eventually(async () => {
    const events = await page.locator("#panel [role=row]").allInnerTexts();
    expect(events.length).toBeGreaterThan(2);
    expect(events.slice(1).every((row) => row.includes("uname") && !row.includes("host\n"))).toBe(true);
  });
  await picture(page, "events");
  await page.getByLabel("Filter of the events").fill("name=x");
  await page.keyboard.press("Enter");
  await page.locator(".events .wrong").waitFor();
  expect(await number.innerText()).toContain("comm, pid");
  await tab(page, "File");
  const facts = await page.locator("#panel").innerText();
  for (const part of [report.hostname, "fresh.data", "CLOCK_DATA", "nsscope"]) {
    expect(facts).toContain(part);
  }
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByText("Save what is shown").click()]);
  const saved = JSON.parse(readFileSync(await download.path(), "utf8")) as { containers: { id: string }[] };
  expect(saved.containers.map(({ id }) => id)).toEqual(report.containers.map(({ id }) => id));
  await accessible(page);
  expect(problems).toEqual([]);
  await page.context().close();
});

test("zoom, pan, measure, fold, select, search, and the keys for all of it", async () => {
  const visit = await shown("interaction");
  if (visit === undefined) {
    return;
  }
  const { page, problems, report } = visit;
  const box = await page.locator("#spans").boundingBox();
  if (box === null) {
    throw new Error("no picture");
  }
  /** What is in sight, in seconds, once it is as it should be. */
  const seen = (check: (from: number, to: number) => void) =>
    eventually(async () => {
      await page.mouse.move(5, 5);
      const match = /^([\d.]+) s to ([\d.]+) s/.exec(await window_(page));
      const [from, to] = [Number(match?.[1]), Number(match?.[2])];
      check(from, to);
      return { from, to };
    });
  const whole = await seen((from, to) => {
    expect(from).toBe(0);
    expect(to).toBeGreaterThan(0);
  });
  // The wheel zooms at the pointer: what is under it stays there.
  const at = box.x + box.width / 4;
  const under = async () => {
    await page.mouse.move(at, box.y + 40);
    return eventually(async () => {
      const match = /^([\d.]+) s · .* ns$/.exec(await window_(page));
      expect(match).not.toBe(null);
      return Number(match?.[1]);
    });
  };
  const before = await under();
  await page.mouse.wheel(0, -500);
  const zoomed = await seen((from, to) => {
    expect(to - from).toBeLessThan((whole.to - whole.from) / 2);
  });
  expect(await under()).toBeCloseTo(before, 2);
  // Dragging moves it.
  await page.mouse.down();
  await page.mouse.move(at - 100, box.y + 40, { steps: 5 });
  await page.mouse.up();
  await seen((from, to) => {
    expect(from).toBeGreaterThan(zoomed.from);
    expect(to - from).toBeCloseTo(zoomed.to - zoomed.from, 4);
  });
  // The window is in the URL once it stays; back shows what was before.
  await eventually(async () => {
    expect(await fragment(page)).toMatch(/t=\d+-\d+/);
  });
  await page.keyboard.press("f");
  await seen((from, to) => {
    expect({ from, to }).toEqual(whole);
  });
  await page.keyboard.press("w");
  await seen((from) => {
    expect(from).toBeGreaterThan(0);
  });
  await page.keyboard.press("d");
  await page.keyboard.press("a");
  await page.keyboard.press("s");
  await page.keyboard.press("f");
  // Shift and drag measures.
  await page.keyboard.down("Shift");
  await page.mouse.move(box.x + 100, box.y + 60);
  await page.mouse.down();
  await page.mouse.move(box.x + 300, box.y + 60, { steps: 3 });
  await page.mouse.up();
  await page.keyboard.up("Shift");
  await eventually(async () => {
    expect(await window_(page)).toMatch(/ from [\d.]+ s to [\d.]+ s$/);
  });
  // A click selects: details with the evidence, and the row marked.
  const first = report.containers[0];
  await page.locator("[role=treeitem]", { hasText: first?.title ?? "" }).click();
  await page.locator("#details h2").waitFor();
  expect(await page.locator("#details").innerText()).toContain(first?.why[0]);
  await eventually(async () => {
    expect(await page.locator("[aria-selected=true][role=treeitem]").count()).toBe(1);
  });
  await picture(page, "selected");
  await eventually(async () => {
    expect(decodeURIComponent(await fragment(page))).toContain(`container=${first?.id ?? ""}`);
  });
  // Keys walk the tree, fold and unfold.
  const unfolded = (await labels(page)).length;
  await page.locator("#rows").focus();
  await page.keyboard.press("ArrowLeft");
  await eventually(async () => {
    expect((await labels(page)).length).toBeLessThan(unfolded);
  });
  await page.keyboard.press("Enter");
  await eventually(async () => {
    expect((await labels(page)).length).toBe(unfolded);
  });
  await page.keyboard.press("ArrowDown");
  await page.locator("#details h2", { hasText: "process" }).waitFor();
  await page.keyboard.press(" ");
  const member = first?.members[0];
  const length = ((member?.end ?? 0) - (member?.start ?? 0)) / 1e9;
  await seen((from, to) => {
    expect(to - from).toBeLessThan(length * 1.2);
  });
  await page.keyboard.press("Escape");
  await eventually(async () => {
    expect(await page.locator("#details").innerText()).toBe("");
  });
  await page.keyboard.press("f");
  // Search finds, goes to the next, and back.
  await page.keyboard.press("/");
  await page.keyboard.type("uname");
  await page.keyboard.press("Enter");
  await page.locator("#details h2", { hasText: "process" }).waitFor();
  await eventually(async () => {
    expect(await page.locator("#matches").innerText()).toMatch(/^1 of \d+ hit/);
    expect(await page.locator(".found").count()).toBeGreaterThan(0);
  });
  await page.keyboard.press("Enter");
  await eventually(async () => {
    expect(await page.locator("#matches").innerText()).toMatch(/^2 of/);
  });
  await page.locator("#rows").focus();
  await page.keyboard.press("N");
  await eventually(async () => {
    expect(await page.locator("#matches").innerText()).toMatch(/^1 of/);
  });
  await page.keyboard.press("n");
  await eventually(async () => {
    expect(await page.locator("#matches").innerText()).toMatch(/^2 of/);
  });
  // Another definition, a filter; what is wrong is said.
  await page.locator("#definition").fill("by:net");
  await page.keyboard.press("Enter");
  await eventually(async () => {
    expect(decodeURIComponent(await fragment(page))).toContain("by:net");
    expect((await labels(page)).join()).toContain("net:[");
  });
  await page.locator("#filter").fill("comm=uname");
  await page.keyboard.press("Enter");
  const told = JSON.parse(
    nsscope("report", "--json", "--definition", "by:net", "--filter", "comm=uname", visit.file),
  ) as typeof report;
  await eventually(async () => {
    expect(await page.locator("#panel tbody tr").count()).toBe(told.containers.length);
  });
  await page.locator("#copy").click();
  const copied = await eventually(async () => {
    const copied = await page.evaluate(() => navigator.clipboard.readText());
    expect(copied).toBe("nsscope report --definition by:net --filter comm=uname fresh.data");
    return copied;
  });
  const args = copied.split(" ").slice(1, -1);
  expect(JSON.parse(nsscope(...args, "--json", visit.file))).toEqual(told);
  await page.locator("#filter").fill("nonsense");
  await page.keyboard.press("Enter");
  await page.locator("#filter.wrong").waitFor();
  // A wrong one is not what is shown. Back is where it was.
  await tab(page, "Namespaces");
  expect(decodeURIComponent(await fragment(page))).toMatch(/filter=comm=uname&panel=namespaces/);
  for (const which of ["comm=uname", ""]) {
    await page.goBack();
    await eventually(async () => {
      expect(await page.locator("#definition").inputValue()).toBe("by:net");
      expect(await page.locator("#filter").inputValue()).toBe(which);
    });
  }
  await page.locator("#rows").focus();
  await page.keyboard.press("?");
  await page.locator("#keys").waitFor();
  await page.keyboard.press("Escape");
  expect(problems).toEqual([]);
  await page.context().close();
});

test("two fingers zoom", async () => {
  const visit = await shown("two fingers", { width: 390, height: 800 });
  if (visit === undefined) {
    return;
  }
  const { page, problems } = visit;
  await picture(page, "phone");
  const box = await page.locator("#spans").boundingBox();
  const [x, y] = [(box?.x ?? 0) + (box?.width ?? 0) / 2, (box?.y ?? 0) + 60];
  const before = await window_(page);
  const session = await page.context().newCDPSession(page);
  const touch = (type: "touchStart" | "touchMove" | "touchEnd", apart: number) =>
    session.send("Input.dispatchTouchEvent", {
      type,
      touchPoints: type === "touchEnd" ? [] : [-1, 1].map((side, id) => ({ x: x + side * apart, y, id })),
    });
  await touch("touchStart", 20);
  await touch("touchMove", 40);
  await touch("touchMove", 70);
  await touch("touchEnd", 0);
  const sight = (text: string) => /([\d.]+) (ms|s|µs) in sight/.exec(text)?.[0];
  await eventually(async () => {
    expect(sight(await window_(page))).not.toBe(sight(before));
  });
  expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);
  await accessible(page);
  expect(problems).toEqual([]);
  await page.context().close();
});

test("the example, a file of the same origin, the picker and paste open files", async () => {
  const visit = await machine.visit("ways to open", { dark: true });
  if (visit === undefined) {
    return;
  }
  const { page, problems } = visit;
  await picture(page, "empty");
  await accessible(page);
  await page.locator("#example").click();
  await ready(page);
  expect(await page.locator("#panel tbody tr").count()).toBeGreaterThan(0);
  await picture(page, "example");
  await page.goto(`${machine.url}?url=example.data`);
  await ready(page);
  const rows = await page.locator("#panel tbody tr").count();
  expect(rows).toBeGreaterThan(0);
  await page.goto(`${machine.url}?url=https://example.com/perf.data`);
  await ready(page, "error");
  expect(await page.locator("#status").innerText()).toContain("fetches nothing from elsewhere");
  const { file } = capture();
  await page.setInputFiles("#file", file);
  await ready(page);
  await page.reload();
  await page.evaluate((text) => {
    const clipboardData = new DataTransfer();
    clipboardData.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], "pasted.data"));
    window.dispatchEvent(new ClipboardEvent("paste", { clipboardData }));
  }, readFileSync(file).toString("base64"));
  await page.locator("#viewer").waitFor();
  // Once it was there, it is there without a network.
  await page.evaluate(() => navigator.serviceWorker.ready);
  await page.reload();
  await page.context().setOffline(true);
  await page.goto(machine.url);
  await page.setInputFiles("#file", file);
  await ready(page);
  await page.context().setOffline(false);
  expect(problems).toEqual([]);
  await page.context().close();
});

test("two machines are shown side by side", async () => {
  const visit = await machine.visit("two machines");
  if (visit === undefined) {
    return;
  }
  const { page, problems } = visit;
  const files = [capture().file, capture().file].map((file, index) => ({
    name: `machine-${index.toString()}.data`,
    bytes: readFileSync(file),
  }));
  await drop(page, ...files);
  await ready(page);
  const tree = (await labels(page)).join("\n");
  expect(tree).toContain("machine-0.data");
  await page.locator("#machine").selectOption("1");
  await tab(page, "File");
  await eventually(async () => {
    expect(await page.locator("#panel").innerText()).toContain("machine-1.data");
  });
  await picture(page, "machines");
  expect(problems).toEqual([]);
  await page.context().close();
});

test("files that perf made open the same way", async () => {
  const visit = await machine.visit("perf's files");
  if (visit === undefined) {
    return;
  }
  if (!records || spawnSync("perf", ["--version"]).status !== 0) {
    skip("page: perf's files", "perf is not installed, or may not record (Debian: linux-perf)");
    return;
  }
  const { page, problems } = visit;
  const dir = scratch();
  const event = ["-q", "-e", "dummy:u", "--namespaces", "--all-cgroups"];
  const command = ["--", "sh", "-c", "unshare -m -p -f sh -c 'sleep 0.1; true'"];
  const made = (name: string, ...options: string[]) => {
    const file = join(dir, name);
    execFileSync("perf", ["record", ...event, ...options, "-o", file, ...command], { stdio: "pipe" });
    return file;
  };
  const pipe = join(dir, "pipe.data");
  execFileSync("sh", ["-c", `perf record ${event.join(" ")} -o - -- unshare -m -p -f sleep 0.1 > ${pipe}`], {
    stdio: "pipe",
  });
  const plain = made("plain.data");
  const zstd = join(dir, "plain.data.gz");
  execFileSync("sh", ["-c", `gzip -c ${plain} > ${zstd}`]);
  for (const file of [plain, made("packed.data", "-z"), pipe, zstd]) {
    const told = file === zstd ? plain : file;
    const { containers } = JSON.parse(nsscope("report", "--json", told)) as { containers: { title: string }[] };
    expect(containers.length).toBeGreaterThan(0);
    await chosen(page, file);
    const rows = await page.locator("#panel tbody tr td:first-child").allInnerTexts();
    expect(rows).toEqual(containers.map(({ title }) => title));
  }
  // What tells nothing of containers says which command does.
  const none = join(dir, "none.data");
  execFileSync("perf", ["record", "-q", "-e", "dummy:u", "-o", none, "--", "true"], { stdio: "pipe" });
  await chosen(page, none);
  expect(await page.locator("#status").innerText()).toContain("perf record --namespaces --all-cgroups");
  // A truncated one shows what there is.
  await drop(page, { name: "half.data", bytes: readFileSync(plain).subarray(0, 3000) });
  await eventually(async () => {
    expect(await page.locator("#status").innerText()).toContain("The file is damaged");
  });
  expect(problems).toEqual([]);
  await page.context().close();
});

test("what is not a capture is refused in words", async () => {
  const visit = await machine.visit("no capture");
  if (visit === undefined) {
    return;
  }
  const { page, problems } = visit;
  await drop(page, { name: "notes.txt", bytes: Buffer.from("hello, this is no capture") });
  await ready(page, "error");
  expect(await page.locator("#status.error").innerText()).toBe(
    "notes.txt: not a perf.data file: it does not begin with PERFILE2",
  );
  await picture(page, "error");
  expect(problems).toEqual([]);
  await page.context().close();
});

test("names full of markup, direction marks and length are text", async () => {
  const name = "<img src=x onerror=alert(1)>";
  // A command's name has 15 bytes; a cgroup's may have 255 a part.
  const script = [
    "cp /bin/sleep '/tmp/<b>\u202etxt'",
    "unshare -m -p -f '/tmp/<b>\u202etxt' 0.1",
    "rm '/tmp/<b>\u202etxt'",
  ].join("; ");
  const visit = await shown(name, {}, script);
  if (visit === undefined) {
    return;
  }
  const { page, problems } = visit;
  const tree = (await labels(page)).join("\n");
  expect(tree).toContain(String.raw`<b>\u{202e}txt`);
  expect(await page.locator("#viewer b, #viewer img").count()).toBe(0);
  await tab(page, "Processes");
  await eventually(async () => {
    expect(await page.locator("#panel").innerText()).toContain(String.raw`<b>\u{202e}txt`);
  });
  expect(problems).toEqual([]);
  await page.context().close();
});

test("the example has who ran and who waited, as README shows it", async () => {
  const visit = await machine.visit("the example has who ran");
  if (visit === undefined) {
    return;
  }
  const { page, problems } = visit;
  await page.locator("#example").click();
  await ready(page);
  await tab(page, "CPUs");
  await eventually(async () => {
    expect((await page.locator("#panel tbody tr").allInnerTexts()).some((row) => row.startsWith("host"))).toBe(true);
  });
  await picture(page, "overview");
  expect(problems).toEqual([]);
  await page.context().close();
});

test("the CPUs have lanes, and say who ran where they are clicked", async () => {
  if (!records) {
    skip("page: the CPUs have lanes", "this user may not record");
    return;
  }
  const visit = await machine.visit("the CPUs have lanes");
  if (visit === undefined) {
    return;
  }
  const { page, problems } = visit;
  const file = join(scratch(), "switches.data");
  const busy = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done";
  const one = `taskset -c 0 unshare -p -m -f sh -c '${busy}; exit 0'`;
  nsscope("record", "-a", "--switch-events", "-o", file, "--", "sh", "-c", `${one} & ${one} & wait`);
  await chosen(page, file);
  expect((await labels(page))[0]).toContain("CPU 0");
  // The table has the containers, and whom they waited for.
  await tab(page, "CPUs");
  const rows = await page.locator("#panel tbody tr").allInnerTexts();
  const containers = rows.filter((row) => row.startsWith("sh:"));
  expect(containers.length).toBeGreaterThanOrEqual(2);
  expect(containers.some((row) => /^sh:\d+\s.*sh:\d+/s.test(row))).toBe(true);
  await picture(page, "cpus");
  // Somebody runs in the middle; the next one comes where that one leaves.
  const canvas = page.locator("#spans");
  const { width = 0 } = (await canvas.boundingBox()) ?? {};
  await canvas.click({ position: { x: width / 2, y: 12 } });
  const details = page.locator("#details");
  await eventually(async () => {
    expect(await details.innerText()).toMatch(/CPU 0 at [\d.]+ s\s+who/);
  });
  const first = await details.innerText();
  await details.getByRole("button", { name: "After it" }).click();
  await eventually(async () => {
    expect(await details.innerText()).not.toBe(first);
  });
  // A way to its row, once it is a thread that has one.
  for (let step = 0; step < 20 && (await details.getByRole("button", { name: "Go to its row" }).count()) === 0; step++) {
    await details.getByRole("button", { name: "After it" }).click();
    await page.waitForTimeout(50);
  }
  await details.getByRole("button", { name: "Go to its row" }).click();
  await eventually(async () => {
    expect(await details.innerText()).toMatch(/process \d+|thread \d+/);
  });
  await accessible(page);
  expect(problems).toEqual([]);
});

test("of millions of switches each one is shown where it is looked for", async () => {
  if (!records) {
    skip("page: millions of switches", "this user may not record");
    return;
  }
  const visit = await machine.visit("millions of switches");
  if (visit === undefined) {
    return;
  }
  const { page, problems } = visit;
  // Forty that wake each other up: a turn lasts some microseconds, and another one's follows.
  const group = "unshare -p -f -m --mount-proc perf bench sched messaging -g 1 -l 2000";
  const { file } = manySwitches(10_000_000, ...group.split(" "));
  await chosen(page, file, 0);
  const canvas = page.locator("#spans");
  const details = page.locator("#details");
  const clicked = async (x: number) => {
    await canvas.click({ position: { x, y: 12 } });
    await page.waitForTimeout(100);
    return details.innerText();
  };
  // Somewhere turns were too short to be kept.
  let x = 0;
  await eventually(async () => {
    x += 7;
    expect(await clicked(x)).toContain("several, in turns");
  });
  // Far in, the file is read again.
  await canvas.evaluate((canvas, x) => {
    const { left, top } = canvas.getBoundingClientRect();
    const zoom = { deltaY: -120, clientX: left + x, clientY: top + 12, bubbles: true, cancelable: true };
    for (let step = 0; step < 60; step++) {
      canvas.dispatchEvent(new WheelEvent("wheel", zoom));
    }
  }, x);
  await eventually(async () => {
    expect(await clicked(x)).toMatch(/thread\s/);
  });
  expect(problems).toEqual([]);
  await page.context().close();
  rmSync(file);
});
