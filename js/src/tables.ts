// Tables that come row by row, since as a whole they are too large to be sent each time. The
// contract is said in landscape_widgets/widget/channel.py.

/** Rows of a table, with a buffer of float32 values for each name. */
export interface Rows {
  type: "rows";
  table: string;
  names: string[];
  start: number;
  count: number;
  of: number;
  width: number;
  version: number;
}

type Values = Readonly<Record<string, Float32Array>>;

export class Table {
  /** All rows by name, one after the other; NaN where they are not known. Null before any came. */
  values: Values | null = null;
  private version = -1;

  /** Take in some rows; another version is a table anew. */
  take({ names, start, of, width, version }: Rows, buffers: readonly DataView[]): void {
    if (version !== this.version || !this.values) {
      const empty = () => new Float32Array(of * width).fill(Number.NaN);
      this.values = Object.fromEntries(names.map((name) => [name, empty()]));
      this.version = version;
    }
    const { values } = this;
    names.forEach((name, i) => {
      const { buffer, byteOffset, byteLength } = buffers[i]!;
      // A copy: what comes over the wire need not lie at a multiple of four bytes.
      const rows = new Float32Array(buffer.slice(byteOffset, byteOffset + byteLength));
      values[name]!.set(rows, start * width);
    });
    this.values = { ...values }; // told from what it was before
  }

  /**
   * Take in that a table has come as a whole, of so many values for each name. One as large is this
   * very one, put where it is saved; any other is read there, until rows come again. None of it is
   * a table anew whose rows are to come: those that are not known any more come, too.
   */
  came(size: number): void {
    const { values } = this;
    if (size && values && Object.values(values).some((one) => one.length !== size)) {
      this.values = null;
    }
  }
}
