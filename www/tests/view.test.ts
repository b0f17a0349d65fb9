/** `nsscope view`: the page from inside the binary. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { type IncomingHttpHeaders, request } from "node:http";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Machine, ready } from "./browser";
import { NSSCOPE, capture, nsscope, scratch } from "./capture";

const machine = new Machine();
beforeAll(() => machine.start());
afterAll(() => machine.stop());

/** Starts it, and gives the address that it prints. */
async function view(files: string[], env: NodeJS.ProcessEnv = {}, ...options: string[]) {
  const none = { DISPLAY: undefined, WAYLAND_DISPLAY: undefined, BROWSER: undefined };
  const child = spawn(NSSCOPE, ["view", ...options, ...files], { env: { ...process.env, ...none, ...env } });
  let said = "";
  child.stderr.on("data", (text: Buffer) => {
    said += text.toString();
  });
  const [url] = (await once(createInterface(child.stdout), "line")) as [string];
  return { child, url: new URL(url), said: () => said };
}

/** Ctrl-C. Returns the exit code, once all that it said has been read. */
async function interrupt(child: ChildProcess): Promise<number | null> {
  child.kill("SIGINT");
  const [code] = (await once(child, "close")) as [number | null];
  return code;
}

interface Answer {
  status: number | undefined;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

function ask(url: URL, path: string, headers: Record<string, string> = {}, method = "GET"): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request({ host: url.hostname, port: url.port, path, method, headers }, (answer) => {
      const pieces: Buffer[] = [];
      answer.on("data", (piece: Buffer) => pieces.push(piece));
      answer.on("end", () => {
        resolve({ status: answer.statusCode, headers: answer.headers, body: Buffer.concat(pieces) });
      });
    });
    asked.on("error", reject);
    asked.end();
  });
}

test("nsscope view shows files of any name in the browser and ends with Ctrl-C", async () => {
  const visit = await machine.visit("nsscope view");
  if (visit === undefined) {
    return;
  }
  const { page, problems } = visit;
  const { file, report } = capture();
  const odd = join(scratch(), "a & b=100% #1?é.data");
  copyFileSync(file, odd);
  const one = await view([odd], {}, "--no-browser");
  await page.goto(one.url.href);
  await ready(page);
  expect(await page.locator("#panel tbody tr").count()).toBe(report.containers.length);
  const lines = await page.locator("#panel tbody tr").allInnerTexts();
  for (const { title } of report.containers) {
    expect(lines.join("\n")).toContain(title);
  }
  await page.getByRole("tab", { name: "File" }).click();
  await page.locator("#panel dd", { hasText: "a & b=100% #1?é.data" }).waitFor();
  expect(await interrupt(one.child)).toBe(0);
  expect(one.said()).toContain("Ctrl-C ends");

  const two = await view([file, odd], {}, "--no-browser");
  await page.goto(two.url.href);
  await ready(page);
  expect(await page.locator("#machine option").count()).toBe(2);
  expect(await interrupt(two.child)).toBe(0);
  // The service worker that this port has none of is all that the browser may miss.
  expect(problems.filter((problem) => !problem.includes("404"))).toEqual([]);
  await page.context().close();
});

test("nsscope view answers a GET with its token and its own name, and nothing else", async () => {
  const { file } = capture();
  const bytes = readFileSync(file);
  const { child, url } = await view([file], {}, "--no-browser");
  const [, token] = url.pathname.split("/");
  expect(token).toMatch(/^[0-9a-f]{32}$/);
  const path = `/${token ?? ""}/files/0/x`;
  const whole = await ask(url, path);
  expect(whole.status).toBe(200);
  expect(whole.body.equals(bytes)).toBe(true);
  expect(whole.headers["content-length"]).toBe(bytes.length.toString());
  for (const [name, value] of [
    ["content-security-policy", "frame-ancestors 'none'"],
    ["cross-origin-resource-policy", "same-origin"],
    ["referrer-policy", "no-referrer"],
    ["x-content-type-options", "nosniff"],
    ["cache-control", "no-store"],
  ] as const) {
    expect(whole.headers[name]).toBe(value);
  }
  expect(whole.headers["access-control-allow-origin"]).toBeUndefined();
  const part = await ask(url, path, { Range: "bytes=100-199" });
  expect([part.status, part.headers["content-range"]]).toEqual([206, `bytes 100-199/${bytes.length.toString()}`]);
  expect(part.body.equals(bytes.subarray(100, 200))).toBe(true);

  expect((await ask(url, path, { Host: `localhost:${url.port}` })).status).toBe(200);
  for (const host of ["evil.example", `evil.example:${url.port}`, "127.0.0.1", "127.0.0.1:1"]) {
    expect((await ask(url, path, { Host: host })).status, host).toBe(403);
  }
  for (const method of ["POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PROPFIND"]) {
    expect((await ask(url, path, {}, method)).status, method).toBe(405);
  }
  const wrong = token?.replace(/^./, (digit) => (digit === "0" ? "1" : "0")) ?? "";
  for (const path of ["/", "/files/0/x", `/${wrong}/`, `/${wrong}/files/0/x`, `/${token ?? ""}`, `/${token ?? ""}x/`]) {
    expect((await ask(url, path)).status, path).toBe(403);
  }
  for (const path of ["files/1/x", "files/-1/x", "files/", "../Cargo.toml", "assets/../../Cargo.toml", "sw.js", "%2e%2e/x"]) {
    expect((await ask(url, `/${token ?? ""}/${path}`)).status, path).toBe(404);
  }
  expect(await interrupt(child)).toBe(0);
});

test("nsscope view opens the browser of the desktop, and says where there is none", async () => {
  const { file } = capture();
  const none = await view([file]);
  expect(await interrupt(none.child)).toBe(0);
  expect(none.said()).toContain("there is no display here");
  expect(none.said()).toContain(`ssh -L ${none.url.port}:127.0.0.1:${none.url.port}`);

  const bin = join(scratch(), "bin");
  mkdirSync(bin);
  const opened = join(bin, "opened");
  writeFileSync(join(bin, "xdg-open"), `#!/bin/sh\nprintf %s "$1" > ${opened}.new && mv ${opened}.new ${opened}\n`);
  chmodSync(join(bin, "xdg-open"), 0o755);
  const desktop = await view([file], { DISPLAY: ":0", PATH: `${bin}:${process.env.PATH ?? ""}` });
  await expect.poll(() => existsSync(opened), { timeout: 60_000 }).toBe(true);
  expect(readFileSync(opened, "utf8")).toBe(desktop.url.href);
  expect(await interrupt(desktop.child)).toBe(0);

  expect(() => nsscope("view", "--no-browser", "/nonexistent.data")).toThrow(/cannot open \/nonexistent.data/);
  expect(() => nsscope("view", "--no-browser", "/")).toThrow(/it is not a file/);
});
