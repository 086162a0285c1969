// The front end of LandscapeWidget, as an anywidget module.
//
// For tests, parts carry data-testid: sampler, space, reducer, dimensions, colour-by, start, stop,
// progress, status (with data-state), map, turn, slice, quantity, estimate, plane-toggle, plane, plane-error,
// plane-status, plane-stop, trust, selection, refine, sampler-settings, reducer-settings, settings,
// apply, defaults, notice, compare-with, compared, null, film, play, step-back, step-on, frames,
// objective, caption-more, error. The root has data-ready once both figures are drawn, and then tells by data-drawn
// what is on the screen; see drawn.ts. Redraws are measured as performance measures
// "landscape:hover" and "landscape:lasso".

import { WIDTH } from "./draw/band";
import { Figure } from "./draw/bqplot";
import { short } from "./draw/colours";
import type { Point } from "./draw/geometry";
import type { Rotation } from "./draw/rotation";
import { combine, History, type Lasso, type Mode, type Step } from "./history";
import { Kernel } from "./kernel";
import { listen } from "./map/gestures";
import { MapView } from "./map/map";
import { Replay, type Trace } from "./map/replay";
import { TurnButton, triadParts } from "./map/turning";
import { Bar, drawColourBar, isDiamond, label, nameOf, starPath } from "./panels/bar";
import { Caption } from "./panels/caption";
import { SelectionPanel } from "./panels/selection";
import { Settings } from "./panels/settings";
import { TrustPanel } from "./panels/trust";
import { NullView } from "./sides/comparison";
import { PlaneView } from "./sides/plane";
import { SliceView, toAsk } from "./sides/slice";
import { floats, type Model, State } from "./state";
import { capitalised, h, keepKeys, s } from "./ui/dom";
import { Drawn, type Shown } from "./ui/drawn";
import { Tooltip } from "./ui/tooltip";

const GLIDE = 700; // ms in which points move to their final places
const MOST_RINGS = 12; // selected samples that are told apart on the map by a ring around each
const MOST_NAMED = 8; // lines of the slice that are named below it, and read at the pointer

interface RenderProps {
  model: Model;
  el: HTMLElement;
  signal?: AbortSignal;
}

function render({ model, el, signal: given }: RenderProps): () => void {
  const controller = new AbortController();
  given?.addEventListener("abort", () => controller.abort());
  const view = new LandscapeView(model, el, controller.signal);
  view.show().catch((error: unknown) => {
    if (!controller.signal.aborted) console.error("[landscape-widgets]", error);
  });
  return () => controller.abort();
}

class LandscapeView {
  private readonly state: State;
  private readonly bar: Bar;
  private readonly settings: Settings;
  private readonly mapHost = h("div", { class: "lw-figure", "data-testid": "map" });
  /** What slice and plane show. */
  private readonly quantity = h("select", {
    class: "lw-select",
    "data-testid": "quantity",
    "aria-label": "What slice and plane show",
    hidden: true,
  });
  private offered = "";
  private readonly sliceHost = h("div", { class: "lw-figure", "data-testid": "slice" });
  private readonly mapLayer = s("svg", {
    class: "lw-layer",
    tabindex: 0,
    role: "application",
    "aria-label":
      "Map of samples. Arrow keys move between samples, Enter selects, Shift adds, Alt removes, Escape clears, Control Z takes back, Control Shift Z does again. In three dimensions Shift with arrows turns, Home turns back.",
  });
  private readonly sliceLayer = s("svg", { class: "lw-layer", "aria-hidden": "true" });
  private readonly mapTip = new Tooltip();
  private readonly sliceTip = new Tooltip();
  private readonly turnButton = new TurnButton();
  private readonly mapTitle = h("div", { class: "lw-title" });
  private readonly replay: Replay;
  private readonly plane: PlaneView;
  private readonly sliceTitle = h("div", { class: "lw-title" });
  private readonly colourBar = h("div", { class: "lw-colours lw-map-colours" });
  private readonly sliceLegend = h("div", { class: "lw-colours lw-slice-legend" });
  private readonly trust: TrustPanel;
  private readonly beside: NullView;
  private readonly selection: SelectionPanel;
  private readonly caption: Caption;
  private readonly error = h("div", {
    class: "lw-error",
    role: "alert",
    "data-testid": "error",
    hidden: true,
  });
  private readonly alone = h(
    "div",
    { class: "lw-alone", role: "status", "data-testid": "no-kernel", hidden: true },
    h("strong", {}, "No kernel behind this widget. "),
    "Looking works: point, select, draw lassos, replay, turn, change the colour. Computing does not: run the cell again for that.",
  );
  private readonly kernel: Kernel;
  private readonly root: HTMLElement;
  private readonly history = new History();
  private map!: MapView;
  private slice!: SliceView;
  private pointed = -1; // the sample that was pointed at last
  private dragged: Lasso = { polygon: [], removes: false };
  private turning: Point = [0, 0]; // angles that are to be drawn in the next animation frame
  private lassoView: Rotation | null = null; // how the map was turned when the lassos were drawn
  private asked = new Set<number>();
  private doubted = "";
  private readonly drawn: Drawn;
  private back = () => {}; // tells the kernel that the view is there

