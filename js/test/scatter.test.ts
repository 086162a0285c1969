import { describe, expect, it } from "vitest";
import { toData, toPixel, toPixels } from "../src/draw/scales";
import { LOOK, opacity, paintOrder } from "../src/draw/scatter";

const { none, waiting, point, hollow, diamond, star } = LOOK;

describe("the order of painting", () => {
  it("puts θ* over diamonds, those over points, and leaves out what is not drawn", () => {
    const looks = Uint8Array.of(star, point, none, diamond, waiting, point, hollow);
    expect([...paintOrder(looks, null)]).toEqual([4, 1, 5, 6, 3, 0]);
  });

  it("puts what is nearer over what is behind it, but names by number", () => {
    const looks = Uint8Array.of(point, point, point, diamond, diamond);
    const depth = Float32Array.of(0.9, -1, 0.1, 1, -1);
    expect([...paintOrder(looks, depth)]).toEqual([1, 2, 0, 3, 4]);
  });

  it("holds each sample once, at any depth", () => {
    const depth = Float32Array.from({ length: 4000 }, (_, i) => Math.cos(i));
    const order = paintOrder(new Uint8Array(4000).fill(point), depth);
    expect([...order].sort((a, b) => a - b)).toEqual([...depth.keys()]);
    for (let k = 1; k < order.length; k++)
      expect(depth[order[k]!]!).toBeGreaterThan(depth[order[k - 1]!]! - 1 / 256);
  });
});

describe("the opacity of a sample", () => {
  it("is that of all of them while nothing is selected, and less of what is not selected", () => {
    expect(opacity(point, null, null)).toBe(0.9);
    expect(opacity(point, true, null)).toBe(1);
    expect(opacity(point, false, null)).toBeLessThan(opacity(diamond, false, null));
  });

  it("is less the farther it is", () => {
    expect(opacity(hollow, null, 1)).toBeCloseTo(1);
    expect(opacity(hollow, null, -1)).toBeCloseTo(0.4);
  });
});

describe("scales", () => {
  const scales = {
    area: { left: 10, top: 20, width: 100, height: 50 },
    domain: (axis: "x" | "y"): [number, number] => (axis === "x" ? [-1, 3] : [0, 2]),
  };

  it("put the lowest value at the bottom and the left", () => {
    expect(toPixel(scales, -1, 0)).toEqual([10, 70]);
    expect(toPixel(scales, 3, 2)).toEqual([110, 20]);
    expect(toData(scales, ...toPixel(scales, 0.5, 1.5))).toEqual([0.5, 1.5]);
  });

  it("place many points as they place one, and none without a place", () => {
    const pixels = toPixels(scales, Float32Array.of(0.5, 1.5, NaN, NaN));
    expect([...pixels]).toEqual([...toPixel(scales, 0.5, 1.5), NaN, NaN]);
  });
});
