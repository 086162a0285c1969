import { expect, it } from "vitest";
import { sideBySide } from "../src/panels/trust";
import type { Readout } from "../src/wire";

const readout = (name: string, value: string): Readout => ({
  name,
  value,
  word: "",
  level: "info",
  sentence: "",
});

it("readouts of two maps stand beside each other by their name", () => {
  const lines = sideBySide(
    [readout("trust", "0.9"), readout("contrast", "0.3")],
    [readout("contrast", "0.1"), readout("trust", "0.5")],
  );
  expect(lines.map(({ name, map, other }) => [name, map?.value, other?.value])).toEqual([
    ["trust", "0.9", "0.5"],
    ["contrast", "0.3", "0.1"],
  ]);
});

it("a readout that only one of two maps has keeps its line", () => {
  const lines = sideBySide(
    [readout("trust", "0.9")],
    [readout("trust", "1"), readout("directedness", "1.0")],
  );
  expect(lines.map(({ name, map, other }) => [name, map?.value, other?.value])).toEqual([
    ["trust", "0.9", "1"],
    ["directedness", undefined, "1.0"],
  ]);
});
