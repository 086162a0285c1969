import { expect, it } from "vitest";
import { viridis } from "../src/draw/colours";
import { contour, joined, labelPlace, levels } from "../src/draw/contours";
import { between, paint, trueShape } from "../src/draw/plane_geometry";

const grid = (size: number, of: (i: number, j: number) => number) =>
  Array.from({ length: size * size }, (_, n) => of(Math.floor(n / size), n % size));
const distance = ([a, b]: readonly number[], [c, d]: readonly number[]) =>
  Math.hypot(a! - c!, b! - d!);

it("the plane has the angles and the lengths of the weights, and fills its box", () => {
  // Two directions of lengths 2 and 1, 60 degrees apart.
  const { toPixel, toPlane } = trueShape([4, 1, 1, 1], [-0.5, 1.5], 400, 300);
  const [o, a, b] = [toPixel(0, 0), toPixel(1, 0), toPixel(0, 1)];
  expect(distance(o, a) / distance(o, b)).toBeCloseTo(2);
  const cosine =
    ((a[0] - o[0]) * (b[0] - o[0]) + (a[1] - o[1]) * (b[1] - o[1])) /
    (distance(o, a) * distance(o, b));
  expect(cosine).toBeCloseTo(0.5);
  expect(a[1]).toBe(o[1]); // the first to the right, the second upwards
  expect(a[0]).toBeGreaterThan(o[0]);
  expect(b[1]).toBeLessThan(o[1]);
  const corners = [toPixel(-0.5, -0.5), toPixel(1.5, -0.5), toPixel(-0.5, 1.5), toPixel(1.5, 1.5)];
  const [x, y] = [0, 1].map((c) => corners.map((corner) => corner[c]!));
  expect(Math.min(...x!)).toBeCloseTo(0);
  expect(Math.max(...x!)).toBeCloseTo(400);
  expect(Math.min(...y!)).toBeGreaterThan(0);
  expect(Math.min(...y!)).toBeCloseTo(300 - Math.max(...y!));
  const back = toPlane(...toPixel(0.3, 1.2));
  expect(back[0]).toBeCloseTo(0.3);
  expect(back[1]).toBeCloseTo(1.2);
});

it("values between the points of the grid are met where they are linear", () => {
  const values = grid(4, (i, j) => 2 * i - 3 * j + 1);
  expect(between(values, 4, 1.25, 2.5)).toBeCloseTo(2.5 - 7.5 + 1);
  expect(between(values, 4, 3, 3)).toBeCloseTo(-2);
  expect(between(values, 4, 3.01, 0)).toBeNaN();
  values[5] = NaN;
  expect(between(values, 4, 0.5, 0.5)).toBeNaN();
  expect(between(values, 4, 2.5, 2.5)).toBeCloseTo(-1.5);
});

it("the first axis is painted to the right and the second upwards, clear where not finite", () => {
  const values = grid(3, (i, j) => i + 10 * j);
  values[0] = Infinity;
  const { side, pixels } = paint(values, 3, [0, 22], 1);
  const at = (x: number, y: number) =>
    Array.from(pixels.slice(4 * (y * side + x), 4 * (y * side + x) + 4));
  expect(side).toBe(3);
  expect(at(2, 0)).toEqual([...viridis(1), 255]);
  expect(at(2, 2)).toEqual([...viridis(2 / 22), 255]);
  expect(at(0, 2)[3]).toBe(0);
});

it("the contour of a cone is a circle, all around", () => {
  const pieces = contour(
    grid(41, (i, j) => Math.hypot(i - 20, j - 20)),
    41,
    12,
  );
  for (const [i, j] of pieces) expect(Math.hypot(i - 20, j - 20)).toBeCloseTo(12, 1);
  const length = pieces.reduce((sum, [a, b, c, d]) => sum + Math.hypot(c - a, d - b), 0);
  expect(length).toBeCloseTo(2 * Math.PI * 12, 0);
});

it("the contours of a saddle do not cross it", () => {
  // Corners 1, 0, 1, 0 and level 0.4: amidst them it is higher, so that the high corners are joined.
  const pieces = contour([1, 0, 0, 1], 2, 0.4);
  expect(pieces).toHaveLength(2);
  for (const [a, b, c, d] of pieces) {
    const middle = [(a + c) / 2, (b + d) / 2];
    expect(Math.min(distance(middle, [0, 1]), distance(middle, [1, 0]))).toBeLessThan(0.5);
  }
  expect(contour([1, 0, NaN, 1], 2, 0.4)).toHaveLength(0);
});

it("contours are at round losses, many enough to read a slope and few enough to count", () => {
  for (const [low, high] of [
    [-0.4, 0.75],
    [-2.9, 1.3],
    [-0.31, -0.2],
    [-8, 3],
    [0.0, 0.001],
  ] as const) {
    const found = levels(low, high, 12);
    expect(found.length).toBeGreaterThanOrEqual(3);
    expect(found.length).toBeLessThanOrEqual(12);
    for (const { at, text } of found) {
      expect(at).toBeGreaterThanOrEqual(low - 1e-6);
      expect(at).toBeLessThanOrEqual(high + 1e-6);
      if (high - low > 0.01)
        expect(Math.log10(Number(text.replace("−", "-").replace(",", "")))).toBeCloseTo(at, 6);
    }
  }
  expect(levels(-0.4, 0.75, 12).map(({ text }) => text)).toEqual([
    "0.4",
    "0.5",
    "0.6",
    "0.8",
    "1",
    "1.2",
    "1.5",
    "2",
    "2.5",
    "3",
    "4",
    "5",
  ]);
});

it("pieces of a contour are joined to whole lines, closed where it goes round", () => {
  const pieces = contour(
    grid(41, (i, j) => Math.hypot(i - 20, j - 20)),
    41,
    12,
  );
  const lines = joined(pieces);
  expect(lines).toHaveLength(1);
  expect(lines[0]).toHaveLength(pieces.length + 1);
  expect(distance(lines[0]![0]!, lines[0]![pieces.length]!)).toBeLessThan(1e-4);
  const open = joined(
    contour(
      grid(5, (i) => i),
      5,
      1.5,
    ),
  );
  expect(open).toHaveLength(1);
  expect(open[0]!.map(([, j]) => j).sort()).toEqual([0, 1, 2, 3, 4]);
});

it("a label stands where its contour is straight, reads from the left and keeps clear of others", () => {
  const bent = [
    ...Array.from({ length: 10 }, (_, n) => [2 * n - 20, 50 + 6 * (n % 2)] as const),
    ...Array.from({ length: 41 }, (_, n) => [5 * n, 50 + n] as const),
  ];
  const place = labelPlace(bent, 40, 20, [], () => true)!;
  expect(Math.abs(place.angle - Math.atan2(1, 5))).toBeLessThan(1e-6);
  expect(place.covers[0]).toBeGreaterThanOrEqual(10);
  const other = labelPlace(bent, 40, 20, [[place.x, place.y]], () => true)!;
  expect(distance([other.x, other.y], [place.x, place.y])).toBeGreaterThanOrEqual(20);
  expect(labelPlace(bent, 4000, 20, [], () => true)).toBe(null);
  expect(labelPlace(bent, 40, 20, [], () => false)).toBe(null);
});
