// The slice: a quantity against α, drawn in the browser from the profiles that were sent once.

import { bandEdges, bandPath, describe, type Estimates, isRough } from "../draw/band";
import type { Figure } from "../draw/bqplot";
import { LINES, POINTED } from "../draw/colours";
import { height, lossTicks } from "../draw/loss_scale";
import { type Summary, summarise } from "../draw/summary";
import { shortLabel } from "../panels/bar";
import { onValidation, type State } from "../state";

// The order in which Python lists the marks of the figure.
const BAND = 0;
const FAINT = 1;
const TRAIN = 2;
const VAL = 3;
const MEDIAN = 4;

/** As in figures.py. */
const MEDIAN_COLOUR = "#1b87cf";

/** Up to so many selected samples are told apart by colour; more are drawn faint, with a median. */
const FEW = LINES.length;
const MOST_FAINT = 40;

export interface Line {
  label: string;
  colour: string;
  dashed: boolean;
  values: ArrayLike<number>;
  /** Standard errors, where the line is from a part of the examples. */
  errors: ArrayLike<number> | null;
}

export const medianName = (known: number, selected: number): string =>
  known < selected ? `median of ${known} of ${selected} selected` : `median of ${known}`;

/**
 * The slices that the kernel is to take, the last first: of those `missing`, the ones that it was
 * `asked` for before the others. Null where it has been asked for just these.
 */
export function toAsk(asked: ReadonlySet<number>, missing: readonly number[]): number[] | null {
  const wanted = new Set(missing);
  const before = [...asked].filter((i) => wanted.has(i));
  const more = [...wanted].filter((i) => !asked.has(i));
  return more.length || before.length < asked.size ? [...before, ...more] : null;
}

export class SliceView {
  /** The lines a reader is told the values of. */
  legend: Line[] = [];
  /** Samples whose profile is wanted and not there. */
  missing: number[] = [];
  /** Samples on the screen that are wanted from more examples than they are. */
  doubted: number[] = [];
  /** How many lines are drawn, the faint ones among them. */
  lines = 0;
  /** What the lines are from, where it is not all of the data. */
  note = "";
  private profiles: Readonly<Record<string, Float32Array>> = {};
  private alphas: number[] = [];
  private estimates: Estimates | null = null;

  constructor(
    readonly figure: Figure,
    readonly state: State,
  ) {}

  /** Take up what the kernel has sent. */
  load(): void {
    this.alphas = this.state.alphas;
    this.profiles = this.state.profiles;
    this.estimates = this.state.estimates;
  }

  /** A sample's row of what is shown. */
  private shown(index: number): Float32Array | null {
    return this.row(this.profiles[this.state.quantity.name], index);
  }

  private row(of: Float32Array | undefined, index: number): Float32Array | null {
    const width = this.alphas.length;
    if (!of) return null;
    const row = of.subarray(index * width, (index + 1) * width);
    return row.length === width && !Number.isNaN(row[0]!) ? row : null;
  }

  has(index: number): boolean {
    return this.shown(index) !== null;
  }

  private summed: { of: readonly unknown[]; summary: Summary } | null = null;

  /** What the selected samples' lines have in common; it is not found again with each hover. */
  private summary(selected: readonly number[]): Summary {
    const { name } = this.state.quantity;
    // Rows are filled in where they are, but the record of them is another then.
    const of = [selected, this.profiles, name];
    if (!this.summed?.of.every((one, i) => one === of[i]))
      this.summed = { of, summary: summarise(this.profiles[name], this.alphas.length, selected) };
    return this.summed!.summary;
  }