  constructor(
    private readonly model: Model,
    el: HTMLElement,
    private readonly signal: AbortSignal,
  ) {
    this.state = new State(model);
    this.settings = new Settings(this.state, (what, values) =>
      this.state.send({ type: "set", what, values }),
    );
    this.bar = new Bar(
      this.state,
      {
        choose: (what, key) => this.choose(what, key),
        start: () => this.state.send({ type: "start" }),
        stop: () => this.state.send({ type: "stop" }),
      },
      this.settings.toggles,
    );
    this.replay = new Replay(() => {
      this.map.frame = this.replay.shown;
      this.map.draw();
      this.drawMapLayer();
    }, signal);
    this.trust = new TrustPanel(this.state, (kind) => this.state.set({ compare_with: kind }));
    this.selection = new SelectionPanel(this.state, () => this.state.send({ type: "refine" }));
    this.beside = new NullView(this.state, () => this.map?.scale ?? null, signal);
    this.plane = new PlaneView(
      this.state,
      () => this.drawPlane(),
      () => this.map.lossRange(),
      signal,
    );
    this.quantity.addEventListener("change", () =>
      this.state.set({ quantity: this.quantity.value }),
    );
    this.caption = new Caption(signal);
    this.mapHost.append(this.mapLayer, this.turnButton.element, this.mapTip.element);
    this.sliceHost.append(this.sliceLayer, this.sliceTip.element, this.plane.element);
    this.root = h(
      "div",
      { class: "lw-root" },
      this.bar.element,
      this.settings.element,
      this.alone,
      this.error,
      h(
        "div",
        { class: "lw-stage" },
        h(
          "div",
          { class: "lw-column" },
          this.mapTitle,
          this.mapHost,
          this.colourBar,
          this.replay.element,
        ),
        // The null lies over the slice, which keeps its size below it.
        h(
          "div",
          { class: "lw-right" },
          h(
            "div",
            { class: "lw-column" },
            h("div", { class: "lw-title-row" }, this.sliceTitle, this.quantity, this.plane.button),
            this.sliceHost,
            this.sliceLegend,
          ),
          this.beside.element,
        ),
      ),
      h("div", { class: "lw-below" }, this.trust.element, this.selection.element),
      this.caption.element,
    );
    keepKeys(this.root, signal);
    el.replaceChildren(this.root);
    this.kernel = new Kernel(model, () => this.kernelChanged(), signal);
    this.drawn = new Drawn(
      this.root,
      () => this.map.still && this.slice.figure.still && this.beside.still,
      () => this.shown,
      signal,
    );
  }

  /** What is drawn, for those who wait until it is on the screen. */
  private get shown(): Shown {
    const { colourBy, selected } = this.state;
    const { lines, missing } = this.slice;
    return {
      frame: this.model.get("_frame"),
      film: this.replay.frame,
      colour: colourBy,
      quantity: this.state.quantity.name,
      selected,
      kernel: this.state.alive,
      hovered: this.hovered,
      lines,
      missing: missing.length,
      width: this.mapHost.clientWidth,
    };
  }

