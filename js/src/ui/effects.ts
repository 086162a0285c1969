// What is drawn again by itself once something that it was drawn from is another.

import { effect, type ReadonlySignal, signal } from "@preact/signals-core";

/** Draw now, and again whenever a signal that was read is another; until the view ends. */
export type Follow = (draw: () => void) => void;

/**
 * `ran` is told after each drawing. One that fails says so on the console and leaves the others,
 * and its own next one, as they are.
 */
export function follower(ran: () => void, until: AbortSignal): Follow {
  return (draw) => {
    if (until.aborted) return;
    const end = effect(() => {
      try {
        draw();
      } catch (error) {
        console.error("[landscape-widgets]", error);
      }
      ran();
    });
    until.addEventListener("abort", end);
  };
}

/** A signal that is another whenever an element has another size. */
export function resized(element: Element, until: AbortSignal): ReadonlySignal<number> {
  const times = signal(0);
  const observer = new ResizeObserver(() => {
    times.value = times.peek() + 1;
  });
  observer.observe(element);
  until.addEventListener("abort", () => observer.disconnect());
  return times;
}
