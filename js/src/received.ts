// What the kernel has sent, as signals, and what is sent to it.

import { batch, computed, type ReadonlySignal, type Signal, signal } from "@preact/signals-core";

import type { Lasso } from "./history";
import { Paced } from "./pace";
import { type Rows, Table } from "./tables";
import {
  type Asked,
  type Choice,
  type Choosable,
  type Field,
  floats,
  type MapInfo,
  type Model,
  type Progress,
  type Samples,
  type Trace,
  type Traits,
  type Trust,
} from "./wire";

/** Each trait that is read. */
const TRAITS: Record<keyof Traits, true> = {
  selected: true,
  colour_by: true,
  compare_with: true,
  quantity: true,
  l1: true,
  l2: true,
  tensors: true,
  _points: true,
  _columns: true,
  _evaluated: true,
  _samples: true,
  _frame: true,
  _glide: true,
  _alphas: true,
  _profiles: true,
  _estimates: true,
  _answers: true,
  _asked: true,
  _progress: true,
  _trust: true,
  _terrain: true,
  _info: true,
  _frames: true,
  _trace: true,
  _lassos: true,
  _null: true,
  _choices: true,
  _chosen: true,
  _settings: true,
};
const NAMES = Object.keys(TRAITS) as (keyof Traits)[];

/** What the kernel has sent to one view; its readers are effects of that view. */
export class Received {
  protected readonly traits: { [Name in keyof Traits]: Signal<Traits[Name]> };
  private readonly table = new Table();
  /** Tables that came row by row, where they are too large to come as a whole. */
  protected readonly rows = signal<Table["values"]>(null);
  private readonly coming: Paced;
  private readonly living: Signal<boolean>;

  constructor(
    private readonly model: Model,
    until: AbortSignal,
  ) {
    this.traits = Object.fromEntries(
      NAMES.map((name) => [name, signal(model.get(name))]),
    ) as unknown as typeof this.traits;
    this.living = signal(model.send !== undefined);
    this.coming = new Paced(() => {
      this.rows.value = this.table.values;
    }, until);
    // All that came in one message is there when the first trait of it says that it is another.
    const changed = () => batch(() => this.take());
    for (const name of NAMES) model.on(`change:${name}`, changed);
    until.addEventListener("abort", () => {
      for (const name of NAMES) model.off(`change:${name}`, changed);
    });
    this.on(
      "msg:custom",
      (content, buffers) => {
        if (content.type !== "rows") return;
        this.table.take(content as unknown as Rows, buffers);
        this.coming.ask();
      },
      until,
    );
  }

  /** Listen to the model for as long as the view is there. */
  on(event: string, callback: Listener, until: AbortSignal): void {
    this.model.on(event, callback);
    until.addEventListener("abort", () => this.model.off(event, callback));
  }

  private take(): void {
    const before = this.traits._profiles.peek();
    for (const name of NAMES) (this.traits[name] as Signal).value = this.model.get(name);
    if (this.traits._progress.peek()?.state !== "running") this.coming.flush();
    const profiles = this.traits._profiles.peek();
    if (profiles === before) return;
    const [first] = Object.values(profiles ?? {});
    this.table.came(floats(first).length);
    this.rows.value = this.table.values;
  }

  /** Whether there is a kernel; where there is none, nothing is sent. */
  get alive(): boolean {
    return this.living.value;
  }
  set alive(alive: boolean) {
    this.living.value = alive;
  }

  send(content: unknown): void {
    if (this.living.peek()) this.model.send?.(content);
  }

  /** Change what both sides know. */
  set(values: {
    selected?: readonly number[];
    _lassos?: readonly Lasso[];
    colour_by?: string;
    compare_with?: string;
    quantity?: string;
    l1?: number;
    l2?: number;
    tensors?: string;
  }): void {
    batch(() => {
      for (const [name, value] of Object.entries(values)) this.model.set(name, value);
    });
    if (this.living.peek()) this.model.save_changes();
  }

  get points(): Float32Array {
    return floats(this.traits._points.value);
  }
  get evaluated(): Float32Array {
    return floats(this.traits._evaluated.value);
  }
  get samples(): Samples {
    return this.traits._samples.value;
  }
  /** Counts the times that points came. */
  get frame(): number {
    return this.traits._frame.value;
  }
  /** Whether the points that came last are to glide to their places. */
  get glides(): boolean {
    return this.traits._glide.value;
  }
  get frames(): Float32Array {
    return floats(this.traits._frames.value);
  }
  get trace(): Trace {
    return this.traits._trace.value;
  }
  get alphas(): number[] {
    return this.traits._alphas.value;
  }
  /** What came last as the answer to a question of this name, as it came. */
  answer(name: string): Record<string, unknown> | null {
    return this.traits._answers.value?.[name] ?? null;
  }
  /** How far the answer is. */
  asked(name: string): Asked | null {
    return this.traits._asked.value?.[name] ?? null;
  }
  get progress(): Progress {
    return this.traits._progress.value;
  }
  get trust(): Trust | null {
    const trust = this.traits._trust.value;
    return trust.readouts ? (trust as Trust) : null;
  }
  /** Why there is no terrain; "" where that is not known yet. */
  get terrainNote(): string {
    return this.traits._terrain.value?.note ?? "";
  }
  get compareWith(): string {
    return this.traits.compare_with.value;
  }
  get info(): MapInfo {
    return this.traits._info.value;
  }
  choices(name: Choosable): Choice[] {
    return this.traits._choices.value?.[name] ?? [];
  }
  chosen(name: Choosable | "shows" | "hides"): string {
    return this.traits._chosen.value?.[name] ?? "";
  }
  settings(name: "sampler" | "reducer"): Field[] {
    return this.traits._settings.value?.[name] ?? [];
  }
  get colourBy(): string {
    return this.traits.colour_by.value;
  }
  get selected(): number[] {
    return this.traits.selected.value;
  }
  get lassos(): Lasso[] {
    return this.traits._lassos.value;
  }
}

/** What follows from signals, as small as it is: another only where it says something else. */
export function settled<T>(follow: () => T): ReadonlySignal<T> {
  let last: { value: T; text: string } | undefined;
  return computed(() => {
    const value = follow();
    const text = JSON.stringify(value);
    if (last?.text !== text) last = { value, text };
    return last.value;
  });
}

type Listener = Parameters<Model["on"]>[1];
