// In which order containers are shown. Not here: their rows.

import type { Container } from "@nsscope/wasm";

/** Above so many, those with the most CPU time come first, where nothing else is asked for: the rest is far below. */
const MANY = 50;

/** An order that containers can be put in; `most`: by CPU time, where that is known, else by processes. */
export type Order = "first" | "cpu" | "processes" | "name" | "most";

/** The order of so many containers. `asked` as `Arrangement` has it. */
export function orderOf(asked: string, count: number): Order {
  switch (asked) {
    case "cpu":
    case "processes":
    case "name":
      return asked;
    case "":
      return count > MANY ? "most" : "first";
    default:
      return "first";
  }
}

/** The rank of each container. `cpu`: what each had of the CPUs, ns, by its row; empty where no switches were recorded. */
export function ranks(order: Order, containers: Container[], cpu: () => Map<number, number>): Uint32Array {
  const exact = order === "cpu" || order === "most" ? cpu() : undefined;
  const ofCpu = (c: Container) => exact?.get(c.row ?? -1) ?? c.cpu;
  const inCpu = order === "cpu" || (order === "most" && containers.some((c) => ofCpu(c) > 0));
  const weight = inCpu ? ofCpu : (c: Container) => c.processes;
  const collator = new Intl.Collator("en", { numeric: true });
  const before = (a: Container, b: Container) => (order === "name" ? collator.compare(a.title, b.title) : weight(b) - weight(a));
  const ranks = new Uint32Array(containers.length);
  for (const [rank, [place]] of [...containers.entries()].sort(([, a], [, b]) => before(a, b)).entries()) {
    ranks[place] = rank;
  }
  return ranks;
}
