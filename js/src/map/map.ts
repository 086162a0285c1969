// The map: samples in the plane of the screen, coloured by a column.

import { signal } from "@preact/signals-core";

import { CanvasScatter } from "../draw/canvas_scatter";
import { linearTicks, short } from "../draw/colours";
import { fitDomain, type Point, pointsInside, quantile } from "../draw/geometry";
import { heights, lossTicks } from "../draw/loss_scale";
import type { Plot } from "../draw/plot";
import { type Ball, ballOf, project, type Rotation, START, turned } from "../draw/rotation";
import { toPixels } from "../draw/scales";
import { LOOK, type Scatter } from "../draw/scatter";
import type { State } from "../state";
import { rangeOfBasins } from "../ways";
import type { Samples } from "../wire";

export interface ColourScale {
  label: string;
  low: number;
  high: number;
  ticks: { at: number; text: string }[];
  logarithmic: boolean;
}

const MOST_MARKS = 2000; // samples that a browser draws at ease by an element each

const LOGARITHMIC = new Set(["loss", "val_loss"]);

/** What is known of samples before they are evaluated, as it is drawn. */
interface Known {
  samples: Samples;
  /** Of `LOOK`, for those that are drawn otherwise than the others. */
  looks: Uint8Array;
  names: Map<number, string>;
  paths: number[][];
}

export class MapView {
  /** Pixels (x, y) of every sample in the plot's element; NaN for those without a place. */
  pixels: Float32Array = new Float32Array(0);
  points: Float32Array = new Float32Array(0);
  /** A frame of the replay that is shown instead of the map. */
  frame: Float32Array | null = null;
  /** How a map of three dimensions is turned. */
  private readonly turning = signal<Rotation>(START);
  /** Counts the times that the map was drawn; and those that it was, or was laid out anew. */
  private readonly drawn = signal(0);
  private readonly laid = signal(0);
  scale: ColourScale | null = null;
  counts = { hollow: 0, waiting: 0, minima: 0, placed: 0 };
  private readonly canvas: Scatter;
  private scatter: Scatter;

  /** `marks` draw few samples by an element each, where there are any to do it. */
  constructor(
    readonly plot: Plot,
    private readonly marks: Scatter | null,
    readonly state: State,
    signal: AbortSignal,
  ) {
    this.canvas = new CanvasScatter(plot.host, signal);
    this.scatter = marks ?? this.canvas;
  }

  /** Whether all of the map is on the screen and in its place. */
  get still(): boolean {
    return this.scatter.still;
  }

  /** Called by who reads `scale`, `counts` or `solid` in an effect, which follows them then. */
  followDrawing(): void {
    this.drawn.value;
  }

  /** The same for `pixels`, and all that is placed on the map. */
  followLayout(): void {
    this.laid.value;
  }

  get rotation(): Rotation {
    return this.turning.value;
  }

  /** Draw everything anew; points move to their places within `glide` ms. */
  draw(glide = 0): void {
    this.place();
    this.fit();
    const { points, depth, plot } = this;
    const { looks, names, paths } = this.looks(this.colours());
    this.choose(looks.length);
    this.scatter.draw({ points, looks, shares: this.shares, depth, names, paths }, plot, glide);
    this.drawn.value = this.drawn.peek() + 1;
    this.locate();
  }

  /** Draw so many samples by an element each, or on a canvas. */
  private choose(samples: number): void {
    const scatter = (samples > MOST_MARKS ? null : this.marks) ?? this.canvas;
    if (scatter !== this.scatter) this.scatter.clear();
    this.scatter = scatter;
  }

  private known: Known | null = null;
  private shares: Float32Array = new Float32Array(0);