  async show(): Promise<void> {
    const { model, signal } = this;
    this.drawPanels();
    await attached(this.mapHost, signal);
    const [map, slice] = await Promise.all([
      Figure.show(model, model.get("_map") as string, this.mapHost, signal),
      Figure.show(model, model.get("_slice") as string, this.sliceHost, signal),
    ]);
    if (signal.aborted) return;
    this.kernel.follow(map.original, signal);
    this.map = new MapView(map, this.state, signal);
    this.slice = new SliceView(slice, this.state);
    this.slice.load();
    this.loadFrames();
    this.map.draw();
    this.beside.draw();
    this.draw();
    this.listen();
    map.onLayout(() => this.relayout(), signal);
    slice.onLayout(() => this.drawSliceLayer(), signal);
    this.acknowledge();
    this.announce();
    this.root.dataset.ready = "true";
    this.drawn.changed();
  }

  private listen(): void {
    const { map, signal, turnButton } = this;
    this.on("_trace", () => this.loadFrames());
    this.on("_frame", () => {
      this.map.frame = this.replay.shown;
      this.map.draw(this.model.get("_glide") ? GLIDE : 0);
      this.beside.draw();
      this.draw();
      this.acknowledge();
    });
    this.on("_profiles", () => {
      const [first] = Object.values(this.model.get("_profiles") as Record<string, DataView>);
      this.state.table.came(floats(first).length);
      this.loadProfiles();
    });
    this.on("msg:custom", (content, buffers) => {
      if (content.type !== "rows") return;
      this.state.table.take(content, buffers);
      this.loadProfiles();
    });
    this.on("_plane", () => this.drawPlane());
    this.on("_plane_state", () => this.drawPlane());
    this.on("quantity", () => {
      this.asked.clear(); // slices of something else
      this.drawPlane();
      this.drawPanels();
    });
    this.on("selected", () => this.draw());
    this.on("_lassos", () => this.drawMapLayer()); // forgotten in the kernel
    this.on("colour_by", () => {
      this.map.draw();
      this.beside.draw();
      this.draw();
    });
    for (const name of ["_null", "compare_with"]) {
      this.on(name, () => {
        this.beside.draw();
        this.trust.draw();
      });
    }
    for (const name of [
      "_progress",
      "_trust",
      "_info",
      "_choices",
      "_chosen",
      "_settings",
      "_samples",
    ])
      this.on(name, () => this.drawPanels());
    // What was asked for and is not there by now was given up, and may be asked for again.
    this.on("_progress", () => this.state.progress.state !== "running" && this.asked.clear());
    this.on("_samples", () => this.state.selected.length === 0 && this.history.clear());
    this.on("msg:custom", (content) => {
      if (content.type !== "answer") return;
      this.settings.answer(content.what, content.errors);
      this.bar.drawChoices(); // what was refused is not chosen
    });
    listen(
      this.mapLayer,
      {
        get pixels() {
          return map.pixels;
        },
        toData: (x, y) => map.figure.toData(x, y),
        get solid() {
          return map.solid;
        },
        get turning() {
          return turnButton.on;
        },
      },
      {
        hover: (index, at) => this.hover(index, at),
        leave: () => this.hover(-1, [0, 0]),
        pick: (index, mode) => this.pick(index, mode),
        drag: (polygon, mode) => {
          this.dragged = { polygon, removes: mode === "remove" };
          this.drawMapLayer();
        },
        lasso: (polygon, mode) => this.lasso(polygon, mode),
        clear: () => this.select([], []),
        undo: () => this.take(this.history.undo(this.step)),
        redo: () => this.take(this.history.redo(this.step)),
        turn: (by) => this.turn(by),
      },
      signal,
    );
    this.sliceLayer.addEventListener("pointermove", (event) => this.readSlice(event), { signal });
    this.sliceLayer.addEventListener("pointerleave", () => this.endReading(), { signal });
  }

  private loadProfiles(): void {
    this.slice.load();
    // What is still to come is not asked for again: the kernel may have been told to stop.
    for (const i of this.asked) if (this.slice.has(i)) this.asked.delete(i);
    this.doubted = "";
    this.drawSlice();
  }

  private loadFrames(): void {
    const trace = this.model.get("_trace") as Trace;
    if (trace.live) {
      this.history.forgetLassos();
      this.replay.follow(trace);
    } else this.replay.load(floats(this.model.get("_frames")), trace);
  }

  private on(name: string, callback: (content?: any, buffers?: any) => void): void {
    const event = name.includes(":") ? name : `change:${name}`;
    this.model.on(event, callback);
    this.signal.addEventListener("abort", () => this.model.off(event, callback));
  }

