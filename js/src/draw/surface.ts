// A grid of heights as a surface in three dimensions: where its cells are seen, from the farthest to
// the nearest, and how bright. Free of any DOM.

import { extentOf, type Point } from "./geometry";
import type { Rotation } from "./rotation";

/** Heights over a grid, in a box around 0 that is about 1 wide. */
export interface Surface {
  size: number;
  /** (x0, y0, z0, x1, ...) by rows of the first axis; z is NaN where nothing is known. */
  points: Float32Array;
  heights: Float32Array;
  /** From the grid's own coordinates and a height to the box. */
  place(a: number, b: number, height: number): [number, number, number];
}

const TALL = 0.5; // the range of heights, in widths of the surface

/** Seen from an angle to the right, and from so far above the horizon: the third axis stays upright. */
export function viewFrom(azimuth: number, elevation: number): Rotation {
  const [c, s] = [Math.cos(azimuth), Math.sin(azimuth)];
  const [ce, se] = [Math.cos(elevation), Math.sin(elevation)];
  return [c, s, 0, -s * se, c * se, ce, s * ce, -c * ce, se];
}

/**
 * The surface of heights at (a, b) for a and b in `extent`, with lengths and angles by the Gram matrix
 * of the two axes, or over a box of its own where a plane has x and y.
 */
export function surfaceOf(
  heights: Float32Array,
  size: number,
  [alow, ahigh]: readonly number[],
  [blow, bhigh]: readonly number[],
  gram: readonly number[],
): Surface {
  const [aa, ab, , bb] = gram as [number, number, number, number];
  const first = Math.sqrt(aa);
  const along = ab / first;
  const across = Math.sqrt(Math.max(bb - along * along, 0));
  const flat = (a: number, b: number): Point => [a * first + b * along, b * across];
  const corners = [alow!, ahigh!].flatMap((a) => [flat(a, blow!), flat(a, bhigh!)]);
  const [x0, x1] = extentOf(corners.map(([x]) => x));
  const [y0, y1] = extentOf(corners.map(([, y]) => y));
  const unit = 1 / Math.max(x1 - x0, y1 - y0);
  const [low, high] = extentOf(heights);
  const tall = high > low ? TALL / (high - low) : 0;
  const place = (a: number, b: number, height: number): [number, number, number] => {
    const [x, y] = flat(a, b);
    return [
      (x - (x0 + x1) / 2) * unit,
      (y - (y0 + y1) / 2) * unit,
      (height - low) * tall - TALL / 2,
    ];
  };
  const points = new Float32Array(3 * size * size);
  for (let i = 0; i < size; i++)
    for (let j = 0; j < size; j++) {
      const a = alow! + ((ahigh! - alow!) * i) / (size - 1);
      const b = blow! + ((bhigh! - blow!) * j) / (size - 1);
      points.set(place(a, b, heights[i * size + j]!), 3 * (i * size + j));
    }
  return { size, points, heights, place };
}

/** Cells of a surface as they are seen. */
export interface Facets {
  /** Which cells, i · size + j of their first corner, from the farthest to the nearest. */
  order: Int32Array;
  /** By cell: how much light it gets, from 0 to 1. */
  light: Float32Array;
  /** Of each point of the grid: to the right and upwards. */
  flat: Float32Array;
}

const LIGHT = [-0.35, 0.35, 0.87] as const; // from the upper left of the screen, and the eye

export function facetsOf({ size, points }: Surface, view: Rotation): Facets {
  const n = size * size;
  const flat = new Float32Array(2 * n);
  const depth = new Float32Array(n);
  for (let k = 0; k < n; k++) {
    const [right, up, near] = seen(view, points[3 * k]!, points[3 * k + 1]!, points[3 * k + 2]!);
    flat[2 * k] = right;
    flat[2 * k + 1] = up;
    depth[k] = near;
  }
  const light = new Float32Array(n);
  const far = new Float32Array(n);
  const cells: number[] = [];
  for (let i = 0; i < size - 1; i++)
    for (let j = 0; j < size - 1; j++) {
      const k = i * size + j;
      const corners = [k, k + size, k + size + 1, k + 1];
      if (!corners.every((corner) => Number.isFinite(points[3 * corner + 2]!))) continue;
      cells.push(k);
      far[k] = corners.reduce((sum, corner) => sum + depth[corner]!, 0);
      light[k] = brightness(points, corners, view);
    }
  const order = Int32Array.from(cells).sort((p, q) => far[p]! - far[q]!);
  return { order, light, flat };
}

/** To the right, upwards and towards the eye. */
export function seen(view: Rotation, x: number, y: number, z: number): [number, number, number] {
  return [
    view[0] * x + view[1] * y + view[2] * z,
    view[3] * x + view[4] * y + view[5] * z,
    view[6] * x + view[7] * y + view[8] * z,
  ];
}

/** By the angle between the light and the normal of a cell, from its two diagonals. */
function brightness(points: Float32Array, corners: number[], view: Rotation): number {
  const across = (from: number, to: number) =>
    [0, 1, 2].map((c) => points[3 * to + c]! - points[3 * from + c]!) as [number, number, number];
  const [u, v] = [across(corners[0]!, corners[2]!), across(corners[1]!, corners[3]!)];
  const normal = [
    u[1] * v[2] - u[2] * v[1],
    u[2] * v[0] - u[0] * v[2],
    u[0] * v[1] - u[1] * v[0],
  ] as const;
  const [x, y, z] = seen(view, ...normal);
  return Math.abs(LIGHT[0] * x + LIGHT[1] * y + LIGHT[2] * z) / (Math.hypot(x, y, z) || 1);
}

const NEIGHBOURS = 6;

/**
 * Heights of scattered points (x0, y0, x1, ...) as a grid: at each of its places the mean of the
 * nearest points, the nearer the more; NaN where the nearest is farther than `reach`.
 */
export function gridOf(
  points: Float32Array,
  heights: Float32Array,
  size: number,
  [xlow, xhigh]: readonly number[],
  [ylow, yhigh]: readonly number[],
  reach: number,
): Float32Array {
  const found = new Float32Array(size * size).fill(Number.NaN);
  const known = Array.from(heights.keys()).filter(
    (n) => Number.isFinite(heights[n]!) && Number.isFinite(points[2 * n]!),
  );
  for (let i = 0; i < size; i++)
    for (let j = 0; j < size; j++) {
      const x = xlow! + ((xhigh! - xlow!) * i) / (size - 1);
      const y = ylow! + ((yhigh! - ylow!) * j) / (size - 1);
      const near: { away: number; height: number }[] = [];
      for (const n of known) {
        const away = Math.hypot(points[2 * n]! - x, points[2 * n + 1]! - y);
        if (near.length === NEIGHBOURS && away >= near[NEIGHBOURS - 1]!.away) continue;
        let at = near.length;
        while (at > 0 && near[at - 1]!.away > away) at--;
        near.splice(at, 0, { away, height: heights[n]! });
        if (near.length > NEIGHBOURS) near.pop();
      }
      if (!near.length || near[0]!.away > reach) continue;
      let [sum, weight] = [0, 0];
      for (const { away, height } of near) {
        const share = 1 / (away + reach / 10) ** 2;
        sum += share * height;
        weight += share;
      }
      found[i * size + j] = sum / weight;
    }
  return found;
}
