// A small box of text beside the pointer, kept inside its host.

import { h } from "./dom";

export class Tooltip {
  readonly element = h("div", { class: "lw-tooltip", role: "status", hidden: true });

  show(lines: (Node | string)[], x: number, y: number, host: HTMLElement): void {
    this.element.replaceChildren(...lines.map((line) => h("div", {}, line)));
    this.element.hidden = false;
    const { offsetWidth, offsetHeight } = this.element;
    const left = x + 16 + offsetWidth > host.clientWidth ? x - 16 - offsetWidth : x + 16;
    const top = Math.min(Math.max(4, y - offsetHeight / 2), host.clientHeight - offsetHeight - 4);
    this.element.style.transform = `translate(${Math.max(4, left)}px, ${top}px)`;
  }

  hide(): void {
    this.element.hidden = true;
  }
}
