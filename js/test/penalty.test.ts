import { describe, expect, it } from "vitest";

import {
  formula,
  lowestAlong,
  lowestOver,
  type Norms,
  PLACES,
  penalised,
  penalisedRows,
  penalties,
  placeOf,
  strengthAt,
} from "../src/penalty";
import { State } from "../src/state";
import type { Model } from "../src/wire";

// Three parameter vectors, the first of them θ*, from which the norms are taken by hand.
const VECTORS = [
  [1, -2, 0.5],
  [0, 1, 3],
  [-1, -4, 0],
];
const ALPHAS = [-0.5, 0, 0.25, 1];
const PENALTY = { l1: 0.3, l2: 0.02, tensors: "weights" };

const at = (i: number, alpha: number) =>
  VECTORS[0]!.map((weight, p) => weight + alpha * (VECTORS[i]![p]! - weight));
const first = (theta: number[]) => theta.reduce((sum, weight) => sum + Math.abs(weight), 0);
const second = (theta: number[]) => theta.reduce((sum, weight) => sum + weight ** 2, 0);
const byHand = (theta: number[]) => PENALTY.l1 * first(theta) + PENALTY.l2 * second(theta);

const norms: Norms = {
  l1: Float32Array.from(VECTORS, first),
  l2: Float32Array.from(VECTORS, second),
  behind: Float32Array.from(VECTORS, (_, i) => second(at(i, -1))),
  along: Float32Array.from(VECTORS.flatMap((_, i) => ALPHAS.map((alpha) => first(at(i, alpha))))),
  counted: "all 3 tensors",
  leftOut: [],
};
const ROWS = VECTORS.flatMap((_, i) => ALPHAS.map((_, a) => i + a / 10));

describe("the penalised loss", () => {
  it("of samples is that of the vectors themselves", () => {
    const losses = Float32Array.of(0.1, 0.2, Infinity);
    const found = penalised(losses, penalties(norms, PENALTY));
    VECTORS.slice(0, 2).forEach((theta, i) => {
      expect(found[i]).toBeCloseTo(losses[i]! + byHand(theta), 5);
    });
    expect(found[2]).toBe(Infinity);
  });

  it("along slices is that of the vectors on the way", () => {
    const found = penalisedRows(Float32Array.from(ROWS), norms, PENALTY, ALPHAS, new Map());
    const expected = VECTORS.flatMap((_, i) =>
      ALPHAS.map((alpha, a) => i + a / 10 + byHand(at(i, alpha))),
    );
    found.forEach((value, n) => {
      expect(value).toBeCloseTo(expected[n]!, 5);
    });
  });

  it("is not known where a slice is not, or norms along it are wanted and are not", () => {
    const losses = Float32Array.from(ROWS.map((loss, n) => (n < 4 ? NaN : loss)));
    const without = { ...norms, along: new Float32Array(0) };
    const rows = new Map([[2, norms.along.subarray(8, 12)]]);
    const found = penalisedRows(losses, without, PENALTY, ALPHAS, rows);
    expect([...found.subarray(0, 8)].every(Number.isNaN)).toBe(true);
    expect(found[11]).toBeCloseTo(2.3 + byHand(at(2, 1)), 5);
    const l2 = penalisedRows(losses, without, { ...PENALTY, l1: 0 }, ALPHAS, new Map());
    expect(l2[7]).toBeCloseTo(1.3 + PENALTY.l2 * second(at(1, 1)), 5);
  });

  it("is said as a formula", () => {
    expect(formula(PENALTY)).toBe("0.3·‖θ‖₁ + 0.02·‖θ‖₂²");
    expect(formula({ ...PENALTY, l1: 0 })).toBe("0.02·‖θ‖₂²");
  });
});