  /** Tell the kernel that what it sent is on the screen: it sends no more frames before that. */
  private acknowledge(): void {
    const frame = this.model.get("_frame");
    requestAnimationFrame(() =>
      requestAnimationFrame(() => {
        if (!this.signal.aborted) this.state.send({ type: "drawn", frame });
      }),
    );
  }

  /** Tell the kernel that it is looked at, and when that is over: else it need not go on. */
  private announce(): void {
    const view = `${Date.now()}-${Math.random()}`;
    const tell = (open: boolean) => this.state.send({ type: "view", view, open });
    tell(true);
    this.signal.addEventListener("abort", () => tell(false));
    // A page that is closed ends no view; one that the browser keeps may be shown again.
    window.addEventListener("pagehide", () => tell(false), { signal: this.signal });
    window.addEventListener("pageshow", (event) => event.persisted && tell(true), {
      signal: this.signal,
    });
    this.on("msg:custom", (content) => content.type === "who is there" && tell(true));
    this.back = () => tell(true);
    this.state.send({ type: "snapshot" });
  }

  private kernelChanged(): void {
    const { alive } = this.kernel;
    this.state.alive = alive;
    if (alive) this.back(); // the kernel may have missed the view
    this.alone.hidden = alive;
    if (this.map) this.draw();
    else this.drawPanels();
  }

  // What the hand does

  private choose(what: string, key: string): void {
    if (what === "colour-by") this.state.set({ colour_by: key });
    else this.state.send({ type: "choose", what, key });
  }

  private hover(index: number, [x, y]: Point): void {
    const started = performance.now();
    const changed = index !== this.hovered;
    this.pointed = index;
    this.mapLayer.style.cursor = index >= 0 ? "pointer" : "crosshair";
    if (index < 0) this.mapTip.hide();
    else this.mapTip.show(this.describe(index), x, y, this.mapHost);
    if (!changed) return;
    this.drawMapLayer();
    this.drawSlice();
    measure("landscape:hover", started);
  }

  private describe(index: number): string[] {
    const { columns, samples, evaluated } = this.state;
    const lines = [label(index, samples.kind)];
    if (!evaluated[index]) return [...lines, "not evaluated yet"];
    for (const [name, values] of Object.entries(columns)) {
      if (name === "gap" || name === "path" || Number.isNaN(values[index])) continue;
      lines.push(`${nameOf(name)} ${short(values[index] ?? NaN)}`);
    }
    const path = samples.path[index]!;
    if (path >= 0) lines.push(`path ${path}, step ${samples.step[index]}`);
    return lines;
  }

  private pick(index: number, mode: Mode): void {
    const { selected, lassos } = this.state;
    // A second click on the only selected sample lets go of it.
    const again = mode === "replace" && selected.length === 1 && selected[0] === index;
    this.select(again ? [] : combine(selected, [index], mode), mode === "replace" ? [] : lassos);
  }

  private lasso(polygon: Point[], mode: Mode): void {
    const started = performance.now();
    this.dragged = { polygon: [], removes: false };
    this.lassoView = this.map.rotation;
    const { selected, lassos } = this.state;
    const inside = this.map.inside(polygon);
    // What is drawn on a frame of the replay selects there, but means nothing on the map.
    const drawn = this.replay.away ? [] : [{ polygon, removes: mode === "remove" }];
    this.select(
      combine(selected, inside, mode),
      mode === "replace" ? drawn : [...lassos, ...drawn],
    );
    measure("landscape:lasso", started);
  }

  private turn(by: Point | null): void {
    // Polygons were drawn on another view; what they selected stays.
    this.history.forgetLassos();
    if (this.state.lassos.length) this.state.set({ _lassos: [] });
    if (!by) {
      this.map.turn(null);
      this.drawMapLayer();
      return;
    }
    // Pointers move more often than the screen is drawn.
    if (this.turning[0] === 0 && this.turning[1] === 0) {
      requestAnimationFrame(() => {
        this.map.turn(this.turning);
        this.turning = [0, 0];
        this.drawMapLayer();
      });
    }
    this.turning = [this.turning[0] + by[0], this.turning[1] + by[1]];
  }

  /** The sample that is pointed at; −1 for none, as where there are fewer samples by now. */
  private get hovered(): number {
    return this.pointed < this.state.samples.kind.length ? this.pointed : -1;
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
    if (selected.length === 0) this.draw(); // an equal value raises no change event
  }

