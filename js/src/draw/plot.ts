// A plot inside an element: where it is, what it shows, and when its place is another.

import type { Point } from "./geometry";
import { type Rect, type Scales, toData, toPixel } from "./scales";

/** Whoever draws in it: bqplot, or the page itself where there is no widget manager. */
export interface Plot extends Scales {
  /** The element that it fills. */
  readonly host: HTMLElement;
  setDomain(axis: "x" | "y", domain: [number, number]): void;
  /** Tell what is to be done whenever it has been laid out anew. */
  onLayout(callback: () => void, signal: AbortSignal): void;
  /** From data to pixels of the element, and back. */
  toPixel(x: number, y: number): Point;
  toData(px: number, py: number): Point;
}

/** What lies between the edges of the element and the plot, in px. */
export interface Margin {
  top: number;
  bottom: number;
  left: number;
  right: number;
}

/** As in figures.py. */
export const MAP_MARGIN: Margin = { top: 6, bottom: 22, left: 22, right: 6 };
export const SLICE_MARGIN: Margin = { top: 6, bottom: 46, left: 64, right: 12 };

/** A plot of the page's own: it draws nothing, but says where and what. */
export class OwnPlot implements Plot {
  private readonly domains: Record<"x" | "y", [number, number]> = { x: [-1, 1], y: [-1, 1] };

  constructor(
    readonly host: HTMLElement,
    private readonly margin: Margin,
  ) {}

  get area(): Rect {
    const { top, bottom, left, right } = this.margin;
    const { clientWidth, clientHeight } = this.host;
    return {
      left,
      top,
      width: Math.max(1, clientWidth - left - right),
      height: Math.max(1, clientHeight - top - bottom),
    };
  }

  domain(axis: "x" | "y"): [number, number] {
    return this.domains[axis];
  }

  setDomain(axis: "x" | "y", domain: [number, number]): void {
    this.domains[axis] = domain;
  }

  onLayout(callback: () => void, signal: AbortSignal): void {
    const observer = new ResizeObserver(callback);
    observer.observe(this.host);
    signal.addEventListener("abort", () => observer.disconnect());
  }

  toPixel(x: number, y: number): Point {
    return toPixel(this, x, y);
  }

  toData(px: number, py: number): Point {
    return toData(this, px, py);
  }
}
