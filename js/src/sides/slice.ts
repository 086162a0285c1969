// The slice: a quantity against α, drawn in the browser from the profiles that were sent once.

import { computed, signal } from "@preact/signals-core";

import { bandPath, WIDTH } from "../draw/band";
import { short } from "../draw/colours";
import { slicePlot } from "../draw/figures";
import { type Lines as Drawing, MARK, type Mark, type Tick } from "../draw/lines";
import { height, lossTicks } from "../draw/loss_scale";
import type { Plot } from "../draw/plot";
import { summarise } from "../draw/summary";
import { label, shortLabel } from "../names";
import { capitalised, h, listed, s } from "../ui/dom";
import { Tooltip } from "../ui/tooltip";
import { Asking } from "./asking";
import { lowestLegend, lowestMarks } from "./lowest";
import { QuadraticLayer } from "./quadratic";
import { Question } from "./question";
import type { Context, Side } from "./side";
import { apart, type Line, linesOf } from "./slice_lines";
import { wayEntry, wayMarks } from "./way";

const NAME_HEIGHT = 14; // px, of a line's name
const MOST_FAINT = 40;
const MOST_NAMED = 8; // lines that are named below, and read at the pointer

export class SliceSide implements Side {
  readonly key = "slice";
  readonly label = "Slice";
  readonly testId = "slice-tab";
  readonly hint = "Along the straight line from θ* to a sample and beyond";
  readonly isPossible = true;
  private readonly layer = s("svg", { class: "lw-layer", "aria-hidden": "true" });
  private readonly tip = new Tooltip();
  readonly element = h(
    "div",
    { class: "lw-figure", "data-testid": "slice" },
    this.layer,
    this.tip.element,
  );
  private drawing: Drawing | null = null;
  /** Counts the times that the plot was laid out or its axes were changed. */
  private readonly laid = signal(0);
  /** The α that is read at the pointer. */
  private readonly reading = signal<number | null>(null);
  /** Not found again with each hover. */
  private readonly summary = computed(() => {
    const { profiles, quantity, alphas, followed } = this.context.state;
    return summarise(profiles[quantity.name], alphas.length, followed);
  });
  /** Some of the lines where many are selected. */
  private readonly faint = computed(() => {
    const { profiles, quantity, alphas } = this.context.state;
    const { known } = this.summary.value;
    const width = alphas.length;
    const every = Math.max(1, Math.ceil(known.length / MOST_FAINT));
    return known
      .filter((_, n) => n % every === 0)
      .map((i) => profiles[quantity.name]!.subarray(i * width, (i + 1) * width));
  });
  private readonly lines = computed(() => {
    const { samples, followed, hovered, quantity, alphas, profiles, estimates } =
      this.context.state;
    return linesOf({
      names: samples.names,
      selected: followed,
      hovered,
      quantity: quantity.name,
      alphas,
      profiles,
      estimates,
      summary: this.summary.value,
    });
  });

  /** The easiest way beside the straight one. */
  private readonly easiest: Question<unknown>;
  private readonly quadratics: QuadraticLayer;

  constructor(private readonly context: Context) {
    const words = { counted: "lines between samples", first: "looking for the easiest way" };
    this.easiest = new Question(context.state, "way", (raw) => raw, words);
    this.quadratics = new QuadraticLayer(context);
  }

  async begin(): Promise<void> {
    const { model, state, follow, signal } = this.context;
    const { plot, lines: drawing } = await slicePlot(model, this.element, signal);
    if (signal.aborted) return;
    this.drawing = drawing;
    plot.onLayout(() => {
      drawing.relayout();
      this.changed();
    }, signal);
    const asking = new Asking(state);
    follow(() => this.draw(plot, drawing));
    follow(() => asking.ask(this.lines.value));
    this.easiest.begin(follow, state.wayOf);
    follow(() => this.drawLayer(plot));
    this.quadratics.begin();
    this.layer.addEventListener("pointermove", (event) => this.read(plot, event), { signal });
    this.layer.addEventListener("pointerleave", () => this.endReading(), { signal });
  }

  private changed(): void {
    this.laid.value = this.laid.peek() + 1;
  }

  get isStill(): boolean {
    return this.drawing?.still ?? false;
  }

