// How sure slices are that are from a part of the examples: bands of two standard errors.

import { count, log } from "./colours";
import { extentOf } from "./geometry";
import type { Rect } from "./scales";

/** What the kernel knows of slices from a part of the examples. */
export interface Estimates {
  /** Standard errors by quantity, laid out as the profiles. */
  errors: Readonly<Record<string, Float32Array>>;
  /** How many training examples each sample's slice is from. */
  examples: Float32Array;
  /** How many there are. */
  of: number;
  /** Share of a loss that its standard error may be. */
  tolerance: number;
}

export const WIDTH = 2; // standard errors on either side

/** Whether some finite loss is known less well than the tolerance asks for. */
export function isRough(
  losses: ArrayLike<number>,
  errors: ArrayLike<number>,
  tolerance: number,
): boolean {
  for (let i = 0; i < losses.length; i++) {
    if (Number.isFinite(losses[i]!) && errors[i]! > tolerance * Math.abs(losses[i]!) * (1 + 1e-5))
      return true;
  }
  return false;
}

const DEEPEST = 0.25; // share of a loss down to which its band makes room for itself

/** How far up and down an axis is to reach for a band to be seen. */
export function bandEdges(
  losses: ArrayLike<number>,
  errors: ArrayLike<number>,
): [number[], number[]] {
  const upper = Array.from(losses, (loss, i) => loss + WIDTH * errors[i]!);
  const lower = Array.from(losses, (loss, i) =>
    Math.max(loss - WIDTH * errors[i]!, loss > 0 ? DEEPEST * loss : -Infinity),
  );
  return [upper, lower];
}

/** An SVG path around the band, on an axis of heights; it ends at the edges of the plot. */
export function bandPath(
  alphas: readonly number[],
  losses: ArrayLike<number>,
  errors: ArrayLike<number>,
  toPixel: (x: number, y: number) => readonly [number, number],
  plot: Rect,
  height: (loss: number) => number = log,
): string {
  const bottom = plot.top + plot.height;
  const point = (i: number, loss: number) => {
    const [x, y] = toPixel(alphas[i]!, height(loss));
    return `${x.toFixed(1)},${Math.min(bottom, Math.max(plot.top, y)).toFixed(1)}`;
  };
  const pieces: string[] = [];
  for (let start = 0; start < alphas.length; start++) {
    let stop = start;
    while (stop < alphas.length && Number.isFinite(losses[stop]!)) stop++;
    const run = Array.from({ length: stop - start }, (_, i) => start + i);
    if (run.some((i) => errors[i]! > 0)) {
      const upper = run.map((i) => point(i, losses[i]! + WIDTH * errors[i]!));
      const lower = run.map((i) => point(i, losses[i]! - WIDTH * errors[i]!)).reverse();
      pieces.push(`M${[...upper, ...lower].join("L")}Z`);
    }
    start = stop;
  }
  return pieces.join("");
}

/** What the lines of some samples are from, in words; "" where there are none. */
export function describe(
  indices: readonly number[],
  { examples, of }: Pick<Estimates, "examples" | "of">,
  banded: boolean,
): string {
  const [low, high] = extentOf(indices.map((i) => examples[i]!).filter((count) => count > 0));
  if (high < low) return "";
  if (low >= of) return `from all ${count(of)} examples`;
  const part = low === high ? count(low) : `${count(low)} to ${count(high)}`;
  return `from ${part} of ${count(of)} examples${banded ? `, ±${WIDTH} standard errors` : ""}`;
}
