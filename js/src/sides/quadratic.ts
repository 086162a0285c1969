// The quadratic that the Hessian at θ* makes of each slice, L(θ*) + α gᵀd + ½ α² dᵀHd, beside the
// slice itself. It costs products with the Hessian, and is there once somebody asks for it.

import { computed, signal } from "@preact/signals-core";
import { height } from "../draw/loss_scale";
import type { Plot } from "../draw/plot";
import { h, s } from "../ui/dom";
import { floats } from "../wire";
import { Question } from "./question";
import type { Context } from "./side";
import type { Line } from "./slice_lines";

const POINTS = 161;

/** Slope gᵀd and curvature dᵀHd of each sample, and the loss at θ*. */
export interface Quadratics {
  all: boolean;
  loss: number;
  of: ReadonlyMap<number, readonly [slope: number, curvature: number]>;
}

export function quadraticsOf(raw: Record<string, unknown>): Quadratics {
  const [slopes, curvatures] = [floats(raw.slopes), floats(raw.curvatures)];
  const indices = (raw.indices ?? []) as number[];
  return {
    all: Boolean(raw.all),
    loss: Number(raw.loss ?? Number.NaN),
    of: new Map(indices.map((index, n) => [index, [slopes[n]!, curvatures[n]!] as const])),
  };
}

/** Pieces of a curve within heights and above `least`, as the path of an SVG. */
export function pathOf(
  [low, high]: readonly [number, number],
  [bottom, top]: readonly [number, number],
  heightAt: (alpha: number) => number,
  toPixel: (x: number, y: number) => readonly [number, number],
): string {
  let path = "";
  let isDown = false;
  for (let n = 0; n < POINTS; n++) {
    const alpha = low + ((high - low) * n) / (POINTS - 1);
    const at = heightAt(alpha);
    const isSeen = at >= bottom && at <= top;
    if (isSeen) {
      const [x, y] = toPixel(alpha, at);
      path += `${isDown ? "L" : "M"}${x.toFixed(1)},${y.toFixed(1)}`;
    }
    isDown = isSeen;
  }
  return path;
}

export class QuadraticLayer {
  private readonly isWanted = signal(false);
  private readonly ofAll: Question<Quadratics>;
  private readonly ofFew: Question<Quadratics>;
  private readonly button = h(
    "button",
    {
      class: "lw-button lw-small",
      type: "button",
      "aria-pressed": "false",
      "data-testid": "quadratic",
      title: "Draw what slope and curvature at θ* say of each slice: L + α gᵀd + ½ α² dᵀHd",
    },
    "Quadratic",
  );
  private readonly all = computed(() => ({ samples: this.context.state.samples.kind.length }));
  private readonly few = computed(() => ({ rows: this.context.state.followed.slice(0, 8) }));
  /** Losses alone have one, and no penalty is in it. */
  private readonly isPossible = computed(() => {
    const { quantity, penalty, samples } = this.context.state;
    return quantity.name === "loss" && !penalty && samples.kind.length > 0;
  });
  private readonly isOn = computed(() => this.isWanted.value && this.isPossible.value);
  private readonly isWide = computed(() => this.ofAll.data(this.all.value)?.all === false);

  constructor(private readonly context: Context) {
    const words = { counted: "products with the Hessian", first: "computing" };
    this.ofAll = new Question(context.state, "quadratics", quadraticsOf, words);
    this.ofFew = new Question(context.state, "quadratics along", quadraticsOf, words);
    this.button.addEventListener(
      "click",
      () => {
        this.isWanted.value = !this.isWanted.peek();
        this.button.setAttribute("aria-pressed", String(this.isWanted.peek()));
      },
      { signal: context.signal },
    );
  }

  begin(): void {
    const { follow } = this.context;
    this.ofAll.begin(
      follow,
      computed(() => (this.isOn.value ? this.all.value : null)),
    );
    this.ofFew.begin(
      follow,
      computed(() =>
        this.isOn.value && this.isWide.value && this.few.value.rows.length ? this.few.value : null,
      ),
    );
  }

  get legend(): HTMLElement[] {
    const { alive } = this.context.state;
    if (!this.isPossible.value || !(alive || this.data)) return [];
    const status = this.isOn.value
      ? this.isWide.value
        ? this.ofFew.status(this.few.value)
        : this.ofAll.status(this.all.value)
      : [];
    return [this.button, ...status];
  }

  private get data(): Quadratics | null {
    return this.isWide.value ? this.ofFew.data(this.few.value) : this.ofAll.data(this.all.value);
  }

  curves(plot: Plot, lines: readonly Line[]): SVGElement[] {
    const { data } = this;
    if (!this.isOn.value || !data) return [];
    const { scale } = this.context.state.quantity;
    const span = plot.domain("x");
    const heights = plot.domain("y");
    return lines.flatMap(({ index, colour }) => {
      const [slope, curvature] = data.of.get(index) ?? [Number.NaN, Number.NaN];
      if (!Number.isFinite(curvature)) return [];
      const at = (alpha: number) => {
        const loss = data.loss + alpha * slope + 0.5 * alpha * alpha * curvature;
        return scale.kind === "log" && loss <= 0 ? Number.NaN : height(scale, loss);
      };
      const d = pathOf(span, heights, at, (x, y) => plot.toPixel(x, y));
      return [s("path", { class: "lw-quadratic", d, stroke: colour })];
    });
  }
}
