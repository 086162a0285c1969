import { expect, it as test } from "vitest";
import { height, heights, LOG, type LossScale, lossAt, lossTicks } from "../src/draw/loss_scale";

const BELOW: LossScale = { kind: "symlog", unit: 0.01, lowest: -5 };

test("losses above zero are drawn by their logarithm, down to the floor", () => {
  expect(height(LOG, 100)).toBeCloseTo(2);
  expect(height(LOG, 0)).toBe(-8);
  expect(height({ ...LOG, unit: 1e-20 }, 1e-15)).toBeCloseTo(-15);
});

test("losses below zero are drawn by how far they are above the lowest", () => {
  expect(height(BELOW, -5)).toBe(0);
  expect(height(BELOW, 5)).toBeCloseTo(Math.log10(10 / 0.01), 4);
  expect(height(BELOW, -5.01)).toBeLessThan(0);
  for (const loss of [-6, -5, -4.999, 0, 1e6])
    expect(lossAt(BELOW, height(BELOW, loss))).toBeCloseTo(loss, 6);
});

test("metrics are drawn as they are", () => {
  const linear: LossScale = { kind: "linear", unit: 1, lowest: 0 };
  expect(height(linear, 0.25)).toBe(0.25);
  expect(lossAt(linear, 0.25)).toBe(0.25);
  expect(lossTicks(linear, 0.4, 1, 7).map(({ at, text }) => [at, text])).toContainEqual([
    0.6,
    "0.6",
  ]);
});

test("what is not finite has no height", () => {
  expect([...heights(BELOW, new Float32Array([Infinity, NaN, -5]))]).toEqual([NaN, NaN, 0]);
});

test("ticks show losses in ascending order, within the axis, and no more than asked for", () => {
  for (const [low, high] of [
    [0, 0.5],
    [0, 4],
    [-0.5, 8],
  ] as const) {
    const ticks = lossTicks(BELOW, low, high, 7);
    expect(ticks.length).toBeGreaterThan(2);
    expect(ticks.length).toBeLessThanOrEqual(8);
    ticks.forEach(({ at }, i) => {
      expect(at).toBeGreaterThanOrEqual(low - 1e-6);
      expect(at).toBeLessThanOrEqual(high + 1e-6);
      if (i) expect(at).toBeGreaterThan(ticks[i - 1]!.at);
    });
  }
});
