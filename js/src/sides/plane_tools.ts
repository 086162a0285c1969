// What is chosen of a plane: along which directions, and what is drawn on it.

import { type Signal, signal } from "@preact/signals-core";

import { h } from "../ui/dom";
import type { Context } from "./side";

/** What the kernel calls directions, what the menu says, and what the title says. */
const DIRECTIONS: Record<string, [string, string]> = {
  samples: ["two samples", ""],
  random: ["random", "along two random directions"],
  gradient: ["gradient, random", "down the gradient and at random"],
  hessian: ["highest curvature", "along the highest curvature"],
  trajectory: ["trajectory, PCA", "along the trajectory's PC 1 and PC 2"],
  map: ["the map itself", "as height over the map"],
};

/** A button that is on or off. */
export class Switch {
  readonly on: Signal<boolean>;
  readonly element: HTMLButtonElement;

  constructor(name: string, text: string, title: string, on: boolean, context: Context) {
    this.on = signal(on);
    this.element = h(
      "button",
      {
        class: "lw-button lw-small",
        type: "button",
        "data-testid": `plane-${name}`,
        title,
        "aria-pressed": String(on),
      },
      text,
    );
    const { signal: until } = context;
    this.element.addEventListener("click", () => this.turn(!this.on.value), { signal: until });
  }

  turn(on: boolean): void {
    this.on.value = on;
    this.element.setAttribute("aria-pressed", String(on));
  }
}

export class PlaneTools {
  readonly directions = signal("samples");
  readonly arrows: Switch;
  readonly samples: Switch;
  readonly solid: Switch;
  private readonly menu = h("select", {
    class: "lw-select lw-small",
    "data-testid": "directions",
    "aria-label": "Along which directions the plane goes",
  });
  private readonly anew = h(
    "button",
    { class: "lw-button lw-small", type: "button", "data-testid": "plane-anew" },
    "Clear paths",
  );
  private readonly said = h("span", { class: "lw-note" }, "Click to go downhill from there");
  readonly element: HTMLElement;
  private offered = "";

  constructor(
    private readonly context: Context,
    startAnew: () => void,
  ) {
    const { signal: until } = context;
    const downhill = "Arrows downhill: the projection of the negative gradient on the plane";
    const near =
      "Samples where they are nearest, the smaller and fainter the farther from the plane";
    this.arrows = new Switch("arrows", "Arrows", downhill, true, context);
    this.samples = new Switch("samples", "Samples", near, false, context);
    const turned = "The loss as height, turned by hand";
    this.solid = new Switch("solid", "3-D", turned, false, context);
    this.menu.addEventListener(
      "change",
      () => {
        this.directions.value = this.menu.value;
        if (this.isOfTrajectory) this.samples.turn(true); // they are what the plane is of
      },
      { signal: until },
    );
    this.anew.addEventListener("click", startAnew, { signal: until });
    this.element = h(
      "span",
      { class: "lw-plane-tools" },
      this.menu,
      this.solid.element,
      this.arrows.element,
      this.samples.element,
      this.anew,
      this.said,
    );
  }

  get isOfSamples(): boolean {
    return this.directions.value === "samples";
  }

  private get isOfTrajectory(): boolean {
    return this.directions.value === "trajectory";
  }

  /** Whether the map takes the plane's place. */
  get isOfMap(): boolean {
    return this.directions.value === "map";
  }

  get isSolid(): boolean {
    return this.isOfMap || this.solid.on.value;
  }

  /** What the plane lies along, where that is no samples. */
  get along(): string {
    return DIRECTIONS[this.directions.value]![1];
  }

  draw(hasPaths: boolean, isLoss: boolean): void {
    const { samples, alive, points } = this.context.state;
    const can: Record<string, boolean> = {
      trajectory: samples.path.some((path) => path >= 0),
      map: points.length === 2 * samples.kind.length,
    };
    const keys = Object.keys(DIRECTIONS).filter((key) => can[key] ?? true);
    if (String(keys) !== this.offered) {
      this.offered = String(keys);
      this.menu.replaceChildren(
        ...keys.map((key) => h("option", { value: key }, DIRECTIONS[key]![0])),
      );
      if (!keys.includes(this.directions.value)) this.directions.value = "samples";
    }
    this.menu.value = this.directions.value;
    for (const option of this.menu.options)
      option.disabled = !alive && !["samples", "map"].includes(option.value);
    this.solid.element.hidden = this.isOfMap;
    this.samples.element.hidden = this.isSolid;
    this.arrows.element.hidden = !isLoss || this.isSolid;
    this.anew.hidden = !hasPaths;
    this.said.hidden = hasPaths || !(isLoss || this.isSolid);
    this.said.textContent = this.isSolid ? "Drag to turn" : "Click to go downhill from there";
  }
}
