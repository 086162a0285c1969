// On what scale losses and metrics are drawn. The kernel decides it; see loss_scale.py.

import { FLOOR, linearTicks, logTicks, short } from "./colours";

/**
 * "log": log10 down to a floor, `unit`. "symlog": how far a loss is above the lowest, in units.
 * "linear": as it is, as metrics are.
 */
export interface LossScale {
  kind: "log" | "symlog" | "linear";
  unit: number;
  lowest: number;
}

export const LOG: LossScale = { kind: "log", unit: FLOOR, lowest: 0 };

/** What stands for a loss. */
export const height = ({ kind, unit, lowest }: LossScale, loss: number): number =>
  kind === "linear"
    ? loss
    : kind === "log"
      ? Math.log10(Math.max(loss, unit))
      : Math.asinh((loss - lowest) / (2 * unit)) / Math.LN10;

/** Of many losses; NaN where one is not finite. */
export const heights = (scale: LossScale, losses: Float32Array): Float32Array =>
  losses.map((loss) => (Number.isFinite(loss) ? height(scale, loss) : NaN));

/** The way back. */
export const lossAt = ({ kind, unit, lowest }: LossScale, at: number): number =>
  kind === "linear"
    ? at
    : kind === "log"
      ? 10 ** at
      : lowest + 2 * unit * Math.sinh(at * Math.LN10);

/** At most `most` ticks between two heights, which show the losses. */
export function lossTicks(
  scale: LossScale,
  low: number,
  high: number,
  most: number,
): { at: number; text: string }[] {
  if (scale.kind === "log") return logTicks(low, high, most);
  if (scale.kind === "linear")
    return linearTicks(low, high, most).map((at) => ({ at, text: short(at) }));
  // Near the lowest loss round losses are evenly spaced, far above it round logarithms are: those
  // that are nearest to even heights and have few digits.
  const count = Math.max(2, most - 1);
  const [from, to] = [lossAt(scale, low), lossAt(scale, high)];
  if (high - low < 1)
    return linearTicks(from, to, count - 1).map((loss) => ({
      at: height(scale, loss),
      text: short(loss),
    }));
  const step = (high - low) / count;
  const ticks: { at: number; text: string }[] = [];
  for (let i = 0; i <= count; i++) {
    const spread = lossAt(scale, low + (i + 0.5) * step) - lossAt(scale, low + (i - 0.5) * step);
    const digit = 10 ** Math.floor(Math.log10(spread / 2));
    const loss = Number(
      (Math.round(lossAt(scale, low + i * step) / digit) * digit).toPrecision(12),
    );
    const at = height(scale, loss);
    if (at >= low - 1e-9 && at <= high + 1e-9 && at > (ticks[ticks.length - 1]?.at ?? -Infinity))
      ticks.push({ at, text: short(loss, 6) });
  }
  return ticks;
}
