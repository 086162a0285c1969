import { expect, it } from "vitest";
import { combine, History, type Lasso, modeOf } from "../src/history";

it("Shift adds, Alt removes, nothing replaces", () => {
  expect(modeOf({ shiftKey: false, altKey: false })).toBe("replace");
  expect(combine([1, 5], [3, 5], modeOf({ shiftKey: true, altKey: false }))).toEqual([1, 3, 5]);
  expect(combine([1, 5], [3, 5], modeOf({ shiftKey: false, altKey: true }))).toEqual([1]);
  expect(combine([1, 5], [3, 2], "replace")).toEqual([2, 3]);
});

const step = (...selected: number[]) => ({ selected, lassos: [] as Lasso[] });

it("steps are taken back one by one and done again, and the oldest are forgotten", () => {
  const history = new History(2);
  for (const selected of [1, 2, 3]) history.push(step(selected));
  expect(history.undo(step(4))).toEqual(step(3));
  expect(history.undo(step(3))).toEqual(step(2));
  expect(history.undo(step(2))).toBeUndefined();
  expect(history.redo(step(2))).toEqual(step(3));
  expect(history.redo(step(3))).toEqual(step(4));
  expect(history.redo(step(4))).toBeUndefined();
});

it("nothing is done again after something else was done", () => {
  const history = new History();
  history.push(step(1));
  history.undo(step(2));
  history.push(step(1));
  expect(history.redo(step(3))).toBeUndefined();
});

it("lassos of another map are not drawn again, and samples that are gone are not selected again", () => {
  const history = new History();
  const lassos = [
    {
      polygon: [
        [0, 0],
        [1, 0],
        [0, 1],
      ] as [number, number][],
      removes: false,
    },
  ];
  history.push({ selected: [1], lassos });
  history.push({ selected: [1, 2], lassos });
  history.undo({ selected: [3], lassos });
  history.forgetLassos();
  expect(history.redo(step(1, 2))).toEqual(step(3));
  expect(history.undo(step(3))).toEqual(step(1, 2));
  history.clear();
  expect(history.undo(step(5))).toBeUndefined();
});
