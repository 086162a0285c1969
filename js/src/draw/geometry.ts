// Plane geometry of the gestures, free of any DOM.

export type Point = readonly [number, number];

/** Whether a point lies inside a polygon, by the even-odd rule; the last vertex joins the first. */
export function isInside(x: number, y: number, polygon: readonly Point[]): boolean {
  let inside = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const [xi, yi] = polygon[i]!;
    const [xj, yj] = polygon[j]!;
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) inside = !inside;
  }
  return inside;
}

/** Indices of the points (x0, y0, x1, y1, ...) inside a polygon; points without a place never are. */
export function pointsInside(points: Float32Array, polygon: readonly Point[]): number[] {
  const found: number[] = [];
  if (polygon.length < 3) return found;
  for (let i = 0; i < points.length / 2; i++) {
    const x = points[2 * i]!;
    const y = points[2 * i + 1]!;
    if (Number.isFinite(x) && Number.isFinite(y) && isInside(x, y, polygon)) found.push(i);
  }
  return found;
}

/** The point nearest to (x, y) within `reach`, or -1. Later points win ties: they are drawn on top. */
export function nearest(points: Float32Array, x: number, y: number, reach: number): number {
  let best = -1;
  let least = reach * reach;
  for (let i = 0; i < points.length / 2; i++) {
    const dx = points[2 * i]! - x;
    const dy = points[2 * i + 1]! - y;
    const squared = dx * dx + dy * dy;
    if (squared <= least) {
      least = squared;
      best = i;
    }
  }
  return best;
}

/** The nearest point in a direction (unit vector), preferring what lies straight ahead; or -1. */
export function nextInDirection(
  points: Float32Array,
  from: number,
  dx: number,
  dy: number,
): number {
  const x0 = points[2 * from]!;
  const y0 = points[2 * from + 1]!;
  let best = -1;
  let least = Infinity;
  for (let i = 0; i < points.length / 2; i++) {
    const x = points[2 * i]! - x0;
    const y = points[2 * i + 1]! - y0;
    const ahead = x * dx + y * dy;
    if (i === from || !(ahead > 0)) continue;
    const aside = Math.abs(x * dy - y * dx);
    if (aside > ahead) continue;
    const cost = ahead + 2 * aside;
    if (cost < least) {
      least = cost;
      best = i;
    }
  }
  return best;
}

/** Drop vertices closer than `step` to the one before: a drag gives hundreds. */
export function thin(path: readonly Point[], step: number): Point[] {
  const kept: Point[] = [];
  for (const point of path) {
    const last = kept[kept.length - 1];
    if (!last || Math.hypot(point[0] - last[0], point[1] - last[1]) >= step) kept.push(point);
  }
  return kept;
}

export interface Domain {
  x: [number, number];
  y: [number, number];
}

/** The domain that shows all points in a box of the given size, with one unit as long on both axes. */
export function fitDomain(
  points: Float32Array,
  width: number,
  height: number,
  margin = 0.06,
): Domain {
  let [x0, x1, y0, y1] = [Infinity, -Infinity, Infinity, -Infinity];
  for (let i = 0; i < points.length; i += 2) {
    const x = points[i]!;
    const y = points[i + 1]!;
    if (!Number.isFinite(x) || !Number.isFinite(y)) continue;
    x0 = Math.min(x0, x);
    x1 = Math.max(x1, x);
    y0 = Math.min(y0, y);
    y1 = Math.max(y1, y);
  }
  if (!(x1 >= x0)) [x0, x1, y0, y1] = [-1, 1, -1, 1];
  const unit = Math.max((x1 - x0) / width, (y1 - y0) / height, 1e-12) * (1 + 2 * margin);
  const [cx, cy] = [(x0 + x1) / 2, (y0 + y1) / 2];
  return {
    x: [cx - (unit * width) / 2, cx + (unit * width) / 2],
    y: [cy - (unit * height) / 2, cy + (unit * height) / 2],
  };
}

/** Linear-interpolated quantile of values, those that are not finite left out; NaN of nothing. */
export function quantile(values: ArrayLike<number>, q: number): number {
  const sorted = Array.from(values)
    .filter(Number.isFinite)
    .sort((a, b) => a - b);
  if (sorted.length === 0) return NaN;
  const position = (sorted.length - 1) * q;
  const low = Math.floor(position);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low]! + (sorted[high]! - sorted[low]!) * (position - low);
}
