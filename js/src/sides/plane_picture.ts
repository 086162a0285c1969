// How a plane is drawn: colours, labelled contours, arrows downhill, samples, and what lies over them.

import { viridis } from "../draw/colours";
import { contour, joined, labelPlace, levels } from "../draw/contours";
import type { Flow } from "../draw/flow";
import { extentOf, type Point, starPath } from "../draw/geometry";
import { type LossScale, lossTicks } from "../draw/loss_scale";
import { type Frame, paint, trueShape } from "../draw/plane_geometry";
import { h, s } from "../ui/dom";
import type { PlaneData } from "../wire";
import { lowestMark } from "./lowest";

const FINER = 6; // pixels a step of the grid, before the browser scales the image
const ROOM = { side: 14, top: 16, bottom: 22 }; // px around the plane, for names
const LINES = 12; // contours at most
const LABEL_GAP = 46; // px between the labels of contours
const ARROWS = 30; // px from arrow to arrow
const NEAR = 0.12; // of the plane's length: so far away a sample is half as opaque

/** What is drawn of a plane. */
export interface Shown {
  data: PlaneData;
  /** Of what is shown, by rows of the first axis; NaN where not finite. */
  heights: Float32Array;
  scale: LossScale;
  /** Between which heights colours go. */
  range: readonly [number, number];
  /** What stands at (1, 0) and (0, 1), where samples do. */
  ends: readonly [string, string] | null;
  flow: Flow | null;
  samples: Projected | null;
  /** Paths of descent, in steps of the grid. */
  descents: readonly (readonly Point[])[];
  /** Where the loss is lowest without a penalty, and where with it; null where there is none. */
  lowest: { was: Point; is: Point } | null;
}

/** Samples on the plane. */
export interface Projected {
  /** (a0, b0, a1, ...). */
  points: Float32Array;
  /** How far from the plane each is, as a share of the plane's length. */
  away: Float32Array;
  heights: Float32Array;
  paths: readonly (readonly number[])[];
}

/** How much of a sample is seen that is so far from the plane: 1 on it, towards 0 far away. */
export const nearness = (away: number): number => 1 / (1 + (away / NEAR) ** 2);

export class PlanePicture {
  private readonly canvas = h("canvas", { class: "lw-canvas", "aria-hidden": "true" });
  readonly layer = s("svg", { class: "lw-layer", "aria-hidden": "true" });
  readonly element = h("div", { class: "lw-plane-picture" }, this.canvas, this.layer);
  private frame: Frame | null = null;

  /** Say why there is nothing to see. */
  clear(text: string): void {
    this.frame = null;
    this.resize();
    const middle = { x: this.element.clientWidth / 2, y: this.element.clientHeight / 2 };
    this.layer.replaceChildren(s("text", { class: "lw-empty", ...middle }, text));
  }

  draw(shown: Shown): void {
    const { data } = shown;
    const { clientWidth: width, clientHeight: height } = this.element;
    const context = this.resize();
    const room = [width - 2 * ROOM.side, height - ROOM.top - ROOM.bottom] as const;
    this.frame = trueShape(data.gram, data.extent, ...room);
    context.translate(ROOM.side, ROOM.top);
    this.fill(context, shown);
    this.rule(context, shown);
    if (shown.samples) this.dot(context, shown, shown.samples);
    if (shown.flow) this.point(context, shown, shown.flow);
    this.mark(shown);
  }

  /** Where on the plane a pixel of the element is; null beside it. */
  placeAt(x: number, y: number, [low, high]: readonly [number, number]): Point | null {
    const found = this.frame?.toPlane(x - ROOM.side, y - ROOM.top);
    return found?.every((value) => value >= low && value <= high) ? found : null;
  }

  /** The pixel of the element at which a place on the plane is drawn. */
  pixelAt(a: number, b: number): Point {
    const [x, y] = this.frame!.toPixel(a, b);
    return [x + ROOM.side, y + ROOM.top];
  }

  private resize(): CanvasRenderingContext2D {
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(this.element.clientWidth * ratio);
    this.canvas.height = Math.round(this.element.clientHeight * ratio);
    const context = this.canvas.getContext("2d")!;
    context.scale(ratio, ratio);
    return context;
  }

