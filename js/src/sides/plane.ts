// The plane through θ* and two selected samples: colours, contours, where they lie.

import { computed, signal } from "@preact/signals-core";

import { short } from "../draw/colours";
import { extentOf, starPath } from "../draw/geometry";
import { heights, lossAt, lossTicks } from "../draw/loss_scale";
import { between, contour, type Frame, levels, paint, trueShape } from "../draw/plane_geometry";
import { shortLabel } from "../names";
import type { State } from "../state";
import { capitalised, h, listed, s } from "../ui/dom";
import { resized } from "../ui/effects";
import { Tooltip } from "../ui/tooltip";
import { floatsByName, onValidation, type PlaneData } from "../wire";
import { Question } from "./question";
import type { Context, Side } from "./side";

const FINER = 6; // pixels a step of the grid, before the browser scales the image
const ROOM = { side: 14, top: 16, bottom: 22 }; // px around the plane, for names
const LINES = 12; // contours at most

export class PlaneSide implements Side {
  readonly key = "plane";
  readonly label = "Plane";
  readonly testId = "plane-toggle";
  readonly standsBeside = true;
  readonly isStill = true;
  readonly shown = {};
  private readonly canvas = h("canvas", { class: "lw-canvas", "aria-hidden": "true" });
  private readonly layer = s("svg", { class: "lw-layer", "aria-hidden": "true" });
  private readonly tip = new Tooltip();
  readonly element = h(
    "div",
    { class: "lw-plane", "data-testid": "plane" },
    this.canvas,
    this.layer,
    this.tip.element,
  );
  private readonly state: State;
  private readonly question: Question<PlaneData>;
  private frame: Frame | null = null;
  private heights: Float32Array = new Float32Array(0);
  /** Where the contours are, in words. */
  private readonly levels = signal("");
  private readonly isOn = computed(() => this.context.isShown(this.key) && this.isPossible);

  constructor(private readonly context: Context) {
    this.state = context.state;
    this.question = new Question(
      context.state,
      "plane",
      (raw) => ({ ...raw, values: floatsByName(raw.values) }) as PlaneData,
    );
  }

  async begin(): Promise<void> {
    const { follow, signal } = this.context;
    const size = resized(this.element, signal);
    this.layer.addEventListener("pointermove", (event) => this.read(event), { signal });
    this.layer.addEventListener("pointerleave", () => this.tip.hide(), { signal });
    this.question.begin(
      follow,
      computed(() => (this.isOn.value ? this.of.value : null)),
    );
    follow(() => {
      size.value;
      if (this.isOn.value) this.draw();
    });
  }

  /** What is to be drawn: metrics are not there before they are asked for. */
  private readonly of = computed(() => ({ pair: this.state.planePair, metrics: !this.isLoss }));

  private get data(): PlaneData | null {
    const data = this.question.data(this.of.value);
    return data?.values[this.state.quantity.name] ? data : null;
  }

  private get isLoss(): boolean {
    return onValidation(this.state.quantity.name) === "val_loss";
  }

  get isPossible(): boolean {
    return this.state.planePair !== null && (this.state.alive || this.data !== null);
  }

  get hint(): string {
    return !this.state.planePair
      ? "Select two samples that do not lie on one line with θ* to see the plane through them"
      : this.isPossible
        ? `On the plane through ${this.through}: select two other samples to see theirs`
        : "This plane was not evaluated, and there is no kernel to do it";
  }

  get title(): string {
    return this.state.planePair
      ? `${capitalised(this.state.quantityName)} on the plane through ${this.through}`
      : "";
  }

  private get through(): string {
    return listed(["θ*", ...(this.state.planePair ?? []).map((i) => this.nameOf(i))]);
  }

  /** What a sample is called on the map. */
  private nameOf(index: number): string {
    return shortLabel(index, this.state.samples);
  }

  /** What stands below the plane: how good it is, and how far its drawing is. */
  get legend(): HTMLElement[] {
    const { data } = this;
    const of = this.of.value;
    const parts: HTMLElement[] = [];
    if (data) {
      // What it cost is told at the end, in the place where the progress was.
      const text = this.question.isWorking(of)
        ? data.text.slice(0, 1)
        : [...data.text, ...[this.levels.value].filter(Boolean)];
      parts.push(
        h(
          "span",
          { "data-testid": "plane-error" },
          ...text.map((part) => h("span", { class: "lw-part" }, part)),
        ),
      );
    }
    return [...parts, ...this.question.status(of)];
  }

  private draw(): void {
    const { data } = this;
    const { clientWidth: width, clientHeight: height } = this.element;
    if (width === 0) return;
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.frame = null;
    if (!data) {
      this.levels.value = "";
      const text = this.question.hasFailed(this.of.value) ? "no plane" : "computing…";
      this.layer.replaceChildren(
        s("text", { class: "lw-empty", x: width / 2, y: height / 2 }, text),
      );
      return;
    }
    const inner = trueShape(
      data.gram,
      data.extent,
      width - 2 * ROOM.side,
      height - ROOM.top - ROOM.bottom,
    );
    this.frame = inner;
    const { name, scale } = this.state.quantity;
    this.heights = heights(scale, data.values[name]!);
    const context = this.canvas.getContext("2d")!;
    context.scale(ratio, ratio);
    context.translate(ROOM.side, ROOM.top);
    this.fill(context, data, inner);
    this.rule(context, data, inner);
    this.mark(data, inner);
  }

