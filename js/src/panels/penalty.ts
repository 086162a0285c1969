// Two sliders below the map: how strong an L1 and an L2 penalty are, and what they do to the loss.

import { computed, untracked } from "@preact/signals-core";

import { short } from "../draw/colours";
import { shortLabel } from "../names";
import { PLACES, penalties, placeOf, strengthAt } from "../penalty";
import { Question } from "../sides/question";
import type { State } from "../state";
import { h, listed } from "../ui/dom";
import type { Follow } from "../ui/effects";
import { floats } from "../wire";

const LARGEST = 300; // slices of which norms are asked for one by one
const TENSORS = { weights: "weights only", all: "all tensors" };

interface Slider {
  name: "l1" | "l2";
  input: HTMLInputElement;
  value: HTMLOutputElement;
}

export class PenaltyPanel {
  private readonly sliders: Slider[];
  private readonly tensors = h(
    "select",
    {
      class: "lw-select lw-small",
      "data-testid": "penalty-tensors",
      "aria-label": "Which tensors the penalty counts",
    },
    ...Object.entries(TENSORS).map(([key, text]) => h("option", { value: key }, text)),
  );
  private readonly trained = h("button", {
    class: "lw-button lw-small",
    type: "button",
    "data-testid": "penalty-trained",
    hidden: true,
  });
  private readonly readout = h("div", { class: "lw-penalty-told", "data-testid": "penalty-told" });
  readonly element: HTMLElement;
  private readonly question: Question<null>;
  private readonly rows: Question<null>;
  private readonly isTouched = computed(() => {
    const { l1, l2, tensors } = this.state.chosenPenalty;
    return l1 > 0 || l2 > 0 || tensors !== "weights";
  });

  constructor(private readonly state: State) {
    const words = { counted: "parameters", first: "adding up norms" };
    this.question = new Question(state, "norms", () => null, words);
    this.rows = new Question(state, "norms along", () => null, words);
    this.sliders = [this.slider("l1", "L1", "‖θ‖₁"), this.slider("l2", "L2", "‖θ‖₂²")];
    this.tensors.addEventListener("change", () => state.set({ tensors: this.tensors.value }));
    this.trained.addEventListener("click", () => {
      const decay = state.info.weight_decay ?? 0;
      state.set({ l1: 0, l2: decay / 2, tensors: "all" });
    });
    this.element = h(
      "div",
      {
        class: "lw-penalty",
        role: "group",
        "aria-label": "Penalty",
        "data-testid": "penalty",
        title: "Adds λ₁·‖θ‖₁ + λ₂·‖θ‖₂² to the training loss, here in the browser",
      },
      h(
        "div",
        { class: "lw-penalty-row" },
        h("span", { class: "lw-colour-name" }, "penalty"),
        ...this.sliders.map(({ name, input, value }) =>
          h(
            "label",
            { class: "lw-penalty-field" },
            h("span", {}, name.toUpperCase()),
            input,
            value,
          ),
        ),
        this.tensors,
        this.trained,
      ),
      this.readout,
    );
  }

  private slider(name: Slider["name"], label: string, norm: string): Slider {
    const input = h("input", {
      type: "range",
      class: "lw-range",
      min: 0,
      max: PLACES,
      step: 1,
      "data-testid": `penalty-${name}`,
      "aria-label": `Strength of the ${label} penalty, of ${norm}`,
    });
    input.addEventListener("input", () => {
      const started = performance.now();
      this.state.set({ [name]: strengthAt(input.valueAsNumber) });
      performance.measure("landscape:penalty", { start: started, end: performance.now() });
      performance.clearMeasures("landscape:penalty");
    });
    return { name, input, value: h("output", { "data-testid": `penalty-${name}-value` }) };
  }

  begin(follow: Follow): void {
    const { state } = this;
    this.question.begin(
      follow,
      computed(() =>
        this.isTouched.value && !state.norms && state.samples.kind.length
          ? state.normsOf.value
          : null,
      ),
    );
    this.rows.begin(follow, this.missing);
    follow(() => this.takeRows());
    follow(() => this.drawControls());
    follow(() => this.tell());
  }

