// The Hessian at θ*, or at the sample that is selected: its extreme eigenvalues, its trace with that
// of each layer, and its spectrum.

import { computed, signal } from "@preact/signals-core";

import { count, short } from "../draw/colours";
import { axesOf, barsOf, countTicks, roundTicks } from "../draw/spectrum";
import { shortLabel } from "../names";
import { h, s } from "../ui/dom";
import { resized } from "../ui/effects";
import { type CurvatureData, curvatureOf, type LearningData } from "./curvature_data";
import { Question } from "./question";
import type { Context, Side } from "./side";

const MARGIN = { left: 62, right: 12, top: 10, bottom: 38 }; // px around the spectrum

export class CurvatureSide implements Side {
  readonly key = "curvature";
  readonly label = "Curvature";
  readonly testId = "curvature-tab";
  readonly isStill = true;
  private readonly facts = h("div", { class: "lw-facts", "data-testid": "curvature-facts" });
  private readonly spectrum = s("svg", {
    class: "lw-spectrum",
    role: "img",
    "aria-label": "How many eigenvalues of the Hessian lie where",
  });
  private readonly layers = h("div", { class: "lw-layers", "data-testid": "curvature-layers" });
  readonly element = h(
    "div",
    { class: "lw-curvature", "data-testid": "curvature" },
    this.facts,
    this.spectrum,
    this.layers,
  );
  private readonly question: Question<CurvatureData>;
  /** The local learning coefficient takes chains, and is asked for by hand. */
  private readonly learning: Question<LearningData>;
  private readonly wantsLearning = signal(false);
  private readonly ofLearning = computed(() => ({
    samples: this.context.state.samples.kind.length,
  }));
  private readonly button = h(
    "button",
    {
      class: "lw-button lw-small",
      type: "button",
      "data-testid": "learning-coefficient",
      title: "How many parameters the loss at θ* is held by, from four Langevin chains",
    },
    "Learning coefficient",
  );
  private readonly isOn = computed(() => this.context.isShown(this.key) && this.isPossible);
  private readonly of = computed(() => ({ sample: this.sample }));

  constructor(private readonly context: Context) {
    const words = { counted: "products with the Hessian", first: "computing" };
    this.question = new Question(context.state, "curvature", curvatureOf, words);
    this.learning = new Question(
      context.state,
      "learning coefficient",
      (raw) => raw as unknown as LearningData,
      { counted: "chains", first: "running" },
    );
    this.button.addEventListener(
      "click",
      () => {
        this.wantsLearning.value = true;
      },
      { signal: context.signal },
    );
  }

  async begin(): Promise<void> {
    const { follow, signal } = this.context;
    const size = resized(this.element, signal);
    this.question.begin(
      follow,
      computed(() => (this.isOn.value ? this.of.value : null)),
    );
    this.learning.begin(
      follow,
      computed(() =>
        this.isOn.value && this.sample === 0 && this.wantsLearning.value
          ? this.ofLearning.value
          : null,
      ),
    );
    follow(() => {
      size.value;
      if (this.isOn.value) this.draw();
    });
  }

  /** The one that is selected, else θ*. */
  private get sample(): number {
    const { selected } = this.context.state;
    return selected.length === 1 ? selected[0]! : 0;
  }

  private get data(): CurvatureData | null {
    return this.question.data(this.of.value);
  }

  get isPossible(): boolean {
    const { samples, alive } = this.context.state;
    return samples.kind.length > 0 && (alive || this.data !== null);
  }

  get hint(): string {
    return this.context.state.samples.kind.length
      ? "Eigenvalues, trace and spectrum of the Hessian at θ*, or at the sample that is selected"
      : "There are no samples yet";
  }

  get title(): string {
    return `How the loss is curved at ${this.name}`;
  }

  private get name(): string {
    return this.sample === 0 ? "θ*" : shortLabel(this.sample, this.context.state.samples);
  }

  get shown(): Record<string, unknown> {
    const { data } = this;
    return {
      sample: this.sample,
      eigenvalues: data?.eigenvalues.length ?? 0,
      layers: data?.trace?.layers.length ?? 0,
      bins: data?.density?.counts.length ?? 0,
    };
  }

  get legend(): HTMLElement[] {
    const of = this.of.value;
    const text = this.data?.text ?? [];
    return [
      ...text.map((part) => h("span", { class: "lw-part lw-note" }, part)),
      ...this.question.status(of),
      ...this.learningLegend,
    ];
  }

  /** What asks for the learning coefficient, how far it is, and what is wrong with its chains. */
  private get learningLegend(): HTMLElement[] {
    if (this.sample !== 0 || this.question.isWorking(this.of.value)) return [];
    const of = this.ofLearning.value;
    const found = this.learning.data(of);
    if (found) return found.problems.map((said) => h("span", { class: "lw-part lw-note" }, said));
    if (this.wantsLearning.value && this.learning.work(of)) return this.learning.status(of);
    return this.context.state.alive ? [this.button] : [];
  }

  private draw(): void {
    const { data } = this;
    const learned = this.sample === 0 ? this.learning.data(this.ofLearning.value) : null;
    this.facts.replaceChildren(...(data ? factsOf(data, learned) : []));
    this.drawLayers(data?.trace ?? null);
    this.drawSpectrum(data?.density ?? null, data);
  }

