import { proxy, wrap } from "comlink";
import { bytes, count, duration, plain, quoted } from "./format";
import {
  EVENTS,
  LongTable,
  PROCESSES,
  containerColumns,
  fileFacts,
  make,
  matrix,
  table,
  warnings,
} from "./panels";
import type { Found, Loaded, Open, Viewer } from "./protocol";
import { INITIAL, type State, read, write } from "./state";
import { ROW, Timeline } from "./timeline";

function element<T extends HTMLElement>(id: string, type: new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof type)) {
    throw new Error(`the page has no ${id}`);
  }
  return found;
}

const viewer = wrap<Viewer>(new Worker(new URL("./worker.ts", import.meta.url), { type: "module" }));
const status = element("status", HTMLParagraphElement);
const definition = element("definition", HTMLInputElement);
const filter = element("filter", HTMLInputElement);
const search = element("search", HTMLInputElement);
const details = element("details", HTMLElement);
const panel = element("panel", HTMLDivElement);
const machine = element("machine", HTMLSelectElement);
const rows = element("rows", HTMLDivElement);

let state: State = read(location.hash);
let loaded: Loaded[] = [];
let found: Found[] = [];
let match = -1;
/** Bits of the kinds of events that are listed. */
let kinds = -1;
let eventFilter = "";

const timeline = new Timeline(
  {
    want: () => {
      void draw();
    },
    select: (trace, row) => {
      void select(trace, row);
    },
    toggle: (trace, row) => {
      void toggle(trace, row);
    },
    moved: (settled) => {
      const whole = timeline.to - timeline.from >= timeline.length;
      [state.from, state.to] = whole ? [undefined, undefined] : [timeline.from, timeline.to];
      keep(settled);
    },
  },
  rows,
  element("filler", HTMLDivElement),
  element("labels", HTMLDivElement),
  element("spans", HTMLCanvasElement),
  element("axis", HTMLCanvasElement),
  element("map", HTMLCanvasElement),
  element("readout", HTMLOutputElement),
);

/** What is shown goes into the fragment: as a new entry of the history once it stays. */
function keep(settled: boolean) {
  const fragment = `#${write(state)}`;
  if (fragment === location.hash || (fragment === "#" && location.hash === "")) {
    return;
  }
  if (settled) {
    history.pushState(null, "", fragment);
  } else if (history.state === "passing") {
    history.replaceState("passing", "", fragment);
  }
}

function say(text: string, isError = false) {
  status.textContent = plain(text, 2000);
  status.classList.toggle("error", isError);
}

function enter(phase: "empty" | "reading" | "ready" | "error") {
  document.body.dataset.phase = phase;
  element("empty", HTMLElement).hidden = loaded.length > 0 || phase === "reading";
  element("viewer", HTMLElement).hidden = loaded.length === 0;
}

/** Whether a picture is being made, and whether another is wanted after it. */
const pictures = { underway: false, again: false };

async function draw() {
  pictures.again = pictures.underway;
  if (pictures.underway) {
    return;
  }
  pictures.underway = true;
  const { firstRow, rowCount, from, to, width } = timeline;
  timeline.show(await viewer.picture(firstRow, rowCount, from, to, width));
  pictures.underway = false;
  if (pictures.again) {
    await draw();
  }
}

async function arranged(open: Open, fresh: boolean) {
  loaded = open.loaded;
  timeline.load(loaded, fresh);
  if (loaded.length > 0) {
    const names = loaded.map(({ name, facts }) => plain(facts.hostname ? `${facts.hostname} (${name})` : name));
    machine.replaceChildren(...names.map((name, index) => new Option(name, index.toString())));
    element("machines", HTMLLabelElement).hidden = loaded.length < 2;
    timeline.showOverview(await viewer.picture(0, 200, 0, timeline.length, 1000));
    await draw();
  }
}