  /** How each sample is drawn that has a place. */
  private looks(values: Float32Array): Known {
    const { samples, evaluated, off } = this.state;
    if (this.known?.samples !== samples) this.known = knownOf(samples);
    const { paths } = this.known;
    const looks = this.known.looks.slice();
    const names = new Map(this.known.names);
    for (const i of off) names.delete(i);
    this.counts = { hollow: 0, waiting: 0, minima: 0, placed: 0 };
    for (let i = 0; i < looks.length; i++) {
      if (!Number.isFinite(this.points[2 * i]!) || off.has(i)) {
        looks[i] = LOOK.none;
        continue;
      }
      looks[i] ||= !evaluated[i]
        ? LOOK.waiting
        : Number.isFinite(values[i]!)
          ? LOOK.point
          : LOOK.hollow;
      this.counts.placed++;
      if (looks[i] === LOOK.hollow) this.counts.hollow++;
      if (looks[i] === LOOK.waiting) this.counts.waiting++;
      if (looks[i] === LOOK.diamond) this.counts.minima++;
    }
    return { samples, looks, names, paths };
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
    this.turning.value = by ? turned(this.turning.peek(), ...by) : START;
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

  /** Dim what is not selected. */
  emphasise(): void {
    this.followDrawing();
    this.scatter.emphasise(this.state.selected);
  }

  /** Show all samples, with one unit as long on both axes. */
  fit(): void {
    const { width, height } = this.plot.area;
    const { radius } = this.ball;
    // The same from every side, so that nothing swells or shrinks when the map is turned.
    const extent = this.solid ? new Float32Array([-radius, -radius, radius, radius]) : this.points;
    const { x, y } = fitDomain(extent, width, height);
    this.plot.setDomain("x", x);
    this.plot.setDomain("y", y);
  }

  /** Find the pixels of every sample, for the gestures. */
  locate(): void {
    this.pixels = toPixels(this.plot, this.points);
    for (const i of this.state.off) this.pixels[2 * i] = Number.NaN; // nobody points at it
    this.laid.value = this.laid.peek() + 1;
  }

  /** The plot has another size. */
  relayout(): void {
    this.fit();
    this.locate();
    this.scatter.relayout();
  }

  /** The value that each sample's colour stands for, and the scale of colours. */
  private colours(): Float32Array {
    const by = this.state.colourBy;
    const columns = this.state.columns;
    const raw = columns[by] ?? columns.loss ?? new Float32Array(0);
    const logarithmic = LOGARITHMIC.has(by);
    const values = logarithmic ? heights(this.state.lossScale, raw) : raw;
    const basins = by === "basin" ? this.state.basins : null;
    const [low, high] = basins ? rangeOfBasins(basins) : clipped(values);
    const ticks = basins
      ? basins.names.map((text, at) => ({ at, text }))
      : logarithmic
        ? lossTicks(this.state.lossScale, low, high, 6)
        : linearTicks(low, high, 4).map((at) => ({ at, text: short(at) }));
    this.scale = { label: this.state.columnName(by), low, high, ticks, logarithmic };
    this.shares = sharesOf(values, low, high);
    return values;
  }

  /** The range of heights of the training loss that colours stand for, whatever they show now. */
  lossRange(): [number, number] {
    return clipped(heights(this.state.lossScale, this.state.columns.loss ?? new Float32Array(0)));
  }

  /** Samples whose dots are inside a polygon that is drawn on the map, in data. */
  inside(polygon: readonly Point[]): number[] {
    return pointsInside(this.points, polygon);
  }

  polygonPixels(polygon: readonly Point[]): Point[] {
    return polygon.map(([x, y]) => this.plot.toPixel(x, y));
  }
}

function knownOf(samples: Samples): Known {
  const { kind: kinds } = samples;
  const looks = new Uint8Array(kinds.length).fill(LOOK.none);
  const named = new Map<number, string>();
  for (const [key, name] of Object.entries(samples.names)) {
    const i = Number(key);
    looks[i] = kinds[i] === "trained" ? LOOK.star : LOOK.diamond;
    if (name !== "θ*") named.set(i, name);
  }
  return { samples, looks, names: named, paths: pathsOf(samples) };
}

/** The samples of each path, in turn. */
export function pathsOf({ path, step }: Samples): number[][] {
  const runs = new Map<number, number[]>();
  path.forEach((number, i) => {
    if (number < 0) return;
    const run = runs.get(number);
    if (run) run.push(i);
    else runs.set(number, [i]);
  });
  const paths = [...runs.values()];
  for (const run of paths) run.sort((a, b) => step[a]! - step[b]!);
  return paths;
}

/** How far up the scale of colours values are; those that are not finite at its foot. */
export const sharesOf = (values: Float32Array, low: number, high: number): Float32Array =>
  values.map((value) =>
    Number.isFinite(value) ? Math.min(1, Math.max(0, (value - low) / (high - low))) : 0,
  );

/** From the first to the 99th percentile. */
function clipped(values: Float32Array): [number, number] {
  const [low, high] = [quantile(values, 0.01), quantile(values, 0.99)];
  if (high > low) return [low, high];
  return Number.isFinite(low) ? [low - 0.5, low + 0.5] : [0, 1];
}
