// What the kernel sends, and how it is decoded. Small state is in synced traits, so that a page that
// is loaded again shows the widget as it was; what each holds is said in
// landscape_widgets/widget/wire.py, and how tables come in chunks in tables.ts.

import type { LossScale } from "./draw/loss_scale";
import type { Lasso } from "./history";

export interface Model {
  get(name: string): unknown;
  set(name: string, value: unknown): void;
  save_changes(): void;
  /** Absent on a page with no kernel behind it. */
  send?(content: unknown): void;
  on(event: string, callback: (content?: any, buffers?: any) => void): void;
  off(event: string, callback: (content?: any, buffers?: any) => void): void;
  /** Absent outside Jupyter: marimo, MyST and pages of their own give a module no more than this. */
  widget_manager?: Manager;
}

/** Of a page's widgets. */
export interface Manager {
  get_model(id: string): Promise<BackboneModel>;
  create_view(model: BackboneModel): Promise<any>;
  kernel?: any;
}

/** A classic widget model, as bqplot's are. */
export interface BackboneModel {
  readonly attributes: Record<string, unknown>;
  readonly widget_manager: unknown;
  /** Whether there is something in the kernel behind it. */
  readonly comm_live: boolean;
  close(): void;
  get(name: string): any;
  set(values: Record<string, unknown>): void;
  on(event: string, callback: () => void): void;
  off(event: string, callback: () => void): void;
}

export interface Progress {
  state: "idle" | "running" | "stopped" | "done" | "error";
  phase: string;
  done: number;
  total: number;
  seconds_left: number | null;
  /** Seconds after which the work ends, done or not. */
  at_most: number | null;
  message: string;
}

export interface Readout {
  name: string;
  value: string;
  word: string;
  level: "good" | "weak" | "bad" | "info";
  sentence: string;
}

export interface Trust {
  sentence: string;
  level: "good" | "weak" | "bad" | "info";
  readouts: Readout[];
  /** What does better than a map that is not to be trusted: what to choose on the bar, and why. */
  better?: { what: Choosable; key: string; label: string; why: string } | null;
}

/** A map of samples without structure, and what is to be said of it once it is judged. */
export interface Null {
  kind: string;
  points: Float32Array;
  columns: Record<string, Float32Array>;
  samples: Samples;
  trust: Trust | null;
}

/** The loss over the map; see trust/terrain.py. */
export interface Terrain {
  /** Of the grid: the least and the greatest x, and y. */
  extent: [number, number, number, number];
  size: number;
  /** At each place of the grid, the first axis to the right and the slower. */
  losses: Float32Array;
  /** From 0 to 1. */
  certainty: Float32Array;
  /** R² on held-out samples. */
  score: number;
}

export interface Samples {
  sampler: string[];
  kind: string[];
  path: number[];
  step: number[];
  /** Of those that stand out, by number: θ*, M1, a model's name. */
  names: Readonly<Record<number, string>>;
}

/** What is chosen on the bar and made by the kernel. */
export type Choosable = "question" | "sampler" | "space" | "reducer" | "dimensions";

export interface Choice {
  key: string;
  label: string;
}

/** A parameter that may be turned; see controls.py. */
export interface Field {
  name: string;
  label: string;
  help: string;
  kind: "number" | "whole" | "numbers" | "choice" | "flag";
  choices: string[];
  range: string;
  value: string | boolean;
  default: string | boolean;
  empty: string;
}

/** What slices and planes can show. */
export interface Quantity {
  name: string;
  label: string;
  /** How it is drawn. */
  scale: LossScale;
}

export interface MapInfo {
  title: string;
  axes: string[];
  caption: string[];
  /** What the trained weights are, in a sentence; empty until it is known. */
  diagnosis?: string;
  notes: string[];
  scale?: LossScale;
  /** What had to be assumed, in sentences. */
  assumptions: string[];
  quantities: Quantity[];
  /** Samples that the slice shows while nothing is selected or pointed at. */
  opening?: number[];
  /** What the model was trained with, where that was told. */
  weight_decay?: number | null;
  /** The two of them that the plane goes through then; none where no two span one with θ*. */
  opening_plane?: number[];
}

