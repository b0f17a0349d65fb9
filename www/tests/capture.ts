/** Captures made on the spot by the command line, and what it says of them. */
import { execFileSync, spawnSync } from "node:child_process";
import { appendFileSync, closeSync, existsSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const TARGET = process.env.CARGO_TARGET_DIR ?? fileURLToPath(new URL("../../target", import.meta.url));
export const NSSCOPE = join(TARGET, "release/nsscope");
/** The program that acts on namespaces. */
export const ACTOR = join(TARGET, "release/ns-actor");
const REPEAT = join(TARGET, "release/ns-repeat");

/** What `nsscope report --json` tells, as far as it is compared. */
export interface Report {
  hostname: string;
  threads: number;
  first: number;
  groups: { id: string }[];
  containers: {
    id: string;
    title: string;
    runtime: string | null;
    image: string | null;
    kind: string;
    why: string[];
    own: string[];
    namespaces: Record<string, number>;
    processes: number;
    peak_processes: number;
    threads: number;
    samples: number;
    first: number;
    first_exact: boolean;
    last: number | null;
    commands: string[];
    pids: number[];
    members: { pid: number; start: number; end: number | null }[];
  }[];
}

/** Runs the program under test. */
export function nsscope(...args: string[]): string {
  if (!existsSync(NSSCOPE)) {
    throw new Error(`${NSSCOPE} is missing: cargo build --release -p nsscope -p nsscope-tests`);
  }
  return execFileSync(NSSCOPE, args, { encoding: "utf8", maxBuffer: 1 << 28 });
}

export function report(file: string): Report {
  return JSON.parse(nsscope("report", "--json", "--processes", "all", file)) as Report;
}

/** Whether this user may record. */
export const records = spawnSync(NSSCOPE, ["doctor"]).status === 0;

/** A directory for the captures of a test. */
export function scratch(): string {
  const dir = mkdtempSync(join(tmpdir(), "nsscope-www-"));
  process.on("exit", () => {
    rmSync(dir, { recursive: true, force: true });
  });
  return dir;
}

/** A fresh capture of what `script` does, with containers that end; of /proc where this user may not record. */
export function capture(script?: string): { file: string; report: Report } {
  const file = join(scratch(), "fresh.data");
  const unshare = "unshare --fork --pid --mount --net --uts --ipc";
  const pod = "unshare -n -i sh -c 'unshare -m -p -f sleep 0.2 & unshare -m -p -f sh -c \"sleep 0.1; uname\"; wait'";
  const does = script ?? `${unshare} sh -c 'sleep 0.1; unshare -u true; sh -c "true; uname"; sleep 0.05'; ${pod}`;
  if (records) {
    nsscope("record", "-F", "999", "-o", file, "--", "sh", "-c", does);
  } else {
    nsscope("snapshot", "-o", file);
  }
  return { file, report: report(file) };
}

/** Tells that a test cannot run here, on standard error and in the file that `cargo xtask test` counts. */
export function skip(test: string, why: string) {
  console.error(`SKIPPED ${test}: ${why}`);
  const file = process.env.NSSCOPE_SKIPS;
  if (file !== undefined) {
    appendFileSync(file, `${test}: ${why}\n`);
  }
}

/** A file with so many context switches or a few more: those that a real command made, over and over. */
export function manySwitches(count: number, ...command: string[]): { file: string; switches: number } {
  const dir = scratch();
  const [pipe, file] = [join(dir, "switches.pipe"), join(dir, "switches.data")];
  const into = (path: string, program: string, args: string[]) => {
    const out = openSync(path, "w");
    const { status, stderr } = spawnSync(program, args, { stdio: ["ignore", out, "pipe"], encoding: "utf8" });
    closeSync(out);
    if (status !== 0) {
      throw new Error(`${program}: ${stderr}`);
    }
    return stderr;
  };
  into(pipe, NSSCOPE, ["record", "-a", "--switch-events", "-o", "-", "--", ...command]);
  const { switches } = JSON.parse(into(file, REPEAT, [pipe, count.toString()])) as { switches: number };
  return { file, switches };
}
