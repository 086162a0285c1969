// Which slices the kernel is asked for.

import type { State } from "../state";
import type { Lines } from "./slice_lines";

/**
 * The slices that the kernel is to take, the last first: of those `missing`, the ones that it was
 * `asked` for before the others. Null where it has been asked for just these.
 */
export function toAsk(asked: readonly number[], missing: readonly number[]): number[] | null {
  const wanted = marked(missing);
  const before = asked.filter((i) => wanted[i]);
  for (const i of before) wanted[i] = 0;
  const more = missing.filter((i) => {
    const isNew = wanted[i] === 1;
    wanted[i] = 0; // it may be named twice
    return isNew;
  });
  return more.length || before.length < asked.length ? [...before, ...more] : null;
}

/** A 1 at each index: there may be very many of them, and sets take ten times as long. */
function marked(indices: readonly number[]): Uint8Array {
  let most = -1;
  for (const i of indices) if (i > most) most = i;
  const marks = new Uint8Array(most + 1);
  for (const i of indices) marks[i] = 1;
  return marks;
}

export class Asking {
  private asked: readonly number[] = [];
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
    if (last.quantity !== quantity.name) this.asked = []; // slices of something else
    // What is still to come is not asked for again: the kernel may have been told to stop.
    if (last.profiles !== profiles) {
      const missing = marked(lines.missing);
      this.asked = this.asked.filter((i) => missing[i]);
      this.doubted = "";
    }
    if (alive && last.lines !== lines) this.send(lines);
    // What was asked for and is not there by now was given up, and may be asked for again.
    if (last.progress !== progress && progress.state !== "running") this.asked = [];
    this.last = { ...(alive ? { lines } : {}), quantity: quantity.name, profiles, progress };
  }

  private send({ missing, doubted }: Lines): void {
    const indices = toAsk(this.asked, missing);
    if (indices) {
      this.asked = indices;
      this.state.send({ type: "slices", indices });
    }
    if (doubted.length && String(doubted) !== this.doubted) {
      this.doubted = String(doubted);
      this.state.send({ type: "doubted", indices: doubted });
    }
  }
}
