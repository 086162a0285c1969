// Where the bars of a spectrum are: eigenvalues along x, how many of them on a logarithmic y.

import type { Rect } from "./scales";

const LEAST = 0.5; // eigenvalues in a bin that is drawn; where the axis begins

export interface Bar {
  x: number;
  y: number;
  width: number;
  height: number;
  /** On which side of zero its eigenvalues are; 0 where that is within it. */
  side: -1 | 0 | 1;
}

export interface Tick {
  at: number;
  text: string;
}

/** Pixels of an eigenvalue and of a count. */
export interface Axes {
  x(value: number): number;
  y(count: number): number;
}

export function axesOf(edges: Float32Array, counts: Float32Array, box: Rect): Axes {
  const [low, high] = [edges[0]!, edges[edges.length - 1]!];
  const most = counts.reduce((a, b) => Math.max(a, b), 1) * 1.5;
  const share = (count: number) =>
    Math.log(Math.max(count, LEAST) / LEAST) / Math.log(most / LEAST);
  return {
    x: (value) => box.left + ((value - low) / (high - low || 1)) * box.width,
    y: (count) => box.top + box.height * (1 - share(count)),
  };
}

/** One bar for each bin that holds half an eigenvalue or more. */
export function barsOf(edges: Float32Array, counts: Float32Array, axes: Axes): Bar[] {
  return Array.from(counts).flatMap((count, n) => {
    if (!(count > LEAST)) return [];
    const [left, right] = [axes.x(edges[n]!), axes.x(edges[n + 1]!)];
    const y = axes.y(count);
    const side = edges[n + 1]! <= 0 ? -1 : edges[n]! >= 0 ? 1 : 0;
    return [{ x: left, y, width: right - left, height: axes.y(LEAST) - y, side }];
  });
}

/** 1, 10, 100, … as far as the counts go. */
export function countTicks(counts: Float32Array): Tick[] {
  const most = counts.reduce((a, b) => Math.max(a, b), 1);
  const found: Tick[] = [];
  for (let at = 1; at <= most * 1.5; at *= 10) found.push({ at, text: at.toLocaleString("en-US") });
  return found;
}

/** Round numbers between two values, `most` or fewer. */
export function roundTicks(low: number, high: number, most: number): number[] {
  const rough = (high - low) / Math.max(1, most);
  if (!(rough > 0)) return [low];
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = size * (rough <= size ? 1 : rough <= 2 * size ? 2 : rough <= 5 * size ? 5 : 10);
  const found: number[] = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9; n++)
    found.push(n * step || 0); // never −0
  return found;
}
