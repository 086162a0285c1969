import { expect, it } from "vitest";
import { Flow } from "../src/draw/flow";

const SIZE = 51;
const grid = (of: (i: number, j: number) => number) =>
  Float32Array.from({ length: SIZE * SIZE }, (_, n) => of(Math.floor(n / SIZE), n % SIZE));

// Two directions that are 30 degrees apart, the second half as long: x = i + √3/4 j, y = j / 4.
const GRAM = [1, Math.sqrt(3) / 4, Math.sqrt(3) / 4, 0.25];
const place = (i: number, j: number) => [i + (Math.sqrt(3) / 4) * j, j / 4] as const;
const [X, Y] = place(25, 25);

it("downhill is where it is in true shape, whatever the axes are", () => {
  // L = (x − X)² + 3 (y − Y)²: −∇L = (−2 (x − X), −6 (y − Y)).
  const flow = new Flow(
    grid((i, j) => (place(i, j)[0] - X) ** 2 + 3 * (place(i, j)[1] - Y) ** 2),
    SIZE,
    GRAM,
  );
  for (const [i, j] of [
    [10, 12],
    [30.5, 8.25],
    [40, 44],
  ] as const) {
    const [da, db] = flow.downhill(i, j);
    const [x, y] = place(i, j);
    expect(da + (Math.sqrt(3) / 4) * db).toBeCloseTo(-2 * (x - X), 2);
    expect(db / 4).toBeCloseTo(-6 * (y - Y), 2);
    expect(flow.length([da, db])).toBeCloseTo(Math.hypot(2 * (x - X), 6 * (y - Y)), 2);
  }
});

it("on a round bowl paths run straight to its bottom on slanted axes, too", () => {
  const flow = new Flow(
    grid((i, j) => (place(i, j)[0] - X) ** 2 + (place(i, j)[1] - Y) ** 2),
    SIZE,
    GRAM,
  );
  const path = flow.descend(8, 40).map(([i, j]) => place(i, j));
  const [start, end] = [path[0]!, path[path.length - 1]!];
  expect(Math.hypot(end[0] - X, end[1] - Y)).toBeLessThan(0.5);
  const long = Math.hypot(X - start[0], Y - start[1]);
  for (const [x, y] of path) {
    const off = ((x - start[0]) * (Y - start[1]) - (y - start[1]) * (X - start[0])) / long;
    expect(Math.abs(off)).toBeLessThan(0.1);
  }
});

it("paths follow the gradient flow of an elongated bowl", () => {
  // dx/dt = −2x and dy/dt = −2·4y: |y| goes as |x|⁴ along a path.
  const flow = new Flow(
    grid((i, j) => (i - 25) ** 2 + 4 * (j - 25) ** 2),
    SIZE,
    [1, 0, 0, 1],
  );
  const path = flow.descend(5, 45);
  const crossed = path.find(([i]) => i > 15)!;
  expect(crossed[1] - 25).toBeCloseTo(20 * ((25 - crossed[0]) / 20) ** 4, 0);
  const heights = path.map(([i, j]) => flow.height(i, j));
  for (let n = 1; n < heights.length; n++) expect(heights[n]).toBeLessThan(heights[n - 1]! + 0.05);
  expect(heights[heights.length - 1]).toBeLessThan(0.1);
});

it("paths end at the edge, on flat ground, and before what is not finite", () => {
  const slope = new Flow(
    grid((i) => i),
    SIZE,
    [1, 0, 0, 1],
  );
  const down = slope.descend(30, 20);
  expect(down[down.length - 1]![0]).toBeLessThan(0.3);
  expect(
    new Flow(
      grid(() => 1),
      SIZE,
      [1, 0, 0, 1],
    ).descend(3, 3),
  ).toEqual([[3, 3]]);
  const broken = new Flow(
    grid((i) => (i < 10 ? Number.NaN : i)),
    SIZE,
    [1, 0, 0, 1],
  );
  const stopped = broken.descend(30, 20);
  expect(stopped[stopped.length - 1]![0]).toBeGreaterThanOrEqual(10);
  expect(stopped[stopped.length - 1]![0]).toBeLessThan(12);
  expect(broken.descend(5, 5)).toEqual([[5, 5]]);
});
