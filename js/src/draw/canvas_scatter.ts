// A scatter on a canvas, which looks as bqplot's marks do: for more samples than a page can have
// elements for, and wherever there is no widget manager.

import { h, s } from "../ui/dom";
import { viridis } from "./colours";
import { Raster, Stamps } from "./raster";
import { type Scales, toPixels } from "./scales";
import {
  type Dots,
  LOOK,
  LOOKS,
  lineOpacity,
  nearness,
  opacity,
  paintOrder,
  type Scatter,
} from "./scatter";

const COLOURS = Array.from({ length: 256 }, (_, i) => viridis(i / 255));
const SIZES = 32; // by depth, that are told apart
const MOST_NAMES = 100; // that are written; more could not be read
const RUN = 64; // edges of a path that are drawn in one go: browsers take long over longer ones
const PATH = { stroke: "#888888", width: 0.8, opacity: 0.5 }; // as in figures.py

export class CanvasScatter implements Scatter {
  private readonly paths = h("canvas", {});
  private readonly canvas = h("canvas", { "data-testid": "dots" });
  private readonly names = s("svg", {});
  private readonly element = h(
    "div",
    { class: "lw-canvas", "aria-hidden": "true" },
    this.paths,
    this.canvas,
    this.names,
  );
  private dots: Dots | null = null;
  private scales: Scales | null = null;
  private order: Uint32Array = new Uint32Array(0);
  private chosen: Uint8Array | null = null;
  /** Where samples are painted, which may be on the way to their places; in pixels of the page. */
  private pixels: Float32Array = new Float32Array(0);
  private from: Float32Array | null = null;
  private begun = 0;
  private glide = 0;
  /** Whether what is painted is to be somewhere else. */
  private moved = false;
  private waiting = false;
  private raster = new Raster(0, 0);
  private stamps = new Map<number, Stamps>();

  constructor(
    host: HTMLElement,
    private readonly signal: AbortSignal,
  ) {
    host.append(this.element);
  }

  draw(dots: Dots, scales: Scales, glide: number): void {
    this.from = glide > 0 && this.pixels.length === dots.points.length ? this.pixels : null;
    this.begun = performance.now();
    this.glide = glide;
    this.dots = dots;
    this.scales = scales;
    this.order = paintOrder(dots.looks, dots.depth);
    this.element.hidden = false;
    this.moved = true;
    this.paintSoon();
  }

  emphasise(selected: readonly number[]): void {
    this.chosen = null;
    if (selected.length) {
      this.chosen = new Uint8Array(this.dots?.looks.length ?? 0);
      for (const i of selected) this.chosen[i] = 1;
    }
    this.paintSoon();
  }

  relayout(): void {
    this.from = null;
    this.moved = true;
    this.paintSoon();
  }

  clear(): void {
    this.dots = null;
    this.pixels = new Float32Array(0);
    this.element.hidden = true;
  }

  get still(): boolean {
    return !this.waiting;
  }

