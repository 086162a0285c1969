// Downhill on a plane: the projection of the negative gradient, and the paths that follow it. All is
// in steps of the grid, with lengths and angles by the Gram matrix of the two directions: where these
// are not perpendicular, minus the partial derivatives do not point downhill.

import type { Point } from "./geometry";
import { between } from "./plane_geometry";

/** Inner products of the two directions, by rows. */
type Gram = readonly number[];

/**
 * The partial derivatives of heights on a size × size grid, a step of it being 1: central
 * differences, at its edges one-sided. NaN beside heights that are not known.
 */
export function slopes(heights: ArrayLike<number>, size: number): [Float32Array, Float32Array] {
  const rise = (at: (n: number) => number, n: number) => {
    const [low, high] = [Math.max(n - 1, 0), Math.min(n + 1, size - 1)];
    return (at(high) - at(low)) / (high - low);
  };
  const [first, second] = [new Float32Array(size * size), new Float32Array(size * size)];
  for (let i = 0; i < size; i++)
    for (let j = 0; j < size; j++) {
      first[i * size + j] = rise((n) => heights[n * size + j]!, i);
      second[i * size + j] = rise((n) => heights[i * size + n]!, j);
    }
  return [first, second];
}

/** A field of steps downhill over a grid. */
export class Flow {
  private readonly first: Float32Array;
  private readonly second: Float32Array;

  constructor(
    readonly heights: ArrayLike<number>,
    readonly size: number,
    private readonly gram: Gram,
  ) {
    [this.first, this.second] = slopes(heights, size);
  }

  /** −G⁻¹ (∂a, ∂b) at a place between the points of the grid; NaN where that is not known. */
  downhill(i: number, j: number): Point {
    const da = between(this.first, this.size, i, j);
    const db = between(this.second, this.size, i, j);
    const [aa, ab, , bb] = this.gram as [number, number, number, number];
    const determinant = aa * bb - ab * ab;
    return [(ab * db - bb * da) / determinant, (ab * da - aa * db) / determinant];
  }

  /** How long a step is on the plane. */
  length(step: Point): number {
    return Math.sqrt(Math.max(this.inner(step, step), 0));
  }

  private inner([a, b]: Point, [c, d]: Point): number {
    const [aa, ab, , bb] = this.gram as [number, number, number, number];
    return aa * a * c + ab * (a * d + b * c) + bb * b * d;
  }

  height(i: number, j: number): number {
    return between(this.heights, this.size, i, j);
  }

  /**
   * The path of steepest descent from a place, to where it is lowest, or to the edge of what is
   * known. Its steps are halved where they would be taken back.
   */
  descend(i: number, j: number): Point[] {
    const path: Point[] = [[i, j]];
    let [x, y] = [i, j];
    // A step of the grid along the shorter direction.
    const cell = Math.min(this.length([1, 0]), this.length([0, 1]));
    for (let step = cell / 4; path.length < MOST_STEPS && step > cell / 1000; ) {
      const here = this.unit(x, y);
      const middle = here && this.unit(x + (step / 2) * here[0], y + (step / 2) * here[1]);
      const way = middle ?? here;
      if (!way) break;
      const [u, v] = [x + step * way[0], y + step * way[1]];
      const next = this.unit(u, v);
      if (next && this.inner(way, next) > 0) {
        [x, y] = [u, v];
        path.push([x, y]);
        step = Math.min(step * 1.2, cell / 4);
      } else step /= 2;
    }
    return path;
  }

  /** Downhill by the length 1 on the plane; null where it goes nowhere. */
  private unit(i: number, j: number): Point | null {
    const step = this.downhill(i, j);
    const length = this.length(step);
    return length > 0 ? [step[0] / length, step[1] / length] : null;
  }
}

const MOST_STEPS = 5000;
