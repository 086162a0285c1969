// What columns and samples are called.

export const COLUMN_NAMES: Record<string, string> = {
  loss: "training loss",
  loss_error: "its standard error",
  val_loss: "validation loss",
  gap: "validation − training loss",
  radius: "distance from θ*",
  path: "path",
  distortion: "distortion of the map",
};

export const nameOf = (column: string): string =>
  COLUMN_NAMES[column] ?? column.replace(/^val_/, "validation ");

/** What a sample is called where there is little room: by its name on the map, or its number. */
export const shortLabel = (index: number, kinds: readonly string[]): string =>
  kinds[index] === "trained" ? "θ*" : names(kinds)[index] || `#${index}`;

/** What a sample is called: its number, the name beside its diamond, and what it is. */
export function label(index: number, kinds: readonly string[]): string {
  const kind = kinds[index];
  if (kind === "trained") return "θ*";
  if (!kind || kind === "sample") return `#${index}`;
  const name = names(kinds)[index];
  return name && name !== kind ? `#${index} ${name}, ${kind}` : `#${index} ${kind}`;
}

/** Whether samples of a kind are drawn as diamonds; the kernel says in words what they are. */
export const isDiamond = (kind: string): boolean =>
  kind === "minimum" || kind.startsWith("model") || kind.startsWith("end of a descent");

/** What stands beside each diamond: minima M1, M2, other ends of descents E1, E2; "" of other samples. */
export function names(kinds: readonly string[]): readonly string[] {
  const before = known.get(kinds);
  if (before) return before;
  let [minima, ends] = [0, 0];
  const found = kinds.map((kind) => {
    if (!isDiamond(kind)) return "";
    if (kind.startsWith("model")) return kind;
    return kind === "minimum" ? `M${++minima}` : `E${++ends}`;
  });
  known.set(kinds, found);
  return found;
}

/** Names are asked for at each move of the pointer, and there may be very many samples. */
const known = new WeakMap<readonly string[], readonly string[]>();
