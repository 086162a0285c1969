// Which samples are selected, how gestures change that, and how to take it back.

import type { Point } from "./geometry";

export type Mode = "replace" | "add" | "remove";

/** The mode that the held keys ask for: Shift adds, Alt removes. */
export function modeOf(event: { shiftKey: boolean; altKey: boolean }): Mode {
  return event.altKey ? "remove" : event.shiftKey ? "add" : "replace";
}

/** The selection after `chosen` is added, removed or put in its place; in ascending order. */
export function combine(selected: readonly number[], chosen: readonly number[], mode: Mode): number[] {
  const result = new Set(mode === "replace" ? [] : selected);
  for (const index of chosen) {
    if (mode === "remove") result.delete(index);
    else result.add(index);
  }
  return [...result].sort((a, b) => a - b);
}

export interface Step {
  selected: readonly number[];
  lassos: readonly (readonly Point[])[];
}

/** The steps that led to a selection, to be undone one by one. */
export class History {
  private readonly steps: Step[] = [];

  constructor(private readonly depth = 100) {}

  push(step: Step): void {
    this.steps.push(step);
    if (this.steps.length > this.depth) this.steps.shift();
  }

  /** The samples are others: there is no way back. */
  clear(): void {
    this.steps.length = 0;
  }

  /** The map is another: polygons that were drawn on the one before mean nothing on it. */
  forgetLassos(): void {
    this.steps.forEach((step, i) => (this.steps[i] = { ...step, lassos: [] }));
  }

  pop(): Step | undefined {
    return this.steps.pop();
  }
}
