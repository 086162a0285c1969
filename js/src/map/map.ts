// The map: samples as bqplot marks, coloured by a column.

import type { Figure } from "../draw/bqplot";
import { linearTicks, short, VIRIDIS } from "../draw/colours";
import { fitDomain, type Point, quantile } from "../draw/geometry";
import { heights, lossTicks } from "../draw/loss_scale";
import { type Ball, ballOf, project, type Rotation, START, turned } from "../draw/rotation";
import { names } from "../panels/bar";
import type { State } from "../state";

// The order in which Python lists the marks of the figure.
const PATHS = 0;
const WAITING = 1;
const POINTS = 2;
const HOLLOW = 3;
const MINIMA = 4;
const STAR = 5;

/** Of what is not selected while something is. */
const FAINT = 0.28;
/** Grey is seen on black as on white, whatever colour is inside; beside a selection all of it is needed. */
const OUTLINE = { plain: "rgba(150, 150, 150, 0.6)", faint: "rgb(150, 150, 150)" };

export interface ColourScale {
  label: string;
  low: number;
  high: number;
  ticks: { at: number; text: string }[];
  logarithmic: boolean;
}

const LOGARITHMIC = new Set(["loss", "val_loss"]);

export class MapView {
  /** Pixels (x, y) of every sample in the figure's element; NaN for those without a place. */
  pixels: Float32Array = new Float32Array(0);
  points: Float32Array = new Float32Array(0);
  /** A frame of the replay that is shown instead of the map. */
  frame: Float32Array | null = null;
  /** How a map of three dimensions is turned. */
  rotation: Rotation = START;
  scale: ColourScale | null = null;
  counts = { hollow: 0, waiting: 0, minima: 0, placed: 0 };

  constructor(
    readonly figure: Figure,
    readonly state: State,
  ) {}

  /** Draw everything anew; points move to their places within `glide` ms. */
  draw(glide = 0): void {
    const { state, figure } = this;
    this.place();
    figure.glide = glide;
    this.fit();
    const kinds = state.samples.kind;
    const marked = names(kinds);
    const evaluated = state.evaluated;
    const colours = this.colours();
    const groups: Record<number, number[]> = {
      [WAITING]: [],
      [POINTS]: [],
      [HOLLOW]: [],
      [MINIMA]: [],
      [STAR]: [],
    };
    for (let i = 0; i < kinds.length; i++) {
      if (!Number.isFinite(this.points[2 * i]!)) continue;
      const group =
        kinds[i] === "trained"
          ? STAR
          : marked[i]
            ? MINIMA
            : !evaluated[i]
              ? WAITING
              : Number.isFinite(colours[i]!)
                ? POINTS
                : HOLLOW;
      groups[group]!.push(i);
    }
    const { depth } = this;
    // What is nearer is drawn later, over what is behind it.
    if (depth)
      for (const mark of [WAITING, POINTS, HOLLOW])
        groups[mark]!.sort((a, b) => depth[a]! - depth[b]!);
    for (const [mark, indices] of Object.entries(groups)) {
      const values: Record<string, unknown> = {
        x: Float32Array.from(indices, (i) => this.points[2 * i]!),
        y: Float32Array.from(indices, (i) => this.points[2 * i + 1]!),
      };
      if ([WAITING, POINTS, HOLLOW].includes(Number(mark))) {
        values.size = Float32Array.from(depth ? indices : [], (i) => 0.9 + 0.5 * depth![i]!);
      }
      if (Number(mark) === POINTS || Number(mark) === MINIMA) {
        const missing = this.scale ? this.scale.low : 0;
        values.color = Float32Array.from(indices, (i) =>
          Number.isFinite(colours[i]!) ? colours[i]! : missing,
        );
      }
      if (Number(mark) === MINIMA) values.names = indices.map((i) => marked[i]!);
      figure.marks[Number(mark)]!.set(values);
    }
    if (this.scale) this.rescale(this.scale);
    this.members = groups;
    this.counts = {
      hollow: groups[HOLLOW]!.length,
      waiting: groups[WAITING]!.length,
      minima: groups[MINIMA]!.length,
      placed: Object.values(groups).reduce((sum, group) => sum + group.length, 0),
    };
    this.drawPaths();
    this.locate();
    this.emphasise(state.selected);
  }

  private ball: Ball = ballOf(new Float32Array(0));
  /** From −1, far, to 1, near; null on a map of two dimensions. */
  private depth: Float32Array | null = null;

  get solid(): boolean {
    return this.depth !== null;
  }

  /** Turn a map of three dimensions by angles to the right and downwards; null turns it back. */
  turn(by: readonly [number, number] | null): void {
    if (!this.solid) return;
    this.rotation = by ? turned(this.rotation, ...by) : START;
    this.draw();
  }

