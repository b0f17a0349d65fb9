// The command line that shows the same as the page. Not here: how the page shows it.

import { quoted } from "./format";
import type { Loaded } from "./protocol";
import { INITIAL, type State } from "./state";

/** The command that shows the same of a file. `eventFilter`: that of the list of events. */
export function command(state: State, of: Loaded | undefined, eventFilter: string): string {
  const words = ["nsscope", state.panel === "events" ? "script" : "report"];
  if (state.definition !== INITIAL.definition) {
    words.push("--definition", quoted(state.definition));
  }
  const which = state.panel === "events" && eventFilter !== "" ? eventFilter : state.filter;
  if (which !== "") {
    words.push("--filter", quoted(which));
  }
  if (state.order !== "" && state.panel !== "events") {
    words.push("--sort", state.order);
  }
  if (state.from !== undefined && state.to !== undefined && state.panel !== "events") {
    const offset = of?.offset ?? 0;
    const seconds = (ns: number) => (Math.max(0, ns - offset) / 1e9).toFixed(9);
    words.push("--since", seconds(state.from), "--until", seconds(state.to));
  }
  return [...words, quoted(of?.name ?? "nsscope.data")].join(" ");
}
