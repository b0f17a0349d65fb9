/** Captures made on the spot by the command line, and what it says of them. */
import { execFileSync, spawnSync } from "node:child_process";
import { appendFileSync, existsSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const TARGET = process.env.CARGO_TARGET_DIR ?? fileURLToPath(new URL("../../target", import.meta.url));
const NSSCOPE = join(TARGET, "release/nsscope");

/** What `nsscope report --json` tells, as far as it is compared. */
export interface Report {
  hostname: string;
  threads: number;
  containers: {
    id: string;
    runtime: string | null;
    own: string[];
    processes: number;
    peak_processes: number;
    threads: number;
    commands: string[];
  }[];
}

/** A fresh capture of a container that ends; of /proc where this user may not record. */
export function capture(): { file: string; report: Report } {
  if (!existsSync(NSSCOPE)) {
    throw new Error(`${NSSCOPE} is missing: cargo build --release`);
  }
  const file = join(mkdtempSync(join(tmpdir(), "nsscope-www-")), "fresh.data");
  const unshare = ["unshare", "--fork", "--pid", "--mount", "--net", "--uts", "--ipc"];
  const recorded = spawnSync(NSSCOPE, ["record", "-o", file, "--", ...unshare, "sh", "-c", "sleep 0.1; true"]);
  if (recorded.status !== 0) {
    execFileSync(NSSCOPE, ["snapshot", "-o", file]);
  }
  return { file, report: JSON.parse(execFileSync(NSSCOPE, ["report", "--json", file], { encoding: "utf8" })) as Report };
}

/** Tells that a test cannot run here, on standard error and in the file that `cargo xtask test` counts. */
export function skip(test: string, why: string) {
  console.error(`SKIPPED ${test}: ${why}`);
  const file = process.env.NSSCOPE_SKIPS;
  if (file !== undefined) {
    appendFileSync(file, `${test}: ${why}\n`);
  }
}
