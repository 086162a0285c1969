// Where the loss along slices is lowest, with the penalty and without: how far the one moves the other.

import { height } from "../draw/loss_scale";
import type { Plot } from "../draw/plot";
import { lowestAlong } from "../penalty";
import type { State } from "../state";
import { h, s } from "../ui/dom";
import type { Line } from "./slice_lines";

const SIZE = 5; // px

/** A triangle that points down at a place; hollow for where the lowest place was. */
export const lowestMark = (x: number, y: number, hollow: boolean): SVGElement =>
  s("path", {
    class: hollow ? "lw-lowest lw-was" : "lw-lowest",
    d: `M${-SIZE},${-2 * SIZE - 2}H${SIZE}L0,-2Z`,
    transform: `translate(${x} ${y})`,
  });

/** Both marks on each line, where there is a penalty. */
export function lowestMarks(plot: Plot, lines: readonly Line[], state: State): SVGElement[] {
  const { penalty, quantity, alphas, unpenalisedProfiles } = state;
  if (!penalty || quantity.name !== "loss") return [];
  const width = alphas.length;
  return lines.flatMap(({ index, values }) => {
    const plain = unpenalisedProfiles.loss?.subarray(index * width, (index + 1) * width) ?? [];
    const [was, is] = [lowestAlong(alphas, plain), lowestAlong(alphas, values)];
    const parts: SVGElement[] = [];
    if (was) parts.push(markAt(plot, was.at, valueAt(alphas, values, was.at), state, true));
    if (is) parts.push(markAt(plot, is.at, is.value, state, false));
    return parts;
  });
}

function markAt(plot: Plot, alpha: number, value: number, state: State, hollow: boolean) {
  return lowestMark(...plot.toPixel(alpha, height(state.quantity.scale, value)), hollow);
}

/** Along a line between two of its points. */
function valueAt(places: readonly number[], values: ArrayLike<number>, at: number): number {
  const next = places.findIndex((place) => place >= at);
  if (next <= 0) return values[Math.max(next, 0)]!;
  const share = (at - places[next - 1]!) / (places[next]! - places[next - 1]!);
  return values[next - 1]! + share * (values[next]! - values[next - 1]!);
}

/** What the marks mean, for the legend. */
export function lowestLegend(): HTMLElement[] {
  const entry = (text: string, hollow: boolean) => {
    const icon = s("svg", { class: "lw-symbol", viewBox: "-7 -14 14 14", "aria-hidden": "true" });
    icon.append(lowestMark(0, 0, hollow));
    return h("span", { class: "lw-legend-entry" }, icon, text);
  };
  return [entry("lowest", false), entry("lowest without the penalty", true)];
}
