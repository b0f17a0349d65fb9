// The picture, its window of time and what is selected in it. Not here: reading files, and the tables.

import { ROW, drawAxis, drawMap, drawRows, widthOf } from "./drawing";
import { type Surface, listen } from "./gestures";
import { Labels } from "./labels";
import { type Palette, palette } from "./palette";
import type { Loaded, Picture, PlacedRow } from "./protocol";
import { type Measured, TimeWindow, readout } from "./window";

/** How long a window has to stay to be settled, ms. */
const SETTLED = 400;

/** What the timeline asks of the page. */
export interface Host {
  /** Wants a picture of these rows and this time, soon. */
  want(): void;
  /** `time` is where it was chosen, ns. */
  select(trace: number, row: number | undefined, time: number | undefined): void;
  toggle(trace: number, row: number | undefined): void;
  /** The window has changed; `settled` once it stays. */
  moved(settled: boolean): void;
}

/** The picture: rows of spans over time, with an axis, a minimap, and the labels of the rows beside it. */
export class Timeline implements Surface {
  readonly window = new TimeWindow();
  selected: { trace: number; row: number | undefined } | undefined;
  found = new Set<string>();
  cursor: number | undefined;
  measured: Measured | undefined;
  /** Began at this wall clock, ms; undefined where not known. */
  private began: number | undefined;
  private picture: Picture | undefined;
  private overview: Picture | undefined;
  private loaded: Loaded[] = [];
  private colours: Palette = palette();
  private drawing = false;
  private settle: ReturnType<typeof setTimeout> | undefined;
  private readonly names: Labels;

  constructor(
    private readonly host: Host,
    readonly scroller: HTMLElement,
    private readonly filler: HTMLElement,
    readonly labels: HTMLElement,
    readonly canvas: HTMLCanvasElement,
    private readonly axis: HTMLCanvasElement,
    readonly map: HTMLCanvasElement,
    private readonly readout: HTMLElement,
  ) {
    this.names = new Labels(labels, scroller);
    listen(this);
    const wanted = () => {
      this.host.want();
      this.draw();
    };
    scroller.addEventListener("scroll", wanted);
    new ResizeObserver(wanted).observe(scroller);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.colours = palette();
      this.draw();
    });
  }

  get from(): number {
    return this.window.from;
  }

  get to(): number {
    return this.window.to;
  }

  get length(): number {
    return this.window.length;
  }

  get width(): number {
    return widthOf(this.canvas);
  }

  /** Place of the first row in sight. */
  get firstRow(): number {
    return Math.floor(this.scroller.scrollTop / ROW);
  }

  get rowCount(): number {
    return Math.ceil(this.scroller.clientHeight / ROW) + 1;
  }

  /** Other recordings, or more of them. `fresh`: all of the time is shown. */
  load(loaded: Loaded[], fresh: boolean) {
    this.loaded = loaded;
    this.began = loaded.find(({ offset }) => offset === 0)?.facts.began;
    this.window.extend(Math.max(1, ...loaded.map(({ offset, facts }) => offset + facts.duration)), fresh);
  }

  show(picture: Picture) {
    this.picture = picture;
    this.filler.style.height = `${(picture.total * ROW).toString()}px`;
    this.draw();
  }

  /** The picture of all the time, for the minimap. */
  showOverview(picture: Picture) {
    this.overview = picture;
    this.draw();
  }

  scrollTo(place: number) {
    const top = place * ROW;
    const { scrollTop, clientHeight } = this.scroller;
    if (top < scrollTop || top + ROW > scrollTop + clientHeight) {
      // The filler may not be long enough yet.
      this.filler.style.height = `${Math.max(this.filler.offsetHeight, top + ROW).toString()}px`;
      this.scroller.scrollTop = Math.max(0, top - clientHeight / 2);
    }
  }

  /** Shows a window of time, kept within what there is. */
  look(from: number, to: number) {
    this.window.look(from, to);
    this.host.want();
    this.host.moved(false);
    this.draw();
    clearTimeout(this.settle);
    this.settle = setTimeout(() => {
      this.host.moved(true);
    }, SETTLED);
  }

  /** Forgets what was measured. */
  unmeasure() {
    this.measured = undefined;
  }

  fit() {
    this.look(0, this.length);
  }

  zoom(factor: number, at = (this.from + this.to) / 2) {
    this.look(at - (at - this.from) * factor, at + (this.to - at) * factor);
  }

  /** Moves by a part of the window. */
  pan(part: number) {
    const by = (this.to - this.from) * part;
    this.look(this.from + by, this.to + by);
  }

  rowAt(y: number): PlacedRow | undefined {
    const place = Math.floor((y + this.scroller.scrollTop) / ROW);
    return this.picture && this.rowOf(place - this.picture.first);
  }

  rowOf(index: number): PlacedRow | undefined {
    return this.picture?.rows[index];
  }

  select(row: PlacedRow, time?: number) {
    this.host.select(row.trace, row.row, time);
  }

  toggle(row: PlacedRow) {
    this.host.toggle(row.trace, row.row);
  }

  /** The selected row's neighbour in sight; the first row where none is selected. */
  neighbour(step: number): PlacedRow | undefined {
    const rows = this.picture?.rows ?? [];
    const at = rows.findIndex((row) => this.isSelected(row));
    return at < 0 ? rows[0] : rows[at + step];
  }

  selectedRow(): PlacedRow | undefined {
    return this.picture?.rows.find((row) => this.isSelected(row));
  }

  private isSelected(row: PlacedRow): boolean {
    return this.selected?.trace === row.trace && this.selected.row === row.row;
  }

  /** Draws all, once, before the next frame. */
  draw() {
    if (!this.drawing) {
      this.drawing = true;
      requestAnimationFrame(() => {
        this.drawing = false;
        this.drawNow();
      });
    }
  }

  private drawNow() {
    performance.mark("draw");
    const { window, picture, overview, loaded, colours, measured, cursor, width, began } = this;
    const isSelected = (row: PlacedRow) => this.isSelected(row);
    const scrollTop = this.scroller.scrollTop;
    const scene = { window, picture, overview, loaded, colours, measured, cursor, scrollTop, isSelected };
    this.names.show(picture, this.found, isSelected);
    drawRows(this.canvas, scene);
    drawAxis(this.axis, scene);
    drawMap(this.map, scene);
    const time = cursor === undefined ? undefined : window.time(cursor, width);
    this.readout.textContent = readout(window, time, measured, began, (window.to - window.from) / width);
    performance.measure("frame", "draw");
  }
}
