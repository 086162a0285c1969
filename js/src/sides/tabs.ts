// The sides' tabs, and what all sides have: a title, a legend, and the quantity that they show.

import type { Signal } from "@preact/signals-core";

import type { State } from "../state";
import { h, set } from "../ui/dom";
import type { Follow } from "../ui/effects";
import type { Side } from "./side";

let many = 0; // for ids that no other widget on the page has

export class Tabs {
  /** What slice and plane show. */
  private readonly quantity = h("select", {
    class: "lw-select lw-small",
    "data-testid": "quantity",
    "aria-label": "What slice and plane show",
    hidden: true,
  });
  private readonly title = h("div", { class: "lw-title" });
  private readonly legend = h("div", { class: "lw-colours lw-slice-legend" });
  private readonly tabs: HTMLButtonElement[];
  readonly element: HTMLElement;
  private offered = "";

  constructor(
    private readonly sides: readonly Side[],
    private readonly state: State,
    private readonly chosen: Signal<string>,
    signal: AbortSignal,
  ) {
    const id = `lw-side-${++many}`;
    this.tabs = sides.map(({ key, label, testId }) => {
      const tab = h(
        "button",
        {
          class: "lw-tab",
          type: "button",
          role: "tab",
          id: `${id}-${key}-tab`,
          "aria-controls": `${id}-${key}`,
          "data-testid": testId,
        },
        label,
      );
      tab.addEventListener("click", () => this.choose(key), { signal });
      return tab;
    });
    for (const { key, element } of sides)
      set(element, {
        role: "tabpanel",
        id: `${id}-${key}`,
        "aria-labelledby": `${id}-${key}-tab`,
      });
    const list = h(
      "div",
      { class: "lw-tabs", role: "tablist", "aria-label": "Beside the map" },
      ...this.tabs,
    );
    list.addEventListener("keydown", (event) => this.key(event), { signal });
    this.quantity.addEventListener(
      "change",
      () => this.state.set({ quantity: this.quantity.value }),
      { signal },
    );
    this.element = h(
      "div",
      { class: "lw-column" },
      h("div", { class: "lw-side-head" }, list, this.quantity),
      h(
        "div",
        { class: "lw-side" },
        this.title,
        h("div", { class: "lw-side-room" }, ...sides.map(({ element }) => element)),
      ),
      this.legend,
    );
  }

  begin(follow: Follow): void {
    follow(() => this.drawTabs());
    follow(() => this.drawQuantities());
    follow(() => {
      this.title.textContent = this.title.title = this.side.title;
    });
    follow(() => this.legend.replaceChildren(...this.side.legend));
  }

  private get side(): Side {
    return this.sides.find(({ key }) => key === this.chosen.value) ?? this.sides[0]!;
  }

  private choose(key: string): void {
    this.chosen.value = key;
  }

  /** Arrows move between the tabs that can be chosen, from the last on to the first. */
  private key(event: KeyboardEvent): void {
    const tabs = this.tabs.filter((tab) => !tab.disabled);
    const at = tabs.indexOf(event.target as HTMLButtonElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined || at < 0) return;
    const tab = tabs[(to + tabs.length) % tabs.length]!;
    this.choose(this.sides[this.tabs.indexOf(tab)]!.key);
    tab.focus({ preventScroll: true });
    event.preventDefault();
  }

  private drawTabs(): void {
    const { sides, side } = this;
    if (!side.isPossible && side !== sides[0]) {
      this.choose(sides[0]!.key);
      return;
    }
    sides.forEach((one, n) => {
      const tab = this.tabs[n]!;
      tab.disabled = !one.isPossible;
      tab.title = one.hint;
      tab.tabIndex = one === side ? 0 : -1;
      tab.setAttribute("aria-selected", String(one === side));
      one.element.classList.toggle("lw-off", one !== side);
    });
  }

  private drawQuantities(): void {
    const { info, quantity } = this.state;
    const quantities = info.quantities ?? [];
    const offered = JSON.stringify(quantities.map(({ name, label }) => [name, label]));
    if (offered !== this.offered) {
      this.offered = offered;
      this.quantity.replaceChildren(
        ...quantities.map(({ name, label }) => h("option", { value: name }, label)),
      );
    }
    this.quantity.hidden = quantities.length < 2;
    this.quantity.value = quantity.name;
  }
}
