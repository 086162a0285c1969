import { beforeAll, describe, expect, it } from "vitest";
import { Raster, type Shape, Stamps, stampOf } from "../src/draw/raster";

const CIRCLE: Shape = { diamond: false, area: 42, width: 0.7, filled: true, opacity: 1 };
const sum = (values: Iterable<number>) => [...values].reduce((a, b) => a + b, 0);

beforeAll(() => {
  // What a browser has, and Node has not.
  globalThis.ImageData ??= class {
    constructor(
      readonly data: Uint8ClampedArray,
      readonly width: number,
      readonly height: number,
    ) {}
  } as unknown as typeof ImageData;
});

describe("a stamp", () => {
  it("covers the area of the shape and of its line, wherever in a pixel it is", () => {
    for (const diamond of [false, true]) {
      for (const [x, y] of [
        [0.5, 0.5],
        [0.1, 0.8],
      ] as const) {
        const { fill, line } = stampOf({ ...CIRCLE, diamond, area: 130 }, x, y);
        // Of a diamond's line the corners are a little more than the half outside is long.
        const round = Math.PI * (Math.sqrt(130 / Math.PI) + 0.35) ** 2;
        const [high, wide] = [10.61, 6.126];
        const pointed = 130 + 0.35 * 4 * Math.hypot(high, wide);
        const area = diamond ? pointed : round;
        expect(Math.abs(sum(fill) + sum(line) - area)).toBeLessThan(0.02 * area);
      }
    }
  });

  it("has its weight where the mark is", () => {
    const stamp = stampOf(CIRCLE, 0.2, 0.7);
    const weights = stamp.fill.map((value, i) => value + stamp.line[i]!);
    const middle = (offsets: Int8Array) =>
      sum(weights.map((weight, i) => weight * (offsets[i]! + 0.5))) / sum(weights);
    expect(middle(stamp.dx)).toBeCloseTo(0.2, 1);
    expect(middle(stamp.dy)).toBeCloseTo(0.7, 1);
  });

  it("of a hollow mark is clear inside", () => {
    const stamp = stampOf({ ...CIRCLE, filled: false }, 0.5, 0.5);
    expect(sum(stamp.fill)).toBe(0);
    expect([...stamp.dx].some((dx, i) => dx === 0 && stamp.dy[i] === 0)).toBe(false);
  });
});

describe("a raster", () => {
  const pixel = (image: ImageData, x: number, y: number) => [
    ...image.data.slice(4 * (y * image.width + x), 4 * (y * image.width + x) + 4),
  ];

  it("lays marks over each other as opacities say", () => {
    const raster = new Raster(20, 20);
    const stamps = new Stamps(CIRCLE);
    raster.paint(stamps, 10, 10, [0, 0, 100], [0, 0, 0], 0.5);
    raster.paint(stamps, 10, 10, [200, 0, 0], [0, 0, 0], 0.5);
    const [red, green, blue, alpha] = pixel(raster.finish(), 10, 10);
    // A half of blue over a half of red: three quarters in all, of which two thirds are blue.
    expect(Math.abs(alpha! - 191)).toBeLessThan(2);
    expect(Math.abs(red! - 200 / 3)).toBeLessThan(2);
    expect(green).toBe(0);
    expect(Math.abs(blue! - 200 / 3)).toBeLessThan(2);
  });

  it("shows nothing of what is behind opaque marks", () => {
    const raster = new Raster(20, 20);
    const stamps = new Stamps(CIRCLE);
    raster.paint(stamps, 10, 10, [200, 0, 0], [0, 0, 0], 1);
    raster.paint(stamps, 10, 10, [0, 0, 100], [0, 0, 0], 1);
    expect(pixel(raster.finish(), 10, 10)).toEqual([200, 0, 0, 255]);
  });

  it("cuts off what is beyond its edges, and forgets what is cleared", () => {
    const raster = new Raster(8, 8);
    raster.paint(new Stamps(CIRCLE), 7.9, 0.1, [9, 9, 9], [9, 9, 9], 1);
    raster.paint(new Stamps(CIRCLE), -50, 3, [9, 9, 9], [9, 9, 9], 1);
    const image = raster.finish();
    expect(pixel(image, 7, 0)).toEqual([9, 9, 9, 255]);
    expect(pixel(image, 0, 1)[3]).toBe(0); // not on the other side
    raster.clear();
    expect(Math.max(...raster.finish().data)).toBe(0);
  });
});
