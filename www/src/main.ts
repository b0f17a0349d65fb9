// Puts the page together: state, files, timeline and tabs. Not here: how each of them works.

import { proxy, wrap } from "comlink";
import { command } from "./command";
import { asked, fill, filter, mark, onChange } from "./controls";
import { describe, describeRan } from "./details";
import { element } from "./dom";
import { type NamedFile, filesOfUrl, listenForFiles, urlsOfPage } from "./files";
import { bytes, count, duration, plain } from "./format";
import { listenToKeys } from "./keyboard";
import { make, warnings } from "./panels";
import { Pictures } from "./pictures";
import type { Found, Loaded, Open, Viewer } from "./protocol";
import { type State, read, write } from "./state";
import { PANELS } from "./tabs";
import { Timeline } from "./timeline";

const viewer = wrap<Viewer>(new Worker(new URL("./worker.ts", import.meta.url), { type: "module" }));
const status = element("status", HTMLParagraphElement);
const search = element("search", HTMLInputElement);
const details = element("details", HTMLElement);
const panel = element("panel", HTMLDivElement);
const machine = element("machine", HTMLSelectElement);
const rows = element("rows", HTMLDivElement);

let state: State = read(location.hash);
let loaded: Loaded[] = [];
let found: Found[] = [];
let match = -1;

