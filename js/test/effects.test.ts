import { signal } from "@preact/signals-core";
import { expect, it, vi } from "vitest";

import { follower } from "../src/ui/effects";

it("draws again what has read a signal that is another, until the view ends", () => {
  const view = new AbortController();
  const ran = vi.fn();
  const follow = follower(ran, view.signal);
  const [one, other] = [signal(1), signal(1)];
  const seen: number[] = [];
  follow(() => void seen.push(one.value));
  other.value = 2;
  expect(seen).toEqual([1]);
  one.value = 3;
  expect(seen).toEqual([1, 3]);
  expect(ran).toHaveBeenCalledTimes(2);
  view.abort();
  one.value = 4;
  expect(seen).toEqual([1, 3]);
  follow(() => void seen.push(one.value));
  expect(seen).toEqual([1, 3]);
});

it("says on the console that a drawing failed, and goes on with the others and with it", () => {
  const said = vi.spyOn(console, "error").mockImplementation(() => {});
  const follow = follower(() => {}, new AbortController().signal);
  const value = signal(0);
  const seen: string[] = [];
  const draw = (name: string, fails: number) => () => {
    if (value.value === fails) throw new Error(name);
    seen.push(name);
  };
  follow(draw("first", 0));
  follow(draw("second", 1));
  follow(draw("third", -1));
  value.value = 1;
  expect(seen.sort()).toEqual(["first", "second", "third", "third"].sort());
  expect(said).toHaveBeenCalledTimes(2);
  expect(said.mock.calls.map(([prefix]) => prefix)).toEqual([
    "[landscape-widgets]",
    "[landscape-widgets]",
  ]);
  said.mockRestore();
});
