// Basins and easiest ways, as the kernel tells them; see landscape_widgets/widget/sides/basins.py.

import { floats } from "./wire";

export interface Basins {
  /** The basin of each sample; NaN of those without a finite loss. */
  labels: Float32Array;
  names: string[];
  /** The lowest sample of each, and its loss. */
  floors: number[];
  losses: number[];
  /** The highest loss on the easiest way to its parent; null where there is no way. */
  saddles: (number | null)[];
  /** The basin that each runs into; −1 for none. */
  parents: number[];
  /** How many samples there are in each. */
  counts: number[];
  /** Standard errors of the saddles. */
  errors: number[];
  sentence: string;
}

export interface Way {
  end: number;
  /** How far along the way each point is, from 0 to 1, and the loss there. */
  shares: Float32Array;
  losses: Float32Array;
  /** The samples that it leads through. */
  through: number[];
  /** Whether no way is lower than the straight one. */
  straight: boolean;
  text: string;
}

type Raw = Record<string, unknown>;

export const basinsOf = (raw: Raw): Basins =>
  ({ ...raw, labels: floats(raw.labels) }) as unknown as Basins;

export const wayOf = (raw: Raw): Way =>
  ({
    ...raw,
    end: (raw.of as { end: number }).end,
    shares: floats(raw.shares),
    losses: floats(raw.losses),
  }) as unknown as Way;

/** Between which numbers colours go: from the first basin to the last. */
export const rangeOfBasins = ({ names }: Basins): [number, number] => [
  0,
  Math.max(1, names.length - 1),
];

/**
 * Basins from left to right, so that no two lines of their tree cross.
 *
 * Each is followed by those that run into it, the lowest saddles first, with all that runs into them.
 */
export function order({ parents, saddles }: Pick<Basins, "parents" | "saddles">): number[] {
  const found: number[] = [];
  const visit = (number: number): void => {
    found.push(number);
    parents
      .flatMap((parent, child) => (parent === number ? [child] : []))
      .sort((a, b) => saddles[a]! - saddles[b]!)
      .forEach(visit);
  };
  parents.forEach((parent, number) => {
    if (parent < 0) visit(number);
  });
  return found;
}