async function open(files: { name: string; from: Blob | string }[]) {
  if (files.length === 0) {
    return;
  }
  loaded = [];
  timeline.selected = undefined;
  details.replaceChildren();
  say("");
  enter("reading");
  document.body.dataset.pixels = "none";
  let fresh = true;
  const told = async (open: Open) => {
    const { progress, error, reading } = open;
    document.body.dataset.memory = open.memory.toString();
    element("progress", HTMLDivElement).hidden = !reading;
    if (progress) {
      const bar = element("bar", HTMLProgressElement);
      if (progress.size > 0) {
        [bar.value, bar.max] = [progress.read, progress.size];
      } else {
        bar.removeAttribute("value");
      }
      const part = bytes(progress.read) + (progress.size > 0 ? ` of ${bytes(progress.size)}` : "");
      element("speed", HTMLSpanElement).textContent = `${plain(progress.name)}: ${part}, ${bytes(progress.speed)}/s`;
    }
    await arranged(open, fresh);
    if (loaded.length > 0 && document.body.dataset.pixels === "none") {
      document.body.dataset.pixels = progress && progress.size > 0 ? (progress.read / progress.size).toFixed(4) : "1";
    }
    fresh = false;
    if (reading) {
      enter("reading");
      return;
    }
    if (error !== undefined) {
      say(error, true);
    } else {
      const told = loaded.flatMap(({ facts }) => warnings(facts));
      const containers = loaded.reduce((sum, { containers }) => sum + containers, 0);
      const records = loaded.reduce((sum, { facts }) => sum + facts.records, 0);
      const whole = `${count(containers, "container")}, ${count(records, "record")}, ${duration(timeline.length)}.`;
      say([whole, ...told].join(" "));
    }
    await restore();
    enter(error !== undefined && loaded.length === 0 ? "error" : "ready");
  };
  // One after the other: what is told late must not overtake.
  let last = Promise.resolve();
  await viewer.open(
    files,
    proxy((open: Open) => {
      last = last.then(() => told(open));
    }),
  );
  await last;
}

/** Shows what the fragment says of the files that are open. */
async function restore() {
  [definition.value, filter.value, search.value] = [state.definition, state.filter, state.search];
  await layout(false);
  if (state.from !== undefined && state.to !== undefined) {
    timeline.look(state.from, state.to);
  }
  await find(false);
  await showPanel();
  if (state.selected !== "") {
    const [, value] = state.selected.split("=");
    const [hit] = await viewer.search(value ?? "");
    if (hit) {
      await select(hit.trace, hit.row, false);
    }
  }
}

/** How often rows were made: whoever is overtaken by a later wish leaves the page to it. */
let layouts = 0;

/** Makes the rows anew, by the definition and the filter. What is wrong with them is said, and changes nothing else. */
async function layout(remember = true) {
  const mine = ++layouts;
  const [by, which] = [definition.value.trim() || INITIAL.definition, filter.value.trim()];
  let arrangement: Open | undefined;
  let wrong = "";
  try {
    arrangement = await viewer.layout(by, which);
  } catch (error) {
    wrong = error instanceof Error ? error.message : String(error);
  }
  if (mine !== layouts) {
    return;
  }
  if (arrangement === undefined) {
    const input = /type|definition|by:/.test(wrong) ? definition : filter;
    input.classList.add("wrong");
    input.setCustomValidity(wrong);
    input.reportValidity();
    return;
  }
  [state.definition, state.filter] = [by, which];
  for (const input of [definition, filter]) {
    input.classList.remove("wrong");
    input.setCustomValidity("");
  }
  timeline.selected = undefined;
  details.replaceChildren();
  await arranged(arrangement, false);
  if (remember) {
    keep(true);
    await find(false);
    await showPanel();
  }
}

async function toggle(trace: number, row: number | undefined) {
  await viewer.toggle(trace, row ?? -1);
  await draw();
}

async function reveal(trace: number, row: number) {
  timeline.scrollTo(await viewer.reveal(trace, row));
  await draw();
}

