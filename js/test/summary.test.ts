import { expect, test } from "vitest";
import { quantile } from "../src/draw/geometry";
import { summarise } from "../src/draw/summary";

const WIDTH = 3;
const table = Float32Array.from({ length: 40 * WIDTH }, (_, i) => Math.abs(Math.sin(7 * i)) * 10);
table.set([NaN, 1, 2], 4 * WIDTH); // not known
table.set([1, Infinity, 2], 6 * WIDTH);
table.set([1, 30, 0], 7 * WIDTH);

test("lines in a table have the quartiles of their columns, what is not finite left out", () => {
  const lines = [1, 4, 5, 6, 7, 20, 39, 50];
  const known = [1, 5, 6, 7, 20, 39];
  const found = summarise(table, WIDTH, lines);
  expect(found.known).toEqual(known);
  expect(found.missing).toEqual([4, 50]);
  expect(found.ends).toEqual([0, 30]);
  for (let a = 0; a < WIDTH; a++) {
    const column = known.map((line) => table[line * WIDTH + a]!);
    expect(found.lower[a]).toBeCloseTo(quantile(column, 0.25), 9);
    expect(found.median[a]).toBeCloseTo(quantile(column, 0.5), 9);
    expect(found.upper[a]).toBeCloseTo(quantile(column, 0.75), 9);
  }
});

test("of no table all lines are missing", () => {
  expect(summarise(undefined, WIDTH, [2, 3])).toMatchObject({
    known: [],
    missing: [2, 3],
    ends: [],
  });
});