  /** Paint in the next animation frame, once for all that has changed by then. */
  private paintSoon(): void {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      if (this.dots && !this.signal.aborted) this.paint(this.dots);
    });
  }

  private paint(dots: Dots): void {
    this.resize();
    if (this.moved) {
      this.move(dots);
      this.paintPaths(dots);
      this.writeNames(dots);
      this.moved = this.from !== null;
    }
    this.paintDots(dots);
    if (this.from) this.paintSoon();
  }

  /** Give the canvases the size of their element, in pixels of the screen. */
  private resize(): void {
    const ratio = window.devicePixelRatio;
    const width = Math.round(this.element.clientWidth * ratio);
    const height = Math.round(this.element.clientHeight * ratio);
    if (width === this.raster.width && height === this.raster.height) return;
    this.raster = new Raster(width, height);
    for (const canvas of [this.paths, this.canvas]) {
      canvas.width = width;
      canvas.height = height;
    }
    this.stamps.clear(); // made for another ratio, perhaps
    this.moved = true;
  }

  /** Bring samples to where they are by now. */
  private move(dots: Dots): void {
    const target = toPixels(this.scales!, dots.points);
    const share = this.glide > 0 ? (performance.now() - this.begun) / this.glide : 1;
    if (!this.from || share >= 1) {
      this.from = null;
      this.pixels = target;
      return;
    }
    const { from } = this;
    const t = share < 0.5 ? 4 * share ** 3 : 1 - 4 * (1 - share) ** 3; // as d3 eases
    this.pixels = target.map((to, i) => {
      const way = to - from[i]!;
      return Number.isFinite(way) ? from[i]! + t * way : to;
    });
  }

  private paintPaths(dots: Dots): void {
    const context = this.paths.getContext("2d")!;
    const ratio = window.devicePixelRatio;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, this.paths.width, this.paths.height);
    context.strokeStyle = PATH.stroke;
    context.lineWidth = PATH.width;
    context.globalAlpha = PATH.opacity;
    for (const path of dots.paths) {
      const placed = path.filter((i) => Number.isFinite(this.pixels[2 * i]!));
      for (let start = 0; start + 1 < placed.length; start += RUN) {
        context.beginPath();
        for (const i of placed.slice(start, start + RUN + 1))
          context.lineTo(this.pixels[2 * i]!, this.pixels[2 * i + 1]!);
        context.stroke();
      }
    }
  }

  private writeNames(dots: Dots): void {
    const beside = Math.sqrt(LOOKS[LOOK.diamond].area) / 2;
    const parts: SVGElement[] = [];
    for (const [i, name] of dots.names) {
      if (parts.length >= MOST_NAMES) break;
      const [x, y] = [this.pixels[2 * i]! + beside, this.pixels[2 * i + 1]! - beside];
      if (Number.isFinite(x)) parts.push(s("text", { class: "dot_text", x, y }, name));
    }
    this.names.replaceChildren(...parts);
  }

  private paintDots({ looks, shares, depth }: Dots): void {
    const { raster, chosen, pixels } = this;
    const ratio = window.devicePixelRatio;
    raster.clear();
    for (let k = this.order.length - 1; k >= 0; k--) {
      const i = this.order[k]!;
      const [x, y] = [ratio * pixels[2 * i]!, ratio * pixels[2 * i + 1]!];
      const look = looks[i]! as Drawn;
      const { line } = LOOKS[look];
      const coloured = look === LOOK.point || look === LOOK.diamond;
      raster.paint(
        this.stampsOf(look, depth && look < LOOK.diamond ? depth[i]! : null),
        x,
        y,
        coloured ? COLOURS[Math.round(255 * shares[i]!)]! : line,
        line,
        opacity(look, chosen ? chosen[i] === 1 : null, depth ? depth[i]! : null),
      );
    }
    this.canvas.getContext("2d")!.putImageData(raster.finish(), 0, 0);
  }

  private stampsOf(look: Drawn, depth: number | null): Stamps {
    const size = depth === null ? SIZES : Math.round(((depth + 1) / 2) * (SIZES - 1));
    const faint = look === LOOK.point && this.chosen !== null;
    const key = (2 * look + Number(faint)) * (SIZES + 1) + size;
    let stamps = this.stamps.get(key);
    if (!stamps) {
      const ratio = window.devicePixelRatio;
      const { area, width, filled } = LOOKS[look];
      const near = depth === null ? 1 : nearness((2 * size) / (SIZES - 1) - 1);
      stamps = new Stamps({
        diamond: look === LOOK.diamond,
        area: area * near * ratio * ratio,
        width: width * ratio,
        filled,
        opacity: lineOpacity(look, this.chosen !== null),
      });
      this.stamps.set(key, stamps);
    }
    return stamps;
  }
}

type Drawn = keyof typeof LOOKS;
