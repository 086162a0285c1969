// What very many lines have in common, read from the table that holds them.

import { quantilesOf } from "./geometry";

export interface Summary {
  /** Of the lines asked for, those that are in the table, and those that are not. */
  known: number[];
  missing: number[];
  /** Quartiles of those that are, over the values of each place. */
  lower: number[];
  median: number[];
  upper: number[];
  /** The least and the greatest value, where one is finite. */
  ends: number[];
}

/** Of lines of `width` values each in a table, one after the other; NaN begins those not known. */
export function summarise(
  table: Float32Array | undefined,
  width: number,
  lines: readonly number[],
): Summary {
  const isKnown = (line: number) =>
    table !== undefined && (line + 1) * width <= table.length && !Number.isNaN(table[line * width]);
  const known: number[] = [];
  const missing: number[] = [];
  for (const line of lines) (isKnown(line) ? known : missing).push(line);
  const found: Summary = { known, missing, lower: [], median: [], upper: [], ends: [] };
  if (!known.length) return found;
  const column = new Float64Array(known.length);
  let [least, greatest] = [Infinity, -Infinity];
  for (let a = 0; a < width; a++) {
    let n = 0;
    for (const line of known) {
      const value = table![line * width + a]!;
      if (!Number.isFinite(value)) continue;
      column[n++] = value;
      if (value < least) least = value;
      if (value > greatest) greatest = value;
    }
    const [lower, median, upper] = quantilesOf(column.subarray(0, n), [0.25, 0.5, 0.75]);
    found.lower.push(lower!);
    found.median.push(median!);
    found.upper.push(upper!);
  }
  if (greatest >= least) found.ends = [least, greatest];
  return found;
}
