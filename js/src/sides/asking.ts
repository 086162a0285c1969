// Which slices the kernel is asked for.

import type { State } from "../state";
import type { Lines } from "./slice_lines";

/**
 * The slices that the kernel is to take, the last first: of those `missing`, the ones that it was
 * `asked` for before the others. Null where it has been asked for just these.
 */
export function toAsk(asked: ReadonlySet<number>, missing: readonly number[]): number[] | null {
  const wanted = new Set(missing);
  const before = [...asked].filter((i) => wanted.has(i));
  const more = [...wanted].filter((i) => !asked.has(i));
  return more.length || before.length < asked.size ? [...before, ...more] : null;
}

export class Asking {
  private asked = new Set<number>();
  private doubted = "";
  /** What was asked about last. */
  private last: { lines?: Lines; quantity?: string; profiles?: unknown; progress?: unknown } = {};

  constructor(private readonly state: State) {
    this.last.progress = state.progress;
  }

  /** Tell the kernel which slices are wanted, and which of those that are there are too rough. */
  ask(lines: Lines): void {
    const { state, last } = this;
    const { quantity, profiles, progress, alive } = state;
    if (last.quantity !== quantity.name) this.asked.clear(); // slices of something else
    // What is still to come is not asked for again: the kernel may have been told to stop.
    if (last.profiles !== profiles) {
      const missing = new Set(lines.missing);
      for (const i of this.asked) if (!missing.has(i)) this.asked.delete(i);
      this.doubted = "";
    }
    if (alive && last.lines !== lines) this.send(lines);
    // What was asked for and is not there by now was given up, and may be asked for again.
    if (last.progress !== progress && progress.state !== "running") this.asked.clear();
    this.last = { ...(alive ? { lines } : {}), quantity: quantity.name, profiles, progress };
  }

  private send({ missing, doubted }: Lines): void {
    const indices = toAsk(this.asked, missing);
    if (indices) {
      this.asked = new Set(indices);
      this.state.send({ type: "slices", indices });
    }
    if (doubted.length && String(doubted) !== this.doubted) {
      this.doubted = String(doubted);
      this.state.send({ type: "doubted", indices: doubted });
    }
  }
}
