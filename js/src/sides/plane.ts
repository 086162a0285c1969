// The plane through θ* along two directions: which one, what is asked of it, and what is read on it.

import { computed, type ReadonlySignal, signal } from "@preact/signals-core";

import { Flow } from "../draw/flow";
import { extentOf, type Point } from "../draw/geometry";
import { heights } from "../draw/loss_scale";
import { pathsOf } from "../map/map";
import { shortLabel } from "../names";
import { lowestOver, penalised, penalties } from "../penalty";
import type { State } from "../state";
import { capitalised, h, listed } from "../ui/dom";
import { resized } from "../ui/effects";
import { Tooltip } from "../ui/tooltip";
import { floats, floatsByName, onValidation, type PlaneData } from "../wire";
import { lowestLegend } from "./lowest";
import { nearness, PlanePicture, type Projected } from "./plane_picture";
import { stepOf, toldAt, toldOf } from "./plane_reading";
import { PlaneTools } from "./plane_tools";
import { Question } from "./question";
import type { Context, Side } from "./side";
import { type Shown as Solid, SurfacePicture } from "./surface_picture";
import { mapSurface, planeSurface } from "./surfaces";

const SEEN = 0.05; // of a sample, that it can be pointed at
const REACH = 8; // px from a sample, in which it is
const STILL = 4; // px that a press may move and be a click

export class PlaneSide implements Side {
  readonly key = "plane";
  readonly label = "Plane";
  readonly testId = "plane-toggle";
  readonly standsBeside = true;
  readonly isStill = true;
  readonly shown = {};
  private readonly picture = new PlanePicture();
  private readonly tip = new Tooltip();
  private readonly surface = new SurfacePicture();
  readonly element = h(
    "div",
    { class: "lw-plane", "data-testid": "plane" },
    this.picture.element,
    this.surface.element,
    this.tip.element,
  );
  private readonly state: State;
  private readonly tools: PlaneTools;
  private readonly question: Question<PlaneData>;
  private readonly isOn = computed(() => this.context.isShown(this.key) && this.isPossible);
  /** Where paths of descent begin, on the plane that they were begun on. */
  private readonly starts = signal<{ on: string; at: readonly Point[] }>({ on: "", at: [] });

  constructor(private readonly context: Context) {
    this.state = context.state;
    this.tools = new PlaneTools(context, () => this.startAnew());
    this.question = new Question(context.state, "plane", decode);
  }

  async begin(): Promise<void> {
    const { follow, signal } = this.context;
    const size = resized(this.element, signal);
    const { layer } = this.picture;
    layer.addEventListener("pointermove", (event) => this.read(event), { signal });
    layer.addEventListener("pointerleave", () => this.tip.hide(), { signal });
    let pressed: Point = [0, 0];
    layer.addEventListener(
      "pointerdown",
      (event) => {
        pressed = [event.clientX, event.clientY];
      },
      { signal },
    );
    layer.addEventListener(
      "pointerup",
      (event) => {
        const moved = Math.hypot(event.clientX - pressed[0], event.clientY - pressed[1]);
        if (moved < STILL && event.button === 0) this.start(event);
      },
      { signal },
    );
    this.surface.begin(signal);
    this.question.begin(
      follow,
      computed(() => (this.isOn.value ? this.of.value : null)),
    );
    follow(() => this.tools.draw(this.descents.value.length > 0, this.isLoss));
    follow(() => {
      size.value;
      if (this.isOn.value) this.draw();
    });
  }

  /** What is to be drawn: metrics are not there before they are asked for. */
  private readonly of = computed(() => {
    const { planePair } = this.state;
    if (this.tools.isOfMap) return null; // which is here already
    const directions = this.tools.isOfSamples ? planePair : this.tools.directions.value;
    return directions && { directions, metrics: !this.isLoss };
  });

  /** As it was sent. */
  private readonly plain = computed(() => {
    const of = this.of.value;
    const data = of ? this.question.data(of) : null;
    return data?.values[this.state.quantity.name] ? data : null;
  });

