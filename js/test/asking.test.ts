import { expect, test, vi } from "vitest";

import { Asking } from "../src/sides/asking";
import type { Lines } from "../src/sides/slice_lines";
import type { State } from "../src/state";

/** What `Asking` reads, which a test changes as the kernel would. */
function asking() {
  const send = vi.fn();
  const state = {
    alive: true,
    quantity: { name: "loss" },
    profiles: {},
    progress: { state: "done" },
    send,
  };
  const asks = new Asking(state as unknown as State);
  const ask = (missing: number[], doubted: number[] = []) => {
    asks.ask({ missing, doubted } as unknown as Lines);
    return send.mock.calls.splice(0).map(([message]) => message);
  };
  return { state, ask };
}

const slices = (...indices: number[]) => [{ type: "slices", indices }];

test("slices are asked for once; what was given up, when it is wanted again", () => {
  const { state, ask } = asking();
  expect(ask([3, 5])).toEqual(slices(3, 5));
  state.progress = { state: "running" };
  expect(ask([3, 5])).toEqual([]);
  state.profiles = {}; // one of them came
  expect(ask([5])).toEqual([]);
  state.progress = { state: "done" }; // stopped before the other
  expect(ask([5])).toEqual([]);
  expect(ask([5, 6])).toEqual(slices(5, 6));
});

test("slices of another quantity are asked for though those of the first are on their way", () => {
  const { state, ask } = asking();
  expect(ask([3])).toEqual(slices(3));
  state.quantity = { name: "accuracy" };
  expect(ask([3])).toEqual(slices(3));
});

test("nothing is asked for without a kernel, and what is missing once there is one again", () => {
  const { state, ask } = asking();
  state.alive = false;
  expect(ask([3])).toEqual([]);
  state.alive = true;
  expect(ask([3])).toEqual(slices(3));
});

test("samples that are too rough are told once, until their slices are others", () => {
  const { state, ask } = asking();
  const doubted = [{ type: "doubted", indices: [7] }];
  expect(ask([], [7])).toEqual(doubted);
  expect(ask([], [7])).toEqual([]);
  state.profiles = {};
  expect(ask([], [7])).toEqual(doubted);
});
