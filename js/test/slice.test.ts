import { expect, test } from "vitest";

import { medianName, toAsk } from "../src/sides/slice";

test("a median says of how many of the selected samples it is, as long as some are missing", () => {
  expect(medianName(15, 208)).toBe("median of 15 of 208 selected");
  expect(medianName(208, 208)).toBe("median of 208");
});

test("a slice is asked for once, as long as it is wanted", () => {
  expect(toAsk(new Set(), [])).toBe(null);
  expect(toAsk(new Set(), [3, 5, 5])).toEqual([3, 5]);
  expect(toAsk(new Set([3, 5]), [3, 5])).toBe(null);
});

test("what is wanted later is asked for first, and what was asked for is kept", () => {
  expect(toAsk(new Set([5, 9]), [1, 5, 9])).toEqual([5, 9, 1]);
});

test("what is wanted no more is not asked for any longer, until it is wanted again", () => {
  expect(toAsk(new Set([3, 5]), [5])).toEqual([5]);
  expect(toAsk(new Set([5]), [])).toEqual([]);
  expect(toAsk(new Set(), [3, 5])).toEqual([3, 5]);
});
