import { expect, it } from "vitest";
import { bandEdges, bandPath, describe, isRough } from "../src/draw/band";

const plot = { left: 0, top: 0, width: 100, height: 100 };
const toPixel = (x: number, y: number): [number, number] => [100 * x, -10 * y]; // y is the log10 of the loss
const corners = (path: string) =>
  path
    .slice(1, -1)
    .split("L")
    .map((pair) => pair.split(",").map(Number));

it("a band is two standard errors wide on either side, and shut where the loss is known", () => {
  const [a, b, c, d] = corners(bandPath([0, 1], [0.01, 0.001], [0, 0.00045], toPixel, plot));
  expect(a).toEqual([0, 20]);
  expect(d).toEqual([0, 20]);
  expect(b![1]).toBeCloseTo(-10 * Math.log10(0.0019), 1);
  expect(c![1]).toBeCloseTo(-10 * Math.log10(0.0001), 1);
});

it("a band that reaches below zero ends at the edge of the plot", () => {
  const path = bandPath([0, 1], [0.1, 0.1], [0.2, 0.2], toPixel, { ...plot, height: 50 });
  expect(Math.max(...corners(path).map(([, y]) => y!))).toBe(50);
});

it("a band has a gap where the loss is not finite, and is not drawn where nothing is estimated", () => {
  const losses = [1, 1, Infinity, 1, 1];
  const path = bandPath([0, 0.25, 0.5, 0.75, 1], losses, [0.1, 0.1, 0, 0.1, 0.1], toPixel, plot);
  expect(path.match(/M/g)).toHaveLength(2);
  expect(bandPath([0, 1], [1, 1], [0, 0], toPixel, plot)).toBe("");
});

it("the axis makes room for a band, but not for one that goes down to nothing", () => {
  expect(bandEdges([1, 1], [0.25, 3])).toEqual([
    [1.5, 7],
    [0.5, 0.25],
  ]);
});

it("a slice is rough while an error exceeds its share of a finite loss", () => {
  expect(isRough([1, 0.1], [0.005, 0.002], 0.01)).toBe(true);
  expect(isRough([1, 0.1], [0.005, 0.001], 0.01)).toBe(false);
  expect(isRough([Infinity, 1], [5, 0], 0.01)).toBe(false);
});

it("it is said what lines are from", () => {
  const estimates = {
    errors: new Float32Array(0),
    valErrors: new Float32Array(0),
    examples: Float32Array.of(1000, 2000, 10000, 0),
    of: 10000,
    tolerance: 0.01,
  };
  expect(describe([0], estimates, true)).toBe("from 1,000 of 10,000 examples, ±2 standard errors");
  expect(describe([0, 1], estimates, false)).toBe("from 1,000 to 2,000 of 10,000 examples");
  expect(describe([2, 3], estimates, true)).toBe("from all 10,000 examples");
  expect(describe([3], estimates, true)).toBe("");
});

it("describes very many lines as few are", () => {
  const many = 300_000;
  const examples = new Float32Array(many).fill(64);
  const of = { examples, of: 1000 };
  expect(describe(Array.from(examples.keys()), of, false)).toBe("from 64 of 1,000 examples");
});
