import { expect, it } from "vitest";
import { type Rows, Table } from "../src/tables";

const rows = (start: number, count: number, version = 1, of = 4): Rows => ({
  type: "rows",
  table: "profiles",
  names: ["loss", "val_loss"],
  start,
  count,
  of,
  width: 2,
  version,
});

/** Values as they come over the wire: anywhere in a larger buffer. */
function sent(...values: number[]): DataView {
  const bytes = new Uint8Array(3 + 4 * values.length);
  bytes.set(new Uint8Array(Float32Array.from(values).buffer), 3);
  return new DataView(bytes.buffer, 3);
}

const listed = (table: Table, name: string) => Array.from(table.values![name]!);

it("rows stand where they belong, and what did not come is not known", () => {
  const table = new Table();
  expect(table.values).toBeNull();
  table.take(rows(1, 2), [sent(1, 2, 3, 4), sent(5, 6, 7, 8)]);
  expect(listed(table, "loss")).toEqual([NaN, NaN, 1, 2, 3, 4, NaN, NaN]);
  expect(listed(table, "val_loss")).toEqual([NaN, NaN, 5, 6, 7, 8, NaN, NaN]);
});

it("later rows take the place of earlier ones, and the table is told from the one before", () => {
  const table = new Table();
  table.take(rows(0, 1), [sent(1, 2), sent(1, 2)]);
  const before = table.values;
  table.take(rows(0, 1), [sent(3, 4), sent(NaN, NaN)]);
  expect(table.values).not.toBe(before);
  expect(listed(table, "loss").slice(0, 2)).toEqual([3, 4]);
  expect(listed(table, "val_loss").slice(0, 2)).toEqual([NaN, NaN]);
});

it("another version is a table anew, with as many rows as it has", () => {
  const table = new Table();
  table.take(rows(0, 1), [sent(1, 2), sent(1, 2)]);
  table.take(rows(5, 1, 2, 6), [sent(9, 9), sent(9, 9)]);
  expect(listed(table, "loss")).toEqual([...Array(10).fill(NaN), 9, 9]);
});

it("a whole table of the same size is the same, so that rows go on from it", () => {
  const table = new Table();
  table.take(rows(0, 1), [sent(1, 2), sent(1, 2)]);
  for (const size of [8, 0]) table.came(size);
  table.take(rows(3, 1), [sent(3, 4), sent(3, 4)]);
  expect(listed(table, "loss")).toEqual([1, 2, NaN, NaN, NaN, NaN, 3, 4]);
});

it("a whole table of another size takes the place of rows", () => {
  const table = new Table();
  table.take(rows(0, 1), [sent(1, 2), sent(1, 2)]);
  table.came(6);
  expect(table.values).toBeNull();
});
