// What the hand does on the map: pointing, selecting, taking back, turning.

import { batch, signal, untracked } from "@preact/signals-core";

import { short } from "../draw/colours";
import type { Point } from "../draw/geometry";
import type { Rotation } from "../draw/rotation";
import { combine, History, type Lasso, type Mode, type Step } from "../history";
import { label } from "../names";
import type { State } from "../state";
import type { Follow } from "../ui/effects";
import type { Tooltip } from "../ui/tooltip";
import type { Handlers } from "./gestures";
import type { MapView } from "./map";
import type { Drawing } from "./overlay";
import type { Replay } from "./replay";

const NOTHING: Lasso = { polygon: [], removes: false };

export class Hand implements Handlers {
  private readonly history = new History();
  private readonly dragged = signal(NOTHING);
  private readonly lassoView = signal<Rotation | null>(null);
  private turning: Point = [0, 0]; // angles that are to be drawn in the next animation frame

  constructor(
    private readonly state: State,
    private readonly map: MapView,
    private readonly replay: Replay,
    private readonly layer: SVGElement,
    private readonly tip: Tooltip,
  ) {}

  begin(follow: Follow): void {
    follow(() => {
      if (this.state.trace.live) this.history.forgetLassos();
    });
    // Other samples: there is no way back.
    follow(() => {
      this.state.samples;
      if (untracked(() => this.state.selected.length === 0)) this.history.clear();
    });
  }

  /** Read in an effect, which follows it then. */
  get drawing(): Drawing {
    return { dragged: this.dragged.value, lassoView: this.lassoView.value };
  }

  hover(index: number, [x, y]: Point): void {
    const started = performance.now();
    const before = this.state.hovered;
    this.layer.style.cursor = index >= 0 ? "pointer" : "crosshair";
    if (index < 0) this.tip.hide();
    else this.tip.show(this.describe(index), x, y, this.layer.parentElement!);
    this.state.pointed.value = index;
    if (index !== before) measure("landscape:hover", started);
  }

  leave(): void {
    this.hover(-1, [0, 0]);
  }

  pick(index: number, mode: Mode): void {
    const { selected, lassos } = this.state;
    // A second click on the only selected sample lets go of it.
    const again = mode === "replace" && selected.length === 1 && selected[0] === index;
    this.select(again ? [] : combine(selected, [index], mode), mode === "replace" ? [] : lassos);
  }

  drag(polygon: readonly Point[], mode: Mode): void {
    // The path grows while it is drawn, and is the same array.
    this.dragged.value = { polygon, removes: mode === "remove" };
  }

  lasso(polygon: Point[], mode: Mode): void {
    const started = performance.now();
    const { selected, lassos } = this.state;
    const inside = this.map.inside(polygon);
    // What is drawn on a frame of the replay selects there, but means nothing on the map.
    const drawn = this.replay.away ? [] : [{ polygon, removes: mode === "remove" }];
    batch(() => {
      this.dragged.value = NOTHING;
      this.lassoView.value = this.map.rotation;
      this.select(
        combine(selected, inside, mode),
        mode === "replace" ? drawn : [...lassos, ...drawn],
      );
    });
    measure("landscape:lasso", started);
  }

  clear(): void {
    this.select([], []);
  }

  undo(): void {
    this.take(this.history.undo(this.step));
  }

  redo(): void {
    this.take(this.history.redo(this.step));
  }

  turn(by: Point | null): void {
    // Polygons were drawn on another view; what they selected stays.
    this.history.forgetLassos();
    if (this.state.lassos.length) this.state.set({ _lassos: [] });
    if (!by) {
      this.map.turn(null);
      return;
    }
    // Pointers move more often than the screen is drawn.
    if (this.turning[0] === 0 && this.turning[1] === 0) {
      requestAnimationFrame(() => {
        const { turning } = this;
        this.turning = [0, 0];
        this.map.turn(turning);
      });
    }
    this.turning = [this.turning[0] + by[0], this.turning[1] + by[1]];
  }

  private describe(index: number): string[] {
    const { columns, samples, evaluated, penalty, unpenalised } = this.state;
    const lines = [label(index, samples)];
    if (!evaluated[index]) return [...lines, "not evaluated yet"];
    const hidden = new Set(["gap", "path", ...(penalty ? [] : ["l1", "l2"])]);
    for (const [name, values] of Object.entries(columns)) {
      if (hidden.has(name) || Number.isNaN(values[index])) continue;
      lines.push(`${this.state.columnName(name)} ${short(values[index] ?? NaN)}`);
      if (penalty && name === "loss")
        lines.push(`without the penalty ${short(unpenalised[index] ?? NaN)}`);
    }
    const path = samples.path[index]!;
    if (path >= 0) lines.push(`path ${path}, step ${samples.step[index]}`);
    return lines;
  }

  private get step(): Step {
    const { selected, lassos } = this.state;
    return { selected, lassos };
  }

  /** Go to a step that was taken back, or done again. */
  private take(step: Step | undefined): void {
    if (step) this.put(step);
  }

  private select(selected: readonly number[], lassos: readonly Lasso[]): void {
    this.history.push(this.step);
    this.put({ selected, lassos });
  }

  private put({ selected, lassos }: Step): void {
    this.state.set({ _lassos: lassos, selected });
  }
}

/** For those who observe it; the browser would keep each of them for as long as the page is there. */
function measure(name: string, started: number): void {
  performance.measure(name, { start: started, end: performance.now() });
  performance.clearMeasures(name);
}
