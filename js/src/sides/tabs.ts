// The sides' tabs, and what all sides have: a title, a legend, and the quantity that they show.

import { signal } from "@preact/signals-core";

import type { State } from "../state";
import { h, set } from "../ui/dom";
import type { Follow } from "../ui/effects";
import type { Side } from "./side";

const WIDE = 1200; // px of the widget, from which a side has room beside the others

let many = 0; // for ids that no other widget on the page has

/** A side's title above it, and its legend below. */
class Pane {
  private readonly title = h("div", { class: "lw-title" });
  readonly room = h("div", { class: "lw-side-room" });
  readonly side = h("div", { class: "lw-side" }, this.title, this.room);
  readonly legend = h("div", { class: "lw-colours lw-slice-legend" });

  begin(follow: Follow, side: () => Side | null): void {
    follow(() => {
      this.title.textContent = this.title.title = side()?.title ?? "";
    });
    follow(() => this.legend.replaceChildren(...(side()?.legend ?? [])));
  }
}

export class Tabs {
  /** What slice and plane show. */
  private readonly quantity = h("select", {
    class: "lw-select lw-small",
    "data-testid": "quantity",
    "aria-label": "What slice and plane show",
    hidden: true,
  });
  /** What the trained weights are, whatever side is shown. */
  private readonly trained = h("p", { class: "lw-trained", "data-testid": "diagnosis" });
  private readonly tabs: HTMLButtonElement[];
  private readonly pane = new Pane();
  private readonly outside = new Pane();
  readonly element: HTMLElement;
  /** The side that stands beside the others, where there is room. */
  readonly beside: HTMLElement;
  private readonly chosen = signal("");
  private readonly isWide = signal(false);
  private readonly named = h("span", { class: "lw-heading" });
  private offered = "";

  constructor(
    private readonly sides: readonly Side[],
    private readonly state: State,
    private readonly until: AbortSignal,
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
      tab.addEventListener("click", () => this.choose(key), { signal: until });
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
    list.addEventListener("keydown", (event) => this.key(event), { signal: until });
    this.quantity.addEventListener(
      "change",
      () => this.state.set({ quantity: this.quantity.value }),
      { signal: until },
    );
    const head = h("div", { class: "lw-side-head" }, list, this.quantity);
    this.element = h(
      "div",
      { class: "lw-column" },
      head,
      this.pane.side,
      this.pane.legend,
      this.trained,
    );
    this.pane.room.append(...sides.map(({ element }) => element));
    this.beside = h(
      "div",
      { class: "lw-column lw-beside", "data-testid": "beside", hidden: true },
      h("div", { class: "lw-side-head" }, this.named),
      this.outside.side,
      this.outside.legend,
    );
  }

  /** Make room for a side beside the others where an element is wide enough. */
  watch(element: HTMLElement): void {
    const observer = new ResizeObserver(() => {
      this.isWide.value = element.clientWidth >= WIDE;
    });
    observer.observe(element);
    this.until.addEventListener("abort", () => observer.disconnect());
  }

  begin(follow: Follow): void {
    follow(() => this.place());
    follow(() => this.drawTabs());
    follow(() => this.drawQuantities());
    this.pane.begin(follow, () => this.side);
    this.outside.begin(follow, () => this.apart);
    follow(() => {
      const { diagnosis } = this.state.info;
      this.trained.replaceChildren(...(diagnosis ? [h("b", {}, "θ*"), ` ${diagnosis}`] : []));
    });
  }

  /** Whether the side of this key is on the screen. */
  isShown(key: string): boolean {
    return this.side.key === key || this.apart?.key === key;
  }

  private get side(): Side {
    const found = this.sides.find(({ key }) => key === this.chosen.value);
    return found && found !== this.apart ? found : this.sides[0]!;
  }

  /** The side that stands beside the others; null where there is no room. */
  private get apart(): Side | null {
    return (this.isWide.value && this.sides.find(({ standsBeside }) => standsBeside)) || null;
  }

  private place(): void {
    const { apart } = this;
    this.beside.hidden = !apart;
    this.named.textContent = apart?.label ?? "";
    for (const side of this.sides) {
      if (!side.standsBeside) continue;
      const room = side === apart ? this.outside.room : this.pane.room;
      if (side.element.parentElement !== room) room.append(side.element);
    }
  }

  private choose(key: string): void {
    this.chosen.value = key;
  }

  /** Arrows move between the tabs that can be chosen, from the last on to the first. */
  private key(event: KeyboardEvent): void {
    const tabs = this.tabs.filter((tab) => !tab.disabled && !tab.hidden);
    const at = tabs.indexOf(event.target as HTMLButtonElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined || at < 0) return;
    const tab = tabs[(to + tabs.length) % tabs.length]!;
    this.choose(this.sides[this.tabs.indexOf(tab)]!.key);
    tab.focus({ preventScroll: true });
    event.preventDefault();
  }

  private drawTabs(): void {
    const { sides, side, apart } = this;
    if (!side.isPossible && side !== sides[0]) {
      this.choose(sides[0]!.key);
      return;
    }
    sides.forEach((one, n) => {
      const tab = this.tabs[n]!;
      tab.disabled = !one.isPossible;
      tab.hidden = one === apart;
      tab.title = one.hint;
      tab.tabIndex = one === side ? 0 : -1;
      tab.setAttribute("aria-selected", String(one === side));
      one.element.classList.toggle("lw-off", one !== side && one !== apart);
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
