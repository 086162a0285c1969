// A surface on a canvas, turned by hand: its cells from the farthest to the nearest, with contours and
// dots among them.

import { type ReadonlySignal, signal } from "@preact/signals-core";

import { viridis } from "../draw/colours";
import { contour } from "../draw/contours";
import { type Point, starPath } from "../draw/geometry";
import type { Rotation } from "../draw/rotation";
import { facetsOf, type Surface, seen, viewFrom } from "../draw/surface";
import { h, s } from "../ui/dom";

const START = { azimuth: 0.6, elevation: 0.65 };
const LOWEST = 0.05;
const PER_PIXEL = 0.01; // radians that the hand turns
const PER_KEY = 0.12;
const LONG = 1.42; // the box's diagonal, in widths of the surface

/** A place that is named on the surface, in its own coordinates. */
export interface Named {
  name: string;
  at: readonly [number, number, number];
  isStar: boolean;
}

export interface Shown {
  surface: Surface;
  range: readonly [number, number];
  levels: readonly number[];
  named: readonly Named[];
  /** Paths and dots in coordinates of the box, (x0, y0, z0, x1, ...). */
  paths: readonly Float32Array[];
  dots: {
    points: Float32Array;
    heights: Float32Array;
    /** Steps of the grid to where each is, (i0, j0, i1, ...). */
    steps: Float32Array;
  } | null;
}

export class SurfacePicture {
  private readonly canvas = h("canvas", { class: "lw-canvas", "aria-hidden": "true" });
  private readonly layer = s("svg", {
    class: "lw-layer lw-turned",
    tabindex: 0,
    role: "img",
    "aria-label": "The loss as height. Drag or arrow keys turn it, Home turns it back.",
  });
  readonly element = h(
    "div",
    { class: "lw-plane-picture", "data-testid": "surface", hidden: true },
    this.canvas,
    this.layer,
  );
  private readonly from = signal(START);
  /** From where it is seen. */
  readonly turning: ReadonlySignal<{ azimuth: number; elevation: number }> = this.from;

  begin(until: AbortSignal): void {
    const { layer } = this;
    let last: Point | null = null;
    layer.addEventListener(
      "pointerdown",
      (event) => {
        layer.setPointerCapture(event.pointerId);
        last = [event.clientX, event.clientY];
      },
      { signal: until },
    );
    layer.addEventListener(
      "pointermove",
      (event) => {
        if (!last) return;
        this.turn((event.clientX - last[0]) * PER_PIXEL, (event.clientY - last[1]) * PER_PIXEL);
        last = [event.clientX, event.clientY];
      },
      { signal: until },
    );
    for (const name of ["pointerup", "pointercancel"] as const)
      layer.addEventListener(
        name,
        () => {
          last = null;
        },
        { signal: until },
      );
    layer.addEventListener("keydown", (event) => this.key(event), { signal: until });
  }

  private key(event: KeyboardEvent): void {
    const turns: Record<string, Point> = {
      ArrowLeft: [-PER_KEY, 0],
      ArrowRight: [PER_KEY, 0],
      ArrowUp: [0, -PER_KEY],
      ArrowDown: [0, PER_KEY],
    };
    const turn = turns[event.key];
    if (event.key === "Home") this.from.value = START;
    else if (turn) this.turn(...turn);
    else return;
    event.preventDefault();
  }

  private turn(right: number, down: number): void {
    const { azimuth, elevation } = this.from.value;
    const raised = Math.min(Math.PI / 2, Math.max(LOWEST, elevation + down));
    this.from.value = { azimuth: azimuth - right, elevation: raised };
  }

  draw(shown: Shown): void {
    const { clientWidth: width, clientHeight: height } = this.element;
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    const context = this.canvas.getContext("2d")!;
    const { azimuth, elevation } = this.from.value;
    const view = viewFrom(azimuth, elevation);
    const unit = Math.min(width / LONG, height / 1.15);
    context.scale(ratio, ratio);
    context.translate(width / 2, height / 2);
    const at = (x: number, y: number, z: number): Point => {
      const [right, up] = seen(view, x, y, z);
      return [right * unit, -up * unit];
    };
    paintCells(context, shown, view, unit, at);
    this.mark(shown, (...place) => {
      const [x, y] = at(...place);
      return [x + width / 2, y + height / 2];
    });
  }

