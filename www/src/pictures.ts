// Pictures of what is in sight, made by the worker one at a time. Not here: drawing them.

import type { Remote } from "comlink";
import type { Viewer } from "./protocol";
import type { Timeline } from "./timeline";

export class Pictures {
  private isUnderway = false;
  /** Whether another is wanted after it. */
  private again = false;

  constructor(
    private readonly viewer: Remote<Viewer>,
    private readonly timeline: Timeline,
  ) {}

  /** Shows what is in sight, at once and then as closely as it is known. */
  async draw() {
    this.again = this.isUnderway;
    if (this.isUnderway) {
      return;
    }
    this.isUnderway = true;
    const { firstRow, rowCount, from, to, width } = this.timeline;
    const picture = await this.viewer.picture(firstRow, rowCount, from, to, width);
    this.timeline.show(picture);
    this.isUnderway = false;
    if (picture.isCoarse) {
      void this.closer(from, to);
    }
    if (this.again) {
      await this.draw();
    }
  }

  private async closer(from: number, to: number) {
    if (await this.viewer.closer(from, to)) {
      await this.draw();
    }
  }
}
