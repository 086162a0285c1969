import { expect, test } from "vitest";

import { medianName } from "../src/slice";

test("a median says of how many of the selected samples it is, as long as some are missing", () => {
  expect(medianName(15, 208)).toBe("median of 15 of 208 selected");
  expect(medianName(208, 208)).toBe("median of 208");
});