  private mark(
    { surface, named, paths }: Shown,
    at: (x: number, y: number, z: number) => Point,
  ): void {
    const parts: SVGElement[] = [];
    for (const path of paths) {
      const points: string[] = [];
      for (let n = 0; n < path.length; n += 3)
        points.push(
          at(path[n]!, path[n + 1]!, path[n + 2]!)
            .map((v) => v.toFixed(1))
            .join(","),
        );
      for (const kind of ["lw-stream lw-stream-under", "lw-stream"])
        parts.push(s("polyline", { class: kind, points: points.join(" ") }));
    }
    for (const { name, at: place, isStar } of named) {
      const [x, y] = at(...surface.place(...place));
      if (!Number.isFinite(y)) continue;
      parts.push(
        isStar
          ? s("path", { class: "lw-star", d: starPath(10), transform: `translate(${x} ${y})` })
          : s("circle", { class: "lw-place", cx: x, cy: y, r: 5 }),
        s("text", { class: "lw-place-name", x, y: y - 12 }, name),
      );
    }
    this.layer.replaceChildren(...parts);
  }
}

/** Cells by their colours and the light, each with the contours that cross it. */
function paintCells(
  context: CanvasRenderingContext2D,
  shown: Shown,
  view: Rotation,
  unit: number,
  at: (x: number, y: number, z: number) => Point,
): void {
  const { surface, range, levels } = shown;
  const { size, heights, points } = surface;
  const dots = dotsOver(shown);
  const { order, light, flat } = facetsOf(surface, view);
  const crossing = new Map<number, [Point, Point][]>();
  const between = (i: number, j: number): Point => {
    const [k, l] = [Math.min(Math.floor(i), size - 2), Math.min(Math.floor(j), size - 2)];
    const [u, v] = [i - k, j - l];
    const corner = (m: number, c: number) => points[3 * m + c]!;
    const mixed = [0, 1, 2].map((c) => {
      const m = k * size + l;
      return (
        (1 - u) * ((1 - v) * corner(m, c) + v * corner(m + 1, c)) +
        u * ((1 - v) * corner(m + size, c) + v * corner(m + size + 1, c))
      );
    });
    return at(mixed[0]!, mixed[1]!, mixed[2]!);
  };
  for (const level of levels)
    for (const [i0, j0, i1, j1] of contour(heights, size, level)) {
      const cell = Math.floor((i0 + i1) / 2) * size + Math.floor((j0 + j1) / 2);
      const lines = crossing.get(cell) ?? [];
      lines.push([between(i0, j0), between(i1, j1)]);
      crossing.set(cell, lines);
    }
  context.lineWidth = 0.8;
  context.lineJoin = "round";
  for (const k of order) {
    const corners = [k, k + size, k + size + 1, k + 1];
    const mean = corners.reduce((sum, corner) => sum + heights[corner]!, 0) / 4;
    const shade = 0.45 + 0.6 * light[k]!;
    const colour = viridis((mean - range[0]) / (range[1] - range[0])).map((c) =>
      Math.round(Math.min(255, c * shade + 255 * Math.max(0, shade - 1))),
    );
    context.fillStyle = context.strokeStyle = `rgb(${colour})`;
    context.beginPath();
    corners.forEach((corner, n) => {
      const [x, y] = [flat[2 * corner]! * unit, -flat[2 * corner + 1]! * unit];
      if (n) context.lineTo(x, y);
      else context.moveTo(x, y);
    });
    context.closePath();
    context.fill();
    context.stroke(); // no seam is seen between it and the next
    for (const n of dots.get(k) ?? []) paintDot(context, shown, n, at);
    const lines = crossing.get(k);
    if (!lines) continue;
    context.strokeStyle = "rgba(255,255,255,0.55)";
    context.beginPath();
    for (const [from, to] of lines) {
      context.moveTo(...from);
      context.lineTo(...to);
    }
    context.stroke();
  }
}

const DOT = 1.7; // px

/** Dots by the cell that they are over, so that what is nearer hides them. */
function dotsOver({ surface, dots }: Shown): Map<number, number[]> {
  const found = new Map<number, number[]>();
  for (let n = 0; n < (dots?.heights.length ?? 0); n++) {
    const [i, j] = [dots!.steps[2 * n]!, dots!.steps[2 * n + 1]!];
    const last = surface.size - 2;
    const cell = Math.min(Math.floor(i), last) * surface.size + Math.min(Math.floor(j), last);
    const there = found.get(cell);
    if (there) there.push(n);
    else found.set(cell, [n]);
  }
  return found;
}

function paintDot(
  context: CanvasRenderingContext2D,
  { dots, range }: Shown,
  n: number,
  at: (x: number, y: number, z: number) => Point,
): void {
  const { points, heights } = dots!;
  const [x, y] = at(points[3 * n]!, points[3 * n + 1]!, points[3 * n + 2]!);
  context.fillStyle = `rgb(${viridis((heights[n]! - range[0]) / (range[1] - range[0]))})`;
  context.strokeStyle = "rgba(0,0,0,0.55)";
  context.beginPath();
  context.arc(x, y, DOT, 0, 2 * Math.PI);
  context.fill();
  context.stroke();
}
