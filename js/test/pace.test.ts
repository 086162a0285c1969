import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Paced } from "../src/pace";

const COST = 10; // ms that a drawing takes

beforeEach(() => void vi.useFakeTimers({ toFake: ["performance", "setTimeout", "clearTimeout"] }));
afterEach(() => void vi.useRealTimers());

function paced() {
  const draw = vi.fn(() => void vi.advanceTimersByTime(COST));
  const end = new AbortController();
  return { draw, end, pace: new Paced(draw, end.signal) };
}

test("what comes in a stream is drawn for a fifth of the time, the last of it, too", () => {
  const { draw, pace } = paced();
  pace.ask();
  expect(draw).toHaveBeenCalledTimes(1);
  for (let ms = 0; ms < 4 * COST - 1; ms++) {
    pace.ask();
    vi.advanceTimersByTime(1);
  }
  expect(draw).toHaveBeenCalledTimes(1);
  vi.advanceTimersByTime(2);
  expect(draw).toHaveBeenCalledTimes(2);
  vi.advanceTimersByTime(10 * COST);
  expect(draw).toHaveBeenCalledTimes(2);
  pace.ask(); // after a rest, at once
  expect(draw).toHaveBeenCalledTimes(3);
});

test("what waits is drawn at once where nothing comes after it, and never once the view has ended", () => {
  const { draw, end, pace } = paced();
  pace.flush();
  expect(draw).toHaveBeenCalledTimes(0);
  pace.ask();
  pace.ask();
  pace.flush();
  expect(draw).toHaveBeenCalledTimes(2);
  vi.advanceTimersByTime(10 * COST);
  expect(draw).toHaveBeenCalledTimes(2);
  pace.ask();
  pace.ask();
  end.abort();
  vi.advanceTimersByTime(10 * COST);
  expect(draw).toHaveBeenCalledTimes(3);
});
