// What the pointer and the wheel do to the window of time. Not here: how it is drawn.

import { widthOf } from "./drawing";
import type { PlacedRow } from "./protocol";
import type { Measured, TimeWindow } from "./window";

/** What the pointer and the wheel act on. */
export interface Surface {
  readonly window: TimeWindow;
  readonly canvas: HTMLCanvasElement;
  readonly map: HTMLCanvasElement;
  readonly labels: HTMLElement;
  readonly scroller: HTMLElement;
  /** Where the pointer is over the picture, px. */
  cursor: number | undefined;
  measured: Measured | undefined;
  look(from: number, to: number): void;
  zoom(factor: number, at: number): void;
  pan(part: number): void;
  draw(): void;
  /** The row that is drawn so far down, px. */
  rowAt(y: number): PlacedRow | undefined;
  /** The row of a label. */
  rowOf(index: number): PlacedRow | undefined;
  /** `time` is where, ns. */
  select(row: PlacedRow, time?: number): void;
  toggle(row: PlacedRow): void;
}

/** How far a pointer may move and still click, px. */
const STILL = 3;

/** From now on wheel, mouse and fingers move, zoom, measure and select. */
export function listen(surface: Surface) {
  wheel(surface);
  pointers(surface);
  minimap(surface);
  labels(surface);
}

function wheel(surface: Surface) {
  const { canvas, scroller, window } = surface;
  canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const unit = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
      const [dx, dy] = [event.deltaX * unit, event.deltaY * unit];
      const width = widthOf(canvas);
      if (event.altKey) {
        scroller.scrollTop += dy;
      } else if (event.shiftKey || (Math.abs(dx) > Math.abs(dy) && !event.ctrlKey)) {
        surface.pan((event.shiftKey && dx === 0 ? dy : dx) / width);
      } else {
        // Pinching comes as a wheel with Ctrl, in smaller steps.
        surface.zoom(Math.exp(dy * (event.ctrlKey ? 0.01 : 0.002)), window.time(event.offsetX, width));
      }
    },
    { passive: false },
  );
}

function pointers(surface: Surface) {
  const { canvas, scroller, window } = surface;
  const time = (x: number) => window.time(x, widthOf(canvas));
  const down = new Map<number, { x: number; y: number }>();
  let begun: { x: number; y: number; from: number; to: number; top: number; measure: boolean } | undefined;
  let pinch: { distance: number; from: number; to: number; at: number } | undefined;
  const spread = () => {
    const [a, b] = [...down.values()];
    return a && b ? { distance: Math.max(20, Math.abs(a.x - b.x)), middle: (a.x + b.x) / 2 } : undefined;
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    down.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
    const two = spread();
    const { from, to } = window;
    if (two) {
      begun = undefined;
      pinch = { distance: two.distance, from, to, at: time(two.middle) };
      return;
    }
    begun = { x: event.offsetX, y: event.offsetY, from, to, top: scroller.scrollTop, measure: event.shiftKey };
    if (event.shiftKey) {
      surface.measured = { from: time(event.offsetX), to: time(event.offsetX) };
    }
  });
  canvas.addEventListener("pointermove", (event) => {
    if (down.has(event.pointerId)) {
      down.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
    }
    surface.cursor = event.offsetX;
    const two = spread();
    if (pinch && two) {
      const factor = pinch.distance / two.distance;
      surface.look(pinch.at - (pinch.at - pinch.from) * factor, pinch.at + (pinch.to - pinch.at) * factor);
    } else if (begun?.measure && surface.measured) {
      surface.measured.to = time(event.offsetX);
    } else if (begun && Math.hypot(event.offsetX - begun.x, event.offsetY - begun.y) > STILL) {
      const by = ((begun.x - event.offsetX) / widthOf(canvas)) * (begun.to - begun.from);
      scroller.scrollTop = begun.top + begun.y - event.offsetY;
      canvas.classList.add("dragged");
      surface.look(begun.from + by, begun.to + by);
    }
    surface.draw();
  });
  const up = (event: PointerEvent) => {
    down.delete(event.pointerId);
    pinch = undefined;
    canvas.classList.remove("dragged");
    if (begun && !begun.measure && Math.hypot(event.offsetX - begun.x, event.offsetY - begun.y) <= STILL) {
      const row = surface.rowAt(event.offsetY);
      surface.measured = undefined;
      if (row) {
        surface.select(row, time(event.offsetX));
      }
    }
    begun = undefined;
  };
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("pointerleave", () => {
    surface.cursor = undefined;
    surface.draw();
  });
  canvas.addEventListener("dblclick", (event) => {
    const row = surface.rowAt(event.offsetY);
    if (row?.expandable) {
      surface.toggle(row);
    }
  });
}

function minimap(surface: Surface) {
  const { map, window } = surface;
  const jump = (event: PointerEvent) => {
    const at = (event.offsetX / Math.max(1, map.clientWidth)) * window.length;
    const half = (window.to - window.from) / 2;
    surface.look(at - half, at + half);
  };
  map.addEventListener("pointerdown", (event) => {
    map.setPointerCapture(event.pointerId);
    jump(event);
  });
  map.addEventListener("pointermove", (event) => {
    if (map.hasPointerCapture(event.pointerId)) {
      jump(event);
    }
  });
}

function labels(surface: Surface) {
  const at = (event: MouseEvent) => {
    const target = event.target as HTMLElement;
    const item = target.closest<HTMLElement>("[role=treeitem]");
    return { row: surface.rowOf(Number(item?.dataset.index)), onFold: target.closest(".fold") !== null };
  };
  surface.labels.addEventListener("click", (event) => {
    const { row, onFold } = at(event);
    if (row && onFold && row.expandable) {
      surface.toggle(row);
    } else if (row) {
      surface.select(row);
    }
  });
  surface.labels.addEventListener("dblclick", (event) => {
    const { row, onFold } = at(event);
    if (row?.expandable && !onFold) {
      surface.toggle(row);
    }
  });
}