  /** With the penalty that is shown; none before its norms are there. */
  private readonly raised = computed<PlaneData | null>(() => {
    const { value: data } = this.plain;
    const { penalty } = this.state;
    if (!data || !penalty) return data;
    const norms = data.norms?.[penalty.tensors];
    if (!norms) return this.state.quantity.name === "loss" ? null : data;
    const loss = penalised(data.values.loss!, penalties(norms, penalty));
    return { ...data, values: { ...data.values, loss } };
  });

  private get data(): PlaneData | null {
    return this.raised.value;
  }

  /** Where the loss is lowest without the penalty, and where with it. */
  private readonly lowest = computed(() => {
    const [before, data] = [this.plain.value, this.raised.value];
    if (!before || !data || !this.state.penalty || this.state.quantity.name !== "loss") return null;
    const [low, high] = data.extent;
    const axis = Array.from(
      { length: data.size },
      (_, i) => low + (i * (high - low)) / (data.size - 1),
    );
    const [was, is] = [before, data].map(({ values }) => lowestOver(values.loss!, axis));
    return was && is ? { was, is } : null;
  });

  private get isLoss(): boolean {
    return onValidation(this.state.quantity.name) === "val_loss";
  }

  get isPossible(): boolean {
    return this.state.samples.kind.length > 0 && (this.state.alive || this.data !== null);
  }

  get hint(): string {
    return this.isPossible
      ? `On the plane ${this.through || "through two samples"}: select two others to see theirs`
      : "No plane was evaluated, and there is no kernel to do it";
  }

  get title(): string {
    const what = capitalised(this.state.quantityName);
    if (!this.tools.isOfSamples) return `${what} ${this.tools.along}`;
    return this.through ? `${what} on the plane ${this.through}` : `${what} on a plane`;
  }

  private get through(): string {
    const pair = this.state.planePair;
    return pair ? `through ${listed(["θ*", ...pair.map((i) => this.nameOf(i))])}` : "";
  }

  /** What the samples are called that it goes through; null where it goes through none. */
  private get names(): [string, string] | null {
    const pair = this.tools.isOfSamples ? this.state.planePair : null;
    return pair && [this.nameOf(pair[0]), this.nameOf(pair[1])];
  }

  /** What a sample is called on the map. */
  private nameOf(index: number): string {
    return shortLabel(index, this.state.samples);
  }

  /** What stands below the plane: what to draw, how good it is, and how far its drawing is. */
  get legend(): HTMLElement[] {
    const { data } = this;
    const of = this.of.value;
    const parts = [this.tools.element];
    if (this.tools.isOfMap)
      parts.push(h("span", {}, "Between its samples the surface is the mean of the six nearest."));
    if (data) {
      // What it cost is told at the end, in the place where the progress was.
      const text = this.question.isWorking(of) ? data.text.slice(0, 1) : data.text;
      const told = text.map((part) => h("span", { class: "lw-part" }, part));
      parts.push(h("span", { "data-testid": "plane-error" }, ...told));
      if (this.lowest.value) parts.push(...lowestLegend());
    }
    return of ? [...parts, ...this.question.status(of)] : parts;
  }

  private readonly heights: ReadonlySignal<Float32Array> = computed(() => {
    const { name, scale } = this.state.quantity;
    return heights(scale, this.data?.values[name] ?? new Float32Array(0));
  });

  private readonly flow = computed(() => {
    const { data } = this;
    return data && this.isLoss ? new Flow(this.heights.value, data.size, data.gram) : null;
  });

  private readonly descents = computed(() => {
    const { flow, data } = { flow: this.flow.value, data: this.data };
    const { on, at } = this.starts.value;
    if (!flow || !data || on !== JSON.stringify(this.of.value)) return [];
    return at.map(([a, b]) => flow.descend(stepOf(data, a), stepOf(data, b)));
  });

