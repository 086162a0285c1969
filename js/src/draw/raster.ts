// Many small marks on a grid of pixels. Each is a stamp of how much of each pixel it covers, made
// once for its shape, size and place within a pixel: a canvas's own paths and images take several
// times as long for each of 50,000 marks.

/** A circle or diamond of an area, outlined by a line of a width; all in pixels. */
export interface Shape {
  diamond: boolean;
  area: number;
  width: number;
  filled: boolean;
  /** How opaque the line is, from 0 to 1. */
  opacity: number;
}

/** The pixels that a shape covers, of those around its middle. */
export interface Stamp {
  dx: Int8Array;
  dy: Int8Array;
  /** How far any of them is from it, along either axis. */
  reach: number;
  /** How much of each pixel has the colour inside, and how much that of the line, from 0 to 1. */
  fill: Float32Array;
  line: Float32Array;
}

export type Colour = ArrayLike<number>;

/** Places within a pixel that are told apart, along each axis. */
const PHASES = 4;

const SHORT = Math.sqrt(1 / 3); // a diamond's width as a share of its height, as d3 has it

/** How far a point is outside a shape's outline, in pixels; less than 0 inside. */
function outside({ diamond, area }: Shape, x: number, y: number): number {
  if (!diamond) return Math.hypot(x, y) - Math.sqrt(area / Math.PI);
  const high = Math.sqrt(area / (2 * SHORT));
  const wide = high * SHORT;
  return ((Math.abs(x) / wide + Math.abs(y) / high - 1) * wide * high) / Math.hypot(wide, high);
}

/** The stamp of a shape whose middle is at (x, y) in a pixel. */
export function stampOf(shape: Shape, x: number, y: number): Stamp {
  const reach = Math.ceil(Math.sqrt(shape.area) + shape.width) + 1;
  const covered = (distance: number) => Math.min(1, Math.max(0, 0.5 - distance));
  const found: [number, number, number, number][] = [];
  for (let dy = -reach; dy <= reach; dy++) {
    for (let dx = -reach; dx <= reach; dx++) {
      const distance = outside(shape, dx + 0.5 - x, dy + 0.5 - y);
      const half = shape.width / 2;
      const line = shape.opacity * (covered(distance - half) - covered(distance + half));
      const fill = shape.filled ? covered(distance) * (1 - line) : 0;
      if (line > 0 || fill > 0) found.push([dx, dy, fill, line]);
    }
  }
  return {
    reach,
    dx: Int8Array.from(found, (one) => one[0]),
    dy: Int8Array.from(found, (one) => one[1]),
    fill: Float32Array.from(found, (one) => one[2]),
    line: Float32Array.from(found, (one) => one[3]),
  };
}

/** The stamps of a shape at all places within a pixel. */
export class Stamps {
  private readonly made: Stamp[];

  constructor(shape: Shape) {
    this.made = Array.from({ length: PHASES * PHASES }, (_, i) =>
      stampOf(shape, ((i % PHASES) + 0.5) / PHASES, (Math.floor(i / PHASES) + 0.5) / PHASES),
    );
  }

  at(x: number, y: number): Stamp {
    const phase = (value: number) => Math.floor((value - Math.floor(value)) * PHASES);
    return this.made[phase(y) * PHASES + phase(x)]!;
  }
}

const OPAQUE = 254 / 255; // from which nothing behind can be seen

/**
 * A picture that marks are painted on, from the front to the back: what is behind opaque ones, as
 * nearly all of many are, then costs next to nothing.
 */
export class Raster {
  /** By pixel: red, green and blue to 255, times the opacity, and the opacity to 1. */
  private readonly painted: Float32Array;

  constructor(
    readonly width: number,
    readonly height: number,
  ) {
    this.painted = new Float32Array(4 * width * height);
  }

  clear(): void {
    this.painted.fill(0);
  }

  /** Paint a mark whose middle is at (x, y), behind what is painted. */
  paint(stamps: Stamps, x: number, y: number, fill: Colour, line: Colour, opacity: number): void {
    const { dx, dy, fill: inside, line: outline, reach } = stamps.at(x, y);
    const { painted, width, height } = this;
    const left = Math.floor(x);
    const top = Math.floor(y);
    const whole = left >= reach && top >= reach && left + reach < width && top + reach < height;
    const [fr, fg, fb] = [fill[0]!, fill[1]!, fill[2]!];
    const [lr, lg, lb] = [line[0]!, line[1]!, line[2]!];
    for (let i = 0; i < dx.length; i++) {
      const column = left + dx[i]!;
      const row = top + dy[i]!;
      if (!whole && !(column >= 0 && row >= 0 && column < width && row < height)) continue;
      const at = 4 * (row * width + column);
      const before = painted[at + 3]!;
      if (before >= OPAQUE) continue;
      const seen = opacity * (1 - before);
      const f = seen * inside[i]!;
      const l = seen * outline[i]!;
      painted[at] = painted[at]! + f * fr + l * lr;
      painted[at + 1] = painted[at + 1]! + f * fg + l * lg;
      painted[at + 2] = painted[at + 2]! + f * fb + l * lb;
      painted[at + 3] = before + f + l;
    }
  }

  /** The picture as canvases take it. */
  finish(): ImageData {
    const { painted } = this;
    const data = new Uint8ClampedArray(painted.length);
    for (let at = 0; at < data.length; at += 4) {
      const alpha = painted[at + 3]!;
      if (alpha === 0) continue;
      data[at] = painted[at]! / alpha;
      data[at + 1] = painted[at + 1]! / alpha;
      data[at + 2] = painted[at + 2]! / alpha;
      data[at + 3] = 255 * alpha;
    }
    return new ImageData(data, this.width, this.height);
  }
}
