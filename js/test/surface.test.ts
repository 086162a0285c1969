import { expect, it } from "vitest";
import { facetsOf, gridOf, seen, surfaceOf, viewFrom } from "../src/draw/surface";

const SIZE = 11;
const bowl = Float32Array.from(
  { length: SIZE * SIZE },
  (_, n) => (Math.floor(n / SIZE) - 5) ** 2 + ((n % SIZE) - 5) ** 2,
);

it("a view is a rotation that leaves the third axis upright", () => {
  for (const [azimuth, elevation] of [
    [0.3, 0.5],
    [-2, 1.2],
    [3, 0.1],
  ] as const) {
    const m = viewFrom(azimuth, elevation);
    for (let r = 0; r < 3; r++)
      for (let s = 0; s < 3; s++) {
        const inner = [0, 1, 2].reduce((sum, c) => sum + m[3 * r + c]! * m[3 * s + c]!, 0);
        expect(inner).toBeCloseTo(r === s ? 1 : 0, 12);
      }
    const [right, up] = seen(m, 0, 0, 1);
    expect(right).toBeCloseTo(0, 12);
    expect(up).toBeGreaterThan(0);
  }
  // From above it is as a plane lies flat: the first axis to the right, the second upwards.
  const above = viewFrom(0, Math.PI / 2);
  expect(seen(above, 1, 0, 0)[0]).toBeCloseTo(1);
  expect(seen(above, 0, 1, 0)[1]).toBeCloseTo(1);
});

it("a surface has the true shape of its plane and the same height for every range", () => {
  const { points, place } = surfaceOf(bowl, SIZE, [-1, 1], [-1, 1], [4, 1, 1, 1]);
  const [o, a, b] = [place(0, 0, 0), place(1, 0, 0), place(0, 1, 0)];
  const lengths = [a, b].map((p) => Math.hypot(p[0] - o[0], p[1] - o[1]));
  expect(lengths[0]! / lengths[1]!).toBeCloseTo(2);
  const inner = (a[0] - o[0]) * (b[0] - o[0]) + (a[1] - o[1]) * (b[1] - o[1]);
  expect(inner / (lengths[0]! * lengths[1]!)).toBeCloseTo(0.5);
  const zs = Array.from({ length: SIZE * SIZE }, (_, n) => points[3 * n + 2]!);
  expect(Math.max(...zs) - Math.min(...zs)).toBeCloseTo(0.5);
  const level = surfaceOf(
    new Float32Array(SIZE * SIZE).fill(3),
    SIZE,
    [0, 1],
    [0, 1],
    [1, 0, 0, 1],
  );
  expect(level.points.every(Number.isFinite)).toBe(true);
});

it("cells come from the farthest to the nearest, and those with an unknown corner not at all", () => {
  const holed = bowl.slice();
  holed[0] = Number.NaN;
  const surface = surfaceOf(holed, SIZE, [-1, 1], [-1, 1], [1, 0, 0, 1]);
  const view = viewFrom(0.4, 0.6);
  const { order, light } = facetsOf(surface, view);
  expect(order).toHaveLength((SIZE - 1) ** 2 - 1);
  expect(order).not.toContain(0);
  const depth = Array.from(order, (k) =>
    [k, k + SIZE, k + SIZE + 1, k + 1].reduce((sum, corner) => {
      const [x, y, z] = surface.points.subarray(3 * corner, 3 * corner + 3);
      return sum + seen(view, x!, y!, z!)[2];
    }, 0),
  );
  for (let n = 1; n < depth.length; n++)
    expect(depth[n]!).toBeGreaterThanOrEqual(depth[n - 1]! - 1e-5);
  expect(Math.max(...light)).toBeLessThanOrEqual(1);
});

it("scattered points make a grid where they are, and none where nobody is near", () => {
  const points = new Float32Array(2 * 400);
  for (let n = 0; n < 400; n++) points.set([(n % 20) / 19, Math.floor(n / 20) / 19], 2 * n);
  const heights = Float32Array.from({ length: 400 }, (_, n) => 3 * points[2 * n]! + 1);
  heights[7] = Number.NaN;
  const grid = gridOf(points, heights, 21, [0, 2], [0, 1], 0.1);
  for (let i = 1; i < 10; i++)
    for (let j = 1; j < 20; j++) expect(grid[i * 21 + j]).toBeCloseTo(3 * (i / 10) + 1, 0);
  expect(grid[20 * 21 + 10]).toBeNaN();
  expect(grid[12 * 21 + 10]).toBeNaN();
});
