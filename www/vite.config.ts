import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

/** The page may load its own parts and nothing else; above all, it may send nothing anywhere. */
const POLICY =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; " +
  "connect-src 'self'; img-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'";

/** Only in what is built: the development server injects styles and opens a socket. */
const policy: Plugin = {
  name: "content-security-policy",
  apply: "build",
  transformIndexHtml: () => [
    {
      tag: "meta",
      attrs: { "http-equiv": "Content-Security-Policy", content: POLICY },
      injectTo: "head-prepend",
    },
  ],
};

/** Keeps the page's parts for when there is no network: all that was built, under a name that changes with them. */
const offline: Plugin = {
  name: "service-worker",
  apply: "build",
  generateBundle(_, bundle) {
    const files = ["./", "./icon.svg", "./app.webmanifest", ...Object.keys(bundle).map((file) => `./${file}`)];
    const version = createHash("sha256").update(files.join()).digest("hex").slice(0, 16);
    const source = [
      `const NAME = "nsscope-${version}";`,
      `const FILES = ${JSON.stringify(files.filter((file) => !file.endsWith(".html")))};`,
      readFileSync(new URL("./src/offline.js", import.meta.url), "utf8"),
    ].join("\n");
    this.emitFile({ type: "asset", fileName: "sw.js", source });
  },
};

export default defineConfig({
  base: "./",
  build: { target: "es2022", assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  plugins: [policy, offline],
  // Recording and a browser take longer than a unit test.
  test: { testTimeout: 600_000, hookTimeout: 600_000 },
});
