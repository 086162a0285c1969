// The picture of samples without structure that is laid beside the map, in place of the slice: drawn
// as the map is, with the same scale of colours.

import { viridis } from "../draw/colours";
import { fitDomain } from "../draw/geometry";
import { height } from "../draw/loss_scale";
import type { ColourScale } from "../map/map";
import { starPath } from "../panels/bar";
import { NULLS } from "../panels/trust";
import type { Null, State } from "../state";
import { h, s } from "../ui/dom";

// As the map's figure has them.
const MARGIN = { top: 6, bottom: 22, left: 22, right: 6 };
const RADIUS = 3.7;

const TITLES: Record<string, string> = {
  shuffled: "The same map with shuffled losses",
  isotropic: "Isotropic noise, mapped in the same way",
  walk: "Random walks, mapped in the same way",
};

export class NullView {
  private readonly title = h("div", { class: "lw-title" });
  private readonly picture = s("svg", { class: "lw-null-picture", role: "img" });
  private readonly verdict = h("div", { class: "lw-colours" });
  readonly element = h(
    "div",
    { class: "lw-column lw-null", "data-testid": "null", hidden: true },
    this.title,
    h("div", { class: "lw-figure" }, this.picture),
    this.verdict,
  );

  constructor(
    private readonly state: State,
    private readonly scale: () => ColourScale | null,
    signal: AbortSignal,
  ) {
    const observer = new ResizeObserver(() => this.draw());
    observer.observe(this.picture);
    signal.addEventListener("abort", () => observer.disconnect());
  }

  draw(): void {
    const { compareWith: kind, beside } = this.state;
    this.element.hidden = kind === "nothing";
    if (kind === "nothing") return;
    this.title.textContent = TITLES[kind] ?? "";
    this.picture.setAttribute("aria-label", `Map of ${NULLS[kind]}`);
    const trust = beside?.trust;
    this.verdict.replaceChildren(
      trust
        ? h("p", { class: `lw-verdict lw-${trust.level}` }, trust.sentence)
        : h("p", { class: "lw-quiet" }, beside ? "Being judged…" : ""),
    );
    const { width, height } = this.picture.getBoundingClientRect();
    const plot = {
      width: width - MARGIN.left - MARGIN.right,
      height: height - MARGIN.top - MARGIN.bottom,
    };
    if (plot.width <= 0 || plot.height <= 0) return;
    const frame = s("rect", { class: "lw-frame", x: MARGIN.left, y: MARGIN.top, ...plot });
    const middle = { x: MARGIN.left + plot.width / 2, y: MARGIN.top + plot.height / 2 };
    this.picture.replaceChildren(
      frame,
      ...(beside
        ? this.marks(beside, plot)
        : [s("text", { class: "lw-empty", ...middle }, "computing…")]),
    );
  }

  private marks(beside: Null, plot: { width: number; height: number }): SVGElement[] {
    const { points, samples } = beside;
    const { x, y } = fitDomain(points, plot.width, plot.height);
    const place = (i: number): [number, number] => [
      MARGIN.left + (plot.width * (points[2 * i]! - x[0])) / (x[1] - x[0]),
      MARGIN.top + (plot.height * (y[1] - points[2 * i + 1]!)) / (y[1] - y[0]),
    ];
    const scale = this.scale();
    const values = beside.columns[this.state.colourBy] ?? beside.columns.loss!;
    const paths = new Map<number, string[]>();
    const dots: SVGElement[] = [];
    let star: SVGElement | null = null;
    samples.kind.forEach((kind, i) => {
      const [cx, cy] = place(i);
      if (!Number.isFinite(cx)) return;
      if (kind === "trained") {
        star = s("path", {
          class: "lw-star",
          d: starPath(10),
          transform: `translate(${cx} ${cy})`,
        });
        return;
      }
      const path = samples.path[i]!;
      if (path >= 0)
        paths.set(path, [...(paths.get(path) ?? []), `${cx.toFixed(1)},${cy.toFixed(1)}`]);
      const value = values[i]!;
      const shown = scale?.logarithmic ? height(this.state.lossScale, value) : value;
      dots.push(
        Number.isFinite(value) && scale
          ? s("circle", {
              class: "lw-null-dot",
              cx,
              cy,
              r: RADIUS,
              fill: `rgb(${viridis((shown - scale.low) / (scale.high - scale.low))})`,
            })
          : s("circle", { class: "lw-null-dot lw-null-hollow", cx, cy, r: RADIUS }),
      );
    });
    const lines = [...paths.values()].map((path) =>
      s("polyline", { class: "lw-null-path", points: path.join(" ") }),
    );
    return [...lines, ...dots, ...(star ? [star] : [])];
  }
}