async function select(trace: number, row: number | undefined, remember = true) {
  timeline.selected = { trace, row };
  timeline.unmeasure();
  if (row === undefined) {
    details.replaceChildren();
    timeline.draw();
    return;
  }
  await reveal(trace, row);
  const told = await viewer.details(trace, row);
  if (told === undefined) {
    return;
  }
  const list = make("dl");
  for (const [name, value] of told.lines) {
    list.append(make("dt", "", name), make("dd", "code", plain(value, 500)));
  }
  const offset = loaded[trace]?.offset ?? 0;
  const zoom = make("button", "", "Zoom to it");
  zoom.addEventListener("click", () => {
    zoomTo(told.from + offset, told.to === undefined ? undefined : told.to + offset);
  });
  const only = make("button", "", "Show only this");
  only.addEventListener("click", () => {
    filter.value = told.filter;
    void layout();
  });
  details.replaceChildren(make("h2", "", plain(told.title)), list, zoom, " ", only);
  details.dataset.from = (told.from + offset).toString();
  details.dataset.to = told.to === undefined ? "" : (told.to + offset).toString();
  state.selected = told.filter;
  if (remember) {
    keep(true);
  }
}

function zoomTo(from: number, to = timeline.length) {
  const room = Math.max(50, (to - from) * 0.05);
  timeline.look(from - room, to + room);
}

async function find(go: boolean) {
  state.search = search.value;
  found = await viewer.search(search.value);
  match = -1;
  timeline.found = new Set(found.map(({ trace, row }) => `${trace.toString()}/${row.toString()}`));
  element("matches", HTMLSpanElement).textContent = search.value === "" ? "" : count(found.length, "hit");
  timeline.draw();
  if (go) {
    keep(true);
    await next(1);
  }
}

async function next(step: number) {
  if (found.length > 0) {
    match = (match + step + found.length) % found.length;
    const hit = found[match];
    if (hit) {
      await select(hit.trace, hit.row);
    }
    element("matches", HTMLSpanElement).textContent = `${(match + 1).toString()} of ${count(found.length, "hit")}`;
  }
}

const PANELS: [string, string, (trace: number) => Promise<HTMLElement>][] = [
  ["containers", "Containers", containersPanel],
  ["processes", "Processes", processesPanel],
  ["namespaces", "Namespaces", namespacesPanel],
  ["events", "Events", eventsPanel],
  ["file", "File", filePanel],
];

async function containersPanel(trace: number): Promise<HTMLElement> {
  const containers = await viewer.containers(trace);
  if (containers.length === 0) {
    return make("p", "bar soft", "No container, by this definition and filter.");
  }
  return table("Containers", containerColumns(containers), containers, ({ row }) => {
    void select(trace, row);
  });
}

async function processesPanel(trace: number): Promise<HTMLElement> {
  const processes = await viewer.processes(trace);
  const page = (from: number, count: number) => Promise.resolve(processes.slice(from, from + count));
  const list = new LongTable("Processes, children below their parents", PROCESSES, page, ({ row }) => {
    void select(trace, row);
  });
  queueMicrotask(() => {
    list.show(processes.length);
  });
  return list.element;
}

async function namespacesPanel(trace: number): Promise<HTMLElement> {
  const containers = await viewer.containers(trace);
  const { namespaceTypes = [], host = [] } = loaded[trace]?.facts ?? {};
  const columns = matrix(namespaceTypes, host);
  return table("Namespaces of each container", columns, containers, ({ row }) => {
    void select(trace, row);
  });
}

