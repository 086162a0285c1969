// The selected samples, in a table below the slice.

import { short } from "../draw/colours";
import { COLUMN_NAMES, label } from "../names";
import type { State } from "../state";
import { h } from "../ui/dom";

const SHOWN = 5;

/** Measured numbers keep their last zeros: they stand below each other. */
const cell = (value: number): string => short(value, 3, Number.isInteger(value) ? 1 : 3);

const shortName = (column: string): string =>
  ({ radius: "‖θ−θ*‖" })[column] ?? column.replace(/^val_/, "val. ");

export class SelectionPanel {
  private readonly heading = h("h3", { class: "lw-heading" });
  private readonly refine = h(
    "button",
    {
      class: "lw-button lw-small",
      type: "button",
      "data-testid": "refine",
      title: "Sample 100 more around the selection and place them on the map as it is",
    },
    "Sample more here",
  );
  // Only this is drawn anew: the button keeps the focus while the work goes on.
  private readonly body = h("div");
  readonly element = h(
    "section",
    { class: "lw-panel lw-selection", "data-testid": "selection" },
    h("div", { class: "lw-heading-row" }, this.heading, this.refine),
    this.body,
  );

  constructor(
    private readonly state: State,
    refine: () => void,
  ) {
    this.refine.addEventListener("click", refine);
  }

  draw(): void {
    const { selected, progress, alive } = this.state;
    const n = selected.length;
    this.heading.textContent = n
      ? `Selection: ${n} ${n === 1 ? "sample" : "samples"}`
      : "Selection";
    this.refine.hidden = n === 0;
    this.refine.disabled = !alive || progress.state !== "done"; // there once the map is
    if (n) {
      this.body.replaceChildren(...this.table());
      return;
    }
    this.body.replaceChildren(
      h(
        "p",
        { class: "lw-quiet" },
        "Point at a sample to see the loss on the way to it. Click to select; drag to draw a lasso. " +
          "Shift adds, Alt removes, Esc clears, Ctrl-Z takes back, Ctrl-Shift-Z does again.",
      ),
    );
  }

  private table(): HTMLElement[] {
    const { selected, columns, samples } = this.state;
    const names = [
      "loss",
      "val_loss",
      "radius",
      ...Object.keys(columns).filter((c) => !(c in COLUMN_NAMES)),
    ].filter((c) => columns[c]);
    const header = h(
      "tr",
      {},
      h("th", {}, "sample"),
      ...names.map((c) =>
        h("th", {}, c === "loss" && this.state.penalty ? "loss + penalty" : shortName(c)),
      ),
    );
    const rows = selected
      .slice(0, SHOWN)
      .map((i) =>
        h(
          "tr",
          {},
          h("th", { scope: "row" }, label(i, samples)),
          ...names.map((c) => h("td", { class: "lw-number" }, cell(columns[c]![i] ?? NaN))),
        ),
      );
    const more = selected.length - SHOWN;
    return [
      h("table", { class: "lw-samples" }, h("thead", {}, header), h("tbody", {}, ...rows)),
      ...(more > 0
        ? [h("p", { class: "lw-quiet" }, `and ${more} more; all of them are in w.selection`)]
        : []),
    ];
  }
}
