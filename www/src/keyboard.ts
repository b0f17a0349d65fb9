// What keys do. Not here: how the page does it.

import { ROW } from "./drawing";
import type { Timeline } from "./timeline";

/** What keys do that the timeline does not do by itself. */
export interface Keys {
  readonly timeline: Timeline;
  /** The element of the rows, which keys scroll where nothing is selected. */
  readonly rows: HTMLElement;
  /** Whether there is anything to act on, and no dialog before it. */
  ready(): boolean;
  next(step: number): unknown;
  search(): void;
  help(): void;
  zoomToSelected(): void;
  unselect(): void;
  select(trace: number, row: number | undefined): unknown;
  toggle(trace: number, row: number | undefined): unknown;
}

/** Keys that a focused table or tab list has for itself. */
const ROWS_ONLY = new Set(["ArrowDown", "ArrowUp", "ArrowLeft", "ArrowRight", "Enter", " "]);

/** From now on keys act, but for those that are typed into a field. */
export function listenToKeys(keys: Keys) {
  const actions = actionsOf(keys);
  window.addEventListener("keydown", (event) => {
    const target = event.target as HTMLElement;
    const typing = target.matches("input:not([type=checkbox]), select, textarea");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || !keys.ready()) {
      return;
    }
    if (ROWS_ONLY.has(event.key) && target !== keys.rows && target !== document.body) {
      return;
    }
    const action = actions[event.key];
    if (action) {
      event.preventDefault();
      action();
    }
  });
}

function actionsOf(keys: Keys): Record<string, () => unknown> {
  const { timeline, rows } = keys;
  const step = (by: number) => {
    const row = timeline.neighbour(by);
    if (row) {
      return keys.select(row.trace, row.row);
    }
    rows.scrollTop += by * ROW;
    return undefined;
  };
  const fold = (open: boolean, otherwise: () => unknown) => {
    const row = timeline.selectedRow();
    return row?.expandable && row.open !== open ? keys.toggle(row.trace, row.row) : otherwise();
  };
  return {
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
    n: () => keys.next(1),
    N: () => keys.next(-1),
    "/": () => {
      keys.search();
    },
    "?": () => {
      keys.help();
    },
    " ": () => {
      keys.zoomToSelected();
    },
    Escape: () => {
      keys.unselect();
    },
    ArrowDown: () => step(1),
    ArrowUp: () => step(-1),
    ArrowRight: () => fold(true, () => (timeline.selectedRow() === undefined ? undefined : step(1))),
    ArrowLeft: () => fold(false, () => step(-1)),
    Enter: () => {
      const row = timeline.selectedRow();
      return row?.expandable ? keys.toggle(row.trace, row.row) : undefined;
    },
  };
}