/** The name of a quantity of the validation data; that of one which is already, as it is. */
export const onValidation = (quantity: string): string =>
  quantity.startsWith("val_") ? quantity : `val_${quantity}`;

/** How far the answer to a question is; what it is `of` is as it was asked. */
export interface Asked {
  of: unknown;
  state: "waiting" | "running" | "done" | "stopped" | "error";
  done: number;
  total: number;
  message: string;
}

/** What the kernel sends of a plane; values by quantity, by rows of the first direction's axis. */
export interface PlaneData {
  extent: [number, number];
  size: number;
  values: Readonly<Record<string, Float32Array>>;
  gram: number[];
  text: string[];
  /** What lies along the axes. */
  names: [string, string];
  /** Where on it all samples are nearest, (a0, b0, a1, ...), and how far from it; of a whole plane. */
  points: Float32Array;
  distances: Float32Array;
  /** ‖θ‖₁ and ‖θ‖₂² over it, by which tensors count; where they are known. */
  norms?: Readonly<Record<string, { l1: Float32Array; l2: Float32Array }>>;
}

/** One answer of a diagnosis; see landscape_widgets/diagnosis/verdict.py. */
export interface Verdict {
  kind: string;
  words: string;
  sure: "sure" | "likely" | "open";
  why: string;
  change: string;
}

/** What the kernel sends of a point; evidence as names, values and errors. */
export interface PointData {
  verdicts: Verdict[];
  evidence: [string, string, string][];
}

/** What is minimised while a map is laid out, frame by frame; the frames themselves once it is there. */
export interface Trace {
  name: string;
  iterations: number[];
  total: number;
  phases: string[];
  values: (number | null)[];
  live: boolean;
}

/** The traits that are read, as they come. */
export interface Traits {
  selected: number[];
  colour_by: string;
  compare_with: string;
  quantity: string;
  l1: number;
  l2: number;
  tensors: string;
  _points: DataView;
  _columns: Record<string, DataView>;
  _evaluated: DataView;
  _samples: Samples;
  _frame: number;
  _glide: boolean;
  _alphas: number[];
  _profiles: Record<string, DataView>;
  _estimates: Record<string, unknown>;
  _answers: Record<string, Record<string, unknown>>;
  _asked: Record<string, Asked>;
  _progress: Progress;
  _trust: Partial<Trust>;
  _terrain: { note?: string } & Partial<Record<keyof Terrain, unknown>>;
  _info: MapInfo;
  _frames: DataView;
  _trace: Trace;
  _lassos: Lasso[];
  _null: Partial<Record<keyof Null, unknown>>;
  _choices: Record<string, Choice[]>;
  _chosen: Record<string, string>;
  _settings: Record<string, Field[]>;
}

const read = new WeakMap<DataView, Float32Array>();

/**
 * Float32 values that the kernel sent as bytes: the same array for the same buffer, which nobody
 * changes. Values that lie at a multiple of four bytes are not copied.
 */
export function floats(value: unknown): Float32Array {
  if (!(value instanceof DataView)) return NONE;
  let found = read.get(value);
  if (!found) {
    const { buffer, byteOffset, byteLength } = value;
    found =
      byteOffset % 4 === 0
        ? new Float32Array(buffer, byteOffset, byteLength / 4)
        : new Float32Array(buffer.slice(byteOffset, byteOffset + byteLength));
    read.set(value, found);
  }
  return found;
}

const NONE = new Float32Array(0);

/** The same by name. */
export const floatsByName = (columns: unknown): Record<string, Float32Array> =>
  Object.fromEntries(Object.entries(columns ?? {}).map(([name, value]) => [name, floats(value)]));
