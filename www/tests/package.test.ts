/** The npm package as others get it: packed, installed in an empty folder, and used by its example in Node. */
import { execFileSync } from "node:child_process";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { capture, records, scratch, skip } from "./capture";

const WASM = fileURLToPath(new URL("../../wasm", import.meta.url));

test("the package is installed, typed, and reads captures in Node", () => {
  if (!records) {
    skip("the npm package", "this user may not record");
    return;
  }
  const { file, report } = capture();
  const home = scratch();
  writeFileSync(join(home, "package.json"), '{ "type": "module" }');
  const run = (program: string, ...args: string[]) => execFileSync(program, args, { cwd: home, encoding: "utf8" });
  const packed = run("npm", "pack", "--silent", WASM).trim();
  // Nothing in it tells where it was built, and so the same sources make the same bytes.
  const module = readFileSync(join(WASM, "pkg/nsscope_wasm_bg.wasm"), "latin1");
  expect(module).not.toContain(fileURLToPath(new URL("../..", import.meta.url)));
  expect(module).not.toContain(homedir());
  run("npm", "install", "--silent", "--no-fund", "--no-audit", "--offline", `./${packed}`);
  copyFileSync(join(WASM, "examples/containers.mjs"), join(home, "containers.mjs"));
  const said = run("node", "containers.mjs", file);
  expect(report.containers.length).toBeGreaterThan(0);
  for (const { title, kind, processes } of report.containers) {
    expect(said).toContain(`${title} (${kind}): ${String(processes)} processes, lived for `);
  }
  // Its types are those of what it does.
  writeFileSync(
    join(home, "typed.ts"),
    `import init, { Trace, type Container } from "@nsscope/wasm";
     await init({ module_or_path: new Uint8Array() });
     const containers: Container[] = new Trace().containers();
     // @ts-expect-error a container has no such field
     console.log(containers[0]?.nothing);`,
  );
  const tsc = fileURLToPath(new URL("../node_modules/typescript/bin/tsc", import.meta.url));
  run("node", tsc, "--noEmit", "--strict", "--target", "es2022", "--module", "nodenext", "--lib", "es2022,dom,esnext.disposable", "typed.ts");
});
