import { proxy, wrap } from "comlink";
import { bytes, count, few, headline, seconds, warnings } from "./format";
import type { Container, Decoder, Summary } from "./protocol";

function element<T extends HTMLElement>(id: string, type: new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof type)) {
    throw new Error(`the page has no ${id}`);
  }
  return found;
}

const drop = element("drop", HTMLLabelElement);
const input = element("file", HTMLInputElement);
const status = element("status", HTMLParagraphElement);
const result = element("result", HTMLElement);
const decoder = wrap<Decoder>(new Worker(new URL("./worker.ts", import.meta.url), { type: "module" }));

/** The file that was opened last: what an earlier one still tells is of no interest. */
let current: File | undefined;

async function open(file: File) {
  current = file;
  result.hidden = true;
  say(`Reading ${file.name} …`);
  const progress = proxy((offset: number) => {
    if (current === file) {
      say(`Reading ${file.name}: ${bytes(offset)} of ${bytes(file.size)} …`);
    }
  });
  try {
    const summary = await decoder.read(file, progress);
    if (current === file) {
      show(file, summary);
    }
  } catch (error) {
    if (current === file) {
      say(`${file.name}: ${error instanceof Error ? error.message : String(error)}`, true);
    }
  }
}

function say(text: string, isError = false) {
  status.textContent = text;
  status.classList.toggle("error", isError);
}

function show(file: File, summary: Summary) {
  say(`${file.name}: ${count(summary.containers.length, "container")}`);
  const lines = [headline(summary), ...warnings(summary)].map((line) => {
    const paragraph = document.createElement("p");
    paragraph.textContent = line;
    return paragraph;
  });
  result.replaceChildren(...lines, ...(summary.containers.length > 0 ? [table(summary.containers)] : []));
  result.hidden = false;
}

interface Column {
  title: string;
  kind: "" | "number" | "code";
  text: (container: Container) => string;
}

const COLUMNS: Column[] = [
  { title: "Container", kind: "code", text: (c) => (c.id.length === 64 ? c.id.slice(0, 12) : c.id) },
  { title: "Runtime", kind: "", text: (c) => c.runtime ?? "–" },
  { title: "Own namespaces", kind: "code", text: (c) => c.ownNamespaces.join("\n") },
  { title: "Processes", kind: "number", text: (c) => c.processes.toString() },
  { title: "Peak", kind: "number", text: (c) => c.peakProcesses.toString() },
  { title: "Threads", kind: "number", text: (c) => c.threads.toString() },
  { title: "First", kind: "number", text: (c) => (c.firstExact ? "" : "before ") + seconds(c.first) },
  { title: "Last", kind: "number", text: (c) => (c.last === undefined ? "running" : seconds(c.last)) },
  { title: "Commands", kind: "code", text: (c) => few(c.commands, 6) },
];

function table(containers: readonly Container[]): HTMLTableElement {
  const made = document.createElement("table");
  const head = made.createTHead().insertRow();
  for (const { title, kind } of COLUMNS) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.textContent = title;
    cell.className = kind;
    head.append(cell);
  }
  const body = made.createTBody();
  for (const container of containers) {
    const row = body.insertRow();
    for (const { text, kind } of COLUMNS) {
      const cell = row.insertCell();
      cell.textContent = text(container);
      cell.className = kind;
    }
  }
  return made;
}

input.addEventListener("change", () => {
  const file = input.files?.[0];
  if (file) {
    void open(file);
  }
});
for (const type of ["dragover", "dragleave", "drop"]) {
  window.addEventListener(type, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", type === "dragover");
  });
}
window.addEventListener("drop", (event) => {
  const file = event.dataTransfer?.files[0];
  if (file) {
    void open(file);
  }
});