  get shown(): Record<string, unknown> {
    const { train, val, many, missing } = this.lines.value;
    return {
      lines: train.length + val.length + (many?.known.length ?? 0),
      missing: missing.length,
    };
  }

  get title(): string {
    const { quantityName, hovered, selected, followed, samples } = this.context.state;
    const what = capitalised(quantityName);
    if (hovered >= 0) return `${what} on the way to ${label(hovered, samples)}`;
    if (selected.length) return `${what} on the way to the selection`;
    const names = followed.map((i) => shortLabel(i, samples));
    return `${what} on the way from θ* to ${listed(names) || "a sample"}`;
  }

  get legend(): HTMLElement[] {
    const { legend, note } = this.lines.value;
    const { penalty, quantity } = this.context.state;
    const entries = legend.slice(0, MOST_NAMED).map(entryOf);
    if (penalty && quantity.name === "loss" && legend.length) entries.push(...lowestLegend());
    entries.push(...wayEntry(this.context.state));
    const of = this.context.state.wayOf.value;
    if (of) entries.push(...this.easiest.status(of));
    if (note) entries.push(h("span", { class: "lw-note", "data-testid": "estimate" }, note));
    return [...entries, ...this.quadratics.legend];
  }

  private draw(plot: Plot, drawing: Drawing): void {
    const { alphas, train, val, many, extent } = this.lines.value;
    const { quantity, quantityName, penalty } = this.context.state;
    const along = this.context.state.way?.losses;
    const [low, high] = rangeOf(along ? [...extent, along] : extent, (value) =>
      height(quantity.scale, value),
    );
    plot.setDomain("y", [low, high]);
    const name = penalty && quantity.name === "loss" ? "loss + penalty" : quantityName;
    this.setTicks(drawing, name, lossTicks(quantity.scale, low, high, 7));
    const put = (mark: Mark, lines: ArrayLike<number>[], colours?: string[]) => {
      // Of many lines, only that of the sample that is pointed at is another with each hover.
      const from = [alphas, quantity.scale, ...lines, ...(colours ?? [])];
      const last = this.put[mark];
      if (last?.length === from.length && from.every((one, i) => one === last[i])) return;
      this.put[mark] = from;
      const heights = lines.map((line) =>
        Array.from(line, (v) => (Number.isFinite(v) ? height(quantity.scale, v) : null)),
      );
      drawing.put(mark, alphas, heights, colours);
    };
    const single = (mark: Mark, lines: Line[]) =>
      put(
        mark,
        lines.map(({ values }) => values),
        lines.map(({ colour }) => colour),
      );
    put(MARK.band, many ? [many.lower, many.upper] : []);
    put(MARK.faint, many ? this.faint.value : []);
    single(MARK.train, train);
    single(MARK.val, val);
    put(MARK.median, many ? [many.median] : []);
    drawing.relayout();
    this.changed();
  }

  /** What each mark was drawn from. */
  private readonly put: unknown[][] = [];
  private ticked = "";

  private setTicks(drawing: Drawing, label: string, ticks: Tick[]): void {
    const key = JSON.stringify([label, ticks]);
    if (key === this.ticked) return;
    this.ticked = key;
    drawing.setTicks(label, ticks);
  }

  /** What lies over the lines: frame, θ* and the sample, bands, and what is read. */
  private drawLayer(plot: Plot): void {
    this.laid.value;
    const { legend, missing } = this.lines.value;
    const { samples, alive } = this.context.state;
    const { left, top, width, height } = plot.area;
    const [low] = plot.domain("y");
    const parts: SVGElement[] = [s("rect", { class: "lw-frame", x: left, y: top, width, height })];
    for (const [alpha, text] of [
      [0, "θ*"],
      [1, "sample"],
    ] as const) {
      const [x] = plot.toPixel(alpha, low);
      parts.push(
        s("line", { class: "lw-mark", x1: x, x2: x, y1: top, y2: top + height }),
        s("text", { class: "lw-mark-name", x: x + 4, y: top + 13 }, text),
      );
    }
    parts.push(...this.bands(plot), ...this.quadratics.curves(plot, this.lines.value.train));
    parts.push(...this.named(plot));
    parts.push(...wayMarks(plot, this.context.state));
    parts.push(...lowestMarks(plot, this.lines.value.train, this.context.state));
    if (legend.length === 0 && samples.kind.length) {
      const text = !missing.length
        ? "point at a sample"
        : alive
          ? "computing…"
          : "not computed, and there is no kernel";
      const middle = { x: left + width / 2, y: top + height / 2 };
      parts.push(s("text", { class: "lw-empty", ...middle }, text));
    }
    const reading = this.reading.value;
    if (reading !== null) {
      const [x] = plot.toPixel(reading, low);
      parts.push(s("line", { class: "lw-reading", x1: x, x2: x, y1: top, y2: top + height }));
    }
    this.layer.replaceChildren(...parts);
  }

