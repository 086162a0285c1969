// What a map of three dimensions has besides: its axes, and a button for turning it by hand.

import { type Rotation, triad } from "../draw/rotation";
import { h, s } from "../ui/dom";

const ARM = 22; // px

/** The three axes of the map at (x, y), the nearer the stronger; `names` are told on pointing at them. */
export function triadParts(
  rotation: Rotation,
  x: number,
  y: number,
  names: readonly string[],
): SVGElement {
  const arms = triad(rotation).flatMap((arm) => {
    const [dx, dy] = [arm.x, -arm.y];
    const opacity = 0.65 + 0.35 * arm.near;
    return [
      s("line", { x1: x, y1: y, x2: x + ARM * dx, y2: y + ARM * dy, opacity }),
      s(
        "text",
        { x: x + (ARM + 7) * dx, y: y + (ARM + 7) * dy + 4, opacity },
        String(arm.axis + 1),
      ),
    ];
  });
  const group = s("g", { class: "lw-triad" }, ...arms);
  if (names.length) group.append(s("title", {}, names.join("\n")));
  return group;
}

/** Whether the main button turns the map instead of drawing a lasso. */
export class TurnButton {
  readonly element = h(
    "button",
    {
      class: "lw-button lw-small lw-turn",
      type: "button",
      "data-testid": "turn",
      "aria-pressed": "false",
      title:
        "Drag turns the map instead of drawing a lasso. The right button always turns; Shift with arrow keys too, Home turns back.",
      hidden: true,
    },
    "⟲ Turn",
  );

  constructor() {
    this.element.addEventListener("click", () =>
      this.element.setAttribute("aria-pressed", String(!this.on)),
    );
  }

  get on(): boolean {
    return !this.element.hidden && this.element.getAttribute("aria-pressed") === "true";
  }
}
