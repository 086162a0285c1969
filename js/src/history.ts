// Which samples are selected, how gestures change that, and how to take it back.

import type { Point } from "./draw/geometry";

export type Mode = "replace" | "add" | "remove";

/** The mode that the held keys ask for: Shift adds, Alt removes. */
export function modeOf(event: { shiftKey: boolean; altKey: boolean }): Mode {
  return event.altKey ? "remove" : event.shiftKey ? "add" : "replace";
}

/** The selection after `chosen` is added, removed or put in its place; in ascending order. */
export function combine(
  selected: readonly number[],
  chosen: readonly number[],
  mode: Mode,
): number[] {
  const before = mode === "replace" ? [] : selected;
  let most = -1;
  for (const index of before) if (index > most) most = index;
  for (const index of chosen) if (index > most) most = index;
  // By a mark for each: of very many, sets take ten times as long.
  const isIn = new Uint8Array(most + 1);
  for (const index of before) isIn[index] = 1;
  for (const index of chosen) isIn[index] = mode === "remove" ? 0 : 1;
  const result: number[] = [];
  isIn.forEach((mark, index) => {
    if (mark) result.push(index);
  });
  return result;
}

/** A polygon that was drawn, in the coordinates of the map. */
export interface Lasso {
  polygon: readonly Point[];
  /** Whether what is inside was taken out of the selection. */
  removes: boolean;
}

export interface Step {
  selected: readonly number[];
  lassos: readonly Lasso[];
}

/** The steps that led to a selection, to be taken back one by one, and made again. */
export class History {
  private past: Step[] = [];
  private future: Step[] = [];

  constructor(private readonly depth = 100) {}

  /** Keep what is there, as it is about to be changed by hand. */
  push(step: Step): void {
    this.past = [...this.past, step].slice(-this.depth);
    this.future = [];
  }

  /** The step before `now`, if there is one. */
  undo(now: Step): Step | undefined {
    const step = this.past.pop();
    if (step) this.future.push(now);
    return step;
  }

  /** The step that was taken back last. */
  redo(now: Step): Step | undefined {
    const step = this.future.pop();
    if (step) this.past.push(now);
    return step;
  }

  /** The samples are others: there is no way back. */
  clear(): void {
    this.past = [];
    this.future = [];
  }

  /** The map is another: polygons that were drawn on the one before mean nothing on it. */
  forgetLassos(): void {
    const without = (step: Step) => ({ ...step, lassos: [] });
    this.past = this.past.map(without);
    this.future = this.future.map(without);
  }
}
