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

const OPAQUE = 254; // of 255, from which nothing behind can be seen

/**
 * A picture that marks are painted on, from the front to the back: what is behind opaque ones, as
 * nearly all of many are, then costs next to nothing.
 */
export class Raster {
  /** Red, green, blue and opacity by pixel; while it is painted on, the colours times the opacity. */
  readonly data: Uint8ClampedArray<ArrayBuffer>;

  constructor(
    readonly width: number,
    readonly height: number,
  ) {
    this.data = new Uint8ClampedArray(4 * width * height);
  }

  clear(): void {
    this.data.fill(0);
  }

  /** Paint a mark whose middle is at (x, y), behind what is painted. */
  paint(stamps: Stamps, x: number, y: number, fill: Colour, line: Colour, opacity: number): void {
    const stamp = stamps.at(x, y);
    const { data, width, height } = this;
    const left = Math.floor(x);
    const top = Math.floor(y);
    for (let i = 0; i < stamp.dx.length; i++) {
      const column = left + stamp.dx[i]!;
      const row = top + stamp.dy[i]!;
      if (column < 0 || row < 0 || column >= width || row >= height) continue;
      const at = 4 * (row * width + column);
      const before = data[at + 3]!;
      if (before >= OPAQUE) continue;
      const seen = opacity * (1 - before / 255);
      const f = seen * stamp.fill[i]!;
      const l = seen * stamp.line[i]!;
      data[at] = data[at]! + f * fill[0]! + l * line[0]!;
      data[at + 1] = data[at + 1]! + f * fill[1]! + l * line[1]!;
      data[at + 2] = data[at + 2]! + f * fill[2]! + l * line[2]!;
      data[at + 3] = before + 255 * (f + l);
    }
  }

  /** The picture as canvases take it; then it has to be cleared. */
  finish(): ImageData {
    const { data } = this;
    for (let at = 3; at < data.length; at += 4) {
      const alpha = data[at]!;
      if (alpha === 0 || alpha === 255) continue;
      const times = 255 / alpha;
      data[at - 3] = data[at - 3]! * times;
      data[at - 2] = data[at - 2]! * times;
      data[at - 1] = data[at - 1]! * times;
    }
    return new ImageData(data, this.width, this.height);
  }
}
