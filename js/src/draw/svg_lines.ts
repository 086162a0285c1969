// Lines and axes in an SVG of the page's own, which look as bqplot's do.

import { s } from "../ui/dom";
import { type Lines, MARK, type Mark, type Tick } from "./lines";
import type { Plot } from "./plot";

// All of this as in figures.py.
const LOOKS: Record<Mark, { colour: string; width: number; opacity: number; dashes?: string }> = {
  [MARK.band]: { colour: "#0072b2", width: 0, opacity: 0.18 },
  [MARK.faint]: { colour: "#56b4e9", width: 1, opacity: 0.26 },
  [MARK.train]: { colour: "#0072b2", width: 2.4, opacity: 1 },
  [MARK.val]: { colour: "#0072b2", width: 2, opacity: 1, dashes: "10 5" },
  [MARK.median]: { colour: "#1b87cf", width: 3, opacity: 1 },
};
const ALPHAS: readonly Tick[] = [-0.5, 0, 0.5, 1, 1.5].map((at) => ({
  at,
  text: String(at).replace("-", "−"),
}));
const NAME = "α, from the trained weights (0) to the sample (1)";
const OFFSET = { x: 34, y: 50 }; // px from an axis to its name, as bqplot lays it out
const TICK = 6; // px
// From where a text is placed to its baseline, as d3's axes have it.
const [BELOW, BESIDE] = ["0.71em", "0.32em"];

interface Curves {
  xs: readonly number[];
  ys: (number | null)[][];
  colours: readonly string[];
}

export class SvgLines implements Lines {
  private readonly axes = s("g", { class: "lw-axes" });
  private readonly plot = s("svg", { class: "lw-lines" });
  private readonly marks = Object.values(MARK).map(() => s("g", {}));
  private readonly curves: (Curves | undefined)[] = [];
  private label = "";
  private ticks: readonly Tick[] = [];
  private waiting = false;

  constructor(
    private readonly scales: Plot,
    private readonly signal: AbortSignal,
  ) {
    const picture = s("svg", { class: "lw-picture", "aria-hidden": "true" });
    this.plot.append(...this.marks);
    picture.append(this.axes, this.plot);
    scales.host.prepend(picture);
  }

  put(
    mark: Mark,
    xs: readonly number[],
    ys: (number | null)[][],
    colours: readonly string[] = [],
  ): void {
    this.curves[mark] = { xs, ys, colours };
    this.relayout();
  }

  setTicks(label: string, ticks: readonly Tick[]): void {
    [this.label, this.ticks] = [label, ticks];
    this.relayout();
  }

  /** Draw in the next animation frame, once for all that has changed by then. */
  relayout(): void {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      if (!this.signal.aborted) this.draw();
    });
  }

  get still(): boolean {
    return !this.waiting;
  }

  private draw(): void {
    const { left, top, width, height } = this.scales.area;
    for (const [name, value] of Object.entries({ x: left, y: top, width, height }))
      this.plot.setAttribute(name, String(value));
    this.axes.replaceChildren(...this.across(), ...this.upwards());
    for (const mark of Object.values(MARK)) this.drawMark(mark);
  }

  private across(): SVGElement[] {
    const { left, top, width, height } = this.scales.area;
    const bottom = top + height;
    const [low, high] = this.scales.domain("x");
    const ticks = ALPHAS.filter(({ at }) => at >= low && at <= high).flatMap(({ at, text }) => {
      const [x] = this.scales.toPixel(at, 0);
      return [
        s("line", { x1: x, x2: x, y1: bottom, y2: bottom + TICK }),
        s("text", { x, y: bottom + TICK + 3, dy: BELOW }, text),
      ];
    });
    const place = { x: left + width / 2, y: bottom + OFFSET.x };
    return [...ticks, s("text", place, NAME)];
  }

  private upwards(): SVGElement[] {
    const { left, top, height } = this.scales.area;
    const [low, high] = this.scales.domain("y");
    const ticks = this.ticks
      .filter(({ at }) => at >= low && at <= high)
      .flatMap(({ at, text }) => {
        const [, y] = this.scales.toPixel(0, at);
        return [
          s("line", { x1: left - TICK, x2: left, y1: y, y2: y }),
          s("text", { class: "lw-beside", x: left - TICK - 3, y, dy: BESIDE }, text),
        ];
      });
    const [x, y] = [left - OFFSET.y, top + height / 2];
    const turned = { x, y, transform: `rotate(-90 ${x} ${y})` };
    return [...ticks, s("text", turned, this.label)];
  }

  private drawMark(mark: Mark): void {
    const { xs, ys, colours } = this.curves[mark] ?? { xs: [], ys: [], colours: [] };
    const { colour, width, opacity, dashes } = LOOKS[mark];
    const paths =
      mark === MARK.band
        ? ys.length === 2
          ? [s("path", { d: this.between(xs, ys[0]!, ys[1]!), fill: colour, opacity })]
          : []
        : ys.map((line, n) =>
            s("path", {
              class: "lw-line",
              d: this.along(xs, line),
              stroke: colours[n] ?? colour,
              "stroke-width": width,
              "stroke-dasharray": dashes,
              opacity,
            }),
          );
    this.marks[mark]!.replaceChildren(...paths);
  }

  /** In pixels of the plot. */
  private at(x: number, y: number): string {
    const { left, top } = this.scales.area;
    const [px, py] = this.scales.toPixel(x, y);
    return `${(px - left).toFixed(2)},${(py - top).toFixed(2)}`;
  }

  private along(xs: readonly number[], ys: readonly (number | null)[]): string {
    let path = "";
    let pen = "M";
    ys.forEach((y, i) => {
      if (y !== null) path += pen + this.at(xs[i]!, y);
      pen = y === null ? "M" : "L";
    });
    return path;
  }

  private between(
    xs: readonly number[],
    lower: readonly (number | null)[],
    upper: readonly (number | null)[],
  ): string {
    const known = xs.flatMap((x, i) =>
      lower[i] == null || upper[i] == null ? [] : [[x, lower[i]!, upper[i]!] as const],
    );
    if (!known.length) return "";
    const there = known.map(([x, y]) => this.at(x, y));
    const back = known.map(([x, , y]) => this.at(x, y)).reverse();
    return `M${[...there, ...back].join("L")}Z`;
  }
}
