import { expect, it } from "vitest";
import { linearTicks, log, logTicks, short, VIRIDIS, viridis } from "../src/draw/colours";

it("numbers are short enough for an axis", () => {
  expect([0, 1, 0.01234, 12345, 1.5e-7, 2e7, -0.5, NaN, Infinity].map((v) => short(v))).toEqual([
    "0",
    "1",
    "0.0123",
    "12,300",
    "1.5e−7",
    "2e7",
    "−0.5",
    "NaN",
    "∞",
  ]);
});

it("measured numbers below each other keep their last zeros", () => {
  expect([0.95, 5.8, 0.0123, 1234].map((v) => short(v, 3, 3))).toEqual([
    "0.950",
    "5.80",
    "0.0123",
    "1,230",
  ]);
});

it.each([
  [-2, 1],
  [-8, 2],
  [-0.3, 0.2],
  [0, 0.05],
  [-1.001, -1],
  [-3.7, -3.1],
])(
  "a logarithmic axis from 10^%d to 10^%d has two to seven ticks, each labelled by its value",
  (low, high) => {
    const ticks = logTicks(low, high, 7);
    expect(ticks.length).toBeGreaterThanOrEqual(2);
    expect(ticks.length).toBeLessThanOrEqual(7);
    for (const { at, text } of ticks) {
      expect(at).toBeGreaterThanOrEqual(low - 1e-6);
      expect(at).toBeLessThanOrEqual(high + 1e-6);
      const value = Number(text.replace("−", "-").replace("e−", "e-").replace(",", ""));
      expect(Math.log10(value)).toBeCloseTo(at, 2);
    }
  },
);

it("linear ticks are round and inside", () => {
  expect(linearTicks(0.11, 0.93, 4)).toEqual([0.2, 0.4, 0.6, 0.8]);
});

it("losses of nothing and below are drawn at the floor", () => {
  expect(log(0)).toBe(-8);
  expect(log(1e-12)).toBe(-8);
  expect(log(0.1)).toBeCloseTo(-1);
});

it("colours are those of the scale's stops, halfway between them, and of its ends beyond", () => {
  const hex = (share: number) =>
    `#${viridis(share)
      .map((c) => c.toString(16).padStart(2, "0"))
      .join("")}`;
  for (const [i, stop] of VIRIDIS.entries()) expect(hex(i / 10)).toBe(stop);
  expect(viridis(0.05)).toEqual([70, 19, 101]); // between #440154 and #482475
  expect([-3, 7].map(hex)).toEqual([VIRIDIS[0], VIRIDIS[10]]);
});
