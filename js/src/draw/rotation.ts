// A map of three dimensions on the screen: orthographic projection after a rotation.

/** Rows of a rotation: where the screen's right, up and towards the eye are in the map. */
export type Rotation = readonly [
  number,
  number,
  number,
  number,
  number,
  number,
  number,
  number,
  number,
];

/** The first two axes in the plane of the screen, as a map of two dimensions has them. */
export const FRONT: Rotation = [1, 0, 0, 0, 1, 0, 0, 0, 1];

/** Seen a little from the side and from above, so that all three axes show. */
export const START = turned(FRONT, 0.5, 0.35);

export function product(a: Rotation, b: Rotation): Rotation {
  const entry = (i: number) => {
    const [row, column] = [3 * Math.floor(i / 3), i % 3];
    return a[row]! * b[column]! + a[row + 1]! * b[column + 3]! + a[row + 2]! * b[column + 6]!;
  };
  return Array.from({ length: 9 }, (_, i) => entry(i)) as unknown as Rotation;
}

/** The rotation after the map is turned to the right and downwards by angles, as a hand pulls its front. */
export function turned(rotation: Rotation, right: number, down: number): Rotation {
  const [cr, sr, cd, sd] = [Math.cos(right), Math.sin(right), Math.cos(down), Math.sin(down)];
  const about = product([1, 0, 0, 0, cd, -sd, 0, sd, cd], [cr, 0, sr, 0, 1, 0, -sr, 0, cr]);
  return orthonormal(product(about, rotation));
}

/** Without the rounding that many turns add up. */
function orthonormal(m: Rotation): Rotation {
  const unit = (v: number[]) => v.map((x) => x / Math.hypot(...v));
  const x = unit([m[0], m[1], m[2]]);
  const along = x[0]! * m[3] + x[1]! * m[4] + x[2]! * m[5];
  const y = unit([m[3] - along * x[0]!, m[4] - along * x[1]!, m[5] - along * x[2]!]);
  const z = [
    x[1]! * y[2]! - x[2]! * y[1]!,
    x[2]! * y[0]! - x[0]! * y[2]!,
    x[0]! * y[1]! - x[1]! * y[0]!,
  ];
  return [...x, ...y, ...z] as unknown as Rotation;
}

export interface Ball {
  centre: [number, number, number];
  radius: number;
}

/** A ball that holds all points (x0, y0, z0, x1, ...) that have a place, around the middle of their box. */
export function ballOf(points: Float32Array): Ball {
  const low = [Infinity, Infinity, Infinity];
  const high = [-Infinity, -Infinity, -Infinity];
  for (let i = 0; i < points.length; i++) {
    const value = points[i]!;
    if (!Number.isFinite(value)) continue;
    low[i % 3] = Math.min(low[i % 3]!, value);
    high[i % 3] = Math.max(high[i % 3]!, value);
  }
  if (!(high[0]! >= low[0]!)) return { centre: [0, 0, 0], radius: 1 };
  const centre = low.map((value, c) => (value + high[c]!) / 2) as [number, number, number];
  let radius = 0;
  for (let i = 0; i < points.length; i += 3) {
    const r = Math.hypot(
      points[i]! - centre[0],
      points[i + 1]! - centre[1],
      points[i + 2]! - centre[2],
    );
    if (r > radius) radius = r;
  }
  return { centre, radius: radius || 1 };
}

export interface Projected {
  /** (x0, y0, x1, ...), relative to the ball's centre. */
  points: Float32Array;
  /** From −1 at the far end of the ball to 1 at the near one. */
  depth: Float32Array;
}

export function project(
  points: Float32Array,
  rotation: Rotation,
  { centre, radius }: Ball,
): Projected {
  const n = points.length / 3;
  const flat = new Float32Array(2 * n);
  const depth = new Float32Array(n);
  for (let i = 0; i < n; i++) {
    const [x, y, z] = [
      points[3 * i]! - centre[0],
      points[3 * i + 1]! - centre[1],
      points[3 * i + 2]! - centre[2],
    ];
    flat[2 * i] = rotation[0] * x + rotation[1] * y + rotation[2] * z;
    flat[2 * i + 1] = rotation[3] * x + rotation[4] * y + rotation[5] * z;
    depth[i] = (rotation[6] * x + rotation[7] * y + rotation[8] * z) / radius;
  }
  return { points: flat, depth };
}

/** Where the map's three axes point to on the screen (x right, y up) and towards the eye, the farthest first. */
export function triad(rotation: Rotation): { axis: number; x: number; y: number; near: number }[] {
  return [0, 1, 2]
    .map((axis) => ({
      axis,
      x: rotation[axis]!,
      y: rotation[3 + axis]!,
      near: rotation[6 + axis]!,
    }))
    .sort((a, b) => a.near - b.near);
}
