import { expect, it } from "vitest";

import { order } from "../src/ways";

it("sets basins so that no two lines of their tree cross", () => {
  // 1 and 2 run into 0, the nearer saddle first; 3 into 1.
  expect(order({ parents: [-1, 0, 0, 1], saddles: [null, 5, 3, 2] })).toEqual([0, 2, 1, 3]);
  // Lines across at a height pass over all that is between, which lies below.
  const parents = [-1, 0, 0, 2, 2, 0, 3];
  const saddles = [null, 9, 7, 4, 6, 8, 2];
  const places = order({ parents, saddles });
  expect([...places].sort()).toEqual([0, 1, 2, 3, 4, 5, 6]);
  parents.forEach((parent, child) => {
    if (parent < 0) return;
    const [from, to] = [places.indexOf(parent), places.indexOf(child)];
    for (const other of places.slice(from + 1, to))
      expect(saddles[other]!).toBeLessThan(saddles[child]!);
  });
});

it("sets those that no way joins beside each other", () => {
  expect(order({ parents: [-1, -1, 0], saddles: [null, null, 4] })).toEqual([0, 2, 1]);
});
