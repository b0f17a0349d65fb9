// Times, counts and sizes as text. Not here: where the values come from.

/** Bytes in binary units. */
export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = value < 1 ? 0 : Math.min(Math.floor(Math.log2(value) / 10), units.length - 1);
  return `${power === 0 ? Math.round(value).toString() : (value / 2 ** (10 * power)).toFixed(1)} ${units[power] ?? ""}`;
}

/** A number of things, in words. */
export function count(value: number, noun: string): string {
  return `${value.toLocaleString("en")} ${noun}${value === 1 ? "" : "s"}`;
}

/** The first few, and how many more there are. */
export function few(values: readonly string[], most: number): string {
  const more = values.length - most;
  return values.slice(0, most).join(", ") + (more > 0 ? `, and ${more.toString()} more` : "");
}

/** A length of time in the unit that suits it, from ns. */
export function duration(ns: number): string {
  const size = Math.abs(ns);
  if (size < 1e3) {
    return `${ns.toFixed(0)} ns`;
  }
  if (size < 1e6) {
    return `${(ns / 1e3).toFixed(size < 1e4 ? 2 : 1)} µs`;
  }
  if (size < 1e9) {
    return `${(ns / 1e6).toFixed(size < 1e7 ? 2 : 1)} ms`;
  }
  if (size < 120e9) {
    return `${(ns / 1e9).toFixed(3)} s`;
  }
  const seconds = Math.round(ns / 1e9);
  const two = (value: number) => value.toString().padStart(2, "0");
  return `${Math.floor(seconds / 3600).toString()}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)} h`;
}

/** A moment as seconds since the beginning, with as many digits as a step of `step` ns needs. */
export function moment(ns: number, step = 1e3): string {
  const digits = Math.min(9, Math.max(0, 9 - Math.floor(Math.log10(Math.max(step, 1)))));
  return `${(ns / 1e9).toFixed(digits)} s`;
}

/** A moment of the wall clock in UTC with microseconds; `began` in ms since 1970. */
export function wall(began: number, ns: number): string {
  const at = began + Math.floor(ns / 1e6);
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) {
    return "";
  }
  const micro = Math.floor((ns / 1e3) % 1e3).toString().padStart(3, "0");
  return date.toISOString().replace("T", " ").replace("Z", `${micro} UTC`);
}

/**
 * Text of a trace as it may be shown in a line: what is not to be seen, or changes the direction of what follows, is
 * written out; the far end of what is too long is left out.
 */
export function plain(text: string, most = 200): string {
  const shown = text.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (char) => `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`,
  );
  return shown.length > most ? `${shown.slice(0, most)}…` : shown;
}

/** A word of a command line. */
export function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}
