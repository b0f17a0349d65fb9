import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

/** The page may load its own parts and nothing else; above all, it may send nothing anywhere. */
const POLICY =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; " +
  "connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'";

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

export default defineConfig({
  base: "./",
  build: { target: "es2022", assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  plugins: [policy],
  // Recording and a browser take longer than a unit test.
  test: { testTimeout: 600_000, hookTimeout: 600_000 },
});
