// How the map comes about: what is minimised falling while it does, and its frames again
// afterwards. The replay is all in the browser, also without a kernel.

import { signal } from "@preact/signals-core";

import { count, short } from "../draw/colours";
import { extentOf } from "../draw/geometry";
import { h, s } from "../ui/dom";
import type { Trace } from "../wire";

const RATE = 90; // ms a frame is shown
const LOGARITHMIC = 5; // times the least, from which a logarithmic axis shows more

export interface Axis {
  low: number;
  high: number;
  logarithmic: boolean;
}

/**
 * The axis on which the last phase of a curve can be read; null where no value is known. What is
 * minimised in the phases before (early exaggeration) is something else, and off its scale.
 */
export function axisOf({ values, phases }: Pick<Trace, "values" | "phases">): Axis | null {
  const last = phases[phases.length - 1];
  const known = values.filter((value, i): value is number => value !== null && phases[i] === last);
  if (!known.length) return null;
  const [low, high] = extentOf(known);
  return { low, high, logarithmic: low > 0 && high > LOGARITHMIC * low };
}

/** How high above the foot of an axis a value is, from 0 to 1; what is beyond is at its end. */
export function heightOn({ low, high, logarithmic }: Axis, value: number): number {
  if (high === low) return value > high ? 1 : 0;
  const of = logarithmic ? (v: number) => Math.log(Math.max(v, low)) : (v: number) => v;
  return Math.min(1, Math.max(0, (of(value) - of(low)) / (of(high) - of(low))));
}

export class Replay {
  private readonly showing = signal<Float32Array | null>(null);
  private readonly back = this.button("step-back", "Step back", "M9 2L3 7l6 5zM2 2h1v10h-1z");
  private readonly play = this.button("play", "Play", "");
  private readonly forward = this.button("step-on", "Step on", "M3 2l6 5-6 5zM9 2h1v10h-1z");
  private readonly slider = h("input", {
    type: "range",
    min: 0,
    step: 1,
    class: "lw-slider",
    "data-testid": "frames",
    "aria-label": "Frame of the map",
  });
  private readonly plot = s("svg", {
    class: "lw-curve",
    viewBox: "0 0 100 100",
    preserveAspectRatio: "none",
  });
  private readonly dot = h("span", { class: "lw-dot" });
  private readonly high = h("span", {});
  private readonly low = h("span", {});
  private readonly text = h("div", { class: "lw-film-text", "data-testid": "objective" });
  readonly element = h(
    "div",
    {
      class: "lw-film",
      role: "group",
      "aria-label": "How the map came about",
      "data-testid": "film",
    },
    h(
      "div",
      { class: "lw-film-side" },
      this.text,
      h("div", { class: "lw-film-buttons" }, this.back, this.play, this.forward),
    ),
    h(
      "div",
      { class: "lw-film-plot" },
      h("div", { class: "lw-film-axis", "aria-hidden": "true" }, this.high, this.low),
      h("div", { class: "lw-film-curve", "aria-hidden": "true" }, this.plot, this.dot),
      this.slider,
    ),
  );
  private frames: Float32Array[] = [];
  private readonly curve = signal<Trace>({
    name: "",
    iterations: [],
    total: 0,
    phases: [],
    values: [],
    live: false,
  });
  private timer: ReturnType<typeof setInterval> | undefined;

  constructor(until: AbortSignal) {
    const options = { signal: until };
    this.play.addEventListener("click", () => this.toggle(), options);
    this.back.addEventListener("click", () => this.step(-1), options);
    this.forward.addEventListener("click", () => this.step(1), options);
    this.slider.addEventListener("input", () => this.seek(Number(this.slider.value)), options);
    this.element.addEventListener("keydown", (event) => this.key(event), options);
    until.addEventListener("abort", () => this.pause());
    this.pause();
    this.load(new Float32Array(0), this.curve.value);
  }

  private button(name: string, label: string, icon: string): HTMLButtonElement {
    const button = h("button", {
      class: "lw-button",
      type: "button",
      title: label,
      "aria-label": label,
      "data-testid": name,
    });
    const image = s("svg", { viewBox: "0 0 12 14", "aria-hidden": "true" });
    image.append(s("path", { d: icon }));
    button.append(image);
    return button;
  }

  /** The frame that is on the map in place of the map itself; null where it is not. */
  get shown(): Float32Array | null {
    return this.showing.value;
  }

  /** Whether the map shows something else than the map that is made. */
  get away(): boolean {
    return this.shown !== null || this.curve.value.live;
  }

  /** The number of the frame that is shown instead of the map; null for the map. */
  get frame(): number | null {
    return this.shown === null ? null : this.at;
  }

