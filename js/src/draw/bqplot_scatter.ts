// A scatter of bqplot's marks, an element for each sample: what is extended from Python.

import type { Figure } from "./bqplot";
import type { Scales } from "./scales";
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

// The order in which Python lists the marks of the figure: paths, then as in LOOK.
const PATHS = 0;
const { waiting, point, hollow, diamond, star } = LOOK;

const NOTHING: Dots = {
  points: new Float32Array(0),
  looks: new Uint8Array(0),
  shares: new Float32Array(0),
  depth: null,
  names: new Map(),
  paths: [],
};

export class BqplotScatter implements Scatter {
  private dots = NOTHING;
  /** Which samples each mark shows, by its look. */
  private members: number[][] = [];

  constructor(private readonly figure: Figure) {}

  /** On the scales of the figure. */
  draw(dots: Dots, _scales: Scales, glide: number): void {
    const { points, looks, shares, depth, names } = dots;
    this.dots = dots;
    this.members = Object.values(LOOK).map(() => []);
    for (const i of paintOrder(looks, depth)) this.members[looks[i]!]!.push(i);
    this.figure.glide = glide;
    for (const look of [waiting, point, hollow, diamond, star]) {
      const indices = this.members[look]!;
      const values: Record<string, unknown> = {
        x: Float32Array.from(indices, (i) => points[2 * i]!),
        y: Float32Array.from(indices, (i) => points[2 * i + 1]!),
      };
      if (look === waiting || look === point || look === hollow)
        values.size = Float32Array.from(depth ? indices : [], (i) => nearness(depth![i]!));
      if (look === point || look === diamond)
        values.color = Float32Array.from(indices, (i) => shares[i]!);
      if (look === diamond) values.names = indices.map((i) => names.get(i) ?? "");
      this.figure.marks[look]!.set(values);
    }
    const paths = dots.paths
      .map((path) => path.filter((i) => Number.isFinite(points[2 * i]!)))
      .filter((path) => path.length > 0);
    const coordinate = (c: number) => paths.map((path) => path.map((i) => points[2 * i + c]!));
    this.figure.marks[PATHS]!.set({ x: coordinate(0), y: coordinate(1) });
  }

  emphasise(selected: readonly number[]): void {
    const { depth } = this.dots;
    const chosen = selected.length > 0 ? new Set(selected) : null;
    for (const look of [point, hollow, diamond]) {
      const indices = this.members[look] ?? [];
      const opacities =
        chosen || depth
          ? indices.map((i) =>
              opacity(look, chosen ? chosen.has(i) : null, depth ? depth[i]! : null),
            )
          : [opacity(look, null, null)];
      this.figure.marks[look]!.set({ opacities: opacities.length ? opacities : [1] });
    }
    const stroke = `rgba(${LOOKS[point].line}, ${lineOpacity(point, chosen !== null)})`;
    this.figure.marks[point]!.set({ stroke });
  }

  /** bqplot sees to that. */
  relayout(): void {}

  clear(): void {
    this.draw(NOTHING, this.figure, 0);
  }

  get still(): boolean {
    return this.figure.still;
  }
}
