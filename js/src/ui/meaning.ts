// "?" beside a number or a word: what it means, opened in place by mouse, finger and keys.

import { h } from "./dom";

let many = 0; // for ids that no other widget on the page has

/** Which meanings of a panel are open, also where the panel is drawn anew. */
export class Meanings {
  private readonly open = new Set<string>();
  private readonly id = `lw-meaning-${++many}`;

  /** A button for the meaning of a name, and the element that it opens. */
  of(name: string, meaning: string, make: (text: string) => HTMLElement): [Node, HTMLElement] {
    const element = make(meaning);
    element.id = `${this.id}-${name.replace(/\W+/g, "-")}`;
    const button = h(
      "button",
      {
        class: "lw-what",
        type: "button",
        "aria-label": `What is “${name}”?`,
        "aria-controls": element.id,
        "data-meaning": name,
      },
      "?",
    );
    const show = () => {
      const open = this.open.has(name);
      button.setAttribute("aria-expanded", String(open));
      element.hidden = !open;
    };
    button.addEventListener("click", () => {
      if (!this.open.delete(name)) this.open.add(name);
      show();
    });
    show();
    return [button, element];
  }

  /** Draw a panel anew without taking the focus from one of its buttons. */
  keepingFocus(host: HTMLElement, draw: () => void): void {
    const { activeElement: focused } = document;
    const name = focused && host.contains(focused) && (focused as HTMLElement).dataset.meaning;
    draw();
    if (name)
      host
        .querySelector<HTMLElement>(`[data-meaning="${CSS.escape(name)}"]`)
        ?.focus({ preventScroll: true });
  }
}