async function eventsPanel(trace: number): Promise<HTMLElement> {
  const box = make("div", "events");
  const bar = make("div", "bar");
  const input = make("input");
  input.ariaLabel = "Filter of the events";
  input.placeholder = "container=web comm~nginx";
  input.value = eventFilter;
  const number = make("span", "soft");
  const list = new LongTable(
    "Events",
    EVENTS,
    (from, count) => viewer.events(trace, from, count),
    ({ time }) => {
      const half = (timeline.to - timeline.from) / 2;
      const at = time + (loaded[trace]?.offset ?? 0);
      timeline.look(at - half, at + half);
    },
  );
  const show = async () => {
    try {
      const total = await viewer.filterEvents(trace, input.value, kinds);
      eventFilter = input.value;
      input.classList.remove("wrong");
      number.textContent = count(total, "event");
      list.show(total, await viewer.eventAt(trace, timeline.from));
    } catch (error) {
      input.classList.add("wrong");
      number.textContent = error instanceof Error ? error.message : String(error);
    }
  };
  input.addEventListener("change", () => void show());
  const boxes = (loaded[trace]?.facts.eventKinds ?? []).map((kind, bit) => {
    const label = make("label", "", kind);
    const check = make("input");
    check.type = "checkbox";
    check.checked = ((kinds >> bit) & 1) === 1;
    check.addEventListener("change", () => {
      kinds ^= 1 << bit;
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

function filePanel(trace: number): Promise<HTMLElement> {
  const list = make("dl", "facts");
  const of = loaded[trace];
  for (const [name, value] of of ? fileFacts(of) : []) {
    list.append(make("dt", "", name), make("dd", "", plain(value, 2000)));
  }
  const save = make("button", "", "Save what is shown as JSON");
  save.addEventListener("click", () => {
    void viewer.export(trace).then((text) => {
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

let shown = 0;

async function showPanel() {
  const mine = ++shown;
  const found = PANELS.find(([name]) => name === state.panel) ?? PANELS[0];
  if (found === undefined || loaded.length === 0) {
    return;
  }
  for (const tab of document.querySelectorAll<HTMLButtonElement>("#tabs button")) {
    const chosen = tab.id === `tab-${found[0]}`;
    tab.ariaSelected = chosen.toString();
    tab.tabIndex = chosen ? 0 : -1;
  }
  panel.setAttribute("aria-labelledby", `tab-${found[0]}`);
  const made = await found[2](Math.max(0, machine.selectedIndex));
  if (mine === shown) {
    panel.replaceChildren(made);
  }
}

const tabs = element("tabs", HTMLDivElement);
for (const [name, title] of PANELS) {
  const tab = make("button", "", title);
  tab.type = "button";
  tab.role = "tab";
  tab.id = `tab-${name}`;
  tab.setAttribute("aria-controls", "panel");
  tab.addEventListener("click", () => {
    state.panel = name;
    keep(true);
    void showPanel();
  });
  tabs.append(tab);
}
tabs.addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (step !== undefined) {
    const all = [...tabs.querySelectorAll("button")];
    const at = all.findIndex((tab) => tab.ariaSelected === "true");
    const to = all[(at + step + all.length) % all.length];
    to?.focus();
    to?.click();
    event.preventDefault();
  }
});
machine.addEventListener("change", () => void showPanel());

/** What a URL calls a file. */
function lastPart(url: URL): string {
  const part = url.pathname.split("/").at(-1) ?? "";
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function files(list: FileList | null | undefined) {
  void open([...(list ?? [])].map((file) => ({ name: file.name, from: file })));
}

const input = element("file", HTMLInputElement);
input.addEventListener("change", () => {
  files(input.files);
});
for (const type of ["dragover", "dragleave", "drop"]) {
  window.addEventListener(type, (event) => {
    event.preventDefault();
    document.body.classList.toggle("over", type === "dragover");
  });
}
window.addEventListener("drop", (event) => {
  files(event.dataTransfer?.files);
});
window.addEventListener("paste", (event) => {
  if ((event.clipboardData?.files.length ?? 0) > 0) {
    files(event.clipboardData?.files);
  }
});
element("cancel", HTMLButtonElement).addEventListener("click", () => void viewer.cancel());
element("fold", HTMLButtonElement).addEventListener("click", () => void viewer.toggleAll(false).then(draw));
element("unfold", HTMLButtonElement).addEventListener("click", () => void viewer.toggleAll(true).then(draw));
definition.addEventListener("change", () => void layout());
filter.addEventListener("change", () => void layout());
search.addEventListener("change", () => void find(true));
const keys = element("keys", HTMLDialogElement);
element("help", HTMLButtonElement).addEventListener("click", () => {
  keys.showModal();
});

/** The command that shows the same. */
function command(): string {
  const of = loaded[Math.max(0, machine.selectedIndex)];
  const words = ["nsscope", state.panel === "events" ? "script" : "report"];
  if (state.definition !== INITIAL.definition) {
    words.push("--definition", quoted(state.definition));
  }
  const which = state.panel === "events" && eventFilter !== "" ? eventFilter : state.filter;
  if (which !== "") {
    words.push("--filter", quoted(which));
  }
  if (state.from !== undefined && state.to !== undefined && state.panel !== "events") {
    const offset = of?.offset ?? 0;
    const seconds = (ns: number) => (Math.max(0, ns - offset) / 1e9).toFixed(9);
    words.push("--since", seconds(state.from), "--until", seconds(state.to));
  }
  return [...words, quoted(of?.name ?? "nsscope.data")].join(" ");
}

element("copy", HTMLButtonElement).addEventListener("click", () => {
  const text = command();
  document.body.dataset.copied = text;
  void navigator.clipboard.writeText(text).then(
    () => {
      say(`Copied: ${text}`);
    },
    () => {
      say(text);
    },
  );
});

element("example", HTMLButtonElement).addEventListener("click", () => {
  void open([{ name: "example.data", from: new URL("./example.data", document.baseURI).href }]);
});

const ACTIONS: Record<string, (event: KeyboardEvent) => unknown> = {
  w: () => {
    timeline.zoom(0.7);
  },
  s: () => {
    timeline.zoom(1 / 0.7);
  },
  a: () => {
    timeline.pan(-0.15);
  },
  d: () => {
    timeline.pan(0.15);
  },
  f: () => {
    timeline.fit();
  },
  n: () => next(1),
  N: () => next(-1),
  "/": () => {
    search.focus();
    search.select();
  },
  "?": () => {
    keys.showModal();
  },
  " ": () => {
    const { from, to } = details.dataset;
    if (timeline.selected !== undefined && from !== undefined) {
      zoomTo(Number(from), to === undefined || to === "" ? undefined : Number(to));
    }
  },
  Escape: () => {
    timeline.selected = undefined;
    timeline.unmeasure();
    state.selected = "";
    details.replaceChildren();
    timeline.draw();
    keep(true);
  },
  ArrowDown: () => step(1),
  ArrowUp: () => step(-1),
  ArrowRight: () => {
    const row = timeline.selectedRow();
    if (row?.expandable && !row.open) {
      return toggle(row.trace, row.row);
    }
    return row === undefined ? undefined : step(1);
  },
  ArrowLeft: () => {
    const row = timeline.selectedRow();
    return row?.expandable && row.open ? toggle(row.trace, row.row) : step(-1);
  },
  Enter: () => {
    const row = timeline.selectedRow();
    return row?.expandable ? toggle(row.trace, row.row) : undefined;
  },
};

function step(by: number) {
  const row = timeline.neighbour(by);
  if (row) {
    return select(row.trace, row.row);
  }
  rows.scrollTop += by * ROW;
  return undefined;
}

/** Keys that a focused table or tab list has for itself. */
const ROWS_ONLY = new Set(["ArrowDown", "ArrowUp", "ArrowLeft", "ArrowRight", "Enter", " "]);

window.addEventListener("keydown", (event) => {
  const target = event.target as HTMLElement;
  // Another text is found by its change.
  if (target === search && event.key === "Enter" && search.value === state.search) {
    void next(1);
    return;
  }
  const typing = target.matches("input:not([type=checkbox]), select, textarea") || keys.open;
  if (typing || event.ctrlKey || event.metaKey || event.altKey || loaded.length === 0) {
    return;
  }
  if (ROWS_ONLY.has(event.key) && target !== rows && target !== document.body) {
    return;
  }
  const action = ACTIONS[event.key];
  if (action) {
    event.preventDefault();
    void action(event);
  }
});
window.addEventListener("popstate", () => {
  state = read(location.hash);
  if (state.from === undefined) {
    timeline.fit();
  }
  void restore();
});

[definition.value, filter.value, search.value] = [state.definition, state.filter, state.search];
enter("empty");
const urls = new URLSearchParams(location.search).getAll("url");
const wanted = urls.map((url) => URL.parse(url, document.baseURI));
const elsewhere = urls.find((_, index) => wanted[index]?.origin !== location.origin);
if (elsewhere === undefined) {
  void open(wanted.filter((url) => url !== null).map((url) => ({ name: lastPart(url), from: url.href })));
} else {
  say(`${plain(elsewhere)} is on another machine: this page fetches nothing from elsewhere. Download it and drop it here.`, true);
  enter("error");
}
if ("serviceWorker" in navigator && import.meta.env.PROD) {
  // Without one the page works as long as its server does; nsscope view has none.
  navigator.serviceWorker.register("./sw.js").catch(() => undefined);
}
