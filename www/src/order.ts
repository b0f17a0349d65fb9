// In which order containers are shown. Not here: their rows.

import type { Container } from "@nsscope/wasm";

/** Above so many, those with the most CPU time come first, where nothing else is asked for: the rest is far below. */
const MANY = 50;

/**
 * The rank of each container; undefined where they stay in order of appearance. `order` as {@link Arrangement} has it.
 * `cpu`: what each had of the CPUs, ns, by its row; empty where no switches were recorded.
 */
export function ranks(order: string, containers: Container[], cpu: () => Map<number, number>): Uint32Array | undefined {
  const automatic = order === "" && containers.length > MANY;
  if (!automatic && !["cpu", "processes", "name"].includes(order)) {
    return undefined;
  }
  const exact = automatic || order === "cpu" ? cpu() : undefined;
  const ofCpu = (c: Container) => exact?.get(c.row ?? -1) ?? c.cpu;
  const inCpu = order === "cpu" || (automatic && containers.some((c) => ofCpu(c) > 0));
  const weight = inCpu ? ofCpu : (c: Container) => c.processes;
  const collator = new Intl.Collator("en", { numeric: true });
  const before = (a: Container, b: Container) => (order === "name" ? collator.compare(a.title, b.title) : weight(b) - weight(a));
  const ranks = new Uint32Array(containers.length);
  for (const [rank, [place]] of [...containers.entries()].sort(([, a], [, b]) => before(a, b)).entries()) {
    ranks[place] = rank;
  }
  return ranks;
}
