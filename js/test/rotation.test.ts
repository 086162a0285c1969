import { describe, expect, it } from "vitest";
import {
  ballOf,
  FRONT,
  product,
  project,
  type Rotation,
  START,
  triad,
  turned,
} from "../src/draw/rotation";

const close = (found: ArrayLike<number>, expected: ArrayLike<number>, digits = 6) => {
  for (const [i, value] of Array.from(expected).entries())
    expect(found[i]).toBeCloseTo(value, digits);
};

describe("a rotation", () => {
  it("by a quarter to the right brings the front point to the right, and the left one to the front", () => {
    const quarter = turned(FRONT, Math.PI / 2, 0);
    close(quarter, [0, 0, 1, 0, 1, 0, -1, 0, 0]);
    const ball = { centre: [0, 0, 0] as [number, number, number], radius: 1 };
    const { points, depth } = project(new Float32Array([0, 0, 1, -1, 0, 0]), quarter, ball);
    close(points, [1, 0, 0, 0]);
    close(depth, [0, 1]);
  });

  it("by a quarter downwards brings the front point to the bottom, and the top one to the front", () => {
    const ball = { centre: [0, 0, 0] as [number, number, number], radius: 2 };
    const { points, depth } = project(
      new Float32Array([0, 0, 2, 0, 2, 0]),
      turned(FRONT, 0, Math.PI / 2),
      ball,
    );
    close(points, [0, -2, 0, 0]);
    close(depth, [0, 1]);
  });

  it("is the product of the turns about the screen's axes, worked out by hand", () => {
    // R_x(30°) R_y(60°): rows [cos60, 0, sin60], [sin30 sin60, cos30, −sin30 cos60], [−cos30 sin60, sin30, cos30 cos60]
    const s3 = Math.sqrt(3);
    close(turned(FRONT, Math.PI / 3, Math.PI / 6), [
      0.5,
      0,
      s3 / 2,
      s3 / 4,
      s3 / 2,
      -0.25,
      -0.75,
      0.5,
      s3 / 4,
    ]);
  });

  it("stays one after ten thousand turns, and keeps all distances", () => {
    let rotation: Rotation = START;
    for (let i = 0; i < 10_000; i++) rotation = turned(rotation, 0.013 * Math.sin(i), 0.017);
    const transposed = [0, 3, 6, 1, 4, 7, 2, 5, 8].map((i) => rotation[i]) as unknown as Rotation;
    close(product(rotation, transposed), FRONT, 12);
    const points = new Float32Array([1, 2, 3, -2, 0.5, 1]);
    const ball = ballOf(points);
    const { points: flat, depth } = project(points, rotation, ball);
    const apart = Math.hypot(
      flat[0]! - flat[2]!,
      flat[1]! - flat[3]!,
      (depth[0]! - depth[1]!) * ball.radius,
    );
    expect(apart).toBeCloseTo(Math.hypot(3, 1.5, 2), 5);
  });
});

describe("a ball", () => {
  it("holds all points from every side, so that the map does not swell when it is turned", () => {
    const points = new Float32Array([0, 0, 0, 4, 0, 0, 0, 2, 6, NaN, NaN, NaN]);
    const ball = ballOf(points);
    expect(ball.centre).toEqual([2, 1, 3]);
    expect(ball.radius).toBeCloseTo(Math.hypot(2, 1, 3));
    for (let i = 0; i < 30; i++) {
      const { points: flat, depth } = project(
        points.subarray(0, 9),
        turned(FRONT, i, 0.7 * i),
        ball,
      );
      for (let j = 0; j < 3; j++) {
        expect(Math.hypot(flat[2 * j]!, flat[2 * j + 1]!)).toBeLessThanOrEqual(
          ball.radius * 1.000001,
        );
        expect(Math.abs(depth[j]!)).toBeLessThanOrEqual(1.000001);
      }
    }
  });

  it("of points that have no place is there, and they get none", () => {
    const nowhere = new Float32Array(6).fill(NaN);
    expect(ballOf(nowhere)).toEqual({ centre: [0, 0, 0], radius: 1 });
    expect(Array.from(project(nowhere, START, ballOf(nowhere)).points).every(Number.isNaN)).toBe(
      true,
    );
  });
});

describe("the triad", () => {
  it("shows each axis where a point on it is drawn, the farthest first", () => {
    const rotation = turned(FRONT, 0.4, -0.9);
    const ball = { centre: [0, 0, 0] as [number, number, number], radius: 1 };
    const { points, depth } = project(new Float32Array(FRONT), rotation, ball);
    const arms = triad(rotation);
    for (const { axis, x, y, near } of arms) {
      close([x, y, near], [points[2 * axis]!, points[2 * axis + 1]!, depth[axis]!]);
    }
    expect(arms[0]!.near).toBeLessThanOrEqual(arms[2]!.near);
  });
});