  private fill(context: CanvasRenderingContext2D, { data, heights, range }: Shown): void {
    const [low, high] = data.extent;
    const { matrix: m } = this.frame!;
    const { side, pixels } = paint(heights, data.size, range, FINER);
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

  /** From steps of the grid to pixels of the canvas. */
  private place({ data: { size, extent } }: Shown): (i: number, j: number) => Point {
    const [low, high] = extent;
    const step = (high - low) / (size - 1);
    return (i, j) => this.frame!.toPixel(low + i * step, low + j * step);
  }

  /** Contours, each with its loss where it is straight enough. */
  private rule(context: CanvasRenderingContext2D, shown: Shown): void {
    const { data, heights, scale, range } = shown;
    const [lowest, highest] = extentOf(heights);
    if (highest < lowest) return;
    const at = this.place(shown);
    const rules =
      scale.kind === "log"
        ? levels(lowest, highest, LINES)
        : lossTicks(scale, lowest, highest, LINES);
    context.font = "11px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    const [low, high] = data.extent;
    const fits = (x: number, y: number) =>
      this.frame!.toPlane(x, y).every((v) => v > low + 0.02 && v < high - 0.02);
    const taken: Point[] = [
      [0, 0],
      [1, 0],
      [0, 1],
    ].map(([a, b]) => this.frame!.toPixel(a!, b!));
    for (const { at: level, text } of rules) {
      const ink = inkAt(level, range);
      const width = context.measureText(text).width + 8;
      const lines = joined(contour(heights, data.size, level)).map((line) =>
        line.map(([i, j]) => at(i, j)),
      );
      const longest = [...lines].sort((a, b) => b.length - a.length);
      for (const line of longest) {
        const label = labelPlace(line, width, LABEL_GAP, taken, fits);
        context.strokeStyle = `rgba(${ink},0.6)`;
        strokeLine(context, label ? line.slice(0, label.covers[0] + 1) : line);
        if (!label) continue;
        strokeLine(context, line.slice(label.covers[1]));
        taken.push([label.x, label.y]);
        context.save();
        context.translate(label.x, label.y);
        context.rotate(label.angle);
        context.fillStyle = `rgba(${ink},0.95)`;
        context.fillText(text, 0, 0);
        context.restore();
      }
    }
  }

  /** Arrows downhill: longer where it is steeper, by the logarithm. */
  private point(context: CanvasRenderingContext2D, shown: Shown, flow: Flow): void {
    const { data, heights, range } = shown;
    const [low, high] = data.extent;
    const { matrix: m, toPlane } = this.frame!;
    const step = (high - low) / (data.size - 1);
    const found: { x: number; y: number; dx: number; dy: number; size: number; ink: string }[] = [];
    const { clientWidth, clientHeight } = this.element;
    for (let y = ARROWS / 2; y < clientHeight; y += ARROWS)
      for (let x = ARROWS / 2; x < clientWidth; x += ARROWS) {
        const [a, b] = toPlane(x, y);
        const [i, j] = [(a - low) / step, (b - low) / step];
        const [da, db] = flow.downhill(i, j);
        const [dx, dy] = [m[0] * da + m[2] * db, m[1] * da + m[3] * db];
        const size = Math.hypot(dx, dy);
        const ink = inkAt(heights[Math.round(i) * data.size + Math.round(j)]!, range);
        if (size > 0) found.push({ x, y, dx: dx / size, dy: dy / size, size, ink });
      }
    context.save();
    context.beginPath();
    for (const [a, b] of cornersOf(data)) context.lineTo(...this.frame!.toPixel(a, b));
    context.clip();
    const steepest = found.reduce((most, { size }) => Math.max(most, size), 0);
    for (const { x, y, dx, dy, size, ink } of found) {
      const long = 7 + 11 * Math.max(0, 1 + Math.log10(size / steepest) / 2);
      context.strokeStyle = context.fillStyle = `rgba(${ink},0.75)`;
      drawArrow(context, x - (dx * long) / 2, y - (dy * long) / 2, dx, dy, long);
    }
    context.restore();
  }

  /** Samples by their own colours, the smaller and the fainter the farther from the plane. */
  private dot(context: CanvasRenderingContext2D, { range }: Shown, samples: Projected): void {
    const { points, away, heights, paths } = samples;
    const at = (i: number) => this.frame!.toPixel(points[2 * i]!, points[2 * i + 1]!);
    context.save();
    context.beginPath();
    context.rect(-ROOM.side, -ROOM.top, this.element.clientWidth, this.element.clientHeight);
    context.clip();
    for (const path of paths) {
      const line = path.filter((i) => Number.isFinite(points[2 * i]!)).map(at);
      for (const [style, width] of [
        ["rgba(0,0,0,0.35)", 3],
        ["rgba(255,255,255,0.8)", 1.2],
      ] as const) {
        context.strokeStyle = style;
        context.lineWidth = width;
        strokeLine(context, line);
      }
    }
    const order = Array.from(away.keys()).filter((i) => Number.isFinite(points[2 * i]!));
    order.sort((i, j) => away[j]! - away[i]!);
    for (const i of order) {
      const near = nearness(away[i]!);
      if (near < 0.03) continue;
      const [x, y] = at(i);
      const share = (heights[i]! - range[0]) / (range[1] - range[0]);
      context.globalAlpha = 0.15 + 0.85 * near;
      context.beginPath();
      context.arc(x, y, 1.2 + 2.6 * near, 0, 2 * Math.PI);
      context.fillStyle = Number.isFinite(share) ? `rgb(${viridis(share)})` : "#c62828";
      context.fill();
      context.lineWidth = 0.8;
      context.strokeStyle = "rgba(255,255,255,0.7)";
      context.stroke();
    }
    context.restore();
  }

  private mark(shown: Shown): void {
    const { data, ends: names, descents } = shown;
    const corners = cornersOf(data).map(([a, b]) => this.pixelAt(a, b));
    const origin = this.pixelAt(0, 0);
    const parts: SVGElement[] = [
      s("polygon", { class: "lw-outline", points: corners.join(" ") }),
      ...this.streams(shown, descents),
    ];
    const places = names ? [this.pixelAt(1, 0), this.pixelAt(0, 1)] : [];
    const [first, second] = places;
    if (first && second)
      for (const kind of ["lw-way lw-way-under", "lw-way"]) {
        parts.push(s("polyline", { class: kind, points: [first, origin, second].join(" ") }));
        parts.push(
          s("polyline", { class: `${kind} lw-way-between`, points: [first, second].join(" ") }),
        );
      }
    const turned = { transform: `translate(${origin[0]} ${origin[1]})` };
    parts.push(s("path", { class: "lw-star", d: starPath(11), ...turned }));
    parts.push(nameAt("θ*", origin, false));
    if (!names) parts.push(...this.axes(data));
    places.forEach((place, n) => {
      parts.push(s("circle", { class: "lw-place", cx: place[0], cy: place[1], r: 6 }));
      parts.push(nameAt(names![n]!, place, n === 1));
    });
    parts.push(...this.moved(shown));
    this.layer.replaceChildren(...parts);
  }

  /** From where to where a penalty moves the lowest place. */
  private moved({ lowest }: Shown): SVGElement[] {
    if (!lowest) return [];
    const [was, is] = [this.pixelAt(...lowest.was), this.pixelAt(...lowest.is)];
    const line = s("polyline", { class: "lw-moved", points: [was, is].join(" ") });
    return [line, lowestMark(...was, true), lowestMark(...is, false)];
  }

  /** What lies along the axes: below the plane, and at its left. */
  private axes({ extent: [low, high], names }: PlaneData): SVGElement[] {
    const [below, left] = [
      this.pixelAt((low + high) / 2, low),
      this.pixelAt(low, (low + high) / 2),
    ];
    const [foot, top] = [this.pixelAt(low, low), this.pixelAt(low, high)];
    const angle = (Math.atan2(top[1] - foot[1], top[0] - foot[0]) * 180) / Math.PI;
    const turn = `translate(${left[0] - 5} ${left[1]}) rotate(${angle})`;
    return [
      s("text", { class: "lw-axis-name", x: below[0], y: below[1] + 15 }, `${names[0]} →`),
      s("text", { class: "lw-axis-name", transform: turn }, `${names[1]} →`),
    ];
  }

  /** Paths of descent, along which dashes run, from a ring to a dot. */
  private streams(shown: Shown, descents: Shown["descents"]): SVGElement[] {
    const at = this.place(shown);
    return descents.flatMap((path) => {
      const line = path.map(([i, j]) => {
        const [x, y] = at(i, j);
        return [x + ROOM.side, y + ROOM.top] as const;
      });
      const [start, end] = [line[0]!, line[line.length - 1]!];
      const points = line.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ");
      return [
        s("polyline", { class: "lw-stream lw-stream-under", points }),
        s("polyline", { class: "lw-stream", points }),
        s("circle", { class: "lw-stream-start", cx: start[0], cy: start[1], r: 4 }),
        s("circle", { class: "lw-stream-end", cx: end[0], cy: end[1], r: 4.5 }),
      ];
    });
  }
}

const cornersOf = ({ extent: [low, high] }: PlaneData): Point[] => [
  [low, low],
  [high, low],
  [high, high],
  [low, high],
];

const nameAt = (text: string, [x, y]: Point, above: boolean) =>
  s("text", { class: "lw-place-name", x, y: above ? y - 12 : y + 24 }, text);

/** White on what is dark, black on what is bright. */
const inkAt = (level: number, [dark, bright]: readonly [number, number]): string =>
  (level - dark) / (bright - dark) < 0.6 ? "255,255,255" : "0,0,0";

function strokeLine(context: CanvasRenderingContext2D, line: readonly Point[]): void {
  if (line.length < 2) return;
  context.beginPath();
  line.forEach(([x, y], n) => {
    if (n) context.lineTo(x, y);
    else context.moveTo(x, y);
  });
  context.stroke();
}

const HEAD = 4.5; // px

function drawArrow(
  context: CanvasRenderingContext2D,
  x: number,
  y: number,
  dx: number,
  dy: number,
  long: number,
): void {
  const [u, v] = [x + dx * long, y + dy * long];
  context.lineWidth = 1.2;
  context.beginPath();
  context.moveTo(x, y);
  context.lineTo(u - dx * HEAD, v - dy * HEAD);
  context.stroke();
  context.beginPath();
  context.moveTo(u, v);
  context.lineTo(u - dx * HEAD - dy * 2.2, v - dy * HEAD + dx * 2.2);
  context.lineTo(u - dx * HEAD + dy * 2.2, v - dy * HEAD - dx * 2.2);
  context.fill();
}
