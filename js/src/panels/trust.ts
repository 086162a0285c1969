// The readouts below the map, and beside them those of the null it is compared with.

import type { State } from "../state";
import { h } from "../ui/dom";
import { Meanings } from "../ui/meaning";
import type { Choosable, Null, Readout, Trust } from "../wire";

/** What the map may be compared with, as the kernel knows it and as a reader does. */
export const NULLS: Record<string, string> = {
  nothing: "nothing",
  shuffled: "shuffled losses",
  isotropic: "isotropic noise",
  walk: "random walks",
};

const WORM = "Why does my map look like a worm?";
const WORMS =
  "Samples along a path, a ray or a run of training are each other's neighbours, and a map of " +
  "neighbours lays them out as a thread; one of principal components bends any long path, a " +
  "random walk too, into an arch. Neither says anything of the loss. Compare with random walks: " +
  "if they look the same, the shape is the sampler's. Where the points are few or the perplexity " +
  "is small, t-SNE draws threads of anything.";

const ICONS = { good: "✓", weak: "~", bad: "✕", info: "·" };

export interface Line {
  name: string;
  map: Readout | null;
  other: Readout | null;
}

/** The readouts of two maps line by line; those that only the other has come last. */
export function sideBySide(map: readonly Readout[], other: readonly Readout[]): Line[] {
  const find = (readouts: readonly Readout[], name: string) =>
    readouts.find((r) => r.name === name) ?? null;
  const names = new Set([...map, ...other].map((readout) => readout.name));
  return [...names].map((name) => ({ name, map: find(map, name), other: find(other, name) }));
}

export class TrustPanel {
  private readonly select = h(
    "select",
    { class: "lw-select lw-small", "data-testid": "compare-with" },
    ...Object.entries(NULLS).map(([key, label]) => h("option", { value: key }, label)),
  );
  private readonly meanings = new Meanings();
  // Only this is drawn anew: the select keeps the focus and stays open while the work goes on.
  private readonly body = h("div");
  readonly element = h(
    "section",
    { class: "lw-panel lw-trust", "data-testid": "trust" },
    h(
      "div",
      { class: "lw-heading-row" },
      h("h3", { class: "lw-heading" }, "How far can I trust this map?"),
      h(
        "label",
        {
          class: "lw-field lw-compare",
          title:
            "The same picture of samples without structure, beside this one. It looks no less tidy.",
        },
        h("span", { class: "lw-field-name" }, "Compare with"),
        this.select,
      ),
    ),
    this.body,
  );

  constructor(
    private readonly state: State,
    compare: (kind: string) => void,
    private readonly choose: (what: Choosable, key: string) => void,
  ) {
    this.select.addEventListener("change", () => compare(this.select.value));
  }

  draw(): void {
    const { trust, compareWith, beside } = this.state;
    this.select.value = compareWith;
    this.select.disabled = !this.state.alive || (!trust && compareWith === "nothing");
    if (!trust) {
      this.body.replaceChildren(h("p", { class: "lw-quiet" }, "Measured once the map is there."));
      return;
    }
    const [worm, why] = this.meanings.of(WORM, WORMS, (text) => h("p", { class: "lw-why" }, text));
    this.meanings.keepingFocus(this.body, () =>
      this.body.replaceChildren(
        h("p", { class: `lw-verdict lw-${trust.level}` }, trust.sentence, ...this.better(trust)),
        compareWith === "nothing"
          ? plain(trust, this.meanings)
          : compared(trust, beside, NULLS[compareWith]!, this.meanings),
        h("p", { class: "lw-quiet lw-worm" }, worm, WORM),
        why,
      ),
    );
  }

  /** What to do instead of reading a map that says nothing. */
  private better({ better }: Trust): (Node | string)[] {
    if (!better || !this.state.alive) return [];
    const button = h(
      "button",
      { class: "lw-better", type: "button", title: better.why, "data-testid": "better" },
      better.label,
    );
    button.addEventListener("click", () => this.choose(better.what, better.key));
    return [" ", button];
  }
}

/** A row whose meaning opens below it. */
function explained(
  meanings: Meanings,
  { name, sentence }: Readout,
  width: number,
  attributes: Record<string, string>,
  ...cells: HTMLElement[]
): HTMLElement[] {
  const [button, below] = meanings.of(name, sentence, (text) =>
    h("tr", { class: "lw-meaning" }, h("td", { colspan: width }, text)),
  );
  const row = h(
    "tr",
    { ...attributes, title: sentence },
    ...cells,
    h("td", { class: "lw-ask" }, button),
  );
  return [row, below];
}

function plain(trust: Trust, meanings: Meanings): HTMLElement {
  const rows = trust.readouts.flatMap((readout) =>
    explained(
      meanings,
      readout,
      5,
      { class: `lw-${readout.level}` },
      icon(readout),
      h("th", { scope: "row" }, readout.name),
      h("td", { class: "lw-number" }, readout.value),
      h("td", { class: "lw-word" }, readout.word),
    ),
  );
  return h("table", { class: "lw-readouts" }, h("tbody", {}, ...rows));
}

function compared(
  trust: Trust,
  beside: Null | null,
  label: string,
  meanings: Meanings,
): HTMLElement {
  const cells = (readout: Readout | null, pending: string) =>
    readout
      ? [icon(readout), h("td", { class: "lw-number", title: readout.word }, readout.value)]
      : [h("td", { class: "lw-icon" }), h("td", { class: "lw-number lw-quiet" }, pending)];
  const rows = sideBySide(trust.readouts, beside?.trust?.readouts ?? []).flatMap(
    ({ name, map, other }) =>
      explained(
        meanings,
        (map ?? other)!,
        6,
        {},
        h("th", { scope: "row" }, name),
        ...cells(map, "–"),
        ...cells(other, beside?.trust ? "–" : "…"),
      ),
  );
  const head = h(
    "tr",
    {},
    h("th", {}, ""),
    h("th", { colspan: 2 }, "this map"),
    h("th", { colspan: 2, "data-testid": "compared" }, label),
  );
  return h(
    "table",
    { class: "lw-readouts lw-beside" },
    h("thead", {}, head),
    h("tbody", {}, ...rows),
  );
}

const icon = (readout: Readout) =>
  h(
    "td",
    { class: `lw-icon lw-${readout.level}`, "aria-label": readout.word },
    ICONS[readout.level],
  );
