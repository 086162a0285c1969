// Contours of a grid: at which heights, along which lines, and where their labels go.

import { gather, logTicks } from "./colours";
import type { Point } from "./geometry";

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

/** Lines (i, j) that pieces make where they meet end to end; the first point again closes one. */
export function joined(pieces: readonly [number, number, number, number][]): Point[][] {
  const key = (i: number, j: number) => `${Math.round(i * 1e5)},${Math.round(j * 1e5)}`;
  const meeting = new Map<string, number[]>();
  pieces.forEach(([i0, j0, i1, j1], n) => {
    for (const end of [key(i0, j0), key(i1, j1)])
      meeting.set(end, [...(meeting.get(end) ?? []), n]);
  });
  const used = new Uint8Array(pieces.length);
  const follow = (line: Point[]) => {
    for (;;) {
      const [i, j] = line[line.length - 1]!;
      const here = key(i, j);
      const next = meeting.get(here)!.find((n) => !used[n]);
      if (next === undefined) return line;
      used[next] = 1;
      const [i0, j0, i1, j1] = pieces[next]!;
      line.push(key(i0, j0) === here ? [i1, j1] : [i0, j0]);
    }
  };
  const lines: Point[][] = [];
  pieces.forEach(([i0, j0, i1, j1], n) => {
    if (used[n]) return;
    used[n] = 1;
    const ahead = follow([
      [i0, j0],
      [i1, j1],
    ]);
    const behind = follow([[i0, j0]]).slice(1);
    lines.push([...behind.reverse(), ...ahead]);
  });
  return lines;
}

/** Where on a line a label of a width stands, and how it is turned, so that it reads from the left. */
export interface Place {
  x: number;
  y: number;
  angle: number;
  /** The points of the line that it covers: from, to. */
  covers: [number, number];
}

/**
 * The straightest stretch of a line of pixels that a label of `width` has room on, at least `gap`
 * away from what is in its way; null where there is none.
 */
export function labelPlace(
  line: readonly Point[],
  width: number,
  gap: number,
  taken: readonly Point[],
  fits: (x: number, y: number) => boolean,
): Place | null {
  const along = [0];
  for (let n = 1; n < line.length; n++)
    along.push(along[n - 1]! + distance(line[n - 1]!, line[n]!));
  let best: Place | null = null;
  let straightest = 0.9; // the chord as a share of the line that it covers
  for (let from = 0, to = 0; from < line.length; from++) {
    while (to < line.length && along[to]! - along[from]! < width) to++;
    if (to >= line.length) break;
    const [start, end] = [line[from]!, line[to]!];
    const straight = distance(start, end) / (along[to]! - along[from]!);
    if (straight <= straightest) continue;
    const [x, y] = [(start[0] + end[0]) / 2, (start[1] + end[1]) / 2];
    if (!fits(x, y) || taken.some((other) => distance(other, [x, y]) < gap)) continue;
    const turned = Math.atan2(end[1] - start[1], end[0] - start[0]);
    const angle = Math.abs(turned) > Math.PI / 2 ? turned - Math.sign(turned) * Math.PI : turned;
    straightest = straight;
    best = { x, y, angle, covers: [from, to] };
  }
  return best;
}

const distance = ([a, b]: Point, [c, d]: Point): number => Math.hypot(a - c, b - d);
