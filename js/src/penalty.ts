// The penalised loss, L(θ) + λ₁ ‖θ‖₁ + λ₂ ‖θ‖₂²: the kernel sends the norms once, and any strength
// is added here. What it sends is said in landscape_widgets/widget/sides/norms.py.

import { short } from "./draw/colours";
import { floats } from "./wire";

export interface Penalty {
  l1: number;
  l2: number;
  /** Which tensors count: "weights" or "all". */
  tensors: string;
}

export interface Norms {
  /** ‖θ‖₁ and ‖θ‖₂² of each sample, and ‖θ‖₂² as far behind θ*, at α = −1. */
  l1: Float32Array;
  l2: Float32Array;
  behind: Float32Array;
  /** ‖θ‖₁ along the slices of all samples; empty where there are too many. */
  along: Float32Array;
  /** What counts, in words, and the tensors that do not. */
  counted: string;
  leftOut: string[];
}

export const normsOf = (raw: Record<string, unknown>): Norms => ({
  l1: floats(raw.l1),
  l2: floats(raw.l2),
  behind: floats(raw.behind),
  along: floats(raw.along),
  counted: String(raw.counted),
  leftOut: raw.left_out as string[],
});

/** What stands behind "loss + ". */
export function formula({ l1, l2 }: Penalty): string {
  const parts = [
    ...(l1 > 0 ? [`${short(l1)}·‖θ‖₁`] : []),
    ...(l2 > 0 ? [`${short(l2)}·‖θ‖₂²`] : []),
  ];
  return parts.join(" + ");
}

/** The penalty of each sample, or of each point of a plane. */
export const penalties = ({ l1, l2 }: Pick<Norms, "l1" | "l2">, penalty: Penalty): Float32Array =>
  l1.map((norm, i) => (penalty.l1 && penalty.l1 * norm) + (penalty.l2 && penalty.l2 * l2[i]!));

/** Losses of samples with their penalties. */
export const penalised = (losses: Float32Array, penalty: Float32Array): Float32Array =>
  losses.map((loss, i) => loss + penalty[i]!);

/**
 * Slices, row by row, with their penalties; NaN where a slice is not known, or ‖θ‖₁ along it is
 * wanted and is not.
 *
 * `rows` has ‖θ‖₁ along slices that came one by one.
 */
export function penalisedRows(
  losses: Float32Array,
  norms: Norms,
  { l1, l2 }: Penalty,
  alphas: readonly number[],
  rows: ReadonlyMap<number, Float32Array>,
): Float32Array {
  const width = alphas.length;
  const found = new Float32Array(losses.length);
  const start = norms.l2[0]!; // of θ*, which is sample 0
  for (let i = 0; i * width < losses.length; i++) {
    const [ahead, behind] = [norms.l2[i]!, norms.behind[i]!];
    const [slope, bend] = [(ahead - behind) / 2, (ahead + behind) / 2 - start];
    const row =
      norms.along.length > 0 ? norms.along.subarray(i * width, (i + 1) * width) : rows.get(i);
    for (let a = 0; a < width; a++) {
      const alpha = alphas[a]!;
      const first = l1 > 0 ? l1 * (row?.[a] ?? NaN) : 0;
      const second = l2 > 0 ? l2 * (start + alpha * (slope + alpha * bend)) : 0;
      found[i * width + a] = losses[i * width + a]! + first + second;
    }
  }
  return found;
}

/** The place of the lowest finite value; −1 where there is none. */
export function lowestOf(values: ArrayLike<number>): number {
  let lowest = -1;
  for (let i = 0; i < values.length; i++)
    if (Number.isFinite(values[i]) && !(values[i]! >= values[lowest]!)) lowest = i;
  return lowest;
}

/**
 * Where values over round steps are lowest, and how low: the vertex of the parabola through the
 * lowest one and its neighbours. Null where none is finite.
 */
export function lowestAlong(
  places: ArrayLike<number>,
  values: ArrayLike<number>,
): { at: number; value: number } | null {
  const lowest = lowestOf(values);
  if (lowest < 0) return null;
  const [x, y] = [places[lowest]!, values[lowest]!];
  if (lowest === 0 || lowest === values.length - 1) return { at: x, value: y };
  const [u, v] = [places[lowest - 1]! - x, places[lowest + 1]! - x];
  const [p, q] = [(values[lowest - 1]! - y) / u, (values[lowest + 1]! - y) / v];
  const bend = (q - p) / (v - u);
  if (!(bend > 0)) return { at: x, value: y };
  const slope = p - bend * u;
  return { at: x - slope / (2 * bend), value: y - slope ** 2 / (4 * bend) };
}

/** Where a grid of values, by rows of the first axis, is lowest; as `lowestAlong` along each axis. */
export function lowestOver(
  values: Float32Array,
  axis: readonly number[],
): readonly [number, number] | null {
  const lowest = lowestOf(values);
  if (lowest < 0) return null;
  const size = axis.length;
  const [row, column] = [Math.floor(lowest / size), lowest % size];
  const across = axis.map((_, i) => values[i * size + column]!);
  const along = values.subarray(row * size, (row + 1) * size);
  return [lowestAlong(axis, across)!.at, lowestAlong(axis, along)!.at];
}

/** Strengths of a slider by its places: 0, and then from 1e-6 to 1, ten to a decade. */
export const PLACES = 61;
export const strengthAt = (place: number): number =>
  place <= 0 ? 0 : Number((10 ** (-6 + (place - 1) / 10)).toPrecision(2));

/** The place that is nearest to a strength. */
export const placeOf = (strength: number): number =>
  strength > 0 ? Math.min(PLACES, Math.max(1, Math.round(10 * (Math.log10(strength) + 6)) + 1)) : 0;
