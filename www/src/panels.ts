// Tables and facts as elements of the page. Not here: which of them is shown.

import type { Container, Process, TraceEvent } from "@nsscope/wasm";
import {
  Virtualizer,
  elementScroll,
  observeElementOffset,
  observeElementRect,
} from "@tanstack/virtual-core";
import { count, duration, few, moment, plain, wall } from "./format";
import type { CpuUse, Loaded } from "./protocol";

/** A column of a table: its title, how it is set, and what is in it. */
export interface Column<T> {
  title: string;
  kind: "" | "number" | "code";
  /** Width in a table whose rows are made as they come into sight. */
  width: string;
  text: (value: T) => string;
  /** A class for what is special. */
  mark?: (value: T) => string;
}

export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  className = "",
  text = "",
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

/**
 * A table of any length, of which only what is in sight is made.
 * @param page gives `count` entries from `from` on
 */
export class LongTable<T> {
  readonly element = make("div", "long");
  private readonly body = make("div", "body");
  private readonly virtual: Virtualizer<HTMLElement, HTMLElement>;
  private wanted = 0;
  private total = 0;

  constructor(
    label: string,
    private readonly columns: Column<T>[],
    private readonly page: (from: number, count: number) => Promise<T[]>,
    private readonly choose: (value: T) => void,
  ) {
    this.element.role = "table";
    this.element.ariaLabel = label;
    this.element.tabIndex = 0;
    const header = make("div", "row header");
    header.role = "row";
    header.append(
      ...columns.map(({ title, kind, width }) => {
        const cell = make("span", kind, title);
        cell.role = "columnheader";
        cell.style.flex = width;
        return cell;
      }),
    );
    this.body.role = "rowgroup";
    this.element.append(header, this.body);
    this.virtual = new Virtualizer<HTMLElement, HTMLElement>({
      count: 0,
      getScrollElement: () => this.element,
      estimateSize: () => 24,
      overscan: 10,
      scrollMargin: 26,
      observeElementRect,
      observeElementOffset,
      scrollToFn: elementScroll,
      onChange: () => {
        void this.fill();
      },
    });
    this.virtual._didMount();
  }

  /** Shows so many entries, from the first on or where it was. */
  show(total: number, from?: number) {
    this.total = total;
    this.element.ariaRowCount = (total + 1).toString();
    this.virtual.setOptions({ ...this.virtual.options, count: total });
    this.virtual._willUpdate();
    // Browsers have no elements of any height: what is too long scrolls in larger steps.
    this.body.style.height = `${Math.min(this.virtual.getTotalSize(), 15_000_000).toString()}px`;
    if (from !== undefined) {
      this.virtual.scrollToIndex(from, { align: "start" });
    }
    void this.fill();
  }

  private async fill() {
    const mine = ++this.wanted;
    const items = this.virtual.getVirtualItems();
    const first = items[0];
    if (first === undefined) {
      this.body.replaceChildren();
      return;
    }
    const values = await this.page(first.index, Math.min(items.length, this.total - first.index));
    if (mine !== this.wanted) {
      return;
    }
    this.body.replaceChildren(
      ...values.map((value, index) => {
        const row = make("div", "row");
        row.role = "row";
        row.ariaRowIndex = (first.index + index + 2).toString();
        row.style.transform = `translateY(${((items[index]?.start ?? 0) - 26).toString()}px)`;
        row.append(
          ...this.columns.map(({ kind, width, text, mark }) => {
            const cell = make("span", `${kind} ${mark?.(value) ?? ""}`, plain(text(value)));
            cell.role = "cell";
            cell.style.flex = width;
            cell.title = cell.textContent;
            return cell;
          }),
        );
        row.addEventListener("click", () => {
          this.choose(value);
        });
        return row;
      }),
    );
  }
}

export function table<T>(label: string, columns: Column<T>[], values: readonly T[], choose: (value: T) => void) {
  const made = make("table");
  made.ariaLabel = label;
  const head = made.createTHead().insertRow();
  for (const { title, kind } of columns) {
    const cell = make("th", kind, title);
    cell.scope = "col";
    head.append(cell);
  }
  const body = made.createTBody();
  for (const value of values) {
    const row = body.insertRow();
    row.tabIndex = 0;
    for (const { kind, text, mark } of columns) {
      const cell = row.insertCell();
      const lines = text(value).split("\n").slice(0, 64);
      cell.textContent = lines.map((line) => plain(line)).join("\n");
      cell.className = `${kind} ${mark?.(value) ?? ""}`;
    }
    row.addEventListener("click", () => {
      choose(value);
    });
    row.addEventListener("keydown", (event) => {
      if (event.key === "Enter") {
        choose(value);
      }
    });
  }
  return made;
}

