import { expect, it } from "vitest";
import { axesOf, barsOf, countTicks, roundTicks } from "../src/draw/spectrum";

const box = { left: 50, top: 10, width: 400, height: 200 };
const edges = new Float32Array([-1.5, -0.5, 0.5, 1.5, 2.5]);
const counts = new Float32Array([10, 1000, 0.2, 1]);

it("each bin that holds an eigenvalue has a bar between its edges, of the height of its logarithm", () => {
  const axes = axesOf(edges, counts, box);
  const bars = barsOf(edges, counts, axes);
  expect(bars.map(({ x }) => x)).toEqual([50, 150, 350]);
  expect(bars.map(({ width }) => width)).toEqual([100, 100, 100]);
  const [ten, thousand, one] = bars.map(({ height }) => height);
  // From 1 to 10 it is half as far as from 10 to 1,000.
  expect((ten! - one!) * 2).toBeCloseTo(thousand! - ten!);
  for (const { y, height } of bars) expect(y + height).toBeCloseTo(210);
  expect(bars.map(({ side }) => side)).toEqual([-1, 0, 1]);
  expect(one).toBeGreaterThan(0);
  expect(thousand).toBeLessThan(200);
});

it("counts have a tick at each power of ten", () => {
  expect(countTicks(counts).map(({ text }) => text)).toEqual(["1", "10", "100", "1,000"]);
  expect(countTicks(new Float32Array([0, 0])).map(({ at }) => at)).toEqual([1]);
});

it("ticks are round, and no more than there is room for", () => {
  expect(roundTicks(-1.2, 10.4, 6)).toEqual([0, 2, 4, 6, 8, 10]);
  expect(roundTicks(0, 0.031, 4).map((at) => Number(at.toFixed(6)))).toEqual([0, 0.01, 0.02, 0.03]);
  expect(roundTicks(2, 2, 5)).toEqual([2]);
  for (const most of [1, 2, 5, 9])
    expect(roundTicks(-3, 7, most).length).toBeLessThanOrEqual(most + 1);
});
