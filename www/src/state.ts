// What of the page is in its URL. Not here: what the page makes of it.

import { type Arrangement, BEGINNING } from "./protocol";

/** What of the page is in the URL's fragment, so that it can be linked to and the back button works. */
export interface State extends Arrangement {
  panel: string;
  /** Window of time, ns; undefined: all of it. */
  from: number | undefined;
  to: number | undefined;
  /** Text that is searched for. */
  search: string;
  /** What is selected, as a filter of the CLI has it. */
  selected: string;
}

const TEXTS = ["definition", "filter", "group", "order", "panel", "search", "selected"] as const;

export const INITIAL: State = {
  ...BEGINNING,
  panel: "containers",
  from: undefined,
  to: undefined,
  search: "",
  selected: "",
};

/** The fragment without its `#`. */
export function write(state: State): string {
  const params = new URLSearchParams();
  for (const key of TEXTS) {
    if (state[key] !== INITIAL[key]) {
      params.set(key, state[key]);
    }
  }
  if (state.from !== undefined && state.to !== undefined) {
    params.set("t", `${Math.round(state.from).toString()}-${Math.round(state.to).toString()}`);
  }
  return params.toString();
}

/** What a fragment says; what it does not say, or says wrongly, is as at first. */
export function read(fragment: string): State {
  const params = new URLSearchParams(fragment.replace(/^#/, ""));
  const state = { ...INITIAL };
  for (const key of TEXTS) {
    state[key] = params.get(key) ?? INITIAL[key];
  }
  const window = /^(\d{1,16})-(\d{1,16})$/.exec(params.get("t") ?? "");
  if (window !== null && Number(window[1]) < Number(window[2])) {
    [state.from, state.to] = [Number(window[1]), Number(window[2])];
  }
  return state;
}
