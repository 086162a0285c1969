// Terrain: under the samples the loss between them, shaded and contoured as far as the map tells it.

import { computed, signal } from "@preact/signals-core";

import { viridis } from "../draw/colours";
import { contour, levels } from "../draw/contours";
import { heights, lossTicks } from "../draw/loss_scale";
import { between } from "../draw/plane_geometry";
import type { Rect } from "../draw/scales";
import type { State } from "../state";
import { h, s } from "../ui/dom";
import type { Follow } from "../ui/effects";
import type { Terrain } from "../wire";
import type { MapView } from "./map";
import type { Replay } from "./replay";

const SHADE = 0.42; // how opaque the shading is where the loss is certain
const LINE = 0.6; // and contours
const STEPS = 5; // of certainty that contours tell apart
const LEAST = 0.15; // certainty from which there are contours
const SURE = 0.35; // and names on them
const MOST = 9; // contours
const NAME = { width: 17, height: 9 }; // px around the middle of a name

/** A contour in steps of the grid, with how certain each of its pieces is. */
interface Contour {
  text: string;
  pieces: { line: readonly [number, number, number, number]; certainty: number }[];
}

/** Contours at round losses, between the least and the greatest that are told. */
export function contoursOf(
  { losses, certainty, size }: Terrain,
  scale: State["lossScale"],
): Contour[] {
  const found = heights(scale, losses);
  let [low, high] = [Infinity, -Infinity];
  for (let i = 0; i < found.length; i++) {
    if (certainty[i]! < SURE) continue;
    low = Math.min(low, found[i]!);
    high = Math.max(high, found[i]!);
  }
  if (!(high > low)) return [];
  const rules = scale.kind === "log" ? levels(low, high, MOST) : lossTicks(scale, low, high, MOST);
  return rules.map(({ at, text }) => ({
    text,
    pieces: contour(found, size, at)
      .map((line) => {
        const [i, j] = [(line[0] + line[2]) / 2, (line[1] + line[3]) / 2];
        return { line, certainty: between(certainty, size, i, j) };
      })
      .filter((piece) => piece.certainty > LEAST),
  }));
}

/** The shading: a pixel for each place of the grid, y upwards. */
export function shade(
  { losses, certainty, size }: Terrain,
  scale: State["lossScale"],
  [low, high]: readonly [number, number],
): Uint8ClampedArray<ArrayBuffer> {
  const found = heights(scale, losses);
  const pixels = new Uint8ClampedArray(4 * size * size);
  for (let i = 0; i < size; i++)
    for (let j = 0; j < size; j++) {
      const at = i * size + j;
      const colour = viridis((found[at]! - low) / (high - low));
      pixels.set([...colour, 255 * SHADE * certainty[at]!], 4 * ((size - 1 - j) * size + i));
    }
  return pixels;
}

export class TerrainLayer {
  private readonly canvas = h("canvas", {});
  private readonly lines = s("svg", {});
  readonly element = h(
    "div",
    { class: "lw-terrain", "data-testid": "terrain", "aria-hidden": "true", hidden: true },
    this.canvas,
    this.lines,
  );
  readonly button = h(
    "button",
    {
      class: "lw-button lw-small",
      type: "button",
      "data-testid": "terrain-toggle",
      hidden: true,
    },
    "Terrain",
  );
  private readonly isWanted = signal(true);
  private readonly contours = computed(() => {
    const { terrain, lossScale } = this.state;
    return terrain ? contoursOf(terrain, lossScale) : [];
  });

  constructor(
    private readonly state: State,
    private readonly replay: Replay,
  ) {
    this.button.addEventListener("click", () => {
      this.isWanted.value = !this.isWanted.peek();
    });
  }

  begin(follow: Follow, map: MapView): void {
    map.plot.host.prepend(this.element);
    follow(() => this.drawButton());
    follow(() => {
      map.followLayout();
      const { terrain } = this.state;
      const isShown = this.isWanted.value && this.isFitting && !map.solid && map.scale !== null;
      this.element.hidden = !(terrain && isShown);
      if (terrain && isShown) this.draw(terrain, map);
    });
  }

  /** Whether what the map shows is the loss, on the map that was judged. */
  private get isFitting(): boolean {
    return this.state.colourBy === "loss" && !this.state.penalty && !this.replay.away;
  }

  private drawButton(): void {
    const { terrain, terrainNote } = this.state;
    this.button.hidden = !terrain && !terrainNote;
    this.button.disabled = !terrain || !this.isFitting;
    this.button.setAttribute("aria-pressed", String(!this.button.disabled && this.isWanted.value));
    this.button.title = !terrain
      ? terrainNote
      : this.isFitting
        ? "The loss between the samples, as their ten nearest tell it " +
          `(R² ${terrain.score.toFixed(2)} on held-out samples); it fades where they do not`
        : "The terrain is that of the training loss itself, on the map as it is: colour by it to see it";
  }