  /** Between which heights colours go: those of losses are the map's. */
  private colours(): readonly [number, number] {
    return this.isLoss ? this.context.lossRange() : extentOf(this.heights);
  }

  private fill(
    context: CanvasRenderingContext2D,
    { size, extent: [low, high] }: PlaneData,
    { matrix: m }: Frame,
  ): void {
    const { side, pixels } = paint(this.heights, size, this.colours(), FINER);
    const image = document.createElement("canvas");
    image.width = image.height = side;
    image.getContext("2d")!.putImageData(new ImageData(pixels, side, side), 0, 0);
    const step = (high - low) / side;
    context.save();
    context.transform(
      m[0] * step,
      m[1] * step,
      -m[2] * step,
      -m[3] * step,
      m[0] * low + m[2] * high + m[4],
      m[1] * low + m[3] * high + m[5],
    );
    context.imageSmoothingQuality = "high";
    context.drawImage(image, 0, 0);
    context.restore();
  }

  private rule(
    context: CanvasRenderingContext2D,
    { size, extent: [low, high] }: PlaneData,
    frame: Frame,
  ): void {
    const [lowest, highest] = extentOf(this.heights);
    if (highest < lowest) {
      this.levels.value = "";
      return;
    }
    const names: string[] = [];
    const [dark, bright] = this.colours();
    const step = (high - low) / (size - 1);
    const at = (i: number, j: number) => frame.toPixel(low + i * step, low + j * step);
    const { scale } = this.state.quantity;
    const rules =
      scale.kind === "log"
        ? levels(lowest, highest, LINES)
        : lossTicks(scale, lowest, highest, LINES);
    for (const { at: level, text } of rules) {
      context.strokeStyle =
        (level - dark) / (bright - dark) < 0.6 ? "rgba(255,255,255,0.6)" : "rgba(0,0,0,0.45)";
      context.beginPath();
      for (const [i0, j0, i1, j1] of contour(this.heights, size, level)) {
        context.moveTo(...at(i0, j0));
        context.lineTo(...at(i1, j1));
      }
      context.stroke();
      names.push(text);
    }
    this.levels.value = names.length ? `contours at ${names.join(", ")}` : "";
  }

  private mark({ extent: [low, high] }: PlaneData, frame: Frame): void {
    const pair = this.state.planePair!; // data are of one
    const at = (a: number, b: number): [number, number] => {
      const [x, y] = frame.toPixel(a, b);
      return [x + ROOM.side, y + ROOM.top];
    };
    const [origin, first, second] = [at(0, 0), at(1, 0), at(0, 1)];
    const parts: SVGElement[] = [
      s("polygon", {
        class: "lw-outline",
        points: [at(low, low), at(high, low), at(high, high), at(low, high)].join(" "),
      }),
    ];
    for (const kind of ["lw-way lw-way-under", "lw-way"]) {
      parts.push(s("polyline", { class: kind, points: [first, origin, second].join(" ") }));
      parts.push(
        s("polyline", { class: `${kind} lw-way-between`, points: [first, second].join(" ") }),
      );
    }
    parts.push(
      s("path", {
        class: "lw-star",
        d: starPath(11),
        transform: `translate(${origin[0]} ${origin[1]})`,
      }),
    );
    const name = (text: string, [x, y]: [number, number], above: boolean) =>
      s("text", { class: "lw-place-name", x, y: above ? y - 12 : y + 24 }, text);
    parts.push(name("θ*", origin, false));
    [first, second].forEach((place, n) => {
      parts.push(s("circle", { class: "lw-place", cx: place[0], cy: place[1], r: 6 }));
      parts.push(name(this.nameOf(pair[n]!), place, n === 1));
    });
    this.layer.replaceChildren(...parts);
  }

  private read(event: PointerEvent): void {
    const { data, frame } = this;
    if (!data || !frame) return;
    const box = this.layer.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const [a, b] = frame.toPlane(x - ROOM.side, y - ROOM.top);
    const [low, high] = data.extent;
    const place = (value: number) => ((value - low) / (high - low)) * (data.size - 1);
    if (!(a >= low && b >= low && a <= high && b <= high)) {
      this.tip.hide();
      return;
    }
    const lines = (this.state.info.quantities ?? []).flatMap(({ name, label, scale }) => {
      const values = data.values[name];
      if (!values) return [];
      const found = between(heights(scale, values), data.size, place(a), place(b));
      return `${label} ${Number.isFinite(found) ? short(lossAt(scale, found)) : "not finite"}`;
    });
    const [first, second] = this.state.planePair!.map((i) => this.nameOf(i));
    lines.push(`${short(a, 2)} of the way to ${first}, ${short(b, 2)} to ${second}`);
    this.tip.show(lines, x, y, this.element);
  }
}
