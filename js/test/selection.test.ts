import { expect, it } from "vitest";
import { combine, History, modeOf } from "../src/selection";

it("Shift adds, Alt removes, nothing replaces", () => {
  expect(modeOf({ shiftKey: false, altKey: false })).toBe("replace");
  expect(combine([1, 5], [3, 5], modeOf({ shiftKey: true, altKey: false }))).toEqual([1, 3, 5]);
  expect(combine([1, 5], [3, 5], modeOf({ shiftKey: false, altKey: true }))).toEqual([1]);
  expect(combine([1, 5], [3, 2], "replace")).toEqual([2, 3]);
});

it("steps are taken back one by one, and the oldest are forgotten", () => {
  const history = new History(2);
  for (const selected of [[1], [2], [3]]) history.push({ selected, lassos: [] });
  expect(history.pop()?.selected).toEqual([3]);
  expect(history.pop()?.selected).toEqual([2]);
  expect(history.pop()).toBeUndefined();
});

it("lassos of another map are not drawn again, and samples that are gone are not selected again", () => {
  const history = new History();
  history.push({ selected: [1], lassos: [[[0, 0], [1, 0], [0, 1]]] });
  history.push({ selected: [1, 2], lassos: [[[0, 0], [1, 0], [0, 1]]] });
  history.forgetLassos();
  expect(history.pop()).toEqual({ selected: [1, 2], lassos: [] });
  history.clear();
  expect(history.pop()).toBeUndefined();
});
