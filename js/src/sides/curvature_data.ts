// What the kernel sends for the side Curvature; see landscape_widgets/widget/sides/curvature.py.

import { floats } from "../wire";

/** What the kernel sends of the Hessian at a sample, as far as it is known. */
export interface CurvatureData {
  eigenvalues: Float32Array;
  errors: Float32Array;
  /** How many of the eigenvalues are the largest; the others are the lowest. */
  top: number;
  parameters: number;
  trace: {
    value: number;
    error: number | null;
    layers: string[];
    values: Float32Array;
    errors: Float32Array;
  } | null;
  density: { edges: Float32Array; counts: Float32Array } | null;
  /** 2/η_c; where there is no Hessian, in place of all of these. */
  critical: { value: number; error: number } | null;
  text: string[];
}

/** What the kernel sends of the local learning coefficient. */
export interface LearningData {
  value: number | null;
  error: number | null;
  parameters: number;
  problems: string[];
}

/** A message on the curvature, its arrays decoded. */
export function curvatureOf(raw: Record<string, unknown>): CurvatureData {
  const decoded = (part: unknown) =>
    part
      ? Object.fromEntries(
          Object.entries(part).map(([name, value]) => [
            name,
            value instanceof DataView ? floats(value) : value,
          ]),
        )
      : null;
  return {
    top: 0,
    parameters: 0,
    ...decoded(raw),
    eigenvalues: floats(raw.eigenvalues),
    errors: floats(raw.errors),
    trace: decoded(raw.trace),
    density: decoded(raw.density),
    critical: raw.critical ?? null,
  } as CurvatureData;
}
