// Which lines the slice has: those of the selected samples and of the one that is pointed at, or
// where many are selected their median.

import { bandEdges, describe, type Estimates, isRough } from "../draw/band";
import { LINES, POINTED } from "../draw/colours";
import type { Summary } from "../draw/summary";
import { shortLabel } from "../names";
import { onValidation, type Samples } from "../wire";

/** As in figures.py. */
const MEDIAN_COLOUR = "#1b87cf";

/** Up to so many selected samples are told apart by colour; more are drawn faint, with a median. */
const FEW = LINES.length;

export interface Line {
  /** Of the sample; −1 of what many have in common. */
  index: number;
  label: string;
  colour: string;
  dashed: boolean;
  values: ArrayLike<number>;
  /** Standard errors, where the line is from a part of the examples. */
  errors: ArrayLike<number> | null;
}

/** What the lines are drawn from. */
export interface Known {
  names: Samples["names"];
  selected: readonly number[];
  /** The sample that is pointed at; −1 for none. */
  hovered: number;
  /** What is shown. */
  quantity: string;
  alphas: readonly number[];
  /** Slices of all samples by quantity; a row that begins with NaN is not known. */
  profiles: Readonly<Record<string, Float32Array>>;
  estimates: Estimates | null;
  /** What the selected samples' lines have in common. */
  summary: Summary;
}

export interface Lines {
  alphas: readonly number[];
  /** Each sample's line, where few are selected; on the validation data dashed. */
  train: Line[];
  val: Line[];
  /** Where many are selected: their lines, the median and the quartiles at each α. */
  many: { known: number[]; median: number[]; lower: number[]; upper: number[] } | null;
  /** The lines a reader is told the values of. */
  legend: Line[];
  /** Samples whose slice is wanted and not there. */
  missing: number[];
  /** Samples on the screen that are wanted from more examples than they are. */
  doubted: number[];
  /** What the lines are from, where it is not all of the data. */
  note: string;
  /** All that the axis is to reach. */
  extent: ArrayLike<number>[];
}

export const medianName = (known: number, selected: number): string =>
  known < selected ? `median of ${known} of ${selected} selected` : `median of ${known}`;

export function linesOf(known: Known): Lines {
  const { names, selected, hovered, quantity, alphas, profiles, estimates } = known;
  const beside = onValidation(quantity);
  const errors = estimates?.errors ?? {};
  const row = (of: Float32Array | undefined, index: number) => rowOf(of, alphas.length, index);
  const has = (index: number) => row(profiles[quantity], index) !== null;
  const { known: there, missing, lower, median, upper, ends } = known.summary;
  const showsHovered = hovered >= 0 && has(hovered);
  const few = selected.length <= FEW;
  const alone = there.length + (showsHovered && !there.includes(hovered) ? 1 : 0) === 1;
  const train: Line[] = [];
  const val: Line[] = [];
  const single: number[] = [];
  const add = (index: number, colour: string, withVal: boolean) => {
    const label = shortLabel(index, { names });
    const line = (name: string, values: Float32Array, dashed: boolean): Line => ({
      index,
      label: dashed ? `${label}, validation` : label,
      colour,
      dashed,
      values,
      errors: row(errors[name], index),
    });
    single.push(index);
    train.push(line(quantity, row(profiles[quantity], index)!, false));
    const values = withVal && beside !== quantity ? row(profiles[beside], index) : null;
    if (values) val.push(line(beside, values, true));
  };
  for (const [n, i] of few ? there.entries() : [])
    if (i !== hovered) add(i, LINES[n]!, alone || there.length <= 2);
  if (showsHovered) add(hovered, POINTED, true);

  const many = few || !there.length ? null : { known: there, lower, median, upper };
  const lines = [...train, ...val];
  const common = many && {
    index: -1,
    label: medianName(there.length, selected.length),
    colour: MEDIAN_COLOUR,
    dashed: false,
    values: many.median,
    errors: null,
  };
  const estimated = estimates?.errors[quantity] ? estimates : null;
  return {
    alphas,
    train,
    val,
    many,
    legend: [...(common ? [common] : []), ...lines],
    missing: hovered >= 0 && !showsHovered ? [...missing, hovered] : missing,
    doubted: estimated ? doubted(known, single, estimated) : [],
    note: estimated
      ? describe(few ? single : [...there, ...single], estimated, single.length > 0)
      : "",
    extent: [
      ...lines.map(({ values }) => values),
      ...lines.flatMap(({ values, errors }) => (errors ? bandEdges(values, errors) : [])),
      ...(few ? [] : [ends]),
    ],
  };
}

/** Which of the samples that are drawn one by one are not known well enough. */
function doubted(
  { quantity, alphas, profiles }: Known,
  single: number[],
  { errors, examples, tolerance }: Estimates,
): number[] {
  const rough = (name: string, index: number) => {
    const values = rowOf(profiles[name], alphas.length, index);
    const of = rowOf(errors[name], alphas.length, index);
    return values !== null && of !== null && isRough(values, of, tolerance);
  };
  // Lines that are compared are to be from the same examples.
  const apart = new Set(single.map((i) => examples[i])).size > 1;
  const some = single.some((i) => rough(quantity, i) || rough(onValidation(quantity), i));
  return apart || some ? single : [];
}

function rowOf(of: Float32Array | undefined, width: number, index: number): Float32Array | null {
  const row = of?.subarray(index * width, (index + 1) * width);
  return row && row.length === width && !Number.isNaN(row[0]!) ? row : null;
}

/** Places as near to those given as they may be while none is nearer than `gap` to another. */
export function apart(places: readonly number[], gap: number, low: number, high: number): number[] {
  const order = places.map((_, n) => n).sort((a, b) => places[a]! - places[b]!);
  const found = [...places];
  let least = low;
  for (const n of order) {
    found[n] = Math.max(found[n]!, least);
    least = found[n]! + gap;
  }
  let most = high;
  for (const n of order.reverse()) {
    found[n] = Math.min(found[n]!, most);
    most = found[n]! - gap;
  }
  return found;
}
