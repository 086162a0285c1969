// What is drawn as a surface: a plane, or the map, with what is shown as height.

import { levels } from "../draw/contours";
import { extentOf, type Point } from "../draw/geometry";
import { type LossScale, lossTicks } from "../draw/loss_scale";
import { between } from "../draw/plane_geometry";
import { gridOf, surfaceOf } from "../draw/surface";
import { shortLabel } from "../names";
import type { State } from "../state";
import type { PlaneData } from "../wire";
import type { Named, Shown } from "./surface_picture";

const LINES = 12; // contours at most
const MAP_SIZE = 61; // points of the map's grid along either side
const REACH = 3; // of the usual distance between neighbours, around which the map's surface goes
const DOTS = 3000; // samples at most that are drawn, and make up the surface

/** A plane, with names where θ* and its samples are, and paths of descent. */
export function planeSurface(
  data: PlaneData,
  heights: Float32Array,
  scale: LossScale,
  range: readonly [number, number],
  names: readonly string[],
  descents: readonly (readonly Point[])[],
): Shown {
  const { extent, size, gram } = data;
  const surface = surfaceOf(heights, size, extent, extent, gram);
  const step = (extent[1] - extent[0]) / (size - 1);
  const heightAt = (a: number, b: number) =>
    between(heights, size, (a - extent[0]) / step, (b - extent[0]) / step);
  const named: Named[] = [
    { name: "θ*", place: [0, 0] as const, isStar: true },
    ...names.map((name, n) => ({
      name,
      place: (n ? [0, 1] : [1, 0]) as readonly [number, number],
      isStar: false,
    })),
  ].map(({ name, place: [a, b], isStar }) => ({ name, at: [a, b, heightAt(a, b)], isStar }));
  const paths = descents.map((path) =>
    Float32Array.from(
      path.flatMap(([i, j]) =>
        surface.place(extent[0] + i * step, extent[0] + j * step, between(heights, size, i, j)),
      ),
    ),
  );
  return { surface, range, levels: levelsOf(heights, scale), named, paths, dots: null };
}

/** The map: the mean of near samples as a surface, where there are some, and each as a dot. */
export function mapSurface(
  state: State,
  heights: Float32Array,
  range: readonly [number, number],
): Shown | null {
  const { points, samples } = state;
  const known = Array.from(heights.keys()).filter(
    (i) => Number.isFinite(heights[i]!) && Number.isFinite(points[2 * i]!),
  );
  if (known.length < 4) return null;
  const xs = extentOf(known.map((i) => points[2 * i]!));
  const ys = extentOf(known.map((i) => points[2 * i + 1]!));
  const usual = Math.sqrt(((xs[1] - xs[0]) * (ys[1] - ys[0])) / known.length);
  const every = Math.ceil(known.length / DOTS);
  const drawn = known.filter((_, n) => n % every === 0);
  const grid = gridOf(
    Float32Array.from(drawn.flatMap((i) => [points[2 * i]!, points[2 * i + 1]!])),
    Float32Array.from(drawn, (i) => heights[i]!),
    MAP_SIZE,
    xs,
    ys,
    REACH * usual * Math.sqrt(every),
  );
  const surface = surfaceOf(grid, MAP_SIZE, xs, ys, [1, 0, 0, 1]);
  const stepOf = (value: number, [low, high]: [number, number]) =>
    ((value - low) / (high - low)) * (MAP_SIZE - 1);
  const at = (i: number): [number, number, number] => [
    points[2 * i]!,
    points[2 * i + 1]!,
    heights[i]!,
  ];
  return {
    surface,
    range,
    levels: levelsOf(grid, state.quantity.scale),
    named: placesOf(state).map((i) => ({
      name: shortLabel(i, samples),
      at: at(i),
      isStar: samples.kind[i] === "trained",
    })),
    paths: [],
    dots: {
      points: Float32Array.from(drawn.flatMap((i) => surface.place(...at(i)))),
      heights: Float32Array.from(drawn, (i) => heights[i]!),
      steps: Float32Array.from(
        drawn.flatMap((i) => [stepOf(points[2 * i]!, xs), stepOf(points[2 * i + 1]!, ys)]),
      ),
    },
  };
}

/** θ*, and what is compared with it first. */
const placesOf = ({ samples, info, points }: State): number[] =>
  [samples.kind.indexOf("trained"), ...(info.opening ?? [])].filter(
    (i) => i >= 0 && Number.isFinite(points[2 * i]!),
  );

function levelsOf(heights: Float32Array, scale: LossScale): number[] {
  const [low, high] = extentOf(heights);
  if (high < low) return [];
  const found =
    scale.kind === "log" ? levels(low, high, LINES) : lossTicks(scale, low, high, LINES);
  return found.map(({ at }) => at);
}
