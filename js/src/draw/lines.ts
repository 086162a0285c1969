// Lines in a plot, whoever draws them: bqplot's marks, or an SVG where there is no widget manager.

/** Kinds of lines, in the order in which Python lists the marks of the figure; later ones lie over earlier ones. */
export const MARK = { band: 0, faint: 1, train: 2, val: 3, median: 4 } as const;
export type Mark = (typeof MARK)[keyof typeof MARK];

export interface Tick {
  at: number;
  text: string;
}

export interface Lines {
  /**
   * Show these lines of a kind in place of those before: heights `ys` over `xs`, null where there is
   * none, and a colour for each where its kind has none of its own.
   */
  put(
    mark: Mark,
    xs: readonly number[],
    ys: (number | null)[][],
    colours?: readonly string[],
  ): void;
  /** Name the axis of heights, and what is read on it. */
  setTicks(label: string, ticks: readonly Tick[]): void;
  /** The plot has another size, or shows another range. */
  relayout(): void;
  /** Whether all of it is on the screen and in its place. */
  readonly still: boolean;
}
