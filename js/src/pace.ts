// Leaves the hand its time while very much comes.

const REST = 4; // times as long as a drawing took

/** Draws what comes in a stream at once, but for at most a fifth of the time. */
export class Paced {
  private free = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly draw: () => void,
    until: AbortSignal,
  ) {
    until.addEventListener("abort", () => clearTimeout(this.timer));
  }

  /** Something came: draw now, or once there has been a rest. */
  ask(): void {
    if (this.timer !== undefined) return;
    const wait = this.free - performance.now();
    if (wait <= 0) this.run();
    else this.timer = setTimeout(() => this.run(), wait);
  }

  /** Draw what waits: nothing comes after it for now. */
  flush(): void {
    if (this.timer !== undefined) this.run();
  }

  private run(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    const began = performance.now();
    this.draw();
    const now = performance.now();
    this.free = now + REST * (now - began);
  }
}
