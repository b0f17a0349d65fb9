import { expect, test } from "vitest";
import { command } from "../src/command";
import type { Loaded } from "../src/protocol";
import { INITIAL } from "../src/state";
import { TimeWindow, readout } from "../src/window";

test("a window stays within what there is", () => {
  const window = new TimeWindow();
  window.extend(1_000_000, true);
  window.look(-500, 10_000);
  expect([window.from, window.to]).toEqual([0, 10_500]);
  window.look(995_000, 1_005_000);
  expect([window.from, window.to]).toEqual([990_000, 1_000_000]);
  window.look(5_000, 5_001);
  expect(window.to - window.from).toBe(100);
  window.look(-1e12, 1e12);
  expect([window.from, window.to]).toEqual([0, 1_000_000]);
});

test("more of a recording keeps what is in sight, unless that was all", () => {
  const window = new TimeWindow();
  window.extend(1000, true);
  window.extend(2000, false);
  expect([window.from, window.to]).toEqual([0, 2000]);
  window.look(500, 900);
  window.extend(4000, false);
  expect([window.from, window.to]).toEqual([500, 900]);
  expect(window.time(window.x(700, 800), 800)).toBeCloseTo(700);
});

test("the readout says where the pointer is, or what was measured, or what is in sight", () => {
  const window = new TimeWindow();
  window.extend(2_000_000_000, true);
  expect(readout(window, undefined, undefined, undefined, 1)).toContain("in sight");
  expect(readout(window, 1_500_000_000, undefined, undefined, 1e6)).toContain("1,500,000,000 ns");
  expect(readout(window, undefined, { from: 5e8, to: 2e8 }, undefined, 1)).toMatch(/^300.*from .* to /);
});

test("the command shows what the page shows", () => {
  const of = { name: "a b.data", offset: 0 } as Loaded;
  expect(command(INITIAL, of, "")).toBe("nsscope report 'a b.data'");
  const state = { ...INITIAL, filter: "container=web", from: 1e9, to: 2e9 };
  expect(command(state, of, "")).toBe(
    "nsscope report --filter container=web --since 1.000000000 --until 2.000000000 'a b.data'",
  );
  expect(command({ ...INITIAL, panel: "events" }, undefined, "comm=sh")).toBe(
    "nsscope script --filter comm=sh nsscope.data",
  );
});
