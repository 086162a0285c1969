// What columns and samples are called.

import type { Samples } from "./wire";

export const COLUMN_NAMES: Record<string, string> = {
  loss: "training loss",
  loss_error: "its standard error",
  val_loss: "validation loss",
  gap: "validation − training loss",
  radius: "distance from θ*",
  path: "path",
  basin: "basin",
  distortion: "distortion of the map",
  l1: "‖θ‖₁",
  l2: "‖θ‖₂²",
};

export const nameOf = (column: string): string =>
  COLUMN_NAMES[column] ?? column.replace(/^val_/, "validation ");

/** What a sample is called where there is little room: by its name on the map, or its number. */
export const shortLabel = (index: number, { names }: Pick<Samples, "names">): string =>
  names[index] ?? `#${index}`;

/** What a sample is called: its number, the name beside its diamond, and what it is. */
export function label(index: number, { kind: kinds, names }: Samples): string {
  const [kind, name] = [kinds[index], names[index]];
  if (kind === "trained") return name && name !== TRAINED ? `${name}, ${TRAINED}` : TRAINED;
  if (!kind || kind === "sample") return `#${index}`;
  if (!name) return `#${index} ${kind}`;
  return kind === "model" ? `#${index} ${name}` : `#${index} ${name}, ${kind}`;
}

const TRAINED = "θ*";

/** What the legend calls the star. */
export const trainedName = ({ kind, names }: Samples): string => {
  const name = names[kind.indexOf("trained")];
  return name && name !== TRAINED ? `${name} (θ*)` : `trained weights ${TRAINED}`;
};

/** The user's models, by number, with their names. */
export const modelsOf = ({ kind, names }: Samples): [number, string][] =>
  Object.entries(names)
    .map(([key, name]): [number, string] => [Number(key), name])
    .filter(([index]) => kind[index] === "model");

/** What the legend calls those that are drawn as diamonds, but for models. */
export const kindsOfDiamonds = ({ kind: kinds, names }: Samples): string[] => [
  ...new Set(
    Object.keys(names)
      .map((index) => kinds[Number(index)]!)
      .filter((kind) => kind !== "trained" && kind !== "model"),
  ),
];