  /** Draw the selected samples' lines, and the hovered one's above them (-1: none). */
  draw(selected: readonly number[], hovered: number): void {
    const { known, missing, lower, median, upper, ends } = this.summary(selected);
    const showsHovered = hovered >= 0 && this.has(hovered);
    this.missing = hovered >= 0 && !showsHovered ? [...missing, hovered] : missing;
    const few = selected.length <= FEW;
    const alone = known.length + (showsHovered && !known.includes(hovered) ? 1 : 0) === 1;
    const train: Omit<Line, "dashed">[] = [];
    const val: typeof train = [];
    const single: number[] = [];
    const { name } = this.state.quantity;
    const beside = onValidation(name);
    const errors = this.estimates?.errors ?? {};
    const add = (index: number, colour: string, withVal: boolean) => {
      const label = shortLabel(index, this.state.samples.kind);
      single.push(index);
      train.push({
        values: this.shown(index)!,
        colour,
        label,
        errors: this.row(errors[name], index),
      });
      const row = withVal && beside !== name ? this.row(this.profiles[beside], index) : null;
      const rowErrors = this.row(errors[beside], index);
      if (row) val.push({ values: row, colour, label: `${label}, validation`, errors: rowErrors });
    };
    for (const [n, i] of few ? known.entries() : []) {
      if (i !== hovered) add(i, LINES[n]!, alone || known.length <= 2);
    }
    if (showsHovered) {
      add(hovered, POINTED, true);
    }

    this.weigh(single, few ? single : [...known, ...single]);

    const many = few ? [] : known;
    const every = Math.max(1, Math.ceil(many.length / MOST_FAINT));
    const edges = [...train, ...val].flatMap(({ values, errors }) =>
      errors ? bandEdges(values, errors) : [],
    );
    const [low, high] = this.range([
      ...[...train, ...val].map((line) => line.values),
      ...edges,
      ...(few ? [] : [ends]),
    ]);
    this.figure.setDomain("y", [low, high]);
    this.setTicks(low, high);
    const put = (mark: number, lines: ArrayLike<number>[], extra: Record<string, unknown> = {}) =>
      this.figure.marks[mark]!.set({
        ...extra,
        x: Float64Array.from(this.alphas),
        y: lines.map((line) =>
          Array.from(line, (v) => (Number.isFinite(v) ? this.height(v) : null)),
        ),
      });
    put(BAND, many.length ? [lower, upper] : []);
    put(
      FAINT,
      many.filter((_, n) => n % every === 0).map((i) => this.shown(i)!),
    );
    put(
      TRAIN,
      train.map((line) => line.values),
      { colors: train.map((line) => line.colour) },
    );
    put(
      VAL,
      val.map((line) => line.values),
      { colors: val.map((line) => line.colour) },
    );
    put(MEDIAN, many.length ? [median] : []);
    this.lines = train.length + val.length + many.length;
    this.legend = [
      ...(many.length
        ? [
            {
              label: medianName(many.length, selected.length),
              colour: MEDIAN_COLOUR,
              dashed: false,
              values: median,
              errors: null,
            },
          ]
        : []),
      ...train.map((line) => ({ ...line, dashed: false })),
      ...val.map((line) => ({ ...line, dashed: true })),
    ];
  }

  /** Say what the lines are from, and which of those drawn one by one are not good enough. */
  private weigh(single: number[], shown: number[]): void {
    this.doubted = [];
    this.note = "";
    const { estimates } = this;
    const { name } = this.state.quantity;
    if (!estimates?.errors[name]) return;
    this.note = describe(shown, estimates, single.length > 0);
    const rough = (quantity: string, index: number) => {
      const values = this.row(this.profiles[quantity], index);
      const of = this.row(estimates.errors[quantity], index);
      return values !== null && of !== null && isRough(values, of, estimates.tolerance);
    };
    // Lines that are compared are to be from the same examples.
    const apart = new Set(single.map((i) => estimates.examples[i])).size > 1;
    if (apart || single.some((i) => rough(name, i) || rough(onValidation(name), i))) {
      this.doubted = single;
    }
  }

  /** Bands around the lines that are from a part of the examples, as SVG paths. */
  bands(): { colour: string; path: string }[] {
    const { figure } = this;
    const plot = figure.plot;
    return this.legend.flatMap(({ values, errors, colour }) => {
      const path = errors
        ? bandPath(
            this.alphas,
            values,
            errors,
            (x, y) => figure.toPixel(x, y),
            plot,
            (loss) => this.height(loss),
          )
        : "";
      return path ? [{ colour, path }] : [];
    });
  }

  private height(loss: number): number {
    return height(this.state.quantity.scale, loss);
  }

  private range(lines: ArrayLike<number>[]): [number, number] {
    let low = Infinity;
    let high = -Infinity;
    for (const line of lines) {
      for (let i = 0; i < line.length; i++) {
        const value = line[i]!;
        if (!Number.isFinite(value)) continue;
        low = Math.min(low, this.height(value));
        high = Math.max(high, this.height(value));
      }
    }
    if (!(high >= low)) return [-4, 1];
    const room = Math.max(0.05, (high - low) * 0.06);
    return [low - room, high + room];
  }

  private ticked = "";

  private setTicks(low: number, high: number): void {
    const ticks = lossTicks(this.state.quantity.scale, low, high, 7);
    const label = this.state.quantityName;
    const key = JSON.stringify([label, ticks]);
    if (key === this.ticked) return;
    this.ticked = key;
    this.figure.axes[1]!.set({
      label,
      tick_labels: Object.fromEntries(ticks.map(({ at, text }) => [String(at), text])),
      tick_values: Float64Array.from(ticks, ({ at }) => at),
    });
  }

  /** The values of all lines at the α nearest to a given one. */
  read(alpha: number): { alpha: number; values: { line: Line; value: number; error: number }[] } {
    let nearest = 0;
    this.alphas.forEach((a, i) => {
      if (Math.abs(a - alpha) < Math.abs(this.alphas[nearest]! - alpha)) nearest = i;
    });
    return {
      alpha: this.alphas[nearest] ?? 0,
      values: this.legend.map((line) => ({
        line,
        value: line.values[nearest]!,
        error: line.errors?.[nearest] ?? 0,
      })),
    };
  }
}
