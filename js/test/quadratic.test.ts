import { expect, it } from "vitest";
import { pathOf, quadraticsOf } from "../src/sides/quadratic";

const view = (...values: number[]) => new DataView(Float32Array.from(values).buffer);

it("slopes and curvatures belong to the samples that they came with", () => {
  const found = quadraticsOf({
    all: true,
    indices: [0, 7],
    loss: 0.5,
    slopes: view(0, -1),
    curvatures: view(0, 4),
  });
  expect(found.of.get(7)).toEqual([-1, 4]);
  expect(found.of.get(3)).toBeUndefined();
  expect(found.loss).toBe(0.5);
  expect(quadraticsOf({ all: false }).of.size).toBe(0);
});

it("a curve is drawn where it is seen, and in pieces where it leaves the picture", () => {
  const toPixel = (x: number, y: number) => [100 * x, 100 * (1 - y)] as const;
  const pieces = (path: string) => path.split("M").length - 1;
  const whole = pathOf([-1, 1], [0, 1], (x) => x * x, toPixel);
  expect(pieces(whole)).toBe(1);
  expect(whole.startsWith("M-100.0,0.0L")).toBe(true);
  expect(whole.endsWith("L100.0,0.0")).toBe(true);
  expect(pieces(pathOf([-1, 1], [0.25, 1], (x) => x * x, toPixel))).toBe(2);
  expect(pathOf([-1, 1], [0, 1], () => Number.NaN, toPixel)).toBe("");
});
