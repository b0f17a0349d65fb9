// Runs the wasm module beside the page. Not here: what is asked of it.

import init from "@nsscope/wasm";
import module from "@nsscope/wasm/nsscope_wasm_bg.wasm?url";
import { expose, transfer } from "comlink";
import { Machines } from "./machines";
import type { Picture } from "./protocol";

type Methods = Record<string, (...args: unknown[]) => unknown>;

const ready = init({ module_or_path: module }).then(({ memory }): Methods => new Machines(memory) as unknown as Methods);

/** Waits for the module before the first call; the picture's words go over without a copy. */
const viewer = new Proxy<Methods>({}, {
  get: (_, name: string) =>
    name === "then"
      ? undefined
      : async (...args: unknown[]) => {
          const result = await (await ready)[name]?.(...args);
          return name === "picture" ? transfer(result, [(result as Picture).spans.buffer]) : result;
        },
});

expose(viewer);