export const CONTAINERS: Column<Container>[] = [
  { title: "Container", kind: "code", width: "2", text: (c) => c.title },
  { title: "Kind", kind: "", width: "1", text: (c) => c.kind },
  { title: "Image", kind: "code", width: "2", text: (c) => c.image ?? "" },
  { title: "Processes", kind: "number", width: "1", text: (c) => c.processes.toLocaleString("en") },
  { title: "Peak", kind: "number", width: "1", text: (c) => c.peakProcesses.toLocaleString("en") },
  { title: "First", kind: "number", width: "1", text: (c) => (c.firstExact ? "" : "before ") + moment(c.first, 1e6) },
  { title: "Last", kind: "number", width: "1", text: (c) => (c.last === undefined ? "running" : moment(c.last, 1e6)) },
  { title: "Commands", kind: "code", width: "2", text: (c) => few(c.commands, 6) },
];

/** With what its samples say of CPU time, where there are any. */
export function containerColumns(containers: readonly Container[]): Column<Container>[] {
  const inTime = containers.some((c) => c.cpu > 0);
  const cpu: Column<Container> = {
    title: "CPU",
    kind: "number",
    width: "1",
    // Samples of an event that counts something else than time say how many there are.
    text: (c) => (inTime ? duration(c.cpu) : count(c.samples, "sample")),
  };
  return containers.some(({ samples }) => samples > 0) ? CONTAINERS.toSpliced(5, 0, cpu) : CONTAINERS;
}

export const PROCESSES: Column<Process>[] = [
  { title: "PID", kind: "code", width: "0 0 10rem", text: (p) => `${"\u2007\u2007".repeat(Math.min(p.depth, 12))}${p.pid.toString()}` },
  { title: "Inside", kind: "number", width: "0 0 4rem", text: (p) => p.inside?.toString() ?? "" },
  { title: "Commands", kind: "code", width: "2", text: (p) => p.commands.join(" → ") },
  { title: "Container", kind: "code", width: "1.5", text: (p) => p.container ?? "host" },
  { title: "Threads", kind: "number", width: "0 0 4.5rem", text: (p) => p.threads.toString() },
  { title: "Start", kind: "number", width: "0 0 9rem", text: (p) => (p.startExact ? "" : "before ") + moment(p.start) },
  { title: "End", kind: "number", width: "0 0 7rem", text: (p) => (p.end === undefined ? "running" : moment(p.end)) },
];

export const EVENTS: Column<TraceEvent>[] = [
  { title: "Time", kind: "number", width: "0 0 9rem", text: (e) => moment(e.time, 1) },
  { title: "Event", kind: "", width: "0 0 6.5rem", text: (e) => e.kind },
  { title: "PID/TID", kind: "code", width: "0 0 9rem", text: (e) => `${e.pid.toString()}/${e.tid.toString()}` },
  { title: "Command", kind: "code", width: "1", text: (e) => e.comm },
  { title: "Container", kind: "code", width: "1", text: (e) => e.container },
  { title: "", kind: "code", width: "3", text: (e) => e.detail },
];

/** Who shares which namespaces with the host: a column for each type. */
export function matrix(types: readonly string[], host: readonly number[]): Column<Container>[] {
  return [
    { title: "Container", kind: "code", width: "2", text: (c) => c.title },
    ...types.flatMap((title, index): Column<Container>[] => {
      // What is not known of the host is known of nobody: only some recordings have time namespaces.
      if (host[index] === 0) return [];
      const shared = (c: Container) => c.namespaces[index] === host[index];
      const text = (c: Container) => {
        const inode = c.namespaces[index] ?? 0;
        return inode === 0 ? "?" : shared(c) ? "host" : inode.toString();
      };
      return [{ title, kind: "code", width: "1", text, mark: (c) => (shared(c) ? "shared" : "own") }];
    }),
  ];
}

