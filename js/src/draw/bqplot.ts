// Every touch of bqplot's internals (0.13) is in this file, and under the browser tests.

import type { BackboneModel, Manager } from "../wire";
import type { Point } from "./geometry";
import type { Plot } from "./plot";
import { type Rect, toData, toPixel } from "./scales";

/** A bqplot figure shown inside an element of ours. */
export class Figure implements Plot {
  private constructor(
    /** Python's model of the figure, of which `model` is a copy. */
    readonly original: BackboneModel,
    readonly model: BackboneModel,
    readonly view: any,
    /** The element that it is shown in. */
    readonly host: HTMLElement,
  ) {}

  /**
   * Create a view of the figure with the reference `ref` inside `host`, which is in the page.
   *
   * It is of copies of the figure's models: two views of a model share its data and its scales, but
   * each view of ours has a size, a turn and a pointer of its own. Python's models stay as they are.
   */
  static async show(
    manager: Manager,
    ref: string,
    host: HTMLElement,
    signal: AbortSignal,
  ): Promise<Figure> {
    const id = ref.replace(/^IPY_MODEL_/, "");
    const copies = new Map<BackboneModel, BackboneModel>();
    const original = await retry(() => manager.get_model(id), signal);
    const figure = copied(original, copies) as BackboneModel;
    const view = await manager.create_view(figure);
    keepPositive(view);
    // bqplot draws once Lumino says that the view is attached, so it has to be attached by Lumino.
    const widget = view.luminoWidget ?? view.pWidget;
    widget.constructor.attach(widget, host);
    const end = () => {
      // Where the output is gone before its widget, Lumino would look for a node to detach.
      if (!widget.node.isConnected) widget.clearFlag(widget.constructor.Flag.IsAttached);
      view.remove();
      for (const copy of copies.values()) copy.close();
    };
    if (signal.aborted) end();
    else signal.addEventListener("abort", end);
    await until(() => view.rendered === true, signal);
    return new Figure(original, figure, view, host);
  }

  get marks(): BackboneModel[] {
    return this.model.get("marks");
  }

  get axes(): BackboneModel[] {
    return this.model.get("axes");
  }

  /** Where the plot area is, in pixels of the figure's element. */
  get area(): Rect {
    const margin = this.model.get("fig_margin");
    return {
      left: margin.left,
      top: margin.top,
      width: Math.max(1, this.view.plotareaWidth),
      height: Math.max(1, this.view.plotareaHeight),
    };
  }

  /** Tell what is to be done whenever the figure has been laid out anew. */
  onLayout(callback: () => void, signal: AbortSignal): void {
    this.view.on("margin_updated", callback);
    signal.addEventListener("abort", () => this.view.off("margin_updated", callback));
  }

  /** Whether nothing is on its way: d3 leaves a mark on every node whose transition is not over. */
  get still(): boolean {
    for (const node of this.view.el.querySelectorAll("svg *")) if (node.__transition) return false;
    return true;
  }

  /** How long changes of data take to show, in ms. */
  set glide(ms: number) {
    this.model.set({ animation_duration: ms });
  }

  /** The range of values that a scale of the figure's marks shows. */
  setDomain(axis: "x" | "y", [min, max]: [number, number]): void {
    const scale = this.marks[0]!.get("scales")[axis] as BackboneModel;
    if (scale.get("min") !== min || scale.get("max") !== max) scale.set({ min, max });
  }

  domain(axis: "x" | "y"): [number, number] {
    const scale = this.marks[0]!.get("scales")[axis] as BackboneModel;
    return [scale.get("min"), scale.get("max")];
  }

  /** From data to pixels of the figure's element. */
  toPixel(x: number, y: number): Point {
    return toPixel(this, x, y);
  }

  /** From pixels of the figure's element to data. */
  toData(px: number, py: number): Point {
    return toData(this, px, py);
  }
}

/**
 * Let a view be no smaller than its margins and a little more: where the page has not laid it out,
 * bqplot would draw an area of less than nothing. It draws again once it has its size.
 */
function keepPositive(view: any): void {
  const measure = view.getFigureSize.bind(view);
  view.getFigureSize = () => {
    const size = measure();
    const { left, right, top, bottom } = view.model.get("fig_margin");
    size.width = Math.max(size.width, left + right + 1);
    size.height = Math.max(size.height, top + bottom + 1);
    return size;
  };
}

let count = 0; // of copies on the page: bqplot tells scales apart by their id

/** A value of a model's attribute with a copy for each model in it, as ipywidgets would make it without a kernel. */
function copied(value: unknown, copies: Map<BackboneModel, BackboneModel>): unknown {
  if (Array.isArray(value)) return value.map((item) => copied(item, copies));
  if (value === null || typeof value !== "object") return value;
  if (isModel(value)) {
    if (!copies.has(value)) {
      const Model = value.constructor as new (
        attributes: unknown,
        options: unknown,
      ) => BackboneModel;
      const options = {
        widget_manager: value.widget_manager,
        model_id: `landscape-widgets-${++count}`,
      };
      copies.set(value, new Model(copied(value.attributes, copies), options));
    }
    return copies.get(value);
  }
  const plain = Object.getPrototypeOf(value) === Object.prototype;
  return plain
    ? Object.fromEntries(Object.entries(value).map(([key, item]) => [key, copied(item, copies)]))
    : value;
}

const isModel = (value: object): value is BackboneModel =>
  "attributes" in value && "widget_manager" in value;

/** Models may be opened in any order, so one that is asked for may not be there yet. */
async function retry<T>(attempt: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await attempt();
    } catch (error) {
      if (tries >= 50 || signal.aborted) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

async function until(condition: () => boolean, signal: AbortSignal): Promise<void> {
  while (!condition() && !signal.aborted) await new Promise(requestAnimationFrame);
}
