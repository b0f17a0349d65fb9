import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const DIST = fileURLToPath(new URL("../dist", import.meta.url));

/** Sizes in kB (1000 bytes) as they are sent. */
export interface Sizes {
  gzip: number;
  brotli: number;
}

function packed(files: string[]): Sizes {
  const sizes = { gzip: 0, brotli: 0 };
  for (const file of files) {
    const bytes = readFileSync(file);
    sizes.gzip += gzipSync(bytes, { level: 9 }).length / 1000;
    sizes.brotli += brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }).length / 1000;
  }
  return sizes;
}

/** What a browser loads to show the page, without the example. */
export function sent(): { page: Sizes; wasm: Sizes } {
  const parts = readdirSync(join(DIST, "assets")).map((name) => join(DIST, "assets", name));
  const page = [...parts, ...["index.html", "sw.js", "icon.svg"].map((name) => join(DIST, name))];
  return { page: packed(page), wasm: packed(parts.filter((name) => name.endsWith(".wasm"))) };
}
