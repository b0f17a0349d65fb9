import init, { Capture } from "@nsscope/wasm";
import module from "@nsscope/wasm/nsscope_wasm_bg.wasm?url";
import { expose } from "comlink";
import type { Decoder } from "./protocol";
import { readAll } from "./read";

const ready = init({ module_or_path: module });

const decoder: Decoder = {
  async read(file, progress) {
    await ready;
    const capture = new Capture();
    try {
      const source = {
        read: async (offset: number, length: number) =>
          new Uint8Array(await file.slice(offset, offset + length).arrayBuffer()),
      };
      return await readAll(capture, source, progress);
    } finally {
      capture.free();
    }
  },
};

expose(decoder);