  // What is drawn

  private draw(): void {
    this.map.emphasise(this.state.selected);
    this.drawMapLayer();
    this.drawPlane();
    this.drawPanels();
  }

  private drawPlane(): void {
    this.plane.update();
    this.drawSlice();
  }

  private relayout(): void {
    this.map.relayout();
    this.drawMapLayer();
  }

  private drawPanels(): void {
    const { state } = this;
    const info = state.info;
    this.bar.drawChoices();
    this.bar.drawProgress();
    this.settings.draw();
    this.trust.draw();
    this.selection.draw();
    this.mapTitle.textContent = this.mapTitle.title = info.title;
    this.caption.draw(info);
    const { message, state: work } = state.progress;
    this.error.hidden = work !== "error";
    this.error.textContent = work === "error" ? message : "";
    const quantities = info.quantities ?? [];
    const options = quantities.map(({ name, label }) => h("option", { value: name }, label));
    if (String(quantities.map(({ name }) => name)) !== this.offered) {
      this.offered = String(quantities.map(({ name }) => name));
      this.quantity.replaceChildren(...options);
    }
    this.quantity.hidden = quantities.length < 2;
    this.quantity.value = state.quantity.name;
    if (!this.map) return;
    drawColourBar(this.colourBar, this.map.scale, this.map.counts, this.state.samples.kind);
    this.drawn.changed();
  }

  private drawMapLayer(): void {
    const { figure } = this.map;
    const { left, top, width, height } = figure.plot;
    const { solid, rotation } = this.map;
    const otherView = solid && this.lassoView !== rotation;
    const parts: SVGElement[] = [
      s("rect", { class: "lw-frame", x: left, y: top, width, height }),
      ...(this.replay.away || otherView ? [] : this.state.lassos).map(({ polygon, removes }) =>
        lassoPart(this.map.polygonPixels(polygon), removes),
      ),
    ];
    const { polygon, removes } = this.dragged;
    if (polygon.length > 1) parts.push(lassoPart(polygon, removes, " lw-drawing"));
    const ring = (index: number, hovered: boolean) => {
      const [x, y] = [this.map.pixels[2 * index]!, this.map.pixels[2 * index + 1]!];
      const kind = this.state.samples.kind[index]!;
      const r = (kind === "trained" || isDiamond(kind) ? 12 : 7) + (hovered ? 2 : 0);
      if (Number.isFinite(x))
        parts.push(
          s("circle", { class: hovered ? "lw-ring lw-hovered" : "lw-ring", cx: x, cy: y, r }),
        );
    };
    const star = this.state.samples.kind.indexOf("trained");
    const [x, y] = [this.map.pixels[2 * star], this.map.pixels[2 * star + 1]];
    if (star >= 0 && Number.isFinite(x)) {
      parts.push(
        s("path", { class: "lw-star", d: starPath(10), transform: `translate(${x} ${y})` }),
      );
    }
    const { selected } = this.state;
    if (selected.length <= MOST_RINGS) for (const i of selected) ring(i, false);
    if (this.hovered >= 0) ring(this.hovered, true);
    this.turnButton.element.hidden = !solid;
    if (solid) parts.push(triadParts(rotation, left + 34, top + height - 34, this.state.info.axes));
    const [xAxis, yAxis] = solid ? [] : this.state.info.axes;
    if (xAxis)
      parts.push(s("text", { class: "lw-axis", x: left + width / 2, y: top + height + 16 }, xAxis));
    if (yAxis) {
      const [x, y] = [left - 8, top + height / 2];
      parts.push(s("text", { class: "lw-axis", x, y, transform: `rotate(-90 ${x} ${y})` }, yAxis));
    }
    this.mapLayer.replaceChildren(...parts);
    this.drawn.changed();
  }

