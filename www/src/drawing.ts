// Draws rows, axis and overview on a canvas. Not here: where pictures come from, and what the pointer does.

import { ticks } from "d3-array";
import { moment, plain } from "./format";
import { type Palette, colour } from "./palette";
import type { Loaded, Picture, PlacedRow } from "./protocol";
import type { Measured, TimeWindow } from "./window";

/** Height of a row, px. */
export const ROW = 24;
const AXIS = 28;
const MAP = 36;

/** All that there is to draw. */
export interface Scene {
  window: TimeWindow;
  picture: Picture | undefined;
  /** The picture of all the time, for the minimap. */
  overview: Picture | undefined;
  loaded: Loaded[];
  colours: Palette;
  /** How far down the rows are scrolled, px. */
  scrollTop: number;
  measured: Measured | undefined;
  /** Where the pointer is, px. */
  cursor: number | undefined;
  isSelected(row: PlacedRow): boolean;
}

/** Width of a canvas on the page, px. */
export function widthOf(canvas: HTMLCanvasElement): number {
  return Math.max(1, Math.floor(canvas.clientWidth));
}

function context(canvas: HTMLCanvasElement): CanvasRenderingContext2D {
  const context = canvas.getContext("2d");
  if (context === null) {
    throw new Error("this browser draws no canvas");
  }
  return context;
}

function prepare(canvas: HTMLCanvasElement): CanvasRenderingContext2D {
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

export function drawRows(canvas: HTMLCanvasElement, scene: Scene) {
  const drawn = prepare(canvas);
  const { picture, colours } = scene;
  const [width, height] = [widthOf(canvas), canvas.clientHeight];
  if (picture === undefined) {
    return;
  }
  const top = scene.scrollTop;
  for (const [index, row] of picture.rows.entries()) {
    const y = (picture.first + index) * ROW - top;
    if (scene.isSelected(row)) {
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
  hatch(drawn, scene, width, height);
  drawSpans(drawn, scene, picture, width);
  drawCursor(drawn, scene, width, height);
}

function drawSpans(drawn: CanvasRenderingContext2D, scene: Scene, picture: Picture, width: number) {
  const { colours, window, scrollTop: top } = scene;
  // A picture of another window is drawn where it belongs, until the right one is there.
  const scale = (picture.to - picture.from) / (window.to - window.from) / 16;
  const shift = window.x(picture.from, width);
  const per = (width / picture.pixels) * scale;
  const hosts = new Map(scene.loaded.map(({ facts }, trace) => [trace, facts.hostSet]));
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
          fade(drawn, colours, left, y, 1);
        }
        if (row.kind > 2 && flags & 512) {
          fade(drawn, colours, Math.min(right, width), y, -1);
        }
        if (wide > 60 && row.kind > 2 && left < width) {
          name(drawn, colours, row, Math.max(left, 0) + 5, y, Math.min(right, width) - Math.max(left, 0) - 10);
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
      case 5: {
        // Who had a CPU, as high as it was busy.
        const neutral = value === 0 || value === hosts.get(row.trace);
        const tall = ((ROW - 5) * ((flags >> 8) & 255)) / 255;
        drawn.fillStyle = neutral ? colours.host : colour(value, colours);
        drawn.fillRect(left, y + ROW - 3 - tall, Math.max(0.3, right - left), tall);
        break;
      }
      case 6: {
        // From above: how many would have run, and did not.
        drawn.fillStyle = colours.lost;
        drawn.fillRect(left, y + 1, Math.max(0.5, right - left), Math.max(1, (5 * value) / 255));
        break;
      }
      case 7: {
        // At the bottom: a limit held it back, the thicker the longer.
        const tall = Math.ceil((5 * value) / 255);
        drawn.fillStyle = colours.throttled;
        drawn.fillRect(left, y + ROW - 1 - tall, Math.max(1, right - left), tall);
        break;
      }
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
function fade(drawn: CanvasRenderingContext2D, colours: Palette, x: number, y: number, direction: number) {
  const gradient = drawn.createLinearGradient(x, 0, x + direction * 10, 0);
  gradient.addColorStop(0, colours.page);
  gradient.addColorStop(1, "transparent");
  drawn.fillStyle = gradient;
  drawn.fillRect(Math.min(x, x + direction * 10), y + 4, 10, ROW - 9);
}

function name(drawn: CanvasRenderingContext2D, colours: Palette, row: PlacedRow, x: number, y: number, room: number) {
  const text = plain(row.label, Math.max(1, Math.floor(room / 6)));
  drawn.fillStyle = colours.dark ? "#fff" : "#14171a";
  if (drawn.measureText(text).width <= room) {
    drawn.fillText(text, x, y + ROW / 2 - 0.5);
  }
}

/** Where records are missing. */
function hatch(drawn: CanvasRenderingContext2D, scene: Scene, width: number, height: number) {
  drawn.strokeStyle = scene.colours.lost;
  drawn.globalAlpha = 0.5;
  drawn.beginPath();
  let before = -9;
  for (const { offset, facts } of scene.loaded) {
    for (const { time } of facts.lost) {
      const x = scene.window.x(time + offset, width);
      if (x < 0 || x > width || x - before < 3) {
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

function drawCursor(drawn: CanvasRenderingContext2D, scene: Scene, width: number, height: number) {
  const { colours, measured, cursor, window } = scene;
  if (measured) {
    const [left, right] = [
      window.x(Math.min(measured.from, measured.to), width),
      window.x(Math.max(measured.from, measured.to), width),
    ];
    drawn.fillStyle = colours.accent;
    drawn.globalAlpha = 0.18;
    drawn.fillRect(left, 0, right - left, height);
    drawn.globalAlpha = 1;
  }
  if (cursor !== undefined) {
    drawn.fillStyle = colours.accent;
    drawn.fillRect(cursor, 0, 1, height);
  }
}

export function drawAxis(canvas: HTMLCanvasElement, { window, colours }: Scene) {
  const drawn = prepare(canvas);
  const width = widthOf(canvas);
  const room = Math.max(2, width / 110);
  const step = (window.to - window.from) / room;
  drawn.fillStyle = colours.soft;
  const marks = ticks(window.from, window.to, room);
  const apart = (marks[1] ?? step) - (marks[0] ?? 0);
  for (const tick of marks) {
    const x = window.x(tick, width);
    drawn.fillRect(x, AXIS - 6, 1, 6);
    const text = moment(tick, apart);
    // One that does not fit is left out, not cut.
    if (x + 4 + drawn.measureText(text).width <= width) {
      drawn.fillText(text, x + 4, AXIS / 2);
    }
  }
}

export function drawMap(canvas: HTMLCanvasElement, { window, overview, colours, loaded }: Scene) {
  const drawn = prepare(canvas);
  const width = canvas.clientWidth;
  if (overview) {
    const per = width / overview.pixels / 16;
    const rows = Math.max(1, overview.rows.length);
    const tall = Math.max(1, (MAP - 8) / rows);
    const hosts = new Map(loaded.map(({ facts }, trace) => [trace, facts.hostSet]));
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
  const [left, right] = [(window.from / window.length) * width, (window.to / window.length) * width];
  drawn.fillStyle = colours.page;
  drawn.globalAlpha = 0.65;
  drawn.fillRect(0, 0, left, MAP);
  drawn.fillRect(right, 0, width - right, MAP);
  drawn.globalAlpha = 1;
  drawn.strokeStyle = colours.accent;
  drawn.lineWidth = 1.5;
  drawn.strokeRect(left + 0.75, 0.75, Math.max(2, right - left - 1.5), MAP - 1.5);
}