  private drawLayers(trace: CurvatureData["trace"]): void {
    if (!trace) {
      this.layers.replaceChildren();
      return;
    }
    const most = trace.values.reduce((a, b) => Math.max(a, Math.abs(b)), 0) || 1;
    const rows = trace.layers.flatMap((name, n) => {
      const [value, error] = [trace.values[n]!, trace.errors[n]!];
      const bar = h("span", { class: value < 0 ? "lw-trace lw-negative" : "lw-trace" });
      bar.style.width = `${(100 * Math.abs(value)) / most}%`;
      return [
        h("span", { class: "lw-layer-name", title: name }, name),
        h("span", { class: "lw-trace-room" }, bar),
        h("span", { class: "lw-layer-value" }, give(value, error)),
      ];
    });
    this.layers.replaceChildren(h("span", { class: "lw-layers-title" }, "Trace by layer"), ...rows);
  }

  private drawSpectrum(density: CurvatureData["density"], data: CurvatureData | null): void {
    const { clientWidth: width, clientHeight: height } = this.spectrum;
    if (width === 0 || height === 0) return;
    if (!density) {
      const text = this.question.hasFailed(this.of.value)
        ? "not known"
        : data?.critical
          ? "no Hessian to be had"
          : this.question.isWorking(this.of.value)
            ? "computing…"
            : "";
      const middle = { class: "lw-empty", x: width / 2, y: height / 2 };
      this.spectrum.replaceChildren(s("text", middle, text));
      return;
    }
    const box = {
      left: MARGIN.left,
      top: MARGIN.top,
      width: width - MARGIN.left - MARGIN.right,
      height: height - MARGIN.top - MARGIN.bottom,
    };
    const { edges, counts } = density;
    const axes = axesOf(edges, counts, box);
    const bottom = box.top + box.height;
    const [low, high] = [edges[0]!, edges[edges.length - 1]!];
    const parts: SVGElement[] = [
      s("rect", {
        class: "lw-frame",
        x: box.left,
        y: box.top,
        width: box.width,
        height: box.height,
      }),
    ];
    for (const { at, text } of countTicks(counts)) {
      const y = axes.y(at);
      parts.push(
        s("line", {
          class: "lw-spectrum-rule",
          x1: box.left,
          x2: box.left + box.width,
          y1: y,
          y2: y,
        }),
        s("text", { class: "lw-spectrum-tick lw-spectrum-count", x: box.left - 5, y: y + 4 }, text),
      );
    }
    for (const at of roundTicks(low, high, Math.max(2, Math.floor(box.width / 70)))) {
      const x = axes.x(at);
      parts.push(
        s("line", { class: "lw-spectrum-rule", x1: x, x2: x, y1: bottom, y2: bottom + 4 }),
        s("text", { class: "lw-spectrum-tick", x, y: bottom + 16 }, short(at)),
      );
    }
    for (const { side, ...place } of barsOf(edges, counts, axes)) {
      const kind = side < 0 ? " lw-negative" : side === 0 ? " lw-around-zero" : "";
      parts.push(s("rect", { class: `lw-spectrum-bar${kind}`, ...place }));
    }
    const zero = axes.x(0);
    parts.push(
      s("line", { class: "lw-mark", x1: zero, x2: zero, y1: box.top, y2: bottom }),
      s(
        "text",
        { class: "lw-spectrum-name", x: box.left + box.width / 2, y: bottom + 33 },
        "eigenvalue of the Hessian",
      ),
      s(
        "text",
        {
          class: "lw-spectrum-name",
          transform: `translate(13 ${box.top + box.height / 2}) rotate(-90)`,
        },
        "how many",
      ),
    );
    this.spectrum.replaceChildren(...parts);
  }
}

/** The numbers, each with what it is called. */
function factsOf(data: CurvatureData, learned: LearningData | null): HTMLElement[] {
  const found: [string, string][] = [];
  const { eigenvalues, errors, top, trace, critical, parameters } = data;
  if (eigenvalues.length) {
    found.push(["sharpness, λ₁", give(eigenvalues[0]!, errors[0]!)]);
    const next = Array.from(eigenvalues.slice(1, top), (value) => short(value));
    if (next.length) found.push(["next eigenvalues", next.join(", ")]);
    const last = eigenvalues.length - 1;
    if (last >= top) found.push(["lowest eigenvalue", give(eigenvalues[last]!, errors[last]!)]);
  }
  if (critical) found.push(["critical sharpness", give(critical.value, critical.error)]);
  if (trace) {
    found.push(["trace", give(trace.value, trace.error ?? Number.NaN)]);
    found.push([`mean of all ${count(parameters)}`, short(trace.value / parameters)]);
  }
  if (learned) {
    const value = give(learned.value ?? Number.NaN, learned.error ?? Number.NaN);
    found.push(["learning coefficient", value]);
  }
  return found.map(([name, value]) =>
    h("span", { class: "lw-fact" }, h("span", {}, name), h("b", {}, value)),
  );
}

/** A value and how far off it may be. */
function give(value: number, error: number): string {
  if (!Number.isFinite(error) || error === 0) return short(value, 4);
  return `${short(value, 4)} ± ${short(error, 1)}`;
}
