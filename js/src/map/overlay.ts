// What lies over the points of the map: frame, lassos, star, rings, and what the axes are.

import { starPath } from "../draw/geometry";
import type { Rotation } from "../draw/rotation";
import type { Lasso } from "../history";
import { lowestMark } from "../sides/lowest";
import type { State } from "../state";
import { s } from "../ui/dom";
import type { MapView } from "./map";
import type { Replay } from "./replay";
import { triadParts } from "./turning";

const MOST_RINGS = 12; // selected samples that are told apart on the map by a ring around each

/** What the hand is drawing, and how the map was turned when lassos were drawn. */
export interface Drawing {
  dragged: Lasso;
  lassoView: Rotation | null;
}

/** All parts, the lower ones first. */
export function overlay(
  map: MapView,
  state: State,
  replay: Replay,
  { dragged, lassoView }: Drawing,
): SVGElement[] {
  map.followLayout();
  const { left, top, width, height } = map.plot.area;
  const { solid, rotation, pixels } = map;
  const { kind: kinds, names } = state.samples;
  const otherView = solid && lassoView !== rotation;
  const parts: SVGElement[] = [s("rect", { class: "lw-frame", x: left, y: top, width, height })];
  for (const { polygon, removes } of replay.away || otherView ? [] : state.lassos)
    parts.push(lassoPart({ polygon: map.polygonPixels(polygon), removes }));
  if (dragged.polygon.length > 1) parts.push(lassoPart(dragged, " lw-drawing"));
  parts.push(...wayParts(pixels, state));
  const star = kinds.indexOf("trained");
  const [x, y] = [pixels[2 * star], pixels[2 * star + 1]];
  if (star >= 0 && Number.isFinite(x))
    parts.push(s("path", { class: "lw-star", d: starPath(10), transform: `translate(${x} ${y})` }));
  const ring = (index: number, hovered: boolean) => {
    const [cx, cy] = [pixels[2 * index]!, pixels[2 * index + 1]!];
    const r = (names[index] ? 12 : 7) + (hovered ? 2 : 0);
    if (Number.isFinite(cx))
      parts.push(s("circle", { class: hovered ? "lw-ring lw-hovered" : "lw-ring", cx, cy, r }));
  };
  const { selected, hovered } = state;
  if (selected.length <= MOST_RINGS) for (const i of selected) ring(i, false);
  if (hovered >= 0) ring(hovered, true);
  const lowest = state.lowest;
  if (lowest >= 0 && Number.isFinite(pixels[2 * lowest]!)) {
    const above = names[lowest] ? 9 : 4;
    parts.push(lowestMark(pixels[2 * lowest]!, pixels[2 * lowest + 1]! - above, false));
  }
  if (state.colourBy === "basin") parts.push(...floorNames(pixels, state));
  const { axes } = state.info;
  if (solid) parts.push(triadParts(rotation, left + 34, top + height - 34, axes));
  const [xAxis, yAxis] = solid ? [] : axes;
  if (xAxis)
    parts.push(s("text", { class: "lw-axis", x: left + width / 2, y: top + height + 16 }, xAxis));
  if (yAxis) {
    const [x, y] = [left - 8, top + height / 2];
    parts.push(s("text", { class: "lw-axis", x, y, transform: `rotate(-90 ${x} ${y})` }, yAxis));
  }
  return parts;
}

/** The easiest way, through the samples that it leads through. */
function wayParts(pixels: Float32Array, { way }: State): SVGElement[] {
  const points = (way?.through ?? [])
    .map((i) => [pixels[2 * i]!, pixels[2 * i + 1]!])
    .filter(([x]) => Number.isFinite(x));
  return points.length < 2
    ? []
    : ["lw-way lw-way-under", "lw-way"].map((kind) =>
        s("polyline", { class: kind, points: points.join(" "), "data-testid": "way" }),
      );
}

/** What basins are called that hold no sample with a name. */
const floorNames = (pixels: Float32Array, { basins }: State): SVGElement[] =>
  (basins?.floors ?? []).flatMap((floor, n) => {
    const [x, y] = [pixels[2 * floor]!, pixels[2 * floor + 1]!];
    const name = basins!.names[n]!;
    if (!name.startsWith("#") || !Number.isFinite(x)) return [];
    return [s("text", { class: "lw-place-name", x, y: y - 10 }, name)];
  });

/** A lasso; one that takes out is not filled, and another colour. */
const lassoPart = ({ polygon, removes }: Lasso, more = ""): SVGElement =>
  s("polygon", {
    class: `lw-lasso${removes ? " lw-removes" : ""}${more}`,
    points: polygon.join(" "),
  });
