// What kind of point a sample is, and whether the model has learned there: in words, with numbers.

import { computed } from "@preact/signals-core";

import { label, shortLabel } from "../names";
import type { State } from "../state";
import { capitalised, h } from "../ui/dom";
import type { PointData, Verdict } from "../wire";
import { Question } from "./question";
import type { Context, Side } from "./side";

const SURE: Record<Verdict["sure"], string> = {
  sure: "sure",
  likely: "likely",
  open: "cannot be told",
};

export class PointSide implements Side {
  readonly key = "point";
  readonly label = "Point";
  readonly testId = "point-tab";
  readonly isStill = true;
  readonly shown = {};
  readonly element = h("div", { class: "lw-point", "data-testid": "point", tabindex: "0" });
  private readonly state: State;
  private readonly question: Question<PointData>;
  private readonly isOn = computed(() => this.context.isShown(this.key) && this.isPossible);

  constructor(private readonly context: Context) {
    this.state = context.state;
    this.question = new Question(context.state, "point", (raw) => raw as unknown as PointData, {
      counted: "steps",
      first: "looking around",
    });
  }

  async begin(): Promise<void> {
    const { follow } = this.context;
    this.question.begin(
      follow,
      computed(() => (this.isOn.value ? this.of.value : null)),
    );
    follow(() => {
      if (this.isOn.value) this.draw();
    });
  }

  /** The sample that is pointed at, else the first that is selected, else the trained weights. */
  private get sample(): number {
    const { hovered, selected } = this.state;
    return hovered >= 0 ? hovered : (selected[0] ?? 0);
  }

  private readonly of = computed(() => ({ sample: this.sample }));

  get isPossible(): boolean {
    const { alive, samples } = this.state;
    return samples.kind.length > 0 && (alive || this.question.data(this.of.value) !== null);
  }

  get hint(): string {
    return this.isPossible
      ? "What kind of point this is, and whether the model has learned there"
      : "This point was not looked at, and there is no kernel to do it";
  }

  get title(): string {
    return `What is ${label(this.sample, this.state.samples)}?`;
  }

  get legend(): HTMLElement[] {
    return this.question.status(this.of.value);
  }

  private draw(): void {
    const data = this.question.data(this.of.value);
    if (!data) {
      const name = shortLabel(this.sample, this.state.samples);
      const text = this.question.hasFailed(this.of.value)
        ? "no diagnosis"
        : `looking around ${name}…`;
      this.element.replaceChildren(h("p", { class: "lw-note" }, text));
      return;
    }
    this.element.replaceChildren(...data.verdicts.map(verdict), evidence(data.evidence));
  }
}

function verdict({ kind, words, sure, why, change }: Verdict): HTMLElement {
  return h(
    "section",
    { class: "lw-said" },
    h(
      "h4",
      {},
      h("span", { "data-testid": "point-kind" }, capitalised(kind)),
      h("span", { class: `lw-sure lw-sure-${sure}` }, SURE[sure]),
    ),
    h("p", {}, words),
    h("p", { class: "lw-note" }, h("b", {}, "How sure? "), why),
    h("p", { class: "lw-note" }, h("b", {}, "What would change this? "), change),
  );
}

function evidence(rows: PointData["evidence"]): HTMLElement {
  return h(
    "table",
    { class: "lw-evidence" },
    h(
      "tbody",
      {},
      ...rows.map(([name, value, error]) =>
        h(
          "tr",
          {},
          h("th", { scope: "row" }, name),
          h("td", {}, value),
          h("td", { class: "lw-note" }, error && `± ${error}`),
        ),
      ),
    ),
  );
}
