import { expect, test } from "vitest";
import { bytes, count, duration, few, moment, plain, quoted, wall } from "../src/format";
import { INITIAL, read, write } from "../src/state";

test("units", () => {
  expect([0, 1023, 1024, 1536, 2 ** 40, 2 ** 53].map(bytes)).toEqual([
    "0 B",
    "1023 B",
    "1.0 KiB",
    "1.5 KiB",
    "1.0 TiB",
    "8192.0 TiB",
  ]);
  expect([count(1, "record"), count(1234, "record")]).toEqual(["1 record", "1,234 records"]);
  expect([few(["a", "b"], 2), few(["a", "b", "c"], 2)]).toEqual(["a, b", "a, b, and 1 more"]);
});

test("times in the unit that suits them", () => {
  expect([0, 999, 1500, 2.5e6, 25e6, 1.5e9, 3_723e9].map(duration)).toEqual([
    "0 ns",
    "999 ns",
    "1.50 µs",
    "2.50 ms",
    "25.0 ms",
    "1.500 s",
    "1:02:03 h",
  ]);
  expect([moment(1.5e9, 1e8), moment(1.5e9, 1), moment(0, 1e12)]).toEqual(["1.5 s", "1.500000000 s", "0 s"]);
  expect(wall(Date.UTC(2026, 0, 2, 3, 4, 5), 1_234_567)).toBe("2026-01-02 03:04:05.001234 UTC");
  expect(wall(Infinity, 0)).toBe("");
});

test("what is in a trace cannot pass for something else", () => {
  expect(plain("a\u202eb\u0000\nc")).toBe("a\\u{202e}b\\u{0}\\u{a}c");
  expect(plain("<b>&amp;</b>")).toBe("<b>&amp;</b>");
  expect(plain("x".repeat(10_000)).length).toBe(201);
  expect([quoted("web"), quoted("a b"), quoted("it's")]).toEqual(["web", "'a b'", String.raw`'it'\''s'`]);
});

test("the fragment keeps what is shown and takes nothing else", () => {
  const state = { ...INITIAL, definition: "by:net", filter: "comm~a b", panel: "events", from: 5, to: 70, search: "#&" };
  expect(read(`#${write(state)}`)).toEqual(state);
  expect(write(INITIAL)).toBe("");
  expect(read("#t=9-3&panel=x&y=1")).toEqual({ ...INITIAL, panel: "x" });
  expect(read("#t=-1-99999999999999999999")).toEqual(INITIAL);
});
