// The picture of samples without structure that is laid beside the map, in place of the slice: drawn
// as the map is, with the same scale of colours.

import type { ReadonlySignal } from "@preact/signals-core";

import { CanvasScatter } from "../draw/canvas_scatter";
import { fitDomain, starPath } from "../draw/geometry";
import { height } from "../draw/loss_scale";
import { MAP_MARGIN, OwnPlot } from "../draw/plot";
import { type Dots, LOOK } from "../draw/scatter";
import { type ColourScale, pathsOf, sharesOf } from "../map/map";
import { NULLS } from "../panels/trust";
import type { State } from "../state";
import { h, s } from "../ui/dom";
import { resized } from "../ui/effects";
import type { Null } from "../wire";

const TITLES: Record<string, string> = {
  shuffled: "The same map with shuffled losses",
  isotropic: "Isotropic noise, mapped in the same way",
  walk: "Random walks, mapped in the same way",
};

export class NullView {
  private readonly title = h("div", { class: "lw-title" });
  private readonly picture = s("svg", { class: "lw-null-picture", role: "img" });
  private readonly host = h("div", { class: "lw-figure" }, this.picture);
  private readonly plot = new OwnPlot(this.host, MAP_MARGIN);
  private readonly scatter: CanvasScatter;
  private readonly verdict = h("div", { class: "lw-colours" });
  readonly element = h(
    "div",
    { class: "lw-column lw-null", "data-testid": "null", hidden: true },
    this.title,
    this.host,
    this.verdict,
  );

  private readonly size: ReadonlySignal<number>;

  constructor(until: AbortSignal) {
    this.scatter = new CanvasScatter(this.host, until);
    this.size = resized(this.picture, until);
  }

  /** `scale` is that of the map's colours. */
  draw(state: State, scale: ColourScale | null): void {
    this.size.value;
    const { compareWith: kind, beside } = state;
    this.element.hidden = kind === "nothing";
    if (kind === "nothing") return;
    this.title.textContent = `${TITLES[kind] ?? ""}${state.penalty ? ", without the penalty" : ""}`;
    this.picture.setAttribute("aria-label", `Map of ${NULLS[kind]}`);
    const trust = beside?.trust;
    this.verdict.replaceChildren(
      trust
        ? h("p", { class: `lw-verdict lw-${trust.level}` }, trust.sentence)
        : h("p", { class: "lw-quiet" }, beside ? "Being judged…" : ""),
    );
    const { plot } = this;
    const { left, top, width, height } = plot.area;
    if (width <= 1 || height <= 1) return;
    const frame = s("rect", { class: "lw-frame", x: left, y: top, width, height });
    if (!beside) {
      const middle = { x: left + width / 2, y: top + height / 2 };
      this.scatter.clear();
      this.picture.replaceChildren(
        frame,
        s("text", { class: "lw-empty", ...middle }, "computing…"),
      );
      return;
    }
    const { x: across, y: upwards } = fitDomain(beside.points, width, height);
    plot.setDomain("x", across);
    plot.setDomain("y", upwards);
    this.scatter.draw(dotsOf(beside, state, scale), plot, 0);
    const star = beside.samples.kind.indexOf("trained");
    const [x, y] = plot.toPixel(beside.points[2 * star]!, beside.points[2 * star + 1]!);
    const place = { transform: `translate(${x} ${y})` };
    this.picture.replaceChildren(
      frame,
      ...(Number.isFinite(x) ? [s("path", { class: "lw-star", d: starPath(10), ...place })] : []),
    );
  }

  /** Whether all of it is on the screen. */
  get still(): boolean {
    return this.scatter.still;
  }
}

function dotsOf(
  { points, columns, samples }: Null,
  { colourBy, lossScale }: State,
  scale: ColourScale | null,
): Dots {
  const raw = columns[colourBy] ?? columns.loss!;
  const values = scale?.logarithmic ? raw.map((value) => height(lossScale, value)) : raw;
  const looks = Uint8Array.from(samples.kind, (kind, i) =>
    !Number.isFinite(points[2 * i]!)
      ? LOOK.none
      : kind === "trained"
        ? LOOK.star
        : scale && Number.isFinite(values[i]!)
          ? LOOK.point
          : LOOK.hollow,
  );
  const shares = sharesOf(values, scale?.low ?? 0, scale?.high ?? 1);
  return { points, looks, shares, depth: null, names: new Map(), paths: pathsOf(samples) };
}
