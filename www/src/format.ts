import type { Summary } from "./protocol";

/** Seconds, to the millisecond. */
export function seconds(value: number): string {
  return `${value.toFixed(3)} s`;
}

/** Bytes in binary units. */
export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = value < 1 ? 0 : Math.min(Math.floor(Math.log2(value) / 10), units.length - 1);
  return `${power === 0 ? value.toString() : (value / 2 ** (10 * power)).toFixed(1)} ${units[power] ?? ""}`;
}

/** A number of things, in words. */
export function count(value: number, noun: string): string {
  return `${value.toLocaleString("en")} ${noun}${value === 1 ? "" : "s"}`;
}

/** The first few, and how many more there are. */
export function few(values: readonly string[], most: number): string {
  const more = values.length - most;
  return values.slice(0, most).join(", ") + (more > 0 ? `, and ${more.toString()} more` : "");
}

/** What a capture is of, in a line. */
export function headline(summary: Summary): string {
  const parts = [summary.hostname ?? "unknown host"];
  if (summary.kernel !== undefined) {
    parts.push(`Linux ${summary.kernel}`);
  }
  if (summary.began !== undefined) {
    parts.push(`from ${new Date(summary.began).toISOString()}`);
  }
  parts.push(seconds(summary.duration), count(summary.records, "record"), count(summary.threads, "thread"));
  return parts.join(", ");
}

/** What a user should know about how far the capture can be trusted. */
export function warnings(summary: Summary): string[] {
  const lines = [];
  if (summary.lost > 0) {
    lines.push(`${count(summary.lost, "record")} lost by the recording: what follows may be incomplete`);
  }
  if (summary.faultCount > 0) {
    const rest = summary.faultCount - summary.faults.length;
    lines.push(`The file is damaged: ${[...summary.faults, ...(rest > 0 ? [`${rest.toString()} more`] : [])].join("; ")}`);
  }
  if (!summary.hasNamespaces) {
    lines.push(
      "The file has no namespace records, so it tells nothing about containers. " +
        "nsscope record gives them; so does perf record --namespaces --all-cgroups.",
    );
  } else if (summary.containers.length === 0) {
    lines.push("No container: no process has a pid and a mount namespace of its own, or a runtime's cgroup.");
  }
  return lines;
}
