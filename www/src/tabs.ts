// The tabs under the picture, and when each is filled. Not here: how a table is made.

import type { Remote } from "comlink";
import { count, plain } from "./format";
import { EVENTS, LongTable, PROCESSES, containerColumns, cpuColumns, fileFacts, make, matrix, table } from "./panels";
import type { Loaded, Viewer } from "./protocol";
import type { Timeline } from "./timeline";


/** What the panels need of the page. */
export interface Page {
  readonly viewer: Remote<Viewer>;
  readonly timeline: Timeline;
  loaded: Loaded[];
  /** Which events are listed: by a filter, and a bit for each kind. */
  readonly events: { filter: string; kinds: number };
  select(trace: number, row: number | undefined): void;
}

/** The panels: name, title, and what makes one for a file. */
export const PANELS: [string, string, (page: Page, trace: number) => Promise<HTMLElement>][] = [
  ["containers", "Containers", containersPanel],
  ["cpus", "CPUs", cpusPanel],
  ["processes", "Processes", processesPanel],
  ["namespaces", "Namespaces", namespacesPanel],
  ["events", "Events", eventsPanel],
  ["file", "File", filePanel],
];

async function containersPanel(page: Page, trace: number): Promise<HTMLElement> {
  const containers = await page.viewer.containers(trace);
  if (containers.length === 0) {
    return make("p", "bar soft", "No container, by this definition and filter.");
  }
  return table("Containers", containerColumns(containers), containers, ({ row }) => {
    page.select(trace, row);
  });
}

async function cpusPanel(page: Page, trace: number): Promise<HTMLElement> {
  const { cpus, uses } = await page.viewer.cpuUse(trace);
  if (uses.length === 0) {
    return make("p", "bar soft", "No context switches were recorded: nsscope record --switch-events does.");
  }
  const box = make("div");
  box.append(
    table("What each container had of each CPU", cpuColumns(cpus, uses), uses, ({ row }) => {
      if (row !== undefined) {
        page.select(trace, row);
      }
    }),
  );
  return box;
}

async function processesPanel(page: Page, trace: number): Promise<HTMLElement> {
  const processes = await page.viewer.processes(trace);
  const some = (from: number, count: number) => Promise.resolve(processes.slice(from, from + count));
  const list = new LongTable("Processes, children below their parents", PROCESSES, some, ({ row }) => {
    page.select(trace, row);
  });
  queueMicrotask(() => {
    list.show(processes.length);
  });
  return list.element;
}

async function namespacesPanel(page: Page, trace: number): Promise<HTMLElement> {
  const containers = await page.viewer.containers(trace);
  const { namespaceTypes = [], host = [] } = page.loaded[trace]?.facts ?? {};
  const columns = matrix(namespaceTypes, host);
  return table("Namespaces of each container", columns, containers, ({ row }) => {
    page.select(trace, row);
  });
}

async function eventsPanel(page: Page, trace: number): Promise<HTMLElement> {
  const box = make("div", "events");
  const bar = make("div", "bar");
  const input = make("input");
  input.ariaLabel = "Filter of the events";
  input.placeholder = "container=web comm~nginx";
  input.value = page.events.filter;
  const number = make("span", "soft");
  const list = new LongTable(
    "Events",
    EVENTS,
    (from, count) => page.viewer.events(trace, from, count),
    ({ time }) => {
      const half = (page.timeline.to - page.timeline.from) / 2;
      const at = time + (page.loaded[trace]?.offset ?? 0);
      page.timeline.look(at - half, at + half);
    },
  );
  const show = async () => {
    try {
      const total = await page.viewer.filterEvents(trace, input.value, page.events.kinds);
      page.events.filter = input.value;
      input.classList.remove("wrong");
      number.textContent = count(total, "event");
      list.show(total, await page.viewer.eventAt(trace, page.timeline.from));
    } catch (error) {
      input.classList.add("wrong");
      number.textContent = error instanceof Error ? error.message : String(error);
    }
  };
  input.addEventListener("change", () => void show());
  const boxes = (page.loaded[trace]?.facts.eventKinds ?? []).map((kind, bit) => {
    const label = make("label", "", kind);
    const check = make("input");
    check.type = "checkbox";
    check.checked = ((page.events.kinds >> bit) & 1) === 1;
    check.addEventListener("change", () => {
      page.events.kinds ^= 1 << bit;
      void show();
    });
    label.prepend(check, " ");
    return label;
  });
  bar.append(input, ...boxes, number);
  box.append(bar, list.element);
  queueMicrotask(() => void show());
  return Promise.resolve(box);
}

function filePanel(page: Page, trace: number): Promise<HTMLElement> {
  const list = make("dl", "facts");
  const of = page.loaded[trace];
  for (const [name, value] of of ? fileFacts(of) : []) {
    list.append(make("dt", "", name), make("dd", "", plain(value, 2000)));
  }
  const save = make("button", "", "Save what is shown as JSON");
  save.addEventListener("click", () => {
    void page.viewer.export(trace).then((text) => {
      const link = make("a");
      link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
      link.download = "nsscope.json";
      link.click();
      URL.revokeObjectURL(link.href);
    });
  });
  const box = make("div");
  const bar = make("div", "bar");
  bar.append(save);
  box.append(list, bar);
  return Promise.resolve(box);
}
