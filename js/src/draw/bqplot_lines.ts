// Lines by bqplot's marks, on its axes: what is extended from Python.

import type { Figure } from "./bqplot";
import type { Lines, Mark, Tick } from "./lines";

export class BqplotLines implements Lines {
  constructor(private readonly figure: Figure) {}

  put(
    mark: Mark,
    xs: readonly number[],
    ys: (number | null)[][],
    colours?: readonly string[],
  ): void {
    this.figure.marks[mark]!.set({
      ...(colours ? { colors: [...colours] } : {}),
      x: Float64Array.from(xs),
      y: ys,
    });
  }

  setTicks(label: string, ticks: readonly Tick[]): void {
    this.figure.axes[1]!.set({
      label,
      tick_labels: Object.fromEntries(ticks.map(({ at, text }) => [String(at), text])),
      tick_values: Float64Array.from(ticks, ({ at }) => at),
    });
  }

  /** bqplot sees to that. */
  relayout(): void {}

  get still(): boolean {
    return this.figure.still;
  }
}