  private draw(terrain: Terrain, map: MapView): void {
    const { extent, size } = terrain;
    const { area } = map.plot;
    const { low, high } = map.scale!;
    const [left, top] = map.plot.toPixel(extent[0], extent[3]);
    const [right, bottom] = map.plot.toPixel(extent[1], extent[2]);
    const [dx, dy] = [(right - left) / (size - 1), (bottom - top) / (size - 1)];
    for (const [name, value] of Object.entries(area))
      this.element.style[name as "left"] = `${value}px`;

    const image = h("canvas", { width: size, height: size });
    const pixels = shade(terrain, this.state.lossScale, [low, high]);
    image.getContext("2d")!.putImageData(new ImageData(pixels, size, size), 0, 0);
    const ratio = window.devicePixelRatio;
    this.canvas.width = Math.round(area.width * ratio);
    this.canvas.height = Math.round(area.height * ratio);
    const context = this.canvas.getContext("2d")!;
    context.scale(ratio, ratio);
    context.translate(left - area.left, top - area.top);
    context.imageSmoothingQuality = "high";
    // A pixel of the image is around its place of the grid.
    context.drawImage(image, -dx / 2, -dy / 2, size * dx, size * dy);

    const at = (i: number, j: number): [number, number] => [
      left - area.left + i * dx,
      top - area.top + (size - 1 - j) * dy,
    ];
    const paths = Array.from({ length: STEPS }, () => "");
    for (const { pieces } of this.contours.value)
      for (const { line, certainty } of pieces) {
        const [from, to] = [at(line[0], line[1]), at(line[2], line[3])];
        paths[Math.min(STEPS - 1, Math.floor(certainty * STEPS))] +=
          `M${from[0].toFixed(1)},${from[1].toFixed(1)}L${to[0].toFixed(1)},${to[1].toFixed(1)}`;
      }
    this.lines.replaceChildren(
      ...paths.map((d, n) => s("path", { d, "stroke-opacity": (LINE * (n + 0.5)) / STEPS })),
      ...this.names(at, area, map.pixels),
    );
  }

  /** What some contours stand for: where each is the most certain, beside samples and other names. */
  private names(
    at: (i: number, j: number) => [number, number],
    { left, top, width, height }: Rect,
    pixels: Float32Array,
  ): SVGElement[] {
    const room = new Room(width, height);
    for (let i = 0; i < pixels.length; i += 2)
      room.take(pixels[i]! - left, pixels[i + 1]! - top, 0, 0);
    const parts: SVGElement[] = [];
    for (const { text, pieces } of this.contours.value) {
      let best: [number, number] | null = null;
      let most = SURE;
      for (const { line, certainty } of pieces) {
        if (certainty <= most) continue;
        const [x, y] = at((line[0] + line[2]) / 2, (line[1] + line[3]) / 2);
        if (room.has(x, y, NAME.width, NAME.height)) [best, most] = [[x, y], certainty];
      }
      if (!best) continue;
      room.take(...best, 2 * NAME.width, 2 * NAME.height);
      parts.push(s("text", { x: best[0], y: best[1], dy: "0.32em" }, text));
    }
    return parts;
  }
}

const CELL = 6; // px

/** Where on a plot there is room for names. */
class Room {
  private readonly columns: number;
  private readonly rows: number;
  private readonly taken: Uint8Array;

  constructor(width: number, height: number) {
    this.columns = Math.floor(width / CELL);
    this.rows = Math.floor(height / CELL);
    this.taken = new Uint8Array(this.columns * this.rows);
  }

  /** Whether nothing is within so far of a place, nor the edge. */
  has(x: number, y: number, beside: number, above: number): boolean {
    const [x0, x1] = [Math.floor((x - beside) / CELL), Math.floor((x + beside) / CELL)];
    const [y0, y1] = [Math.floor((y - above) / CELL), Math.floor((y + above) / CELL)];
    if (!(x0 >= 0 && y0 >= 0 && x1 < this.columns && y1 < this.rows)) return false;
    for (let row = y0; row <= y1; row++)
      for (let column = x0; column <= x1; column++)
        if (this.taken[row * this.columns + column]) return false;
    return true;
  }

  take(x: number, y: number, beside: number, above: number): void {
    const last = (value: number, most: number) => Math.min(most - 1, Math.floor(value / CELL));
    const first = (value: number) => Math.max(0, Math.floor(value / CELL));
    for (let row = first(y - above); row <= last(y + above, this.rows); row++)
      for (let column = first(x - beside); column <= last(x + beside, this.columns); column++)
        this.taken[row * this.columns + column] = 1;
  }
}
