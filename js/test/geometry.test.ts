import { describe, expect, it } from "vitest";
import {
  fitDomain,
  nearest,
  nextInDirection,
  type Point,
  pointsInside,
  quantile,
  thin,
} from "../src/draw/geometry";

/** Whether a point is inside, by the winding number: another method than the even-odd rule. */
function winds(x: number, y: number, polygon: readonly Point[]): boolean {
  let angle = 0;
  polygon.forEach(([ax, ay], i) => {
    const [bx, by] = polygon[(i + 1) % polygon.length]!;
    angle += Math.atan2(
      (ax - x) * (by - y) - (ay - y) * (bx - x),
      (ax - x) * (bx - x) + (ay - y) * (by - y),
    );
  });
  return Math.abs(angle) > Math.PI;
}

function random(seed: number): () => number {
  return () => {
    seed = (seed * 1664525 + 1013904223) % 2 ** 32;
    return seed / 2 ** 32;
  };
}

describe("a lasso", () => {
  it("holds the same points as by the winding number, for star-shaped polygons", () => {
    const next = random(1);
    for (let trial = 0; trial < 20; trial++) {
      const polygon: Point[] = Array.from({ length: 12 }, (_, i) => {
        const r = 0.2 + next();
        return [r * Math.cos((i * Math.PI) / 6), r * Math.sin((i * Math.PI) / 6)];
      });
      for (let i = 0; i < 200; i++) {
        const [x, y] = [3 * next() - 1.5, 3 * next() - 1.5];
        const point = Float32Array.of(x, y);
        const inside = winds(point[0]!, point[1]!, polygon);
        expect(pointsInside(point, polygon)).toEqual(inside ? [0] : []);
      }
    }
  });

  it("never holds a sample without a place, and nothing at all with two vertices", () => {
    const points = new Float32Array([0.5, 0.5, NaN, NaN, 5, 5]);
    expect(
      pointsInside(points, [
        [0, 0],
        [1, 0],
        [1, 1],
        [0, 1],
      ]),
    ).toEqual([0]);
    expect(
      pointsInside(points, [
        [0, 0],
        [1, 1],
      ]),
    ).toEqual([]);
  });

  it("leaves out the middle of a ring drawn over itself", () => {
    const twice: Point[] = [
      [0, 0],
      [3, 0],
      [3, 3],
      [0, 3],
      [0, 0],
      [1, 1],
      [2, 1],
      [2, 2],
      [1, 2],
      [1, 1],
    ];
    expect(pointsInside(Float32Array.of(1.5, 1.5, 0.5, 1.5), twice)).toEqual([1]);
  });
});

describe("the nearest sample", () => {
  const points = new Float32Array([0, 0, 10, 0, NaN, NaN, 10, 0]);
  it("is within reach, and the one drawn on top", () => {
    expect(nearest(points, 9, 0, 5)).toBe(3);
    expect(nearest(points, 5, 40, 5)).toBe(-1);
  });
});

describe("an arrow key", () => {
  const points = new Float32Array([0, 0, 10, 1, 4, 9, -3, 0, NaN, NaN]);
  it("moves to the sample straight ahead", () => {
    expect(nextInDirection(points, 0, 1, 0)).toBe(1);
    expect(nextInDirection(points, 0, 0, 1)).toBe(2);
    expect(nextInDirection(points, 0, -1, 0)).toBe(3);
    expect(nextInDirection(points, 0, 0, -1)).toBe(-1);
  });
});

describe("the domain of the map", () => {
  it("shows all points with a unit as long on both axes", () => {
    const { x, y } = fitDomain(new Float32Array([0, 0, 4, 1, NaN, NaN]), 400, 200);
    expect((x[1] - x[0]) / 400).toBeCloseTo((y[1] - y[0]) / 200, 10);
    expect(x[0]).toBeLessThan(0);
    expect(x[1]).toBeGreaterThan(4);
  });
  it("is there without any point", () => {
    expect(fitDomain(new Float32Array(0), 100, 100).x[0]).toBeLessThan(0);
  });
});

describe("quantiles", () => {
  it("interpolate, and leave out what is not finite", () => {
    expect(quantile([4, 1, NaN, 2, 3, Infinity], 0.5)).toBe(2.5);
    expect(quantile([], 0.5)).toBeNaN();
  });

  it("are those of the sorted values, of many and of equal ones", () => {
    const next = random(5);
    for (const n of [1, 2, 3, 10, 1001]) {
      const values = Array.from({ length: n }, () => Math.round(40 * next()));
      const sorted = [...values].sort((a, b) => a - b);
      for (const q of [0, 0.01, 0.25, 0.5, 0.99, 1]) {
        const at = (n - 1) * q;
        const [low, high] = [sorted[Math.floor(at)]!, sorted[Math.ceil(at)]!];
        expect(quantile(values, q)).toBeCloseTo(low + (high - low) * (at % 1), 9);
      }
    }
  });
});

it("a drag is thinned to its corners", () => {
  expect(
    thin(
      [
        [0, 0],
        [0.5, 0],
        [1, 0],
        [3, 0],
      ],
      1,
    ),
  ).toEqual([
    [0, 0],
    [1, 0],
    [3, 0],
  ]);
});
