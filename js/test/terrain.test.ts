import { expect, test } from "vitest";
import { viridis } from "../src/draw/colours";
import { LOG } from "../src/draw/loss_scale";
import { contoursOf, shade } from "../src/map/terrain";
import type { Terrain } from "../src/wire";

const SIZE = 21;

/** A loss of 10^(i / 10 − 2): contours go upwards, a tenth of a decade a step to the right. */
const slope = (certainty: (i: number, j: number) => number): Terrain => {
  const grid = (value: (i: number, j: number) => number) =>
    Float32Array.from({ length: SIZE * SIZE }, (_, k) => value(Math.floor(k / SIZE), k % SIZE));
  return {
    extent: [0, 1, 0, 1],
    size: SIZE,
    losses: grid((i) => 10 ** (i / 10 - 2)),
    certainty: grid(certainty),
    score: 0.9,
  };
};

test("contours are where the loss is round, in pieces that know how certain they are", () => {
  const contours = contoursOf(
    slope((_, j) => j / (SIZE - 1)),
    LOG,
  );
  expect(contours.map(({ text }) => text)).toContain("0.1");
  const { pieces } = contours.find(({ text }) => text === "0.1")!;
  for (const { line, certainty } of pieces) {
    expect(line[0]).toBeCloseTo(10, 3);
    expect(line[2]).toBeCloseTo(10, 3);
    expect(certainty).toBeCloseTo((line[1] + line[3]) / 2 / (SIZE - 1), 4);
    expect(certainty).toBeGreaterThan(0.15);
  }
  expect(pieces.length).toBe(SIZE - 1 - 3); // the lowest three are too uncertain
});

test("there are no contours where nothing is certain", () => {
  expect(
    contoursOf(
      slope(() => 0.1),
      LOG,
    ),
  ).toEqual([]);
});

test("the shading has the colours of the samples, the first axis to the right, and fades", () => {
  const pixels = shade(
    slope((_, j) => j / (SIZE - 1)),
    LOG,
    [-2, 0],
  );
  const at = (i: number, j: number) => [
    ...pixels.slice(4 * ((SIZE - 1 - j) * SIZE + i)).slice(0, 4),
  ];
  expect(at(4, 20).slice(0, 3)).toEqual(viridis(0.2));
  expect(at(16, 20).slice(0, 3)).toEqual(viridis(0.8));
  expect(at(4, 0)[3]).toBe(0);
  expect(at(4, 20)[3]).toBeGreaterThan(2 * at(4, 9)[3]!);
});