describe("the lowest place", () => {
  it("is the vertex of a parabola, between the places, and an end where that is lower", () => {
    const axis = Array.from({ length: 21 }, (_, i) => -1 + i / 10);
    const parabola = (x: number) => 2 * (x - 0.237) ** 2 + 5;
    const found = lowestAlong(axis, axis.map(parabola))!;
    expect(found.at).toBeCloseTo(0.237, 10);
    expect(found.value).toBeCloseTo(5, 10);
    expect(lowestAlong(axis, axis)!.at).toBe(-1);
    expect(lowestAlong(axis, [NaN, ...axis.slice(1)])!.at).toBe(-0.9);
    expect(
      lowestAlong(
        axis,
        axis.map(() => NaN),
      ),
    ).toBeNull();
  });

  it("of a plane is found along both of its axes", () => {
    const axis = Array.from({ length: 11 }, (_, i) => i / 10);
    const values = axis.flatMap((a) => axis.map((b) => (a - 0.33) ** 2 + 3 * (b - 0.78) ** 2));
    const [a, b] = lowestOver(Float32Array.from(values), axis)!;
    expect(a).toBeCloseTo(0.33, 5);
    expect(b).toBeCloseTo(0.78, 5);
  });
});

it("has a place on the slider for each strength that the slider gives", () => {
  for (let place = 0; place <= PLACES; place++) expect(placeOf(strengthAt(place))).toBe(place);
  expect([strengthAt(0), strengthAt(1), strengthAt(PLACES)]).toEqual([0, 1e-6, 1]);
  expect([placeOf(1e-9), placeOf(50)]).toEqual([1, PLACES]);
});

describe("a view", () => {
  const bytes = (values: ArrayLike<number>) => new DataView(Float32Array.from(values).buffer);
  const of = { tensors: "weights", samples: 3, alphas: ALPHAS };
  const stateWith = (changed: Record<string, unknown>) => {
    const values: Record<string, unknown> = {
      ...{ l1: PENALTY.l1, l2: PENALTY.l2, tensors: "weights", quantity: "loss" },
      _samples: { kind: ["trained", "sample", "sample"] },
      _columns: { loss: bytes([1, 2, 3]), val_loss: bytes([4, 5, 6]) },
      _profiles: { loss: bytes(ROWS), val_loss: bytes(ROWS) },
      ...{ _alphas: ALPHAS, _info: {}, selected: [] },
      _answers: {
        norms: {
          of,
          ...{ l1: bytes(norms.l1), l2: bytes(norms.l2), behind: bytes(norms.behind) },
          ...{ along: bytes(norms.along), counted: "", left_out: [] },
        },
      },
      ...changed,
    };
    const model = { get: (name: string) => values[name], on: () => {}, off: () => {} };
    return new State(model as unknown as Model, new AbortController().signal);
  };

  it("shows the training loss with its penalty, everywhere, and nothing else with it", () => {
    const state = stateWith({});
    expect(state.columns.loss![1]).toBeCloseTo(2 + byHand(VECTORS[1]!), 5);
    expect(state.profiles.loss![7]).toBeCloseTo(1.3 + byHand(VECTORS[1]!), 5);
    expect([...state.columns.val_loss!]).toEqual([4, 5, 6]);
    expect([...state.profiles.val_loss!]).toEqual([...Float32Array.from(ROWS)]);
    expect([...state.unpenalised]).toEqual([1, 2, 3]);
    expect(state.quantity.label).toBe("training loss + 0.3·‖θ‖₁ + 0.02·‖θ‖₂²");
    expect(state.columnName("loss")).toBe(state.quantity.label);
    expect(state.lowest).toBe(0);
  });

  it("shows and says none before the norms of these samples and tensors are known", () => {
    for (const changed of [
      { _answers: {} },
      { tensors: "all" },
      { _samples: { kind: ["trained"] } },
    ]) {
      const state = stateWith(changed);
      expect(state.penalty).toBeNull();
      expect([...state.columns.loss!]).toEqual([1, 2, 3]);
      expect(state.quantity.label).toBe("training loss");
      expect(state.lowest).toBe(-1);
    }
  });
});
