// What is said of a place on a plane, and of a sample near it.

import { short } from "../draw/colours";
import type { Point } from "../draw/geometry";
import { heights, lossAt } from "../draw/loss_scale";
import { between } from "../draw/plane_geometry";
import { label } from "../names";
import type { State } from "../state";
import type { PlaneData } from "../wire";

/** Steps of the grid to a place along an axis. */
export const stepOf = ({ extent: [low, high], size }: PlaneData, value: number): number =>
  ((value - low) / (high - low)) * (size - 1);

/** `names` are those of the samples that the plane goes through. */
export function toldAt(
  { info, quantity }: State,
  data: PlaneData,
  [a, b]: Point,
  names: readonly [string, string] | null,
): string[] {
  const lines = (info.quantities ?? []).flatMap(({ name, label: known, scale }) => {
    const values = data.values[name];
    if (!values) return [];
    const label = name === quantity.name ? quantity.label : known; // with its penalty
    const found = between(heights(scale, values), data.size, stepOf(data, a), stepOf(data, b));
    return `${label} ${Number.isFinite(found) ? short(lossAt(scale, found)) : "not finite"}`;
  });
  const [first, second] = [short(a, 2), short(b, 2)];
  lines.push(
    names
      ? `${first} of the way to ${names[0]}, ${second} to ${names[1]}`
      : `${first} and ${second} along the axes`,
  );
  return lines;
}

export function toldOf(
  { columns, quantity, samples }: State,
  data: PlaneData,
  index: number,
): string[] {
  const value = columns[quantity.name]?.[index] ?? Number.NaN;
  const radius = columns.radius?.[index] ?? 0;
  const away = data.distances[index]!;
  const share = radius > 0 ? `, ${short((100 * away) / radius, 2)}% of that from θ*` : "";
  return [
    label(index, samples),
    `${quantity.label} ${Number.isFinite(value) ? short(value) : "not finite"}`,
    `distance from the plane ${short(away, 2)}${share}`,
  ];
}