  private drawSlice(): void {
    this.slice.draw(this.state.selected, this.hovered);
    this.askForSlices();
    this.drawSliceLayer();
    if (this.plane.on) {
      this.sliceTitle.textContent = this.plane.title;
      this.sliceLegend.replaceChildren(...this.plane.legend());
      return;
    }
    const what = capitalised(this.state.quantityName);
    this.sliceTitle.textContent =
      this.hovered >= 0
        ? `${what} on the way to ${label(this.hovered, this.state.samples.kind)}`
        : this.state.selected.length
          ? `${what} on the way to the selection`
          : `${what} on the way from θ* to a sample`;
    this.sliceLegend.replaceChildren(
      ...this.slice.legend.slice(0, MOST_NAMED).map((line) => {
        const icon = s("svg", { class: "lw-dash", viewBox: "0 0 22 8", "aria-hidden": "true" });
        icon.append(
          s("line", {
            x1: 1,
            x2: 21,
            y1: 4,
            y2: 4,
            stroke: line.colour,
            "stroke-dasharray": line.dashed ? "5 3" : undefined,
          }),
        );
        return h("span", { class: "lw-legend-entry" }, icon, line.label);
      }),
      ...(this.slice.note
        ? [h("span", { class: "lw-note", "data-testid": "estimate" }, this.slice.note)]
        : []),
    );
  }

  /** Tell the kernel which slices are wanted, and which of those that are there are not good enough. */
  private askForSlices(): void {
    if (!this.state.alive) return;
    const indices = toAsk(this.asked, this.slice.missing);
    if (indices) {
      this.asked = new Set(indices);
      this.state.send({ type: "slices", indices });
    }
    const doubted = this.slice.doubted;
    if (doubted.length && String(doubted) !== this.doubted) {
      this.doubted = String(doubted);
      this.state.send({ type: "doubted", indices: doubted });
    }
  }

  private drawSliceLayer(reading: { alpha: number } | null = null): void {
    const { figure } = this.slice;
    const { left, top, width, height } = figure.plot;
    const [low] = figure.domain("y");
    const parts: SVGElement[] = [s("rect", { class: "lw-frame", x: left, y: top, width, height })];
    for (const [alpha, text] of [
      [0, "θ*"],
      [1, "sample"],
    ] as const) {
      const [x] = figure.toPixel(alpha, low);
      parts.push(
        s("line", { class: "lw-mark", x1: x, x2: x, y1: top, y2: top + height }),
        s("text", { class: "lw-mark-name", x: x + 4, y: top + 13 }, text),
      );
    }
    parts.push(
      ...this.slice
        .bands()
        .map(({ colour, path }) => s("path", { class: "lw-band", d: path, fill: colour })),
    );
    if (this.slice.legend.length === 0 && this.state.samples.kind.length) {
      parts.push(
        s(
          "text",
          { class: "lw-empty", x: left + width / 2, y: top + height / 2 },
          !this.slice.missing.length
            ? "point at a sample"
            : this.state.alive
              ? "computing…"
              : "not computed, and there is no kernel",
        ),
      );
    }
    if (reading) {
      const [x] = figure.toPixel(reading.alpha, low);
      parts.push(s("line", { class: "lw-reading", x1: x, x2: x, y1: top, y2: top + height }));
    }
    this.sliceLayer.replaceChildren(...parts);
    this.drawn.changed();
  }

  private readSlice(event: PointerEvent): void {
    const box = this.sliceLayer.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const { alpha, values } = this.slice.read(this.slice.figure.toData(x, y)[0]);
    if (!values.length) return;
    this.drawSliceLayer({ alpha });
    const lines = values
      .slice(0, MOST_NAMED)
      .map(
        ({ line, value, error }) =>
          `${line.label}: ${short(value)}${error > 0 ? ` ± ${short(WIDTH * error, 2)}` : ""}`,
      );
    this.sliceTip.show([`α = ${short(alpha)}`, ...lines], x, y, this.sliceHost);
  }

  private endReading(): void {
    this.sliceTip.hide();
    this.drawSliceLayer();
  }
}

/** A lasso; one that takes out is not filled, and another colour. */
const lassoPart = (polygon: readonly Point[], removes: boolean, more = ""): SVGElement =>
  s("polygon", {
    class: `lw-lasso${removes ? " lw-removes" : ""}${more}`,
    points: polygon.join(" "),
  });

function measure(name: string, started: number): void {
  performance.measure(name, { start: started, end: performance.now() });
}

const LEAST = 120; // px that a figure needs for its margins and a little more

/** Until the element is in the page and has a width: figures can be drawn only then. */
async function attached(element: HTMLElement, signal: AbortSignal): Promise<void> {
  while (element.clientWidth < LEAST && !signal.aborted) await new Promise(requestAnimationFrame);
}

export default { render };
