// The basins of the samples: their merge tree, and what it says.

import { computed } from "@preact/signals-core";

import { count, short, viridis } from "../draw/colours";
import { height, lossTicks } from "../draw/loss_scale";
import type { State } from "../state";
import { h, s } from "../ui/dom";
import { resized } from "../ui/effects";
import { type Basins, order, rangeOfBasins } from "../ways";
import { Question } from "./question";
import type { Context, Side } from "./side";

const ROOM = { left: 56, right: 16, top: 20, bottom: 44 }; // px around the tree
const TICKS = 6;
const WIDEST = 140; // px between two basins

export class BasinsSide implements Side {
  readonly key = "basins";
  readonly label = "Basins";
  readonly testId = "basins-tab";
  readonly hint = "Which samples lie in one basin, and how high the ways between basins are";
  readonly isStill = true;
  readonly shown = {};
  private readonly layer = s("svg", { class: "lw-layer", role: "img" });
  readonly element = h("div", { class: "lw-basins", "data-testid": "basins" }, this.layer);
  private readonly state: State;
  private readonly question: Question<unknown>;
  private readonly isOn = computed(() => this.context.isShown(this.key));

  constructor(private readonly context: Context) {
    this.state = context.state;
    const words = { counted: "lines between samples", first: "looking between samples" };
    this.question = new Question(context.state, "basins", (raw) => raw, words);
  }

  async begin(): Promise<void> {
    const { follow, signal } = this.context;
    const size = resized(this.element, signal);
    this.question.begin(
      follow,
      computed(() => (this.isOn.value ? this.state.basinsOf.value : null)),
    );
    follow(() => {
      size.value;
      if (this.isOn.value) this.draw();
    });
  }

  get isPossible(): boolean {
    return this.state.samples.kind.length > 1 && (this.state.alive || this.state.basins !== null);
  }

  get title(): string {
    return "Basins, and how high the easiest ways between them are";
  }

  get legend(): HTMLElement[] {
    const { basins, basinsOf } = this.state;
    const parts: HTMLElement[] = [];
    if (basins) {
      const button = h(
        "button",
        {
          class: "lw-button lw-small",
          type: "button",
          "data-testid": "colour-basins",
          "aria-pressed": String(this.state.colourBy === "basin"),
        },
        "Colour the map by basin",
      );
      button.addEventListener("click", () =>
        this.state.set({ colour_by: this.state.colourBy === "basin" ? "loss" : "basin" }),
      );
      parts.push(h("span", { "data-testid": "basins-text" }, basins.sentence), button);
    }
    return basinsOf.value ? [...parts, ...this.question.status(basinsOf.value)] : parts;
  }

  private draw(): void {
    const { basins, basinsOf } = this.state;
    const { clientWidth: width, clientHeight: room } = this.element;
    if (width === 0) return;
    if (!basins) {
      const failed = basinsOf.value && this.question.hasFailed(basinsOf.value);
      const text = failed ? "no basins" : "computing…";
      this.layer.replaceChildren(s("text", { class: "lw-empty", x: width / 2, y: room / 2 }, text));
      return;
    }
    this.layer.setAttribute("aria-label", basins.sentence);
    this.layer.replaceChildren(...tree(basins, this.state, width, room));
  }
}

/** The tree between the edges of an element: floors below, saddles where lines meet. */
function tree(basins: Basins, state: State, width: number, room: number): SVGElement[] {
  const { names, losses, saddles, parents, counts, errors } = basins;
  const scale = state.lossScale;
  const at = (loss: number) => height(scale, loss);
  const reached = [...losses, ...saddles.filter((loss) => loss !== null)].map(at);
  const [least, most] = [Math.min(...reached), Math.max(...reached)];
  const margin = Math.max(0.05, (most - least) * 0.08);
  const [low, high] = [least - margin, most + margin];
  const [top, bottom] = [ROOM.top, room - ROOM.bottom];
  const y = (place: number) => bottom - ((place - low) / (high - low)) * (bottom - top);
  const step = Math.min(WIDEST, (width - ROOM.left - ROOM.right) / names.length);
  const start = ROOM.left + (width - ROOM.left - ROOM.right - step * names.length) / 2;
  const x: number[] = [];
  order(basins).forEach((number, place) => {
    x[number] = start + (place + 0.5) * step;
  });
  const parts: SVGElement[] = [];
  for (const { at: tick, text } of lossTicks(scale, low, high, TICKS)) {
    const line = { x1: ROOM.left, x2: width - ROOM.right, y1: y(tick), y2: y(tick) };
    parts.push(s("line", { class: "lw-height-rule", ...line }));
    parts.push(s("text", { class: "lw-height-name", x: ROOM.left - 6, y: y(tick) + 4 }, text));
  }
  const [, last] = rangeOfBasins(basins);
  names.forEach((_, n) => {
    const saddle = saddles[n];
    const [here, floor] = [x[n]!, y(at(losses[n]!))];
    const end = saddle === null || saddle === undefined ? top : y(at(saddle));
    const across = parents[n]! >= 0 ? `H${x[parents[n]!]}` : "";
    parts.push(s("path", { class: "lw-branch", d: `M${here},${floor}V${end}${across}` }));
  });
  names.forEach((name, n) => {
    const saddle = saddles[n];
    const [here, floor] = [x[n]!, y(at(losses[n]!))];
    if (saddle !== null && saddle !== undefined) {
      const error = 2 * errors[n]!;
      const [over, under] = [y(at(saddle + error)), y(at(saddle - error))];
      if (error > 0)
        parts.push(
          s("line", { class: "lw-branch-error", x1: here, x2: here, y1: over, y2: under }),
        );
      const text = short(saddle);
      parts.push(s("text", { class: "lw-saddle", x: here + 6, y: y(at(saddle)) + 16 }, text));
    }
    const fill = `rgb(${viridis(n / last).join(",")})`;
    parts.push(s("circle", { class: "lw-floor", cx: here, cy: floor, r: 6, fill }));
    parts.push(s("text", { class: "lw-basin-name", x: here, y: floor + 20 }, name));
    const samples = `${count(counts[n]!)} sample${counts[n] === 1 ? "" : "s"}`;
    parts.push(s("text", { class: "lw-basin-count", x: here, y: floor + 34 }, samples));
  });
  return parts;
}
