// The geometry and the colours of a plane through θ* and two samples, free of any DOM.

import { viridis } from "./colours";
import { extentOf, type Point } from "./geometry";

export interface Frame {
  /** From (a, b) to pixels: x = m[0] a + m[2] b + m[4], y = m[1] a + m[3] b + m[5]. */
  matrix: [number, number, number, number, number, number];
  toPixel(a: number, b: number): Point;
  toPlane(x: number, y: number): Point;
}

/**
 * The plane in its true shape, as large as it may be in a box: angles and lengths are those of the
 * weights. The first direction goes to the right, the second upwards. `gram` holds the inner
 * products of the two directions, by rows.
 */
export function trueShape(
  gram: readonly number[],
  [low, high]: readonly number[],
  width: number,
  height: number,
): Frame {
  const [aa, ab, , bb] = gram as [number, number, number, number];
  const first = Math.sqrt(aa);
  const along = ab / first;
  const across = Math.sqrt(Math.max(bb - along * along, 0));
  const place = (a: number, b: number): Point => [a * first + b * along, -b * across];
  const corners = [low!, high!].flatMap((a) => [place(a, low!), place(a, high!)]);
  const [x0, x1] = extentOf(corners.map(([x]) => x));
  const [y0, y1] = extentOf(corners.map(([, y]) => y));
  const unit = Math.min(width / (x1 - x0), height / (y1 - y0));
  const m: Frame["matrix"] = [
    unit * first,
    0,
    unit * along,
    -unit * across,
    width / 2 - (unit * (x0 + x1)) / 2,
    height / 2 - (unit * (y0 + y1)) / 2,
  ];
  return {
    matrix: m,
    toPixel: (a, b) => [m[0] * a + m[2] * b + m[4], m[1] * a + m[3] * b + m[5]],
    toPlane: (x, y) => {
      const b = (y - m[5]) / m[3];
      return [(x - m[4] - m[2] * b) / m[0], b];
    },
  };
}

/** A value of a size × size grid (i the slower) between its points; NaN outside, or beside one. */
export function between(values: ArrayLike<number>, size: number, i: number, j: number): number {
  if (!(i >= 0 && j >= 0 && i <= size - 1 && j <= size - 1)) return NaN;
  const [i0, j0] = [Math.min(Math.floor(i), size - 2), Math.min(Math.floor(j), size - 2)];
  const [u, v] = [i - i0, j - j0];
  const at = (k: number, l: number) => values[(i0 + k) * size + j0 + l]!;
  return (1 - u) * ((1 - v) * at(0, 0) + v * at(0, 1)) + u * ((1 - v) * at(1, 0) + v * at(1, 1));
}

/**
 * An image of the grid, `finer` pixels a step: the first axis to the right, the second upwards.
 * What is not finite is left clear.
 */
export function paint(
  values: ArrayLike<number>,
  size: number,
  [low, high]: readonly number[],
  finer: number,
) {
  const side = (size - 1) * finer + 1;
  const pixels = new Uint8ClampedArray(4 * side * side);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const value = between(values, size, x / finer, (side - 1 - y) / finer);
      if (!Number.isFinite(value)) continue;
      pixels.set([...viridis((value - low!) / (high! - low!)), 255], 4 * (y * side + x));
    }
  }
  return { side, pixels };
}
