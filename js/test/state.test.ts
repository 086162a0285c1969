import { effect } from "@preact/signals-core";
import { expect, it, vi } from "vitest";

import { State } from "../src/state";
import type { Model } from "../src/wire";

type Listener = (content?: unknown, buffers?: unknown) => void;

const bytes = (...values: number[]): DataView => new DataView(Float32Array.from(values).buffer);

/** A model as ipywidgets has it: all values of a message are set before anybody hears of one. */
function fake(values: Record<string, unknown>) {
  const listeners = new Map<string, Set<Listener>>();
  const tell = (event: string, ...more: unknown[]) =>
    listeners.get(event)?.forEach((listener) => {
      listener(...more);
    });
  const send = vi.fn();
  const message = (changed: Record<string, unknown>) => {
    Object.assign(values, changed);
    for (const name of Object.keys(changed)) tell(`change:${name}`);
  };
  const model = {
    get: (name: string) => values[name],
    set: (name: string, value: unknown) => message({ [name]: value }),
    on: (event: string, listener: Listener) =>
      listeners.set(event, (listeners.get(event) ?? new Set()).add(listener)),
    off: (event: string, listener: Listener) => listeners.get(event)?.delete(listener),
    save_changes: vi.fn(),
    send,
  } as unknown as Model;
  return { model, message, tell, send };
}

it("reads a buffer once, for as long as it is the same", () => {
  const { model, message } = fake({ _points: bytes(1, 2), _columns: { loss: bytes(3) } });
  const state = new State(model, new AbortController().signal);
  const { points, columns } = state;
  expect([...points]).toEqual([1, 2]);
  message({ _columns: { loss: bytes(4) } });
  expect(state.points).toBe(points);
  expect(state.columns).not.toBe(columns);
  expect([...state.columns.loss!]).toEqual([4]);
  expect(state.columns).toBe(state.columns);
});

it("reads values that lie at no multiple of four bytes", () => {
  const within = new Uint8Array(9);
  within.set(new Uint8Array(Float32Array.of(1.5, -2).buffer), 1);
  const { model } = fake({ _points: new DataView(within.buffer, 1, 8) });
  expect([...new State(model, new AbortController().signal).points]).toEqual([1.5, -2]);
});

it("tells of all traits of a message at once, and only those who have read one of them", () => {
  const { model, message } = fake({ _frame: 1, _points: bytes(1), _alphas: [0], selected: [] });
  const state = new State(model, new AbortController().signal);
  const seen: unknown[] = [];
  const alphas = vi.fn(() => state.alphas);
  effect(() => void seen.push([state.frame, state.points[0]]));
  effect(() => void alphas());
  message({ _frame: 2, _points: bytes(7) });
  expect(seen).toEqual([
    [1, 1],
    [2, 7],
  ]);
  expect(alphas).toHaveBeenCalledTimes(1);
  state.set({ selected: [4] });
  expect(state.selected).toEqual([4]);
});

it("reads slices that come row by row, until they come as a whole that is another", () => {
  const { model, message, tell } = fake({ _profiles: {}, _alphas: [0, 1] });
  const state = new State(model, new AbortController().signal);
  const rows = { type: "rows", table: "profiles", names: ["loss"], of: 2, width: 2, version: 1 };
  const seen: number[][] = [];
  effect(() => void seen.push([...(state.profiles.loss ?? [])]));
  tell("msg:custom", { ...rows, start: 1, count: 1 }, [bytes(5, 6)]);
  expect(seen.at(-1)).toEqual([Number.NaN, Number.NaN, 5, 6]);
  message({ _profiles: { loss: bytes(1, 2, 3, 4) } }); // that very table, where it is saved
  expect(seen.at(-1)).toEqual([Number.NaN, Number.NaN, 5, 6]);
  message({ _profiles: { loss: bytes(1, 2) } });
  expect(seen.at(-1)).toEqual([1, 2]);
});

it("sends nothing without a kernel, and hears nothing once its view has ended", () => {
  const { model, message, send } = fake({ _frame: 1 });
  const view = new AbortController();
  const state = new State(model, view.signal);
  state.alive = false;
  state.send({ type: "start" });
  expect(send).not.toHaveBeenCalled();
  view.abort();
  message({ _frame: 2 });
  expect(state.frame).toBe(1);
});

it("follows what there is to see at first only while nothing is selected or pointed at", () => {
  const { model, message } = fake({
    selected: [],
    _info: { opening: [1, 2, 3] },
    _samples: { kind: ["trained", "minimum", "minimum", "minimum", "sample"] },
  });
  const state = new State(model, new AbortController().signal);
  expect(state.followed).toEqual([1, 2, 3]);
  state.pointed.value = 4;
  expect(state.followed).toEqual([]);
  message({ selected: [4] });
  expect(state.followed).toEqual([4]);
  state.pointed.value = -1;
  message({ selected: [] });
  expect(state.followed).toEqual([1, 2, 3]);
});