/** What the file says of itself, and what to know about how far it can be trusted. */
export function fileFacts({ name, facts }: Loaded): [string, string][] {
  const lines: [string, string | undefined][] = [
    ["File", name],
    ["Machine", facts.hostname],
    ["Kernel", facts.kernel],
    ["Architecture", facts.arch],
    ["Recorded by", facts.version],
    ["Command", facts.command === "" ? undefined : facts.command],
    ["Began", facts.began === undefined ? undefined : wall(facts.began, 0)],
    ["Length", duration(facts.duration)],
    ["Records", facts.records.toLocaleString("en")],
    ...facts.kinds.map(([kind, number]): [string, string] => [` ${kind}`, number.toLocaleString("en")]),
    ["Threads", facts.threads.toLocaleString("en")],
    ["Lost", count(facts.lost.reduce((sum, lost) => sum + lost.count, 0), "record")],
    ["Sections", facts.features.join(", ")],
    ["Host's namespaces", facts.host.filter((inode) => inode !== 0).join(", ")],
    ...warnings(facts).map((line): [string, string] => ["Note", line]),
  ];
  return lines.filter((line): line is [string, string] => line[1] !== undefined);
}

/** What a user should know about how far the capture can be trusted. */
export function warnings(facts: Loaded["facts"]): string[] {
  const lines = [];
  const lost = facts.lost.reduce((sum, { count }) => sum + count, 0);
  if (!facts.hasNamespaces) {
    lines.push(
      "The file has no namespace records, so it tells nothing about containers. " +
        "nsscope record gives them; so does perf record --namespaces --all-cgroups.",
    );
  }
  if (lost > 0) {
    lines.push(`${count(lost, "record")} lost by the recording: what is shown may be incomplete.`);
  }
  if (facts.faultCount > 0) {
    const rest = facts.faultCount - facts.faults.length;
    const faults = [...facts.faults, ...(rest > 0 ? [`${rest.toLocaleString("en")} more`] : [])].join("; ");
    lines.push(`The file is damaged: ${faults}. Everything else is shown.`);
  }
  if (facts.interval > 0) {
    const every = duration(facts.interval);
    lines.push(`Recorded by looking at /proc every ${every}: what was over in between is missing.`);
  }
  if (facts.insideOf.length > 0) {
    lines.push(`Recorded from inside a container (its own namespaces: ${facts.insideOf.join(", ")}).`);
  }
  if (facts.outside > 0) {
    lines.push(`${count(facts.outside, "record")} of processes outside the recorder's pid namespace are left out.`);
  }
  if (facts.notShown > 0) {
    lines.push(`${count(facts.notShown, "thread")} that ended long ago are counted, but have no row.`);
  }
  if (facts.unlisted > 0) {
    lines.push(`Only the first ${facts.events.toLocaleString("en")} events are listed; ${facts.unlisted.toLocaleString("en")} more are not.`);
  }
  return lines;
}

/** What each had of each CPU, in all and as a part of what all CPUs had. */
export function cpuColumns(cpus: number[], uses: CpuUse[]): Column<CpuUse>[] {
  const sum = (all: number[]) => all.reduce((sum, ns) => sum + ns, 0);
  const whole = Math.max(1, sum(uses.map(({ cpus }) => sum(cpus))));
  return [
    { title: "Who", kind: "", width: "2 0 160px", text: ({ title }) => title },
    { title: "CPU time", kind: "number", width: "0 0 100px", text: ({ cpus }) => duration(sum(cpus)) },
    { title: "Of all", kind: "number", width: "0 0 70px", text: ({ cpus }) => `${((100 * sum(cpus)) / whole).toFixed(1)} %` },
    { title: "Waited", kind: "number", width: "0 0 90px", text: ({ waited }) => duration(sum(waited.map(([, ns]) => ns))) },
    {
      title: "For",
      kind: "",
      width: "2 0 200px",
      text: ({ waited }) => few(waited.map(([other, ns]) => `${other} ${duration(ns)}`), 3),
    },
    ...cpus.map((cpu, index): Column<CpuUse> => ({
      title: `CPU ${cpu.toString()}`,
      kind: "number",
      width: "0 0 90px",
      text: (use) => duration(use.cpus[index] ?? 0),
    })),
  ];
}
