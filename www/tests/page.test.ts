import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Browser, type Page, chromium } from "playwright-core";
import { type PreviewServer, preview } from "vite";
import { afterAll, beforeAll, expect, test } from "vitest";
import { capture, skip } from "./capture";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const ROOT = fileURLToPath(new URL("..", import.meta.url));
const PICTURES = fileURLToPath(new URL("../../target/pictures", import.meta.url));

let server: PreviewServer | undefined;
let browser: Browser | undefined;

beforeAll(async () => {
  if (!existsSync(CHROMIUM)) {
    return;
  }
  server = await preview({ root: ROOT, preview: { host: "127.0.0.1", port: 0 } });
  const quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync"];
  const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", ...quiet];
  browser = await chromium.launch({ executablePath: CHROMIUM, args });
  mkdirSync(PICTURES, { recursive: true });
});

afterAll(async () => {
  await browser?.close();
  await server?.close();
});

/** A fresh page, and what went wrong in it. */
async function visit(name: string): Promise<{ page: Page; problems: string[]; requests: string[] } | undefined> {
  const url = server?.resolvedUrls?.local[0];
  if (browser === undefined || url === undefined) {
    skip(name, `${CHROMIUM} is not installed (Debian: chromium; elsewhere set CHROMIUM)`);
    return undefined;
  }
  const page = await browser.newPage({ viewport: { width: 1200, height: 700 } });
  const problems: string[] = [];
  const requests: string[] = [];
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error") {
      problems.push(message.text());
    }
  });
  page.on("request", (request) => requests.push(request.url()));
  await page.goto(url);
  return { page, problems, requests };
}

async function dropFile(page: Page, name: string, bytes: Buffer) {
  const transfer = await page.evaluateHandle(
    ([name, text]) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], name));
      return transfer;
    },
    [name, bytes.toString("base64")] as const,
  );
  await page.dispatchEvent("body", "drop", { dataTransfer: transfer });
}

test("a fresh capture that is dropped shows its containers", async () => {
  const visited = await visit("page: a fresh capture");
  if (visited === undefined) {
    return;
  }
  const { page, problems, requests } = visited;
  const { file, report } = capture();
  await dropFile(page, "fresh.data", readFileSync(file));
  await page.locator("#result").waitFor();
  await page.screenshot({ path: `${PICTURES}/containers.png` });
  expect(await page.locator("tbody tr").count()).toBe(report.containers.length);
  const rows = await page.locator("tbody tr").allInnerTexts();
  for (const [index, container] of report.containers.entries()) {
    for (const part of [container.id.slice(0, 12), ...container.own, ...container.commands.slice(0, 6)]) {
      expect(rows[index]).toContain(part);
    }
  }
  expect(await page.locator("#result p").first().innerText()).toContain(report.hostname);
  expect(problems).toEqual([]);
  const origin = new URL(page.url()).origin;
  expect(requests.filter((url) => new URL(url).origin !== origin)).toEqual([]);

  // The picker opens the same file; the page works on a phone and in the dark.
  await page.reload();
  await page.emulateMedia({ colorScheme: "dark" });
  await page.setViewportSize({ width: 390, height: 800 });
  await page.setInputFiles("#file", file);
  await page.locator("#result").waitFor();
  expect(await page.locator("tbody tr").count()).toBe(report.containers.length);
  await page.screenshot({ path: `${PICTURES}/phone.png` });
  await page.close();
});

test("what is not a capture is refused in words", async () => {
  const visited = await visit("page: no capture");
  if (visited === undefined) {
    return;
  }
  const { page, problems } = visited;
  await dropFile(page, "notes.txt", Buffer.from("hello, this is no capture"));
  await page.locator("#status.error").waitFor();
  expect(await page.locator("#status").innerText()).toBe(
    "notes.txt: not a perf.data file: it does not begin with PERFILE2",
  );
  expect(await page.locator("#result").isHidden()).toBe(true);
  expect(problems).toEqual([]);
  await page.close();
});