  /** A map is being made: its frames go to the map as they come, here only their curve grows. */
  follow(trace: Trace): void {
    this.take([], trace);
  }

  /** Take up the frames of a map that is made, one after the other in `values`. */
  load(values: Float32Array, trace: Trace): void {
    const { length } = trace.iterations;
    const size = length ? values.length / length : 0;
    this.take(
      Array.from({ length }, (_, i) => values.subarray(i * size, (i + 1) * size)),
      trace,
    );
  }

  private take(frames: Float32Array[], trace: Trace): void {
    this.pause();
    this.curve.value = trace;
    this.frames = frames;
    this.showing.value = null;
    const last = trace.iterations.length - 1;
    this.slider.max = String(Math.max(0, last));
    this.element.classList.toggle("lw-empty-film", last < 2 && !trace.live);
    for (const control of [this.back, this.play, this.forward, this.slider])
      control.disabled = frames.length < 3;
    this.tell(last);
  }

  private key(event: KeyboardEvent): void {
    const last = this.frames.length - 1;
    if (last < 2) return;
    if (event.key === "ArrowLeft" || event.key === "ArrowDown") this.step(-1);
    else if (event.key === "ArrowRight" || event.key === "ArrowUp") this.step(1);
    else if (event.key === "Home") this.seek(0);
    else if (event.key === "End") this.seek(last);
    else if (event.key === " " && event.target === this.slider) this.toggle();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  private toggle(): void {
    if (this.timer !== undefined) {
      this.pause();
      return;
    }
    const last = this.frames.length - 1;
    if (this.at >= last) this.go(0);
    this.draw("Pause", "M2 2h3v10h-3zM7 2h3v10h-3z");
    this.timer = setInterval(() => {
      this.go(this.at + 1);
      if (this.at >= last) this.pause();
    }, RATE);
  }

  private pause(): void {
    clearInterval(this.timer);
    this.timer = undefined;
    this.draw("Play", "M2 1l9 6-9 6z");
  }

  private draw(label: string, icon: string): void {
    this.play.title = label;
    this.play.setAttribute("aria-label", label);
    this.play.querySelector("path")!.setAttribute("d", icon);
  }

  private get at(): number {
    return Number(this.slider.value);
  }

  private step(by: number): void {
    this.seek(this.at + by);
  }

  private seek(frame: number): void {
    this.pause();
    this.go(frame);
  }

  private go(frame: number): void {
    const last = this.frames.length - 1;
    const to = Math.min(Math.max(frame, 0), last);
    this.showing.value = to >= last ? null : this.frames[to]!;
    this.tell(to);
  }

  private tell(frame: number): void {
    const { name, iterations, total, phases, values, live } = this.curve.value;
    this.slider.value = String(Math.max(0, frame));
    const value = values[frame];
    const reading = value == null ? "" : `${name} ${short(value)}`;
    const early =
      frame >= 0 && phases[frame] !== phases[phases.length - 1] ? ` (${phases[frame]})` : "";
    const place =
      frame < 0
        ? live
          ? "beginning…"
          : ""
        : `iteration ${count(iterations[frame]!)} of ${count(total)}${early}`;
    this.text.replaceChildren(
      ...[reading, place].filter(Boolean).map((line) => h("div", {}, line)),
    );
    this.slider.setAttribute("aria-valuetext", [place, reading].filter(Boolean).join(", "));
    this.drawCurve(frame);
  }

  private drawCurve(frame: number): void {
    const { iterations, total, phases, values, live } = this.curve.value;
    const axis = axisOf(this.curve.value);
    // While it grows, the curve leaves room for what is to come.
    const first = live ? 0 : (iterations[0] ?? 0);
    const end = live ? total : (iterations[iterations.length - 1] ?? 1);
    const x = (i: number) => (100 * (iterations[i]! - first)) / Math.max(1, end - first);
    const y = (value: number) => 94 - 88 * heightOn(axis!, value);
    const points = axis ? values.flatMap((v, i) => (v === null ? [] : [`${x(i)},${y(v)}`])) : [];
    const value = axis && values[frame];
    const before = phases.findIndex((phase) => phase === phases[phases.length - 1]);
    this.plot.replaceChildren(s("polyline", { points: points.join(" ") }));
    if (before > 0)
      this.plot.prepend(
        s("rect", { x: 0, y: 0, width: (x(before - 1) + x(before)) / 2, height: 100 }),
      );
    this.dot.hidden = value == null;
    if (value != null) this.dot.setAttribute("style", `left:${x(frame)}%;top:${y(value)}%`);
    this.high.textContent = axis ? short(axis.high, 2) : "";
    this.low.textContent = axis && axis.high !== axis.low ? short(axis.low, 2) : "";
  }
}