  private readonly projected = computed<Projected | null>(() => {
    const { data } = this;
    if (!data?.points.length) return null;
    const { columns, quantity, samples } = this.state;
    const [aa, , , bb] = data.gram as [number, number, number, number];
    const long = (data.extent[1] - data.extent[0]) * Math.sqrt((aa + bb) / 2);
    return {
      points: data.points,
      away: data.distances.map((distance) => distance / long),
      heights: heights(quantity.scale, columns[quantity.name] ?? new Float32Array(0)),
      paths: pathsOf(samples).filter((path) => path.length > 1),
    };
  });

  private draw(): void {
    const { data } = this;
    if (this.element.clientWidth === 0) return;
    const solid = this.tools.isSolid ? this.solid.value : null;
    this.surface.element.hidden = !solid;
    this.picture.element.hidden = solid !== null;
    if (solid) {
      this.surface.draw(solid);
      return;
    }
    if (!data) {
      const of = this.of.value;
      const why = !of ? "select two samples" : this.question.hasFailed(of) ? "no plane" : "";
      this.picture.clear(why || "computing…");
      return;
    }
    this.picture.draw({
      data,
      heights: this.heights.value,
      scale: this.state.quantity.scale,
      range: this.isLoss ? this.context.lossRange() : extentOf(this.heights.value),
      ends: this.names,
      flow: this.tools.arrows.on.value ? this.flow.value : null,
      samples: this.tools.samples.on.value ? this.projected.value : null,
      descents: this.descents.value,
      lowest: this.lowest.value,
    });
  }

  /** The plane, or the map, with the loss as height; its levels are those of the plane. */
  private readonly solid = computed<Solid | null>(() => {
    const { state, data } = this;
    const { scale, name } = state.quantity;
    const range = this.isLoss ? this.context.lossRange() : extentOf(this.heights.value);
    if (this.tools.isOfMap) {
      const values = heights(scale, state.columns[name] ?? new Float32Array(0));
      return mapSurface(state, values, this.isLoss ? range : extentOf(values));
    }
    const at = [this.names ?? [], this.descents.value] as const;
    return data && planeSurface(data, this.heights.value, scale, range, ...at);
  });

  // The hand

  private placeOf(event: PointerEvent): { x: number; y: number; at: Point | null } {
    const box = this.picture.layer.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    return { x, y, at: this.data && this.picture.placeAt(x, y, this.data.extent) };
  }

  private start(event: PointerEvent): void {
    const { at } = this.placeOf(event);
    if (!at || !this.flow.value) return;
    const on = JSON.stringify(this.of.value);
    const before = this.starts.value;
    this.starts.value = { on, at: [...(before.on === on ? before.at : []), at] };
  }

  private startAnew(): void {
    this.starts.value = { on: "", at: [] };
  }

  private read(event: PointerEvent): void {
    const { data } = this;
    const { x, y, at } = this.placeOf(event);
    if (!data || !at) {
      this.tip.hide();
      return;
    }
    const sample = this.sampleAt(x, y);
    const lines =
      sample < 0 ? toldAt(this.state, data, at, this.names) : toldOf(this.state, data, sample);
    this.tip.show(lines, x, y, this.element);
  }

  /** The sample that is drawn at a pixel; −1 for none. */
  private sampleAt(x: number, y: number): number {
    const samples = this.tools.samples.on.value ? this.projected.value : null;
    let [found, nearest] = [-1, REACH];
    samples?.away.forEach((away, i) => {
      if (!(nearness(away) > SEEN)) return;
      const [u, v] = this.picture.pixelAt(samples.points[2 * i]!, samples.points[2 * i + 1]!);
      const distance = Math.hypot(u - x, v - y);
      if (distance < nearest) [found, nearest] = [i, distance];
    });
    return found;
  }
}

const decode = (raw: Record<string, unknown>): PlaneData =>
  ({
    ...raw,
    values: floatsByName(raw.values),
    points: floats(raw.points),
    distances: floats(raw.distances),
    norms:
      raw.norms &&
      Object.fromEntries(
        Object.entries(raw.norms).map(([tensors, both]) => [tensors, floatsByName(both)]),
      ),
  }) as PlaneData;
