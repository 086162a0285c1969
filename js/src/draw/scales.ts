// From data to pixels, and where on an element a plot is.

import type { Point } from "./geometry";

export interface Rect {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** What a plot shows, and where. */
export interface Scales {
  /** The plot area, in pixels of the element that it is in. */
  readonly area: Rect;
  /** The range of values that an axis shows. */
  domain(axis: "x" | "y"): [number, number];
}

/** From data to pixels: x is `x[0] + x[1] · data`, and y likewise. */
function transform(scales: Scales): { x: Point; y: Point } {
  const { left, top, width, height } = scales.area;
  const [x0, x1] = scales.domain("x");
  const [y0, y1] = scales.domain("y");
  const [dx, dy] = [width / (x1 - x0), -height / (y1 - y0)];
  return { x: [left - dx * x0, dx], y: [top + height - dy * y0, dy] };
}

export function toPixel(scales: Scales, x: number, y: number): Point {
  const to = transform(scales);
  return [to.x[0] + to.x[1] * x, to.y[0] + to.y[1] * y];
}

export function toData(scales: Scales, px: number, py: number): Point {
  const to = transform(scales);
  return [(px - to.x[0]) / to.x[1], (py - to.y[0]) / to.y[1]];
}

/** Pixels of many points (x0, y0, x1, ...); NaN of those without a place. */
export function toPixels(scales: Scales, points: Float32Array): Float32Array {
  const { x, y } = transform(scales);
  const pixels = new Float32Array(points.length);
  for (let i = 0; i < points.length; i += 2) {
    pixels[i] = x[0] + x[1] * points[i]!;
    pixels[i + 1] = y[0] + y[1] * points[i + 1]!;
  }
  return pixels;
}