  /** The names of the lines, where each reaches its sample. */
  private named(plot: Plot): SVGElement[] {
    const { alphas, train } = this.lines.value;
    const { scale } = this.context.state.quantity;
    const end = alphas.indexOf(1);
    if (end < 0 || train.length < 2) return [];
    const { top, height: room } = plot.area;
    const ends = train.flatMap(({ label, colour, values }) => {
      const value = values[end]!;
      if (!Number.isFinite(value)) return [];
      const [x, y] = plot.toPixel(1, height(scale, value));
      return [{ label, colour, x, y }];
    });
    const ys = apart(
      ends.map(({ y }) => y),
      NAME_HEIGHT,
      top + 1.5 * NAME_HEIGHT, // below what the sample's own mark is called
      top + room - NAME_HEIGHT / 2,
    );
    return ends.flatMap(({ label, colour, x, y }, n) => [
      s("circle", { class: "lw-line-end", cx: x, cy: y, r: 3.5, fill: colour }),
      s("text", { class: "lw-line-name", x: x + 8, y: ys[n]! + 4, fill: colour }, label),
    ]);
  }

  /** Bands around the lines that are from a part of the examples. */
  private bands(plot: Plot): SVGElement[] {
    const { alphas, legend } = this.lines.value;
    const { scale } = this.context.state.quantity;
    return legend.flatMap(({ values, errors, colour }) => {
      const path =
        errors &&
        bandPath(
          alphas,
          values,
          errors,
          (x, y) => plot.toPixel(x, y),
          plot.area,
          (loss) => height(scale, loss),
        );
      return path ? [s("path", { class: "lw-band", d: path, fill: colour })] : [];
    });
  }

  /** Tell the values of all lines at the α that is nearest to the pointer. */
  private read(plot: Plot, event: PointerEvent): void {
    const { alphas, legend } = this.lines.value;
    if (!legend.length) return;
    const box = this.layer.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const [at] = plot.toData(x, y);
    let nearest = 0;
    alphas.forEach((alpha, i) => {
      if (Math.abs(alpha - at) < Math.abs(alphas[nearest]! - at)) nearest = i;
    });
    const alpha = alphas[nearest] ?? 0;
    this.reading.value = alpha;
    const lines = legend.slice(0, MOST_NAMED).map(({ label, values, errors }) => {
      const error = errors?.[nearest] ?? 0;
      return `${label}: ${short(values[nearest]!)}${error > 0 ? ` ± ${short(WIDTH * error, 2)}` : ""}`;
    });
    this.tip.show([`α = ${short(alpha)}`, ...lines], x, y, this.element);
  }

  private endReading(): void {
    this.tip.hide();
    this.reading.value = null;
  }
}

function entryOf({ label, colour, dashed }: Line): HTMLElement {
  const icon = s("svg", { class: "lw-dash", viewBox: "0 0 22 8", "aria-hidden": "true" });
  const dashes = dashed ? "5 3" : undefined;
  icon.append(
    s("line", { x1: 1, x2: 21, y1: 4, y2: 4, stroke: colour, "stroke-dasharray": dashes }),
  );
  return h("span", { class: "lw-legend-entry" }, icon, label);
}

/** The heights between which all finite values are, and a little more. */
function rangeOf(
  lines: ArrayLike<number>[],
  heightOf: (value: number) => number,
): [number, number] {
  let low = Infinity;
  let high = -Infinity;
  for (const line of lines) {
    for (let i = 0; i < line.length; i++) {
      const value = line[i]!;
      if (!Number.isFinite(value)) continue;
      low = Math.min(low, heightOf(value));
      high = Math.max(high, heightOf(value));
    }
  }
  if (!(high >= low)) return [-4, 1];
  const room = Math.max(0.05, (high - low) * 0.06);
  return [low - room, high + room];
}
