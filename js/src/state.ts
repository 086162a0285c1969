// What the kernel sends, typed and decoded. All state is in synced traits, so that a page that is
// loaded again shows the widget as it was.

import type { Estimates } from "./draw/band";
import { LOG, type LossScale } from "./draw/loss_scale";
import type { Lasso } from "./history";
import type { PlaneData, PlaneState } from "./sides/plane";
import { Table } from "./tables";

export interface Model {
  get(name: string): unknown;
  set(name: string, value: unknown): void;
  save_changes(): void;
  send(content: unknown): void;
  on(event: string, callback: (content?: any, buffers?: any) => void): void;
  off(event: string, callback: (content?: any, buffers?: any) => void): void;
  widget_manager: {
    get_model(id: string): Promise<BackboneModel>;
    create_view(model: BackboneModel): Promise<any>;
    kernel?: any;
  };
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
}

/** A map of samples without structure, and what is to be said of it once it is judged. */
export interface Null {
  kind: string;
  points: Float32Array;
  columns: Record<string, Float32Array>;
  samples: Samples;
  trust: Trust | null;
}

export interface Samples {
  sampler: string[];
  kind: string[];
  path: number[];
  step: number[];
}

/** What is chosen on the bar and made by the kernel. */
export type Choosable = "sampler" | "space" | "reducer" | "dimensions";

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
  notes: string[];
  scale?: LossScale;
  /** What had to be assumed, in sentences. */
  assumptions: string[];
  quantities: Quantity[];
}

/** The name of a quantity of the validation data; that of one which is already, as it is. */
export const onValidation = (quantity: string): string =>
  quantity.startsWith("val_") ? quantity : `val_${quantity}`;

/** Reads float32 values that the kernel sent as bytes. */
export function floats(value: unknown): Float32Array {
  if (!(value instanceof DataView)) return new Float32Array(0);
  return new Float32Array(
    value.buffer.slice(value.byteOffset, value.byteOffset + value.byteLength),
  );
}

const decoded = (columns: unknown): Record<string, Float32Array> =>
  Object.fromEntries(Object.entries(columns ?? {}).map(([name, value]) => [name, floats(value)]));

export class State {
  /** Profiles that came row by row, where they are too many to come as a whole. */
  readonly table = new Table();

  constructor(private readonly model: Model) {}

  /** Whether there is a kernel; where there is none, nothing is sent. */
  alive = true;

  send(content: unknown): void {
    if (this.alive) this.model.send(content);
  }

  /** Change what both sides know. */
  set(values: {
    selected?: readonly number[];
    _lassos?: readonly Lasso[];
    colour_by?: string;
    compare_with?: string;
    quantity?: string;
  }): void {
    for (const [name, value] of Object.entries(values)) this.model.set(name, value);
    if (this.alive) this.model.save_changes();
  }

  get points(): Float32Array {
    return floats(this.model.get("_points"));
  }
  get columns(): Record<string, Float32Array> {
    return decoded(this.model.get("_columns"));
  }
  get evaluated(): Float32Array {
    return floats(this.model.get("_evaluated"));
  }
  get samples(): Samples {
    return this.model.get("_samples") as Samples;
  }
  get alphas(): number[] {
    return this.model.get("_alphas") as number[];
  }
  /** Slices of all samples by quantity. */
  get profiles(): Readonly<Record<string, Float32Array>> {
    return this.table.values ?? decoded(this.model.get("_profiles"));
  }
  /** Null where slices are from all of the data. */
  get estimates(): Estimates | null {
    const raw = (this.model.get("_estimates") ?? {}) as Record<string, unknown>;
    if (!raw.errors) return null;
    return {
      errors: decoded(raw.errors),
      examples: floats(raw.examples),
      of: raw.of as number,
      tolerance: raw.tolerance as number,
    };
  }
  get plane(): PlaneData | null {
    const raw = (this.model.get("_plane") ?? {}) as Record<string, unknown>;
    if (!raw.pair) return null;
    return { ...raw, values: decoded(raw.values) } as PlaneData;
  }
  get planeState(): PlaneState | null {
    const raw = (this.model.get("_plane_state") ?? {}) as Partial<PlaneState>;
    return raw.pair ? (raw as PlaneState) : null;
  }
  get progress(): Progress {
    return this.model.get("_progress") as Progress;
  }
  get trust(): Trust | null {
    const trust = this.model.get("_trust") as Partial<Trust>;
    return trust.readouts ? (trust as Trust) : null;
  }
  get compareWith(): string {
    return this.model.get("compare_with") as string;
  }
  get beside(): Null | null {
    const raw = this.model.get("_null") as Partial<Null>;
    if (!raw.samples || raw.kind !== this.compareWith) return null; // of another, until the kernel hears
    return { ...(raw as Null), points: floats(raw.points), columns: decoded(raw.columns) };
  }
  /** How high losses are drawn. */
  get lossScale(): LossScale {
    return this.info.scale ?? LOG;
  }
  /** What slices and planes show. */
  get quantity(): Quantity {
    const name = this.model.get("quantity") as string;
    const known = this.info.quantities?.find((quantity) => quantity.name === name);
    return known ?? { name, label: "training loss", scale: this.lossScale };
  }
  /** What that is called where it is shown with what it is on the validation data. */
  get quantityName(): string {
    return this.quantity.label.replace(/^training /, "");
  }
  get info(): MapInfo {
    return this.model.get("_info") as MapInfo;
  }
  choices(name: Choosable): Choice[] {
    return ((this.model.get("_choices") ?? {}) as Record<string, Choice[]>)[name] ?? [];
  }
  chosen(name: Choosable): string {
    return ((this.model.get("_chosen") ?? {}) as Record<string, string>)[name] ?? "";
  }
  settings(name: "sampler" | "reducer"): Field[] {
    return ((this.model.get("_settings") ?? {}) as Record<string, Field[]>)[name] ?? [];
  }
  get colourBy(): string {
    return this.model.get("colour_by") as string;
  }
  get selected(): number[] {
    return this.model.get("selected") as number[];
  }
  get lassos(): Lasso[] {
    return this.model.get("_lassos") as Lasso[];
  }
}
