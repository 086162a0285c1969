// The geometry and the colours of a plane through θ* and two samples, free of any DOM.

import { gather, logTicks, viridis } from "./colours";
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

// From fine to coarse: round numbers in each power of ten, about as far apart on a logarithmic scale.
const STEPS = [
  [1, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.8, 2, 2.2, 2.5, 2.8, 3, 3.5, 4, 4.5, 5, 5.5, 6, 7, 8, 9],
  [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8],
  [1, 1.5, 2, 3, 5, 7],
  [1, 2, 5],
];

/** Heights for contours from low to high, at most `most` of them and not many fewer: round losses, as log10. */
export function levels(low: number, high: number, most: number): { at: number; text: string }[] {
  for (const steps of STEPS) {
    const found = gather(low, high, steps, 1);
    if (found.length <= most) return found.length >= 3 ? found : logTicks(low, high, most);
  }
  return logTicks(low, high, most);
}

/** Pieces (i0, j0, i1, j1) of the line on which a grid has the value `level`: marching squares. */
export function contour(
  values: ArrayLike<number>,
  size: number,
  level: number,
): [number, number, number, number][] {
  const pieces: [number, number, number, number][] = [];
  for (let i = 0; i < size - 1; i++) {
    for (let j = 0; j < size - 1; j++) {
      const corners: [number, number][] = [
        [i, j],
        [i + 1, j],
        [i + 1, j + 1],
        [i, j + 1],
      ];
      const heights = corners.map(([k, l]) => values[k * size + l]! - level);
      if (!heights.every(Number.isFinite)) continue;
      // Where the sides of the cell are crossed, in turn.
      const crossed = corners.flatMap(([k, l], side) => {
        const [here, there] = [heights[side]!, heights[(side + 1) % 4]!];
        if (here >= 0 === there >= 0) return [];
        const [m, n] = corners[(side + 1) % 4]!;
        const t = here / (here - there);
        return [[k + t * (m - k), l + t * (n - l)] as const];
      });
      // Four crossings are a saddle: which corners are joined is told by the value amidst them.
      const mean = (heights[0]! + heights[1]! + heights[2]! + heights[3]!) / 4;
      const turn = crossed.length === 4 && mean >= 0 !== heights[0]! >= 0 ? 1 : 0;
      for (let c = 0; c + 1 < crossed.length; c += 2) {
        pieces.push([
          ...crossed[(c + turn) % crossed.length]!,
          ...crossed[(c + turn + 1) % crossed.length]!,
        ]);
      }
    }
  }
  return pieces;
}
