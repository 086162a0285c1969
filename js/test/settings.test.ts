import { expect, it } from "vitest";
import { helpFor } from "../src/panels/settings";
import type { Field } from "../src/wire";

const field: Field = {
  name: "perplexity",
  label: "perplexity",
  help: "how many neighbours count",
  kind: "number",
  choices: [],
  range: "above 1",
  value: "50",
  default: "30",
  empty: "30",
};

it("a field says what it does, what it may be, and what it is by default", () => {
  expect(helpFor(field)).toBe("how many neighbours count (above 1; default 30)");
  expect(helpFor({ ...field, range: "", kind: "choice", default: "pca" })).toBe(
    "how many neighbours count (default pca)",
  );
});

it("a field that may be left empty says what that means", () => {
  expect(helpFor({ ...field, default: "", empty: "auto" })).toBe(
    "how many neighbours count (above 1; empty: auto)",
  );
});

it("a box to tick says no more than what it does", () => {
  expect(helpFor({ ...field, kind: "flag", default: false })).toBe("how many neighbours count");
});
