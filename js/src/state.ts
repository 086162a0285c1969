// What is known, as signals: whoever reads it in an effect draws again once it is another. What
// follows from it is computed once, and only where somebody looks.

import { computed, signal } from "@preact/signals-core";

import type { Estimates } from "./draw/band";
import { LOG, type LossScale } from "./draw/loss_scale";
import { nameOf } from "./names";
import {
  formula,
  lowestOf,
  type Norms,
  normsOf,
  type Penalty,
  penalised,
  penalisedRows,
  penalties,
} from "./penalty";
import { Received, settled } from "./received";
import { type Basins, basinsOf, type Way, wayOf } from "./ways";
import { floats, floatsByName, type Null, type Quantity, type Samples, type Terrain } from "./wire";

/** What one view knows; its readers are effects of that view. */
export class State extends Received {
  private readonly named = computed(() => floatsByName(this.traits._columns.value));
  private readonly weighed = computed<Record<string, Float32Array>>(() => {
    const { norms, penalty, basins } = this;
    const plain = basins ? { ...this.named.value, basin: basins.labels } : this.named.value;
    if (!norms) return plain;
    const columns = { ...plain, l1: norms.l1, l2: norms.l2 };
    const loss = this.named.value.loss ?? new Float32Array(0);
    return penalty ? { ...columns, loss: penalised(loss, penalties(norms, penalty)) } : columns;
  });
  /** What is known of each sample, by name; the loss with the penalty that is shown. */
  get columns(): Record<string, Float32Array> {
    return this.weighed.value;
  }
  /** The training losses without a penalty. */
  get unpenalised(): Float32Array {
    return this.named.value.loss ?? new Float32Array(0);
  }
  private readonly known = settled(() => ({
    samples: this.evaluated.reduce((sum, one) => sum + one, 0),
  }));
  /** What the kernel is asked for basins; null while it is at work, and samples come. */
  readonly basinsOf = computed(() => (this.isResting ? this.known.value : null));
  private readonly parted = computed<Basins | null>(() => {
    const raw = this.answer("basins");
    return raw && JSON.stringify(raw.of) === JSON.stringify(this.known.value)
      ? basinsOf(raw)
      : null;
  });
  /** Null while they are not known. */
  get basins(): Basins | null {
    return this.parted.value;
  }
  /** Whether the easiest way is shown; as long as nobody has said, where it is soon found. */
  readonly easiest = signal<boolean | null>(null);
  get showsWay(): boolean {
    return this.easiest.value ?? this.basins !== null;
  }
  /** The sample that a way leads to, the only one that is selected; −1 for none. */
  get wayEnd(): number {
    const [end, ...others] = this.selected;
    const { penalty, quantity, samples } = this;
    if (end === undefined || others.length || penalty || quantity.name !== "loss") return -1;
    return samples.kind[end] === "trained" ? -1 : end;
  }
  private readonly wanted = settled(() => ({ end: this.wayEnd, ...this.known.value }));
  /** What the kernel is asked for the way that is shown. */
  readonly wayOf = computed(() =>
    this.isResting && this.showsWay && this.wayEnd >= 0 ? this.wanted.value : null,
  );
  private readonly led = computed<Way | null>(() => {
    const raw = this.answer("way");
    if (!raw || !this.showsWay || this.wayEnd < 0) return null;
    return JSON.stringify(raw.of) === JSON.stringify(this.wanted.value) ? wayOf(raw) : null;
  });
  /** The easiest way to the sample that is selected. */
  get way(): Way | null {
    return this.led.value;
  }
  private get isResting(): boolean {
    return this.progress.state !== "running" && this.known.value.samples > 0;
  }
  private readonly least = computed(() => {
    const { loss } = this.columns;
    return this.penalty && loss ? lowestOf(loss) : -1;
  });
  /** The sample whose loss with the penalty is the lowest; −1 where there is no penalty. */
  get lowest(): number {
    return this.least.value;
  }
  /** What a column is called, the penalty included. */
  columnName(column: string): string {
    const { penalty } = this;
    return nameOf(column) + (penalty && column === "loss" ? ` + ${formula(penalty)}` : "");
  }
  private readonly sliced = computed(
    () => this.rows.value ?? floatsByName(this.traits._profiles.value),
  );
  private readonly raised = computed<Readonly<Record<string, Float32Array>>>(() => {
    const { norms, penalty, alphas } = this;
    const { loss } = this.sliced.value;
    if (!norms || !penalty || !loss) return this.sliced.value;
    const rows = this.normRows.value;
    return { ...this.sliced.value, loss: penalisedRows(loss, norms, penalty, alphas, rows) };
  });
  /** Slices of all samples by quantity; those of the loss with the penalty that is shown. */
  get profiles(): Readonly<Record<string, Float32Array>> {
    return this.raised.value;
  }
  /** The same without it. */
  get unpenalisedProfiles(): Readonly<Record<string, Float32Array>> {
    return this.sliced.value;
  }
  private readonly estimated = computed<Estimates | null>(() => {
    const raw = this.traits._estimates.value ?? {};
    if (!raw.errors) return null;
    return {
      errors: floatsByName(raw.errors),
      examples: floats(raw.examples),
      of: raw.of as number,
      tolerance: raw.tolerance as number,
    };
  });
  /** Null where slices are from all of the data. */
  get estimates(): Estimates | null {
    return this.estimated.value;
  }
  private readonly turned = settled<Penalty>(() => ({
    l1: this.traits.l1.value ?? 0,
    l2: this.traits.l2.value ?? 0,
    tensors: this.traits.tensors.value ?? "weights",
  }));
  /** The penalty as it was turned by hand, or from Python. */
  get chosenPenalty(): Penalty {
    return this.turned.value;
  }
  /** What the kernel is asked for, that a penalty takes. */
  readonly normsOf = settled(() => ({
    tensors: this.chosenPenalty.tensors,
    samples: this.samples.kind.length,
    alphas: this.alphas,
  }));
  private readonly normed = computed<Norms | null>(() => {
    const raw = this.answer("norms");
    return raw && JSON.stringify(raw.of) === JSON.stringify(this.normsOf.value)
      ? normsOf(raw)
      : null;
  });
  /** Null while they are not known. */
  get norms(): Norms | null {
    return this.normed.value;
  }
  private readonly imposed = computed<Penalty | null>(() => {
    const { l1, l2 } = this.chosenPenalty;
    return this.norms && (l1 > 0 || l2 > 0) ? this.chosenPenalty : null;
  });
  /** The penalty that is shown with the training loss: none before its norms are known. */
  get penalty(): Penalty | null {
    return this.imposed.value;
  }
  /** ‖θ‖₁ along the slices that it was asked for one by one. */
  readonly normRows = signal<ReadonlyMap<number, Float32Array>>(new Map());
  private readonly ground = computed<Terrain | null>(() => {
    const raw = this.traits._terrain.value;
    if (!raw?.losses) return null;
    return { ...(raw as Terrain), losses: floats(raw.losses), certainty: floats(raw.certainty) };
  });
  /** The loss between the samples; null where the map does not tell it. */
  get terrain(): Terrain | null {
    return this.ground.value;
  }
  private readonly compared = computed<Null | null>(() => {
    const raw = this.traits._null.value;
    if (!raw.samples || raw.kind !== this.compareWith) return null; // of another, until the kernel hears
    return { ...(raw as Null), points: floats(raw.points), columns: floatsByName(raw.columns) };
  });
  get beside(): Null | null {
    return this.compared.value;
  }
  private readonly scale = settled<LossScale>(() => this.info.scale ?? LOG);
  /** How high losses are drawn. */
  get lossScale(): LossScale {
    return this.scale.value;
  }
  private readonly shown = settled<Quantity>(() => {
    const name = this.traits.quantity.value;
    const known = this.info.quantities?.find((quantity) => quantity.name === name);
    const { penalty } = this;
    const plain = known ?? { name, label: "training loss", scale: this.lossScale };
    return penalty && name === "loss"
      ? { ...plain, label: `${plain.label} + ${formula(penalty)}` }
      : plain;
  });
  /** What slices and planes show. */
  get quantity(): Quantity {
    return this.shown.value;
  }
  /** What that is called where it is shown with what it is on the validation data. */
  get quantityName(): string {
    return this.quantity.label.replace(/^training /, "");
  }
  private readonly opening = settled<readonly number[]>(() => this.info.opening ?? []);
  private readonly drawn = computed(() =>
    this.selected.length || this.hovered >= 0 ? this.selected : this.opening.value,
  );
  /** The samples that are drawn beside the map: those selected, or what there is to see at first. */
  get followed(): readonly number[] {
    const { off } = this;
    return off.size ? this.drawn.value.filter((index) => !off.has(index)) : this.drawn.value;
  }
  private readonly switched = signal<{ of: Samples | null; off: ReadonlySet<number> }>({
    of: null,
    off: new Set(),
  });
  /** Models that are switched off in the legend; of other samples none is. */
  get off(): ReadonlySet<number> {
    const { of, off } = this.switched.value;
    return of === this.samples ? off : NONE_OFF;
  }
  /** Switch a model off, or on again. */
  toggle(index: number): void {
    const off = new Set(this.off);
    if (!off.delete(index)) off.add(index);
    this.switched.value = { of: this.samples, off };
  }
  private readonly through = settled<readonly number[] | null>(() => {
    const { selected, samples, info } = this;
    const isPair = selected.length === 2 && !selected.some((i) => samples.kind[i] === "trained");
    if (isPair) return selected;
    return info.opening_plane?.length === 2 ? info.opening_plane : null;
  });
  /** The two samples that the plane goes through: those selected, or what there is to see at first. */
  get planePair(): readonly [number, number] | null {
    return this.through.value as readonly [number, number] | null;
  }
  /** The sample that was pointed at last. */
  readonly pointed = signal(-1);
  private readonly over = computed(() =>
    this.pointed.value < this.samples.kind.length ? this.pointed.value : -1,
  );
  /** The sample that is pointed at; −1 for none, as where there are fewer samples by now. */
  get hovered(): number {
    return this.over.value;
  }
}

const NONE_OFF: ReadonlySet<number> = new Set();
