// Says on the root of a view what it shows, once that is on the screen: bqplot draws by transitions
// that take a frame or more, and longer on a machine that is busy.

/** What a view shows, as JSON has it. */
export type Shown = Record<string, unknown>;

/**
 * `data-drawing` is on the root from the first change to the frame in which all of them are
 * painted; `data-drawn` then holds what is shown, as JSON.
 */
export class Drawn {
  private waiting = false;
  private begun = false;

  constructor(
    private readonly root: HTMLElement,
    private readonly settled: () => boolean,
    private readonly shown: () => Shown,
    private readonly signal: AbortSignal,
  ) {}

  /** All that there is has been drawn a first time. */
  begin(): void {
    this.begun = true;
    this.changed();
  }

  /** Something is drawn otherwise from now on. */
  changed(): void {
    if (!this.begun) return;
    this.root.dataset.drawing = "";
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => this.look(0));
  }

  /** Look in each frame; what is still in two of them is on the screen. */
  private look(still: number): void {
    if (this.signal.aborted) return;
    if (still < 2) {
      const next = this.settled() ? still + 1 : 0;
      requestAnimationFrame(() => this.look(next));
      return;
    }
    this.waiting = false;
    this.root.dataset.drawn = JSON.stringify(this.shown());
    delete this.root.dataset.drawing;
  }
}
