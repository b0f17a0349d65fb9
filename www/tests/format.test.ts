import { expect, test } from "vitest";
import { bytes, count, few, headline, warnings } from "../src/format";
import type { Summary } from "../src/protocol";

const nothing: Summary = {
  records: 1,
  threads: 0,
  lost: 0,
  faults: [],
  faultCount: 0,
  hasNamespaces: false,
  duration: 1.5,
  began: undefined,
  hostname: undefined,
  kernel: undefined,
  containers: [],
};

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

test("a headline says what the file tells and no more", () => {
  expect(headline(nothing)).toBe("unknown host, 1.500 s, 1 record, 0 threads");
  expect(headline({ ...nothing, hostname: "h", kernel: "6.1", began: 0 })).toBe(
    "h, Linux 6.1, from 1970-01-01T00:00:00.000Z, 1.500 s, 1 record, 0 threads",
  );
});

test("what is missing is said", () => {
  expect(warnings(nothing)).toEqual([expect.stringContaining("perf record --namespaces")]);
  expect(warnings({ ...nothing, hasNamespaces: true })).toEqual([expect.stringContaining("No container")]);
  const damaged = warnings({ ...nothing, lost: 2, faults: ["at offset 5: bad"], faultCount: 3 });
  expect(damaged[0]).toContain("2 records lost");
  expect(damaged[1]).toBe("The file is damaged: at offset 5: bad; 2 more");
});
