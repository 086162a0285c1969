// Every touch of bqplot's internals (0.13) is in this file, and under the browser tests.

import type { BackboneModel, Model } from "./model";

export interface Rect {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** A bqplot figure shown inside an element of ours. */
export class Figure {
  private constructor(
    readonly model: BackboneModel,
    readonly view: any,
  ) {}

  /** Create a view of the figure with the reference `ref` inside `host`, which is in the page. */
  static async show(model: Model, ref: string, host: HTMLElement, signal: AbortSignal): Promise<Figure> {
    const id = ref.replace(/^IPY_MODEL_/, "");
    const figure = await retry(() => model.widget_manager.get_model(id), signal);
    const view = await model.widget_manager.create_view(figure);
    // bqplot draws once Lumino says that the view is attached, so it has to be attached by Lumino.
    const widget = view.luminoWidget ?? view.pWidget;
    widget.constructor.attach(widget, host);
    signal.addEventListener("abort", () => view.remove());
    await until(() => view.rendered === true, signal);
    return new Figure(figure, view);
  }

  get marks(): BackboneModel[] {
    return this.model.get("marks");
  }

  get axes(): BackboneModel[] {
    return this.model.get("axes");
  }

  /** Where the plot area is, in pixels of the figure's element. */
  get plot(): Rect {
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
  toPixel(x: number, y: number): [number, number] {
    const { left, top, width, height } = this.plot;
    const [x0, x1] = this.domain("x");
    const [y0, y1] = this.domain("y");
    return [left + ((x - x0) / (x1 - x0)) * width, top + (1 - (y - y0) / (y1 - y0)) * height];
  }

  /** From pixels of the figure's element to data. */
  toData(px: number, py: number): [number, number] {
    const { left, top, width, height } = this.plot;
    const [x0, x1] = this.domain("x");
    const [y0, y1] = this.domain("y");
    return [x0 + ((px - left) / width) * (x1 - x0), y0 + (1 - (py - top) / height) * (y1 - y0)];
  }
}

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
