/** A real Chromium with the page that was built. */
import { copyFileSync, existsSync, mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Browser, type Page, chromium } from "playwright-core";
import { type PreviewServer, preview } from "vite";
import { vi } from "vitest";
import { skip } from "./capture";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const ROOT = fileURLToPath(new URL("..", import.meta.url));
const PICTURES = fileURLToPath(new URL("../../target/pictures", import.meta.url));
/** Those that README and the book show. */
const SHOWN = fileURLToPath(new URL("../../docs/pictures", import.meta.url));

/** A picture to look at, in target/pictures. With UPDATE_PICTURES=1 it replaces the one of its name in docs/pictures. */
export async function picture(page: Page, name: string) {
  const path = `${PICTURES}/${name}.png`;
  await page.screenshot({ path });
  if (process.env.UPDATE_PICTURES !== undefined && existsSync(`${SHOWN}/${name}.png`)) {
    copyFileSync(path, `${SHOWN}/${name}.png`);
  }
}

export interface Visit {
  page: Page;
  /** What went wrong in it. */
  problems: string[];
  requests: string[];
}

export class Machine {
  private server: PreviewServer | undefined;
  private browser: Browser | undefined;

  async start() {
    if (!existsSync(CHROMIUM)) {
      return;
    }
    this.server = await preview({ root: ROOT, preview: { host: "127.0.0.1", port: 0 } });
    const quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync"];
    const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", ...quiet];
    this.browser = await chromium.launch({ executablePath: CHROMIUM, args });
    mkdirSync(PICTURES, { recursive: true });
  }

  async stop() {
    await this.browser?.close();
    await this.server?.close();
  }

  get url(): string {
    return this.server?.resolvedUrls?.local[0] ?? "";
  }

  /** A fresh page of a fresh browser profile; `undefined`, and that is said, where there is no browser. */
  async visit(name: string, options: { width?: number; height?: number; dark?: boolean; path?: string } = {}) {
    if (this.browser === undefined) {
      skip(`page: ${name}`, `${CHROMIUM} is not installed (Debian: chromium; elsewhere set CHROMIUM)`);
      return undefined;
    }
    const { width = 1280, height = 800, dark = false, path = "" } = options;
    const context = await this.browser.newContext({
      viewport: { width, height },
      colorScheme: dark ? "dark" : "light",
      permissions: ["clipboard-write", "clipboard-read"],
    });
    const page = await context.newPage();
    const problems: string[] = [];
    const requests: string[] = [];
    page.on("pageerror", (error) => problems.push(error.message));
    page.on("console", (message) => {
      if (message.type() === "error") {
        problems.push(message.text());
      }
    });
    page.on("request", (request) => requests.push(request.url()));
    await page.goto(this.url + path);
    return { page, problems, requests } satisfies Visit;
  }
}

/** Drops files on the page, as a user does. */
export async function drop(page: Page, ...files: { name: string; bytes: Uint8Array }[]) {
  const texts = files.map(({ name, bytes }) => [name, Buffer.from(bytes).toString("base64")] as const);
  const transfer = await page.evaluateHandle((files) => {
    const transfer = new DataTransfer();
    for (const [name, text] of files) {
      transfer.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], name));
    }
    return transfer;
  }, texts);
  await page.dispatchEvent("body", "drop", { dataTransfer: transfer });
}

/** Chooses a file and waits until it is open: what was open before is ready as well, so that is forgotten first. */
export async function chosen(page: Page, file: string, timeout = 30_000) {
  await page.evaluate(() => {
    document.body.dataset.phase = "chosen";
  });
  await page.setInputFiles("#file", file);
  await ready(page, "ready", timeout);
}

export async function ready(page: Page, phase = "ready", timeout = 30_000) {
  await page.locator(`body[data-phase=${phase}]`).waitFor({ state: "attached", timeout });
  // What is to be drawn is drawn in the next frame.
  await page.evaluate(() => new Promise((frame) => requestAnimationFrame(() => requestAnimationFrame(frame))));
}

/** Asks again until it is so: a page answers in its own time. */
export function eventually<T>(check: () => Promise<T>): Promise<T> {
  return vi.waitFor(check, { timeout: 60_000, interval: 30 });
}
