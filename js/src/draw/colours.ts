// Colours and numbers as a reader sees them.

// Viridis (van der Walt and Smith, matplotlib): perceptually uniform, and kind to the colour-blind.
export const VIRIDIS = [
  "#440154",
  "#482475",
  "#414487",
  "#355f8d",
  "#2a788e",
  "#21918c",
  "#22a884",
  "#44bf70",
  "#7ad151",
  "#bddf26",
  "#fde725",
];

const RGB = VIRIDIS.map((hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)));

/** Red, green and blue, from 0 to 255, at a share of the scale; beyond its ends, those of the end. */
export function viridis(share: number): [number, number, number] {
  const at = Math.min(1, Math.max(0, share)) * (RGB.length - 1);
  const below = Math.min(Math.floor(at), RGB.length - 2);
  const mix = (c: number) =>
    Math.round(RGB[below]![c]! + (at - below) * (RGB[below + 1]![c]! - RGB[below]![c]!));
  return [mix(0), mix(1), mix(2)];
}

// Okabe and Ito's palette, without its black and yellow: lines that all can tell apart. One of its
// colours is kept for what is pointed at.
export const LINES = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9"];
export const POINTED = "#d55e00";

/** Losses are shown on a logarithmic scale that ends here; smaller ones are drawn at its end. */
export const FLOOR = 1e-8;

export const log = (loss: number): number => Math.log10(Math.max(loss, FLOOR));

/** A whole number as it is read: 12,300. */
export const count = (n: number): string => n.toLocaleString("en-US");

/** A number short enough for an axis or a table: 0.0123, 1.5e-7, 12,300; of `least` digits, zeros at its end too. */
export function short(value: number, digits = 3, least = 1): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text =
    size < 1e-3 || size >= 1e6
      ? value
          .toExponential(digits - 1)
          .replace(/\.?0+e/, "e")
          .replace("e+", "e")
      : formatOf(digits, least).format(Number(value.toPrecision(digits)));
  return text.replace("-", "−");
}

/** Making one takes as long as writing some hundred numbers. */
const formats = new Map<string, Intl.NumberFormat>();

function formatOf(digits: number, least: number): Intl.NumberFormat {
  const key = `${digits} ${least}`;
  let format = formats.get(key);
  if (!format) {
    format = new Intl.NumberFormat("en-US", {
      minimumSignificantDigits: least,
      maximumSignificantDigits: digits,
    });
    formats.set(key, format);
  }
  return format;
}

/** Between `least` and `most` round values of a logarithmic axis from 10^low to 10^high, as log10. */
export function logTicks(low: number, high: number, most = 6): { at: number; text: string }[] {
  for (const steps of [[1, 2, 5], [1, 3], [1]]) {
    const ticks = gather(low, high, steps, 1);
    if (ticks.length >= 2 && ticks.length <= most) return ticks;
  }
  if (high - low > 1) {
    for (let every = 2; every < 20; every++) {
      const ticks = gather(low, high, [1], every);
      if (ticks.length <= most) return ticks;
    }
  }
  return linearTicks(10 ** low, 10 ** high, 4).map((value) => ({
    at: Math.log10(value),
    text: short(value),
  }));
}

/** Round values `steps`, times powers of ten of which `every` so many is taken, as log10. */
export function gather(low: number, high: number, steps: readonly number[], every: number) {
  const ticks: { at: number; text: string }[] = [];
  for (let decade = Math.floor(low); decade <= Math.ceil(high); decade++) {
    if (decade % every !== 0) continue;
    for (const step of steps) {
      const at = decade + Math.log10(step);
      if (at >= low - 1e-9 && at <= high + 1e-9)
        ticks.push({ at, text: short(step * 10 ** decade) });
    }
  }
  return ticks;
}

/** About `count` round values from low to high. */
export function linearTicks(low: number, high: number, count: number): number[] {
  if (!(high > low)) return [low];
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const off = (step: number) => Math.abs(Math.log(step / rough));
  const step = [1, 2, 5, 10].map((m) => m * power).reduce((a, b) => (off(a) <= off(b) ? a : b));
  const ticks: number[] = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) {
    ticks.push(Number((i * step).toPrecision(12)));
  }
  return ticks;
}
