// How the page is laid out: the bar on top, the map beside its sides, and what is said below.

import type { State } from "./state";
import { h, s } from "./ui/dom";
import type { Follow } from "./ui/effects";
import { Tooltip } from "./ui/tooltip";

/** Parts that see to themselves. */
export interface Parts {
  bar: HTMLElement;
  settings: HTMLElement;
  turn: HTMLElement;
  terrain: HTMLElement;
  replay: HTMLElement;
  penalty: HTMLElement;
  sides: HTMLElement;
  /** A side of its own, where there is room. */
  besideSides: HTMLElement;
  /** Lies over the sides, which keep their size below it. */
  beside: HTMLElement;
  trust: HTMLElement;
  selection: HTMLElement;
  caption: HTMLElement;
}

export class Page {
  readonly root: HTMLElement;
  readonly map: HTMLElement;
  readonly layer = s("svg", {
    class: "lw-layer",
    tabindex: 0,
    role: "application",
    "aria-label":
      "Map of samples. Arrow keys move between samples, Enter selects, Shift adds, Alt removes, Escape clears, Control Z takes back, Control Shift Z does again. In three dimensions Shift with arrows turns, Home turns back.",
  });
  readonly tip = new Tooltip();
  readonly colours = h("div", { class: "lw-colours lw-map-colours" });
  private readonly title = h("div", { class: "lw-title" });
  private readonly error = h("div", {
    class: "lw-error",
    role: "alert",
    "data-testid": "error",
    hidden: true,
  });
  private readonly alone = h(
    "div",
    { class: "lw-alone", role: "status", "data-testid": "no-kernel", hidden: true },
    h("strong", {}, "No kernel behind this widget. "),
    "Looking works: point, select, draw lassos, replay, turn, change the colour. Computing does not: run the cell again for that.",
  );

  constructor(parts: Parts) {
    this.map = h(
      "div",
      { class: "lw-figure", "data-testid": "map" },
      this.layer,
      parts.turn,
      this.tip.element,
    );
    this.root = h(
      "div",
      { class: "lw-root" },
      parts.bar,
      parts.settings,
      this.alone,
      this.error,
      h(
        "div",
        { class: "lw-stage" },
        h(
          "div",
          { class: "lw-column" },
          h("div", { class: "lw-title-row" }, this.title, parts.terrain),
          this.map,
          this.colours,
          parts.penalty,
          parts.replay,
        ),
        h("div", { class: "lw-right" }, parts.sides, parts.beside),
        parts.besideSides,
      ),
      h("div", { class: "lw-below" }, parts.trust, parts.selection),
      parts.caption,
    );
  }

  begin(state: State, follow: Follow): void {
    follow(() => {
      this.title.textContent = this.title.title = state.info.title;
    });
    follow(() => {
      const { message, state: work } = state.progress;
      this.error.hidden = work !== "error";
      this.error.textContent = work === "error" ? message : "";
    });
    follow(() => {
      this.alone.hidden = state.alive;
    });
  }
}
