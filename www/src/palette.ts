// The colours of the canvas. Not here: what is drawn in them.

/** The colours of the canvas, which knows no style sheet: read from it, once for each scheme. */
export interface Palette {
  dark: boolean;
  text: string;
  soft: string;
  line: string;
  page: string;
  accent: string;
  /** What has the host's namespaces. */
  host: string;
  lost: string;
  throttled: string;
  density: string;
  cpu: string;
  mark: string;
  change: string;
}

export function palette(): Palette {
  const style = getComputedStyle(document.documentElement);
  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);
  const value = (name: string) => {
    probe.style.color = style.getPropertyValue(`--${name}`);
    return getComputedStyle(probe).color;
  };
  const found = {
    dark: matchMedia("(prefers-color-scheme: dark)").matches,
    text: value("text"),
    soft: value("soft"),
    line: value("line"),
    page: value("page"),
    accent: value("accent"),
    host: value("host"),
    lost: value("error"),
    throttled: value("throttled"),
    density: value("density"),
    cpu: value("cpu"),
    mark: value("mark"),
    change: value("change"),
  };
  probe.remove();
  return found;
}

/** The colour of a namespace set: neighbours in number are far apart in hue. */
export function colour(set: number, { dark }: Palette): string {
  const hue = Math.round((set * 137.508) % 360);
  return dark ? `hsl(${hue.toString()} 45% 48%)` : `hsl(${hue.toString()} 52% 62%)`;
}
