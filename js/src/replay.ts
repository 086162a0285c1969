// How the map came about: its frames again, and what was minimised falling meanwhile. All in the
// browser, also without a kernel.

import { short } from "./colours";
import { h, s } from "./dom";
import { quantile } from "./geometry";

const RATE = 90; // ms a frame is shown

export interface Trace {
  name: string;
  iterations: number[];
  values: (number | null)[];
}

export class Replay {
  private readonly play = h("button", { class: "lw-button lw-small", type: "button", "data-testid": "play" }, "▶");
  private readonly slider = h("input", {
    type: "range",
    min: 0,
    step: 1,
    class: "lw-slider",
    "data-testid": "frames",
    "aria-label": "Frame of the map",
  });
  private readonly plot = s("svg", { class: "lw-spark", viewBox: "0 0 80 18", preserveAspectRatio: "none", "aria-hidden": "true" });
  private readonly text = h("span", { class: "lw-quiet", "data-testid": "objective" });
  readonly element = h("div", { class: "lw-replay", hidden: true }, this.play, this.slider, this.plot, this.text);
  private frames: Float32Array[] = [];
  private trace: Trace = { name: "", iterations: [], values: [] };
  private timer: ReturnType<typeof setInterval> | undefined;

  /** `show` gets the frame to show, or null for the map as it is. */
  constructor(
    private readonly show: (points: Float32Array | null) => void,
    signal: AbortSignal,
  ) {
    this.play.addEventListener("click", () => (this.timer === undefined ? this.start() : this.pause()), { signal });
    this.slider.addEventListener(
      "input",
      () => {
        this.pause();
        this.go(Number(this.slider.value));
      },
      { signal },
    );
    signal.addEventListener("abort", () => this.pause());
  }

  /** Take up the frames of a map: `count` of them, one after the other in `values`. */
  load(values: Float32Array, trace: Trace): void {
    this.pause();
    const count = trace.iterations.length;
    const size = count ? values.length / count : 0;
    this.frames = Array.from({ length: count }, (_, i) => values.subarray(i * size, (i + 1) * size));
    this.trace = trace;
    this.element.hidden = count < 3;
    this.slider.max = String(Math.max(0, count - 1));
    this.slider.value = this.slider.max;
    this.tell(count - 1);
  }

  private start(): void {
    let frame = Number(this.slider.value);
    if (frame >= this.frames.length - 1) frame = -1;
    this.play.textContent = "❚❚";
    this.play.setAttribute("aria-label", "Pause");
    this.timer = setInterval(() => {
      frame += 1;
      this.go(frame);
      if (frame >= this.frames.length - 1) this.pause();
    }, RATE);
  }

  private pause(): void {
    clearInterval(this.timer);
    this.timer = undefined;
    this.play.textContent = "▶";
    this.play.setAttribute("aria-label", "Play how the map came about");
  }

  private go(frame: number): void {
    this.slider.value = String(frame);
    this.show(frame >= this.frames.length - 1 ? null : (this.frames[frame] ?? null));
    this.tell(frame);
  }

  private tell(frame: number): void {
    const { name, iterations, values } = this.trace;
    const value = values[frame];
    this.text.textContent = value == null ? "" : `${name} ${short(value)}`;
    this.text.title = `${name} at iteration ${iterations[frame]}`;
    // Early exaggeration is off the scale of the rest.
    const known = values.filter((v): v is number => v !== null);
    const [low, high] = [Math.min(...known), quantile(known, 0.95)];
    const x = (i: number) => 2 + (76 * i) / Math.max(1, values.length - 1);
    const y = (v: number) => 16 - 14 * Math.min(1, (v - low) / (high - low || 1));
    const points = values.flatMap((v, i) => (v === null ? [] : [`${x(i)},${y(v)}`]));
    this.plot.replaceChildren(s("polyline", { points: points.join(" ") }));
    if (value != null) this.plot.append(s("circle", { cx: x(frame), cy: y(value), r: 2.5 }));
  }
}