  /** The slices on the screen along which ‖θ‖₁ is not known. */
  private readonly missing = computed(() => {
    const { norms, penalty, followed, hovered, normRows, alphas } = this.state;
    if (!norms || norms.along.length || !penalty || penalty.l1 === 0) return null;
    const wanted = [
      ...new Set([...followed.slice(0, LARGEST), ...(hovered >= 0 ? [hovered] : [])]),
    ];
    const rows = wanted.filter((i) => !normRows.value.has(i));
    return rows.length ? { tensors: penalty.tensors, rows, alphas } : null;
  });

  private forWhat = "";

  /** Keep what came of them, for as long as it is of these samples and tensors. */
  private takeRows(): void {
    const { state } = this;
    const what = JSON.stringify(state.normsOf.value);
    if (what !== this.forWhat) {
      this.forWhat = what;
      state.normRows.value = new Map();
    }
    const answer = state.answer("norms along");
    const of = answer?.of as { tensors: string; rows: number[]; alphas: number[] } | undefined;
    const { tensors, alphas } = state.normsOf.value;
    if (!of || of.tensors !== tensors || JSON.stringify(of.alphas) !== JSON.stringify(alphas))
      return;
    const found = floats(answer!.along);
    untracked(() => {
      const rows = new Map(state.normRows.value);
      of.rows.forEach((sample, n) => {
        rows.set(sample, found.subarray(n * alphas.length, (n + 1) * alphas.length));
      });
      state.normRows.value = rows;
    });
  }

  private drawControls(): void {
    const { state } = this;
    const { chosenPenalty: penalty, alive, norms } = state;
    for (const { name, input, value } of this.sliders) {
      const strength = penalty[name];
      // Where it stands by hand is left alone: several places may have one name.
      if (strengthAt(input.valueAsNumber) !== strength) input.value = String(placeOf(strength));
      input.setAttribute("aria-valuetext", short(strength));
      value.textContent = short(strength);
      input.disabled = !alive && !norms;
    }
    this.tensors.value = penalty.tensors;
    this.tensors.disabled = !alive;
    const decay = state.info.weight_decay ?? 0;
    this.trained.hidden = !(decay > 0);
    this.trained.disabled = !alive && penalty.tensors !== "all";
    this.trained.textContent = "as trained";
    this.trained.title = `weight_decay=${short(decay)} is ${short(decay / 2)}·‖θ‖₂² over all tensors`;
  }

  private tell(): void {
    const { penalty, norms, unpenalised, lowest, samples } = this.state;
    if (!this.isTouched.value) {
      this.readout.replaceChildren("added to the training loss; none is evaluated again");
      return;
    }
    if (!norms) {
      this.readout.replaceChildren(...this.question.status(this.state.normsOf.value));
      return;
    }
    const left = norms.leftOut;
    const without = left.length
      ? `, without ${listed(left.slice(0, 4))}${left.length > 4 ? ", …" : ""}`
      : "";
    this.readout.title = `Over ${norms.counted}${without}. The validation loss has no penalty.`;
    if (!penalty) {
      this.readout.replaceChildren(`over ${norms.counted}`);
      return;
    }
    const added = penalties(norms, penalty);
    const sum = (i: number) => `${short(unpenalised[i] ?? NaN)} + ${short(added[i]!)}`;
    const lowestText =
      lowest > 0
        ? [h("span", { class: "lw-part" }, `lowest ${shortLabel(lowest, samples)}: ${sum(lowest)}`)]
        : [];
    this.readout.replaceChildren(
      h("span", { class: "lw-part" }, `θ*: ${sum(0)}${lowest === 0 ? ", the lowest" : ""}`),
      ...lowestText,
      h("span", { class: "lw-part lw-quiet" }, `over ${norms.counted}`),
    );
  }
}
