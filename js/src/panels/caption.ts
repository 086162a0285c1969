// What the picture is of, below it: first what one has to know to read it, a line each, then counts.
//
// Some of it is known only once the samples or the map are there. It has its room from the first
// frame on, so that nothing moves when it comes; what has no room is a press on a button away.

import { h } from "../ui/dom";
import type { MapInfo } from "../wire";

export class Caption {
  private readonly text = h("div", { class: "lw-caption-text" });
  private readonly more = h("button", {
    class: "lw-button lw-small",
    type: "button",
    "aria-expanded": "false",
    "data-testid": "caption-more",
    hidden: true,
  });
  readonly element = h("div", { class: "lw-caption" }, this.text, this.more);
  private drawn = "";

  constructor(signal: AbortSignal) {
    this.more.addEventListener("click", () => {
      this.more.setAttribute("aria-expanded", String(!this.open));
      this.fit();
    });
    const observer = new ResizeObserver(() => this.fit());
    observer.observe(this.element);
    signal.addEventListener("abort", () => observer.disconnect());
  }

  draw({ assumptions, caption, notes }: MapInfo): void {
    const signature = JSON.stringify([assumptions, caption, notes]);
    if (signature === this.drawn) return; // else what is marked to be copied would be gone
    this.drawn = signature;
    this.text.replaceChildren(
      ...assumptions.map((text) => h("p", { class: "lw-assumption" }, text)),
      ...caption.map((text) => h("span", {}, text)),
      ...notes.map((text) => h("span", { class: "lw-note" }, text)),
    );
    this.fit();
  }

  private get open(): boolean {
    return this.more.getAttribute("aria-expanded") === "true";
  }

  /** Offer the rest, where there is more than has room. */
  private fit(): void {
    this.more.textContent = this.open ? "Show less" : "Show all";
    this.element.classList.toggle("lw-open", this.open);
    this.more.hidden = !this.open && this.text.scrollHeight <= this.text.clientHeight + 1;
  }
}
