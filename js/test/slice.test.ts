import { expect, test } from "vitest";
import { summarise } from "../src/draw/summary";
import { toAsk } from "../src/sides/asking";
import { apart, linesOf as from, type Known, medianName } from "../src/sides/slice_lines";

test("a median says of how many of the selected samples it is, as long as some are missing", () => {
  expect(medianName(15, 208)).toBe("median of 15 of 208 selected");
  expect(medianName(208, 208)).toBe("median of 208");
});

test("a slice is asked for once, as long as it is wanted", () => {
  expect(toAsk([], [])).toBe(null);
  expect(toAsk([], [3, 5, 5])).toEqual([3, 5]);
  expect(toAsk([3, 5], [3, 5])).toBe(null);
});

test("what is wanted later is asked for first, and what was asked for is kept", () => {
  expect(toAsk([5, 9], [1, 5, 9])).toEqual([5, 9, 1]);
});

test("what is wanted no more is not asked for any longer, until it is wanted again", () => {
  expect(toAsk([3, 5], [5])).toEqual([5]);
  expect(toAsk([5], [])).toEqual([]);
  expect(toAsk([], [3, 5])).toEqual([3, 5]);
});

type Asked = Omit<Known, "summary">;

const linesOf = (known: Asked) => {
  const { profiles, quantity, alphas, selected } = known;
  return from({ ...known, summary: summarise(profiles[quantity], alphas.length, selected) });
};

const KNOWN: Asked = {
  names: { 0: "θ*", 3: "M1" },
  selected: [],
  hovered: -1,
  quantity: "loss",
  alphas: [0, 1],
  profiles: {
    loss: Float32Array.of(1, 1, 1, 2, 1, 3, Number.NaN, Number.NaN),
    val_loss: Float32Array.of(5, 5, 5, 6, 5, 7, Number.NaN, Number.NaN),
    accuracy: Float32Array.of(0.5, 0.5, 0.5, 0.6, 0.5, 0.7, 0.5, 0.8),
  },
  estimates: null,
};

test("the line that is pointed at lies over the others, with its dashed one on the validation data", () => {
  const { train, val, legend, missing } = linesOf({ ...KNOWN, selected: [1], hovered: 2 });
  expect(train.map(({ values }) => [...Array.from(values)])).toEqual([
    [1, 2],
    [1, 3],
  ]);
  expect(val.map(({ label, dashed }) => [label, dashed])).toEqual([
    ["#1, validation", true],
    ["#2, validation", true],
  ]);
  expect(legend).toHaveLength(4);
  expect(missing).toEqual([]);
});

test("what is not known is missing, for the quantity that is shown", () => {
  expect(linesOf({ ...KNOWN, selected: [1, 3] }).missing).toEqual([3]);
  const { missing, train, val } = linesOf({ ...KNOWN, selected: [3], quantity: "accuracy" });
  expect(missing).toEqual([]);
  expect(Array.from(train[0]!.values)[1]).toBeCloseTo(0.8);
  expect(val).toEqual([]);
});

test("of many samples the median and the quartiles are drawn at each α", () => {
  const n = 9;
  const loss = Float32Array.from({ length: 2 * n }, (_, k) => (k % 2 ? Math.floor(k / 2) : 1));
  const { many, train, legend } = linesOf({
    ...KNOWN,
    selected: Array.from({ length: n }, (_, i) => i),
    profiles: { loss },
  });
  expect(train).toEqual([]);
  expect(many).toMatchObject({ median: [1, 4], lower: [1, 2], upper: [1, 6] });
  expect(legend.map(({ label }) => label)).toEqual(["median of 9"]);
});

test("names of lines are moved apart, each as near to its line as the others let it be", () => {
  expect(apart([50, 10, 52], 14, 0, 100)).toEqual([50, 10, 64]);
  expect(apart([95, 97, 99], 14, 0, 100)).toEqual([72, 86, 100]);
  expect(apart([1, 2], 14, 21, 100)).toEqual([21, 35]);
});