const timeline = new Timeline(
  {
    want: () => {
      void pictures.draw();
    },
    select: choose,
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
const pictures = new Pictures(viewer, timeline);

/** What the panels see of the page. */
const page = {
  viewer,
  timeline,
  loaded,
  events: { filter: "", kinds: -1 },
  select: (trace: number, row: number | undefined) => {
    void select(trace, row);
  },
};

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

async function arranged(open: Open, fresh: boolean) {
  page.loaded = loaded = open.loaded;
  timeline.load(loaded, fresh);
  if (loaded.length > 0) {
    const names = loaded.map(({ name, facts }) => plain(facts.hostname ? `${facts.hostname} (${name})` : name));
    machine.replaceChildren(...names.map((name, index) => new Option(name, index.toString())));
    element("machines", HTMLLabelElement).hidden = loaded.length < 2;
    timeline.showOverview(await viewer.picture(0, 200, 0, timeline.length, 1000));
    await pictures.draw();
  }
}

async function open(files: NamedFile[]) {
  if (files.length === 0) {
    return;
  }
  page.loaded = loaded = [];
  timeline.selected = undefined;
  details.replaceChildren();
  say("");
  enter("reading");
  document.body.dataset.pixels = "none";
  let fresh = true;
  const shown = async (open: Open) => {
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
      const shown = loaded.flatMap(({ facts }) => warnings(facts));
      const containers = loaded.reduce((sum, { containers }) => sum + containers, 0);
      const records = loaded.reduce((sum, { facts }) => sum + facts.records, 0);
      const whole = `${count(containers, "container")}, ${count(records, "record")}, ${duration(timeline.length)}.`;
      say([whole, ...shown].join(" "));
    }
    await restore();
    enter(error !== undefined && loaded.length === 0 ? "error" : "ready");
  };
  // One after the other: what is told late must not overtake.
  let last = Promise.resolve();
  await viewer.open(
    files,
    proxy((open: Open) => {
      last = last.then(() => shown(open));
    }),
  );
  await last;
}

/** Shows what the fragment says of the files that are open. */
async function restore() {
  fill(state);
  search.value = state.search;
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
  const by = asked();
  let arrangement: Open | undefined;
  let wrong = "";
  try {
    arrangement = await viewer.layout(by);
  } catch (error) {
    wrong = error instanceof Error ? error.message : String(error);
  }
  if (mine !== layouts) {
    return;
  }
  if (arrangement === undefined) {
    mark(wrong);
    return;
  }
  Object.assign(state, by);
  mark(undefined);
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
  await pictures.draw();
}

async function reveal(trace: number, row: number) {
  timeline.scrollTo(await viewer.reveal(trace, row));
  await pictures.draw();
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
  const shown = await viewer.details(trace, row);
  if (shown === undefined) {
    return;
  }
  const offset = loaded[trace]?.offset ?? 0;
  const zoom = make("button", "", "Zoom to it");
  zoom.addEventListener("click", () => {
    zoomTo(shown.from + offset, shown.to === undefined ? undefined : shown.to + offset);
  });
  const only = make("button", "", "Show only this");
  only.addEventListener("click", () => {
    filter.value = shown.filter;
    void layout();
  });
  describe(details, shown, offset, zoom, only);
  state.selected = shown.filter;
  if (remember) {
    keep(true);
  }
}

/** Selects a row; of a CPU's, who ran at a time, in the middle where none is said. */
function choose(trace: number, row: number | undefined, time?: number) {
  void (row !== undefined && row < 0 ? ran(trace, row, time ?? (timeline.from + timeline.to) / 2) : select(trace, row));
}

/** Shows who had a CPU at a time, with a way to its row and to whoever came before and after. */
async function ran(trace: number, row: number, time: number) {
  timeline.selected = { trace, row };
  timeline.unmeasure();
  timeline.draw();
  const shown = await viewer.ran(trace, row, time);
  const offset = loaded[trace]?.offset ?? 0;
  describeRan(details, shown, offset, {
    at: (time) => void ran(trace, row, time),
    zoom: zoomTo,
    row: (its) => void select(trace, its),
  });
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
  const made = await found[2](page, Math.max(0, machine.selectedIndex));
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

listenForFiles(open);
element("cancel", HTMLButtonElement).addEventListener("click", () => void viewer.cancel());
element("fold", HTMLButtonElement).addEventListener("click", () => void viewer.toggleAll(false).then(() => pictures.draw()));
element("unfold", HTMLButtonElement).addEventListener("click", () => void viewer.toggleAll(true).then(() => pictures.draw()));
onChange(() => void layout());
search.addEventListener("change", () => void find(true));
const keys = element("keys", HTMLDialogElement);
element("help", HTMLButtonElement).addEventListener("click", () => {
  keys.showModal();
});

element("copy", HTMLButtonElement).addEventListener("click", () => {
  const text = command(state, loaded[Math.max(0, machine.selectedIndex)], page.events.filter);
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
// The page of `nsscope view` names the files that it serves, and there is no example among them.
element("or-example", HTMLElement).hidden = urlsOfPage().some((url) => url.startsWith("files/"));

search.addEventListener("keydown", (event) => {
  // Another text is found by its change.
  if (event.key === "Enter" && search.value === state.search) {
    void next(1);
  }
});
listenToKeys({
  timeline,
  rows,
  ready: () => loaded.length > 0 && !keys.open,
  next: (step) => void next(step),
  search: () => {
    search.focus();
    search.select();
  },
  help: () => {
    keys.showModal();
  },
  zoomToSelected: () => {
    const { from, to } = details.dataset;
    if (timeline.selected !== undefined && from !== undefined) {
      zoomTo(Number(from), to === undefined || to === "" ? undefined : Number(to));
    }
  },
  unselect: () => {
    timeline.selected = undefined;
    timeline.unmeasure();
    state.selected = "";
    details.replaceChildren();
    timeline.draw();
    keep(true);
  },
  select: choose,
  toggle: (trace, row) => void toggle(trace, row),
});
window.addEventListener("popstate", () => {
  state = read(location.hash);
  if (state.from === undefined) {
    timeline.fit();
  }
  void restore();
});

fill(state);
search.value = state.search;
enter("empty");
const wanted = filesOfUrl();
if (typeof wanted === "string") {
  say(wanted, true);
  enter("error");
} else {
  void open(wanted);
}
if ("serviceWorker" in navigator && import.meta.env.PROD) {
  // Without one the page works as long as its server does; nsscope view has none.
  navigator.serviceWorker.register("./sw.js").catch(() => undefined);
}
