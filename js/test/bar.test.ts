import { expect, test } from "vitest";
import { kindsOfDiamonds, label, modelsOf, shortLabel, trainedName } from "../src/names";
import { describe } from "../src/panels/bar";
import type { Progress } from "../src/wire";

const progress = (changed: Partial<Progress>): Progress => ({
  state: "running",
  phase: "taking slices",
  done: 0,
  total: 0,
  seconds_left: null,
  at_most: null,
  message: "",
  ...changed,
});

test("work is counted, with the time that is left", () => {
  expect(describe(progress({}))).toBe("taking slices");
  expect(describe(progress({ total: 1208 }))).toBe("taking slices"); // none of many is no news
  expect(describe(progress({ done: 15, total: 1208 }))).toBe("taking slices 15 of 1,208");
  expect(describe(progress({ done: 15, total: 208, seconds_left: 90 }))).toBe(
    "taking slices 15 of 208 · 2 min left",
  );
});

test("work that ends with its time is not said to be left, unless it is done sooner", () => {
  const ahead = progress({ phase: "taking slices ahead", done: 105, total: 1004, at_most: 15.7 });
  expect(describe(ahead)).toBe("taking slices ahead, 105 of 1,004 · 16 s at most");
  expect(describe({ ...ahead, seconds_left: 140 })).toBe(
    "taking slices ahead, 105 of 1,004 · 16 s at most",
  );
  expect(describe({ ...ahead, seconds_left: 4 })).toBe(
    "taking slices ahead, 105 of 1,004 · 4 s left",
  );
});

test("a sample is called by its number, the name beside its diamond, and what it is", () => {
  const falling = "end of a descent, still falling";
  const kinds = ["trained", "minimum", falling, "sample", "model", "end of a path"];
  const named = { 0: "θ*", 1: "M1", 2: "E1", 4: "no decay, units matched" };
  const samples = { sampler: [], kind: kinds, path: [], step: [], names: named };
  expect(kinds.map((_, i) => label(i, samples))).toEqual([
    "θ*",
    "#1 M1, minimum",
    `#2 E1, ${falling}`,
    "#3",
    "#4 no decay, units matched",
    "#5 end of a path",
  ]);
  expect(kinds.map((_, i) => shortLabel(i, samples))).toEqual([
    "θ*",
    "M1",
    "E1",
    "#3",
    "no decay, units matched",
    "#5",
  ]);
  expect(label(0, { ...samples, names: { 0: "decay 0.01" } })).toBe("decay 0.01, θ*");
  expect(kindsOfDiamonds(samples)).toEqual(["minimum", falling]);
  expect(modelsOf(samples)).toEqual([[4, "no decay, units matched"]]);
  expect(trainedName(samples)).toBe("trained weights θ*");
  expect(trainedName({ ...samples, names: { 0: "decay 0.01" } })).toBe("decay 0.01 (θ*)");
});