  /** Where the samples are in the plane of the screen. */
  private place(): void {
    const raw = this.frame ?? this.state.points;
    const n = this.state.samples.kind.length;
    if (n === 0 || raw.length !== 3 * n) {
      [this.points, this.depth] = [raw, null];
      return;
    }
    this.ball = ballOf(raw);
    ({ points: this.points, depth: this.depth } = project(raw, this.rotation, this.ball));
  }

  private members: Record<number, number[]> = {};

  /** Dim what is not selected. */
  emphasise(selected: readonly number[]): void {
    const chosen = new Set(selected);
    for (const mark of [POINTS, HOLLOW, MINIMA]) {
      const indices = this.members[mark] ?? [];
      const { depth } = this;
      const plain = mark === POINTS ? 0.9 : 1;
      const opacities =
        chosen.size > 0
          ? indices.map((i) => (chosen.has(i) ? 1 : mark === MINIMA ? 0.5 : FAINT))
          : depth
            ? indices.map((i) => plain * (0.7 + 0.3 * depth[i]!))
            : [plain];
      this.figure.marks[mark]!.set({ opacities: opacities.length ? opacities : [1] });
    }
    this.figure.marks[POINTS]!.set({ stroke: chosen.size > 0 ? OUTLINE.faint : OUTLINE.plain });
  }

  /** Show all samples, with one unit as long on both axes. */
  fit(): void {
    const { width, height } = this.figure.plot;
    const { radius } = this.ball;
    // The same from every side, so that nothing swells or shrinks when the map is turned.
    const extent = this.solid ? new Float32Array([-radius, -radius, radius, radius]) : this.points;
    const { x, y } = fitDomain(extent, width, height);
    this.figure.setDomain("x", x);
    this.figure.setDomain("y", y);
  }

  /** Find the pixels of every sample, for the gestures. */
  locate(): void {
    this.pixels = new Float32Array(this.points.length);
    for (let i = 0; i < this.points.length; i += 2) {
      const [x, y] = this.figure.toPixel(this.points[i]!, this.points[i + 1]!);
      this.pixels[i] = x;
      this.pixels[i + 1] = y;
    }
  }

  /** The value that each sample's colour stands for, and the scale of colours. */
  private colours(): Float32Array {
    const by = this.state.colourBy;
    const columns = this.state.columns;
    const raw = columns[by] ?? columns.loss ?? new Float32Array(0);
    const logarithmic = LOGARITHMIC.has(by);
    const values = logarithmic ? heights(this.state.lossScale, raw) : raw;
    const [low, high] = clipped(values);
    const ticks = logarithmic
      ? lossTicks(this.state.lossScale, low, high, 6)
      : linearTicks(low, high, 4).map((at) => ({ at, text: short(at) }));
    this.scale = { label: by, low, high, ticks, logarithmic };
    return values;
  }

  /** Take up the scale of colours: after the values, as bqplot colours what it has when a scale changes. */
  private rescale({ low, high }: ColourScale): void {
    for (const mark of [POINTS, MINIMA]) {
      const scale = this.figure.marks[mark]!.get("scales").color;
      if (scale.get("min") !== low || scale.get("max") !== high)
        scale.set({ min: low, max: high, colors: VIRIDIS });
    }
  }

  /** The range of heights of the training loss that colours stand for, whatever they show now. */
  lossRange(): [number, number] {
    return clipped(heights(this.state.lossScale, this.state.columns.loss ?? new Float32Array(0)));
  }

  private drawPaths(): void {
    const { path, step } = this.state.samples;
    const runs = new Map<number, number[]>();
    for (let i = 0; i < path.length; i++) {
      if (path[i]! < 0 || !Number.isFinite(this.points[2 * i]!)) continue;
      const run = runs.get(path[i]!) ?? [];
      run.push(i);
      runs.set(path[i]!, run);
    }
    const x: number[][] = [];
    const y: number[][] = [];
    for (const run of runs.values()) {
      run.sort((a, b) => step[a]! - step[b]!);
      x.push(run.map((i) => this.points[2 * i]!));
      y.push(run.map((i) => this.points[2 * i + 1]!));
    }
    this.figure.marks[PATHS]!.set({ x, y });
  }

  polygonPixels(polygon: readonly Point[]): Point[] {
    return polygon.map(([x, y]) => this.figure.toPixel(x, y));
  }
}

/** From the first to the 99th percentile. */
function clipped(values: Float32Array): [number, number] {
  const [low, high] = [quantile(values, 0.01), quantile(values, 0.99)];
  if (high > low) return [low, high];
  return Number.isFinite(low) ? [low - 0.5, low + 0.5] : [0, 1];
}
