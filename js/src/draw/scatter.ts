// What a scatter of samples shows, whoever draws it: bqplot's marks, or a canvas where there are
// too many samples for an element each, or no widget manager.

import type { Scales } from "./scales";

/** How a sample is drawn; later ones lie over earlier ones. */
export const LOOK = { none: 0, waiting: 1, point: 2, hollow: 3, diamond: 4, star: 5 } as const;

export interface Dots {
  /** Where the samples are, (x0, y0, x1, ...), in data. */
  points: Float32Array;
  /** One of `LOOK` for each. */
  looks: Uint8Array;
  /** Which share of the scale of colours those have that are coloured, from 0 to 1. */
  shares: Float32Array;
  /** From −1, far, to 1, near; null on a map of two dimensions. */
  depth: Float32Array | null;
  /** What stands beside some of them. */
  names: ReadonlyMap<number, string>;
  /** Samples that a line joins, in turn. */
  paths: readonly (readonly number[])[];
}

export interface Scatter {
  /** Show these; points that were shown before move to their places within `glide` ms. */
  draw(dots: Dots, scales: Scales, glide: number): void;
  /** Dim what is not selected, where anything is. */
  emphasise(selected: readonly number[]): void;
  /** The plot has another size, or shows another range. */
  relayout(): void;
  /** Show nothing. */
  clear(): void;
  /** Whether all of it is on the screen and in its place. */
  readonly still: boolean;
}

const GREY = [150, 150, 150] as const; // seen on black as on white, whatever colour is inside
const TRAINED = [224, 33, 138] as const;

/** How samples are drawn: circles but for diamonds, areas in px², lines in px; as in figures.py. */
export const LOOKS = {
  [LOOK.waiting]: { area: 28, line: [153, 153, 153], width: 1, filled: false },
  [LOOK.point]: { area: 42, line: GREY, width: 0.7, filled: true },
  [LOOK.hollow]: { area: 36, line: [198, 40, 40], width: 1.5, filled: false },
  [LOOK.diamond]: { area: 130, line: TRAINED, width: 2, filled: true },
  // A dot: the star is drawn over it by whoever lays marks over the map.
  [LOOK.star]: { area: 40, line: TRAINED, width: 1.5, filled: true },
} as const;

/** How opaque lines are; beside a selection all of the grey around points is needed. */
export const lineOpacity = (look: number, selecting: boolean): number =>
  look === LOOK.point && !selecting ? 0.6 : 1;

/** How large a sample looks, as a share of the area of those in the middle of the map. */
export const nearness = (depth: number): number => 0.9 + 0.5 * depth;

/** Of what is not selected while something is. */
const FAINT = 0.28;

/** How opaque a sample is; `chosen` is null where nothing is selected. */
export function opacity(look: number, chosen: boolean | null, depth: number | null): number {
  if (look === LOOK.waiting || look === LOOK.star) return 1;
  if (chosen !== null) return chosen ? 1 : look === LOOK.diamond ? 0.5 : FAINT;
  return (look === LOOK.point ? 0.9 : 1) * (depth === null ? 1 : 0.7 + 0.3 * depth);
}

const LAYERS = 512; // of depth, that are told apart

/** In which order samples are painted: by their looks, the nearer later, else by number. */
export function paintOrder(looks: Uint8Array, depth: Float32Array | null): Uint32Array {
  const layers = depth ? LAYERS : 1;
  // A named diamond lies over another by its number, whatever is nearer.
  const key = (i: number) => {
    const look = looks[i]!;
    const sorted = depth && look < LOOK.diamond;
    const at = sorted ? Math.floor(((depth[i]! + 1) / 2) * LAYERS) : 0;
    return look * layers + Math.min(LAYERS - 1, Math.max(0, at));
  };
  const first = new Uint32Array((LOOK.star + 1) * layers + 1);
  for (let i = 0; i < looks.length; i++) if (looks[i]) first[key(i) + 1]!++;
  for (let k = 1; k < first.length; k++) first[k]! += first[k - 1]!;
  const order = new Uint32Array(first[first.length - 1]!);
  for (let i = 0; i < looks.length; i++) if (looks[i]) order[first[key(i)]!++] = i;
  return order;
}
