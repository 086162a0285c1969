// Plane geometry of the gestures, free of any DOM.

export type Point = readonly [number, number];

/** Whether a ray from (x, y) to the right crosses an edge. */
const crosses = (x: number, y: number, start: Point, end: Point): boolean =>
  start[1] > y !== end[1] > y &&
  x < ((end[0] - start[0]) * (y - start[1])) / (end[1] - start[1]) + start[0];

const BANDS = 256; // of height, into which a polygon's edges are sorted

/**
 * Indices of the points (x0, y0, x1, y1, ...) inside a polygon, by the even-odd rule; the last vertex
 * joins the first. Points without a place never are.
 */
export function pointsInside(points: Float32Array, polygon: readonly Point[]): number[] {
  const found: number[] = [];
  if (polygon.length < 3) return found;
  const [low, high] = extentOf(polygon.map(([, y]) => y));
  const bandOf = (y: number) =>
    Math.min(BANDS - 1, Math.floor(((y - low) / (high - low || 1)) * BANDS));
  // Of many edges, those that a point's own height meets are few.
  const bands: [Point, Point][][] = Array.from({ length: BANDS }, () => []);
  polygon.forEach((start, i) => {
    const end = polygon[(i + polygon.length - 1) % polygon.length]!;
    const last = bandOf(Math.max(start[1], end[1]));
    for (let band = bandOf(Math.min(start[1], end[1])); band <= last; band++)
      bands[band]!.push([start, end]);
  });
  for (let i = 0; i < points.length / 2; i++) {
    const x = points[2 * i]!;
    const y = points[2 * i + 1]!;
    if (!(y >= low && y <= high)) continue;
    let inside = false;
    for (const [start, end] of bands[bandOf(y)]!) if (crosses(x, y, start, end)) inside = !inside;
    if (inside) found.push(i);
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

/** The least and the greatest of values that are finite; ∞ and −∞ of none. Of any number of them. */
export function extentOf(values: ArrayLike<number>): [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (!Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

/** Linear-interpolated quantile of values, those that are not finite left out; NaN of nothing. */
export const quantile = (values: ArrayLike<number>, q: number): number =>
  quantilesOf(Float64Array.from(values).filter(Number.isFinite), [q])[0]!;

/** Several of finite values, in ascending order; the values are put in another order. */
export function quantilesOf(values: Float64Array, qs: readonly number[]): number[] {
  let from = 0; // none before it is greater than any from there on
  return qs.map((q) => {
    if (values.length === 0) return NaN;
    const position = (values.length - 1) * q;
    const low = Math.floor(position);
    const below = select(values, low, from);
    from = low;
    if (low + 1 === values.length) return below;
    let above = Infinity;
    for (let i = low + 1; i < values.length; i++) if (values[i]! < above) above = values[i]!;
    return below + (above - below) * (position - low);
  });
}

/**
 * The k-th smallest of values, of which none before `from` is greater than another; they are put in
 * such an order that none before it is greater and none behind it less (Hoare's selection: sorting
 * all of them would take several times as long).
 */
function select(values: Float64Array, k: number, from: number): number {
  let [left, right] = [from, values.length - 1];
  while (left < right) {
    const pivot = values[k]!;
    let [i, j] = [left, right];
    while (i <= j) {
      while (values[i]! < pivot) i++;
      while (values[j]! > pivot) j--;
      if (i <= j) {
        const swapped = values[i]!;
        values[i++] = values[j]!;
        values[j--] = swapped;
      }
    }
    if (j < k) left = i;
    if (i > k) right = j;
  }
  return values[k]!;
}

/** A star of five points around the origin, as an SVG path. */
export function starPath(radius: number): string {
  const corners = Array.from({ length: 10 }, (_, i) => {
    const r = i % 2 ? radius * 0.42 : radius;
    const angle = (Math.PI * i) / 5 - Math.PI / 2;
    return `${(r * Math.cos(angle)).toFixed(2)},${(r * Math.sin(angle)).toFixed(2)}`;
  });
  return `M${corners.join("L")}Z`;
}
