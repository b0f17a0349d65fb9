// The part of the time that is in sight. Not here: the page and the canvas.

import { duration, moment, wall } from "./format";

/** The least that a window may show, ns. */
const LEAST = 100;

/** The part of the time that is in sight, and how wide it is drawn. Of the page it knows nothing else. */
export class TimeWindow {
  /** ns since the beginning. */
  from = 0;
  to = 1;
  /** All the time there is, ns. */
  length = 1;

  /** Where a time is drawn, px. */
  x(time: number, width: number): number {
    return ((time - this.from) / (this.to - this.from)) * width;
  }

  /** The time that is drawn there, ns. */
  time(x: number, width: number): number {
    return this.from + (x / width) * (this.to - this.from);
  }

  /** Shows from one time to another, kept within what there is. */
  look(from: number, to: number) {
    const size = Math.min(Math.max(to - from, LEAST), this.length);
    this.from = Math.min(Math.max(0, from), this.length - size);
    this.to = this.from + size;
  }

  /** So much time is there. What was in sight stays, unless that was all or is gone. */
  extend(length: number, fresh: boolean) {
    const whole = this.to - this.from >= this.length * 0.999;
    this.length = Math.max(1, length);
    if (fresh || whole || this.from >= this.length) {
      [this.from, this.to] = [0, this.length];
    }
  }
}

/** Two times that were measured, ns. */
export interface Measured {
  from: number;
  to: number;
}

/**
 * The time at the cursor, relative, by the wall clock, and in ns; or what was measured; or what is in sight. `began`: ms
 * since 1970, where it is known. `step`: ns of a pixel.
 */
export function readout(
  window: TimeWindow,
  time: number | undefined,
  measured: Measured | undefined,
  began: number | undefined,
  step: number,
): string {
  if (measured) {
    const { from, to } = measured;
    return `${duration(Math.abs(to - from))} from ${moment(Math.min(from, to))} to ${moment(Math.max(from, to))}`;
  }
  if (time === undefined) {
    return `${moment(window.from)} to ${moment(window.to)}, ${duration(window.to - window.from)} in sight`;
  }
  const clock = began === undefined ? "" : `${wall(began, time)} · `;
  return `${moment(time, step)} · ${clock}${Math.round(time).toLocaleString("en")} ns`;
}
