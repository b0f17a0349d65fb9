// What is known of the chosen row, beside the picture. Not here: which row that is.

import type { Details } from "@nsscope/wasm";
import { plain } from "./format";
import { make } from "./panels";
import type { Ran } from "./protocol";

/** What can be done with one that ran. Times are ns on the common axis. */
export interface Ways {
  /** Shows who ran at another time. */
  at(time: number): void;
  zoom(from: number, to: number | undefined): void;
  row(row: number): void;
}

/** Fills the place for details; `offset` is where the recording begins on the common axis, ns. */
export function describe(place: HTMLElement, { title, lines, from, to }: Details, offset: number, ...buttons: HTMLElement[]) {
  const list = make("dl");
  for (const [name, value] of lines) {
    list.append(make("dt", "", name), make("dd", "code", plain(value, 500)));
  }
  place.replaceChildren(make("h2", "", plain(title)), list, ...buttons.flatMap((button) => [button, " "]));
  place.dataset.from = (from + offset).toString();
  place.dataset.to = to === undefined ? "" : (to + offset).toString();
}

/** The same for who had a CPU at a time. */
export function describeRan(place: HTMLElement, ran: Ran | undefined, offset: number, ways: Ways) {
  if (ran === undefined) {
    place.replaceChildren();
    return;
  }
  const button = (text: string, act: () => void) => {
    const made = make("button", "", text);
    made.addEventListener("click", act);
    return made;
  };
  const { from, to, row } = ran;
  const buttons = [
    button("Before it", () => {
      ways.at(from + offset - 1);
    }),
    button("After it", () => {
      ways.at((to ?? from) + offset + 1);
    }),
    button("Zoom to it", () => {
      ways.zoom(from + offset, to === undefined ? undefined : to + offset);
    }),
  ];
  if (row !== undefined) {
    buttons.unshift(
      button("Go to its row", () => {
        ways.row(row);
      }),
    );
  }
  describe(place, ran, offset, ...buttons);
}
