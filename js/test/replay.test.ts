import { expect, it } from "vitest";

import { axisOf, heightOn } from "../src/map/replay";

const late = (values: (number | null)[]) => ({ values, phases: values.map(() => "t-SNE") });

it("the axis spans what is known", () => {
  expect(axisOf(late([3, null, 1, 2]))).toEqual({ low: 1, high: 3, logarithmic: false });
  expect(axisOf(late([null]))).toBeNull();
  expect(axisOf(late([]))).toBeNull();
});

it("what was minimised in an earlier phase does not squeeze the last one", () => {
  const values = [40, 30, 2, 1];
  const phases = ["early exaggeration", "early exaggeration", "t-SNE", "t-SNE"];
  const axis = axisOf({ values, phases })!;
  expect([axis.low, axis.high]).toEqual([1, 2]);
  expect(values.map((v) => heightOn(axis, v))).toEqual([1, 1, 1, 0]);
});

it("the only phase that there is yet has the axis to itself", () => {
  const axis = axisOf({ values: [40, 30], phases: ["early exaggeration", "early exaggeration"] })!;
  expect([axis.low, axis.high]).toEqual([30, 40]);
});

it("a fall by orders of magnitude is drawn on a logarithmic axis", () => {
  const axis = axisOf(late([1000, 100, 10]))!;
  expect(axis.logarithmic).toBe(true);
  expect(heightOn(axis, 100)).toBeCloseTo(0.5);
  expect(axisOf(late([1000, 0]))!.logarithmic).toBe(false);
});

it("a curve that does not fall lies at the foot", () => {
  expect(heightOn(axisOf(late([2, 2]))!, 2)).toBe(0);
});
