// The easiest way to the sample that is selected, as a second curve in the slice.

import { height } from "../draw/loss_scale";
import type { Plot } from "../draw/plot";
import type { State } from "../state";
import { capitalised, h, s } from "../ui/dom";

/** The curve: α is the share of the way. */
export function wayMarks(plot: Plot, { way, quantity }: State): SVGElement[] {
  if (!way || way.straight) return [];
  const places: string[] = [];
  way.shares.forEach((share, i) => {
    const loss = way.losses[i]!;
    if (Number.isFinite(loss))
      places.push(plot.toPixel(share, height(quantity.scale, loss)).join(","));
  });
  return [
    s("polyline", {
      class: "lw-easiest",
      points: places.join(" "),
      "data-testid": "easiest-curve",
    }),
  ];
}

/** What it is, and the button that shows it or hides it. */
export function wayEntry(state: State): HTMLElement[] {
  if (state.wayEnd < 0) return [];
  const button = h(
    "button",
    {
      class: "lw-button lw-small",
      type: "button",
      "data-testid": "easiest",
      "aria-pressed": String(state.showsWay),
      disabled: !state.alive && !state.way,
      title: "The lowest way to it that is found through the samples, beside the straight line",
    },
    "Easiest way",
  );
  button.addEventListener("click", () => {
    state.easiest.value = !state.showsWay;
  });
  const { way } = state;
  if (!way) return [button];
  const parts: HTMLElement[] = [button];
  if (!way.straight) {
    const icon = s("svg", { class: "lw-dash", viewBox: "0 0 22 8", "aria-hidden": "true" });
    icon.append(s("line", { class: "lw-easiest", x1: 2, x2: 21, y1: 4, y2: 4 }));
    parts.push(h("span", { class: "lw-legend-entry" }, icon, "easiest way"));
  }
  parts.push(
    h("span", { class: "lw-note", "data-testid": "way-text" }, `${capitalised(way.text)}.`),
  );
  return parts;
}
