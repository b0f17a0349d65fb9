import { ticks } from "d3-array";
import { duration, moment, plain, wall } from "./format";
import { type Palette, colour, palette } from "./palette";
import type { Loaded, Picture, PlacedRow } from "./protocol";

/** Height of a row, px. */
export const ROW = 24;
const AXIS = 28;
const MAP = 36;
/** The least that a window may show, ns. */
const LEAST = 100;

/** What the timeline asks of the page. */
export interface Host {
  /** Wants a picture of these rows and this time, soon. */
  want(): void;
  select(trace: number, row: number | undefined): void;
  toggle(trace: number, row: number | undefined): void;
  /** The window has changed; `settled` once it stays. */
  moved(settled: boolean): void;
}

function context(canvas: HTMLCanvasElement): CanvasRenderingContext2D {
  const context = canvas.getContext("2d");
  if (context === null) {
    throw new Error("this browser draws no canvas");
  }
  return context;
}

/** The picture: rows of spans over time, with an axis, a minimap, and the labels of the rows beside it. */
export class Timeline {
  /** The window of time, ns. */
  from = 0;
  to = 1;
  /** All the time there is, ns. */
  length = 1;
  /** Began at this wall clock, ms; undefined where not known. */
  began: number | undefined;
  selected: { trace: number; row: number | undefined } | undefined;
  found = new Set<string>();
  private picture: Picture | undefined;
  private overview: Picture | undefined;
  private loaded: Loaded[] = [];
  private colours: Palette = palette();
  private cursor: number | undefined;
  private measured: { from: number; to: number } | undefined;
  private drawing = false;
  private settle: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly host: Host,
    private readonly scroller: HTMLElement,
    private readonly filler: HTMLElement,
    private readonly labels: HTMLElement,
    private readonly canvas: HTMLCanvasElement,
    private readonly axis: HTMLCanvasElement,
    private readonly map: HTMLCanvasElement,
    private readonly readout: HTMLElement,
  ) {
    this.listen();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.colours = palette();
      this.draw();
    });
    new ResizeObserver(() => {
      this.host.want();
      this.draw();
    }).observe(scroller);
  }

  get width(): number {
    return Math.max(1, Math.floor(this.canvas.clientWidth));
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
    const whole = this.to - this.from >= this.length * 0.999;
    this.length = Math.max(1, ...loaded.map(({ offset, facts }) => offset + facts.duration));
    const first = loaded.find(({ offset }) => offset === 0);
    this.began = first?.facts.began;
    if (fresh || whole || this.from >= this.length) {
      [this.from, this.to] = [0, this.length];
    }
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
    const size = Math.min(Math.max(to - from, LEAST), this.length);
    this.from = Math.min(Math.max(0, from), this.length - size);
    this.to = this.from + size;
    this.host.want();
    this.host.moved(false);
    this.draw();
    clearTimeout(this.settle);
    this.settle = setTimeout(() => {
      this.host.moved(true);
    }, 400);
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

  private x(time: number): number {
    return ((time - this.from) / (this.to - this.from)) * this.width;
  }

  private time(x: number): number {
    return this.from + (x / this.width) * (this.to - this.from);
  }

  private listen() {
    const { canvas } = this;
    this.scroller.addEventListener("scroll", () => {
      this.host.want();
      this.draw();
    });
    canvas.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        const unit = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
        const [dx, dy] = [event.deltaX * unit, event.deltaY * unit];
        if (event.altKey) {
          this.scroller.scrollTop += dy;
        } else if (event.shiftKey || (Math.abs(dx) > Math.abs(dy) && !event.ctrlKey)) {
          this.pan((event.shiftKey && dx === 0 ? dy : dx) / this.width);
        } else {
          // Pinching comes as a wheel with Ctrl, in smaller steps.
          this.zoom(Math.exp(dy * (event.ctrlKey ? 0.01 : 0.002)), this.time(event.offsetX));
        }
      },
      { passive: false },
    );
    const pointers = new Map<number, { x: number; y: number }>();
    let begun: { x: number; y: number; from: number; to: number; top: number; measure: boolean } | undefined;
    let pinch: { distance: number; from: number; to: number; at: number } | undefined;
    const spread = () => {
      const [a, b] = [...pointers.values()];
      return a && b ? { distance: Math.max(20, Math.abs(a.x - b.x)), middle: (a.x + b.x) / 2 } : undefined;
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
      const two = spread();
      if (two) {
        begun = undefined;
        pinch = { distance: two.distance, from: this.from, to: this.to, at: this.time(two.middle) };
        return;
      }
      const { from, to } = this;
      begun = { x: event.offsetX, y: event.offsetY, from, to, top: this.scroller.scrollTop, measure: event.shiftKey };
      if (event.shiftKey) {
        this.measured = { from: this.time(event.offsetX), to: this.time(event.offsetX) };
      }
    });
    canvas.addEventListener("pointermove", (event) => {
      if (pointers.has(event.pointerId)) {
        pointers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
      }
      this.cursor = event.offsetX;
      const two = spread();
      if (pinch && two) {
        const factor = pinch.distance / two.distance;
        this.look(pinch.at - (pinch.at - pinch.from) * factor, pinch.at + (pinch.to - pinch.at) * factor);
      } else if (begun?.measure && this.measured) {
        this.measured.to = this.time(event.offsetX);
      } else if (begun && Math.hypot(event.offsetX - begun.x, event.offsetY - begun.y) > 3) {
        const by = ((begun.x - event.offsetX) / this.width) * (begun.to - begun.from);
        this.scroller.scrollTop = begun.top + begun.y - event.offsetY;
        canvas.classList.add("dragged");
        this.look(begun.from + by, begun.to + by);
      }
      this.draw();
    });
    const up = (event: PointerEvent) => {
      pointers.delete(event.pointerId);
      pinch = undefined;
      canvas.classList.remove("dragged");
      if (begun && !begun.measure && Math.hypot(event.offsetX - begun.x, event.offsetY - begun.y) <= 3) {
        const row = this.rowAt(event.offsetY);
        this.measured = undefined;
        if (row) {
          this.host.select(row.trace, row.row);
        }
      }
      begun = undefined;
    };
    canvas.addEventListener("pointerup", up);
    canvas.addEventListener("pointercancel", up);
    canvas.addEventListener("pointerleave", () => {
      this.cursor = undefined;
      this.draw();
    });
    canvas.addEventListener("dblclick", (event) => {
      const row = this.rowAt(event.offsetY);
      if (row?.expandable) {
        this.host.toggle(row.trace, row.row);
      }
    });
    const jump = (event: PointerEvent) => {
      const at = (event.offsetX / Math.max(1, this.map.clientWidth)) * this.length;
      const half = (this.to - this.from) / 2;
      this.look(at - half, at + half);
    };
    this.map.addEventListener("pointerdown", (event) => {
      this.map.setPointerCapture(event.pointerId);
      jump(event);
    });
    this.map.addEventListener("pointermove", (event) => {
      if (this.map.hasPointerCapture(event.pointerId)) {
        jump(event);
      }
    });
    this.labels.addEventListener("click", (event) => {
      const element = (event.target as HTMLElement).closest<HTMLElement>("[role=treeitem]");
      const row = this.picture?.rows[Number(element?.dataset.index)];
      if (row === undefined) {
        return;
      }
      if ((event.target as HTMLElement).closest(".fold") !== null && row.expandable) {
        this.host.toggle(row.trace, row.row);
      } else {
        this.host.select(row.trace, row.row);
      }
    });
    this.labels.addEventListener("dblclick", (event) => {
      const element = (event.target as HTMLElement).closest<HTMLElement>("[role=treeitem]");
      const row = this.picture?.rows[Number(element?.dataset.index)];
      if (row?.expandable && (event.target as HTMLElement).closest(".fold") === null) {
        this.host.toggle(row.trace, row.row);
      }
    });
  }

  private rowAt(y: number): PlacedRow | undefined {
    const place = Math.floor((y + this.scroller.scrollTop) / ROW);
    return this.picture?.rows[place - this.picture.first];
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
    this.drawLabels();
    this.drawRows();
    this.drawAxis();
    this.drawMap();
    performance.measure("frame", "draw");
  }

  private size(canvas: HTMLCanvasElement): CanvasRenderingContext2D {
    const ratio = window.devicePixelRatio;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    const wanted = [Math.round(width * ratio), Math.round(height * ratio)] as const;
    if (canvas.width !== wanted[0] || canvas.height !== wanted[1]) {
      [canvas.width, canvas.height] = wanted;
    }
    const drawn = context(canvas);
    drawn.setTransform(ratio, 0, 0, ratio, 0, 0);
    drawn.clearRect(0, 0, width, height);
    drawn.font = "12px system-ui, sans-serif";
    drawn.textBaseline = "middle";
    return drawn;
  }

  private drawLabels() {
    const { picture } = this;
    const rows = picture?.rows ?? [];
    while (this.labels.childElementCount > rows.length) {
      this.labels.lastElementChild?.remove();
    }
    for (const [index, row] of rows.entries()) {
      const item = (this.labels.children[index] as HTMLElement | undefined) ?? this.newLabel();
      item.dataset.index = index.toString();
      item.id = `row-${row.trace.toString()}-${row.row?.toString() ?? "file"}`;
      item.style.transform = `translateY(${(((picture?.first ?? 0) + index) * ROW).toString()}px)`;
      item.style.paddingInlineStart = `${(row.depth * 14).toString()}px`;
      item.className = `kind${row.kind.toString()}`;
      item.classList.toggle("found", this.found.has(`${row.trace.toString()}/${row.row?.toString() ?? ""}`));
      item.ariaLevel = (row.depth + 1).toString();
      item.ariaPosInSet = ((picture?.first ?? 0) + index + 1).toString();
      item.ariaSetSize = (picture?.total ?? 0).toString();
      item.ariaSelected = this.isSelected(row).toString();
      item.ariaExpanded = row.expandable ? row.open.toString() : null;
      const [fold, label, note] = item.children;
      if (fold && label && note) {
        fold.textContent = row.expandable ? (row.open ? "▾" : "▸") : "";
        label.textContent = plain(row.label === "" ? "?" : row.label);
        note.textContent = plain(row.note);
        item.title = `${label.textContent} ${note.textContent}`;
      }
    }
    const selected = rows.find((row) => this.isSelected(row));
    const active = selected && `row-${selected.trace.toString()}-${selected.row?.toString() ?? "file"}`;
    this.scroller.setAttribute("aria-activedescendant", active ?? "");
  }

  private newLabel(): HTMLElement {
    const item = document.createElement("div");
    item.role = "treeitem";
    for (const name of ["fold", "label", "note"]) {
      const part = document.createElement("span");
      part.className = name;
      item.append(part);
    }
    (item.firstElementChild as HTMLElement).ariaHidden = "true";
    this.labels.append(item);
    return item;
  }

  private drawRows() {
    const drawn = this.size(this.canvas);
    const { picture, colours } = this;
    const [width, height] = [this.width, this.canvas.clientHeight];
    if (picture === undefined) {
      return;
    }
    const top = this.scroller.scrollTop;
    for (const [index, row] of picture.rows.entries()) {
      const y = (picture.first + index) * ROW - top;
      if (this.isSelected(row)) {
        drawn.fillStyle = colours.line;
        drawn.globalAlpha = 0.45;
        drawn.fillRect(0, y, width, ROW);
        drawn.globalAlpha = 1;
      }
      drawn.fillStyle = colours.line;
      drawn.globalAlpha = 0.5;
      drawn.fillRect(0, y + ROW - 1, width, 1);
      drawn.globalAlpha = 1;
    }
    this.hatch(drawn, height);
    this.drawSpans(drawn, picture, top);
    this.drawCursor(drawn, height);
  }

  private drawSpans(drawn: CanvasRenderingContext2D, picture: Picture, top: number) {
    const { colours, width } = this;
    // A picture of another window is drawn where it belongs, until the right one is there.
    const scale = (picture.to - picture.from) / (this.to - this.from) / 16;
    const shift = this.x(picture.from);
    const per = (width / picture.pixels) * scale;
    const hosts = new Map(this.loaded.map(({ facts }, trace) => [trace, facts.hostSet]));
    const { spans } = picture;
    for (let at = 0; at + 4 < spans.length; at += 5) {
      const place = spans[at] ?? 0;
      const shape = (spans[at + 3] ?? 0) & 255;
      const flags = spans[at + 3] ?? 0;
      const value = spans[at + 4] ?? 0;
      const row = picture.rows[place - picture.first];
      if (row === undefined) {
        continue;
      }
      const y = place * ROW - top;
      const left = shift + (spans[at + 1] ?? 0) * per;
      const right = shift + (spans[at + 2] ?? 0) * per;
      switch (shape) {
        case 0: {
          const wide = Math.max(1, right - left);
          const neutral = value === 0 || value === hosts.get(row.trace);
          drawn.fillStyle = neutral ? colours.host : colour(value, colours);
          drawn.globalAlpha = row.kind <= 2 ? 0.28 : 1;
          drawn.fillRect(left, y + 4, wide, ROW - 9);
          drawn.globalAlpha = 1;
          if (row.kind > 2 && flags & 256) {
            this.fade(drawn, left, y, 1);
          }
          if (row.kind > 2 && flags & 512) {
            this.fade(drawn, Math.min(right, width), y, -1);
          }
          if (wide > 60 && row.kind > 2 && left < width) {
            this.name(drawn, row, Math.max(left, 0) + 5, y, Math.min(right, width) - Math.max(left, 0) - 10);
          }
          break;
        }
        case 1:
          drawn.fillStyle = colours.mark;
          drawn.fillRect(left - 0.75, y + 3, 1.5, ROW - 7);
          break;
        case 2:
          drawn.fillStyle = colours.change;
          drawn.beginPath();
          drawn.moveTo(left - 4, y + 2);
          drawn.lineTo(left + 4, y + 2);
          drawn.lineTo(left, y + 9);
          drawn.fill();
          break;
        case 3: {
          const tall = ((ROW - 9) * value) / 255;
          drawn.fillStyle = colours.density;
          drawn.fillRect(left, y + ROW - 5 - tall, Math.max(1, right - left), tall);
          break;
        }
        default: {
          const tall = Math.max(1, ((ROW - 14) * value) / 255);
          drawn.fillStyle = colours.cpu;
          drawn.fillRect(left, y + ROW - 5 - tall, Math.max(1, right - left), tall);
        }
      }
    }
  }

  /** A life that goes on beyond what is known fades out. */
  private fade(drawn: CanvasRenderingContext2D, x: number, y: number, direction: number) {
    const gradient = drawn.createLinearGradient(x, 0, x + direction * 10, 0);
    gradient.addColorStop(0, this.colours.page);
    gradient.addColorStop(1, "transparent");
    drawn.fillStyle = gradient;
    drawn.fillRect(Math.min(x, x + direction * 10), y + 4, 10, ROW - 9);
  }

  private name(drawn: CanvasRenderingContext2D, row: PlacedRow, x: number, y: number, room: number) {
    const text = plain(row.label, Math.max(1, Math.floor(room / 6)));
    drawn.fillStyle = this.colours.dark ? "#fff" : "#14171a";
    if (drawn.measureText(text).width <= room) {
      drawn.fillText(text, x, y + ROW / 2 - 0.5);
    }
  }

  /** Where records are missing. */
  private hatch(drawn: CanvasRenderingContext2D, height: number) {
    drawn.strokeStyle = this.colours.lost;
    drawn.globalAlpha = 0.5;
    drawn.beginPath();
    let before = -9;
    for (const { offset, facts } of this.loaded) {
      for (const { time } of facts.lost) {
        const x = this.x(time + offset);
        if (x < 0 || x > this.width || x - before < 3) {
          continue;
        }
        before = x;
        for (let y = -8; y < height; y += 6) {
          drawn.moveTo(x - 4, y + 8);
          drawn.lineTo(x + 4, y);
        }
      }
    }
    drawn.stroke();
    drawn.globalAlpha = 1;
  }

  private drawCursor(drawn: CanvasRenderingContext2D, height: number) {
    const { colours, measured, cursor } = this;
    if (measured) {
      const [left, right] = [this.x(Math.min(measured.from, measured.to)), this.x(Math.max(measured.from, measured.to))];
      drawn.fillStyle = colours.accent;
      drawn.globalAlpha = 0.18;
      drawn.fillRect(left, 0, right - left, height);
      drawn.globalAlpha = 1;
    }
    if (cursor !== undefined) {
      drawn.fillStyle = colours.accent;
      drawn.fillRect(cursor, 0, 1, height);
    }
    this.readout.textContent = this.told();
  }

  /** The time at the cursor, relative, by the wall clock, and in ns; or what was measured. */
  private told(): string {
    if (this.measured) {
      const { from, to } = this.measured;
      return `${duration(Math.abs(to - from))} from ${moment(Math.min(from, to))} to ${moment(Math.max(from, to))}`;
    }
    const time = this.cursor === undefined ? undefined : this.time(this.cursor);
    if (time === undefined) {
      return `${moment(this.from)} to ${moment(this.to)}, ${duration(this.to - this.from)} in sight`;
    }
    const clock = this.began === undefined ? "" : `${wall(this.began, time)} · `;
    return `${moment(time, (this.to - this.from) / this.width)} · ${clock}${Math.round(time).toLocaleString("en")} ns`;
  }

  private drawAxis() {
    const drawn = this.size(this.axis);
    const step = (this.to - this.from) / Math.max(2, this.width / 110);
    drawn.fillStyle = this.colours.soft;
    const marks = ticks(this.from, this.to, Math.max(2, this.width / 110));
    const apart = (marks[1] ?? step) - (marks[0] ?? 0);
    for (const tick of marks) {
      const x = this.x(tick);
      drawn.fillRect(x, AXIS - 6, 1, 6);
      drawn.fillText(moment(tick, apart), x + 4, AXIS / 2);
    }
  }

  private drawMap() {
    const drawn = this.size(this.map);
    const { overview, colours } = this;
    const width = this.map.clientWidth;
    if (overview) {
      const per = width / overview.pixels / 16;
      const rows = Math.max(1, overview.rows.length);
      const tall = Math.max(1, (MAP - 8) / rows);
      const hosts = new Map(this.loaded.map(({ facts }, trace) => [trace, facts.hostSet]));
      for (let at = 0; at + 4 < overview.spans.length; at += 5) {
        const place = overview.spans[at] ?? 0;
        const row = overview.rows[place];
        const value = overview.spans[at + 4] ?? 0;
        const shape = (overview.spans[at + 3] ?? 0) & 255;
        if (row === undefined || shape !== 0) {
          continue;
        }
        drawn.fillStyle = value === 0 || value === hosts.get(row.trace) ? colours.host : colour(value, colours);
        const left = (overview.spans[at + 1] ?? 0) * per;
        const right = (overview.spans[at + 2] ?? 0) * per;
        drawn.fillRect(left, 4 + place * ((MAP - 8) / rows), Math.max(1, right - left), Math.max(1, tall - 0.5));
      }
    }
    const [left, right] = [(this.from / this.length) * width, (this.to / this.length) * width];
    drawn.fillStyle = colours.page;
    drawn.globalAlpha = 0.65;
    drawn.fillRect(0, 0, left, MAP);
    drawn.fillRect(right, 0, width - right, MAP);
    drawn.globalAlpha = 1;
    drawn.strokeStyle = colours.accent;
    drawn.lineWidth = 1.5;
    drawn.strokeRect(left + 0.75, 0.75, Math.max(2, right - left - 1.5), MAP - 1.5);
  }
}
