// The front end of LandscapeWidget, as an anywidget module: what the kernel sends is decoded in
// wire.ts, held as signals in state.ts, and drawn by views that follow what they read.
//
// For tests, parts carry data-testid: sampler, space, reducer, dimensions, colour-by, start, stop,
// progress, status (with data-state), map, turn, slice-tab, slice, quantity, estimate, plane-toggle
// (the plane's tab), plane, plane-error, plane-status, plane-stop, trust, selection, refine,
// sampler-settings, reducer-settings, settings, apply, defaults, notice, compare-with, compared,
// null, penalty, penalty-l1 (and -l2), penalty-tensors, penalty-trained, penalty-told, film, play,
// step-back, step-on, frames, objective, caption-more, error. The root has data-ready once the
// figures are drawn, and then tells by data-drawn what is on the screen; see ui/drawn.ts. Redraws
// are measured as performance measures "landscape:hover", "landscape:lasso" and
// "landscape:penalty", for those who observe them.

import { signal, untracked } from "@preact/signals-core";

import { mapPlot } from "./draw/figures";
import { Kernel } from "./kernel";
import { listen } from "./map/gestures";
import { Hand } from "./map/hand";
import { MapView } from "./map/map";
import { overlay } from "./map/overlay";
import { Replay } from "./map/replay";
import { TerrainLayer } from "./map/terrain";
import { TurnButton } from "./map/turning";
import { Page } from "./page";
import { Bar, drawColourBar } from "./panels/bar";
import { Caption } from "./panels/caption";
import { PenaltyPanel } from "./panels/penalty";
import { SelectionPanel } from "./panels/selection";
import { Settings } from "./panels/settings";
import { TrustPanel } from "./panels/trust";
import { SIDES } from "./sides";
import { NullView } from "./sides/comparison";
import type { Side } from "./sides/side";
import { Tabs } from "./sides/tabs";
import { State } from "./state";
import { keepKeys } from "./ui/dom";
import { Drawn, type Shown } from "./ui/drawn";
import { type Follow, follower } from "./ui/effects";
import type { Model } from "./wire";

const GLIDE = 700; // ms in which points move to their final places
const MOST_TOLD = 1000; // samples that are told by their numbers on the root

interface RenderProps {
  model: Model;
  el: HTMLElement;
  signal?: AbortSignal;
}

function render({ model, el, signal: given }: RenderProps): () => void {
  const controller = new AbortController();
  given?.addEventListener("abort", () => controller.abort());
  new LandscapeView(model, el, controller.signal).show().catch((error: unknown) => {
    if (!controller.signal.aborted) console.error("[landscape-widgets]", error);
  });
  return () => controller.abort();
}

class LandscapeView {
  private readonly state: State;
  private readonly follow: Follow;
  private readonly kernel: Kernel;
  private readonly bar: Bar;
  private readonly settings: Settings;
  private readonly replay: Replay;
  private readonly turn = new TurnButton();
  private readonly terrain: TerrainLayer;
  private readonly sides: readonly Side[];
  private readonly tabs: Tabs;
  private readonly page: Page;
  private readonly drawn: Drawn;
  /** Of the map, in px, when its figure was laid out last; other parts may follow the page before. */
  private width = 0;
  /** Null until the page is laid out. */
  private readonly map = signal<MapView | null>(null);

  constructor(
    private readonly model: Model,
    el: HTMLElement,
    private readonly until: AbortSignal,
  ) {
    const state = new State(model, until);
    this.state = state;
    this.follow = follower(() => this.drawn.changed(), until);
    this.kernel = new Kernel(
      model,
      () => {
        state.alive = this.kernel.alive;
      },
      until,
    );
    this.settings = new Settings(state, (what, values) =>
      state.send({ type: "set", what, values }),
    );
    this.bar = new Bar(
      state,
      {
        choose: (what, key) =>
          what === "colour-by"
            ? state.set({ colour_by: key })
            : state.send({ type: "choose", what, key }),
        start: () => state.send({ type: "start" }),
        stop: () => state.send({ type: "stop" }),
      },
      this.settings.toggles,
    );
    const trust = new TrustPanel(
      state,
      (kind) => state.set({ compare_with: kind }),
      (what, key) => state.send({ type: "choose", what, key }),
    );
    const selection = new SelectionPanel(state, () => state.send({ type: "refine" }));
    const caption = new Caption(until);
    const penalty = new PenaltyPanel(state);
    this.replay = new Replay(until);
    this.terrain = new TerrainLayer(state, this.replay);
    this.sides = SIDES.map((make) =>
      make({
        model,
        state,
        follow: this.follow,
        signal: until,
        isShown: (key) => this.tabs.isShown(key),
        lossRange: () => this.map.value?.lossRange() ?? [0, 1],
      }),
    );
    this.tabs = new Tabs(this.sides, state, until);
    const beside = new NullView(until);
    this.page = new Page({
      bar: this.bar.element,
      settings: this.settings.element,
      turn: this.turn.element,
      terrain: this.terrain.button,
      replay: this.replay.element,
      penalty: penalty.element,
      sides: this.tabs.element,
      besideSides: this.tabs.beside,
      beside: beside.element,
      trust: trust.element,
      selection: selection.element,
      caption: caption.element,
    });
    const { root } = this.page;
    this.tabs.watch(root);
    this.drawn = new Drawn(
      root,
      () =>
        (this.map.peek()?.still ?? false) &&
        this.sides.every((side) => side.isStill) &&
        beside.still,
      () => this.shown,
      until,
    );
    keepKeys(root, until);
    el.replaceChildren(root);
    const { follow } = this;
    this.page.begin(state, follow);
    follow(() => this.bar.drawChoices());
    follow(() => this.bar.drawProgress());
    follow(() => this.settings.draw());
    follow(() => trust.draw());
    follow(() => selection.draw());
    penalty.begin(follow);
    follow(() => caption.draw(state.info));
    follow(() => this.loadFrames());
    follow(() => beside.draw(state, this.scale));
    this.tabs.begin(follow);
  }

  /** What is drawn, for those who wait until it is on the screen. */
  private get shown(): Shown {
    const { frame, colourBy, selected, alive, hovered } = this.state;
    return {
      frame,
      film: this.replay.frame,
      colour: colourBy,
      quantity: this.state.quantity.name,
      selected: selected.length > MOST_TOLD ? selected.length : selected,
      kernel: alive,
      penalty: this.state.penalty,
      hovered,
      width: this.width,
      ...Object.assign({}, ...this.sides.map((side) => side.shown)),
    };
  }

  /** The scale of the map's colours. */
  private get scale() {
    const map = this.map.value;
    map?.followDrawing();
    return map?.scale ?? null;
  }

  async show(): Promise<void> {
    const { model, state, page, until, follow } = this;
    await attached(page.map, until);
    const [{ plot, marks, figure }] = await Promise.all([
      mapPlot(model, page.map, until),
      ...this.sides.map((side) => side.begin()),
    ]);
    if (until.aborted) return;
    if (figure) this.kernel.follow(figure.original, until);
    const map = new MapView(plot, marks, state, until);
    this.map.value = map;
    this.drawMap(map);
    this.terrain.begin(follow, map);
    const hand = new Hand(state, map, this.replay, page.layer, page.tip);
    hand.begin(follow);
    follow(() => {
      page.layer.replaceChildren(...overlay(map, state, this.replay, hand.drawing));
      this.turn.element.hidden = !map.solid;
    });
    const { turn } = this;
    listen(
      page.layer,
      {
        get pixels() {
          return map.pixels;
        },
        toData: (x, y) => map.plot.toData(x, y),
        get solid() {
          return map.solid;
        },
        get turning() {
          return turn.on;
        },
      },
      hand,
      until,
    );
    this.width = page.map.clientWidth;
    plot.onLayout(() => {
      this.width = page.map.clientWidth;
      map.relayout();
    }, until);
    this.answer();
    this.announce();
    page.root.dataset.ready = "true";
    this.drawn.begin();
  }

  private drawMap(map: MapView): void {
    const { state, page, follow } = this;
    let last = state.frame;
    follow(() => {
      const { frame, glides } = state;
      map.frame = this.replay.shown;
      map.draw(frame !== last && glides ? GLIDE : 0);
      last = frame;
    });
    follow(() => map.emphasise());
    follow(() => {
      map.followDrawing();
      drawColourBar(page.colours, map.scale, map.counts, state.samples, state.off, (index) =>
        state.toggle(index),
      );
    });
  }

  private loadFrames(): void {
    const { trace, frames } = this.state;
    untracked(() => {
      if (trace.live) this.replay.follow(trace);
      else this.replay.load(frames, trace);
    });
  }

  /** Tell the kernel that what it sent is on the screen: it sends no more frames before that. */
  private answer(): void {
    const { state, until } = this;
    this.follow(() => {
      const { frame } = state;
      requestAnimationFrame(() =>
        requestAnimationFrame(() => {
          if (!until.aborted) state.send({ type: "drawn", frame });
        }),
      );
    });
    state.on(
      "msg:custom",
      (content) => {
        if (content.type !== "answer") return;
        this.settings.answer(content.what, content.errors);
        this.bar.drawChoices(); // what was refused is not chosen
      },
      until,
    );
  }

  /** Tell the kernel that it is looked at, and when that is over: else it need not go on. */
  private announce(): void {
    const { state, until } = this;
    const view = `${Date.now()}-${Math.random()}`;
    const tell = (open: boolean) => state.send({ type: "view", view, open });
    // One that comes back may have missed the view.
    this.follow(() => state.alive && tell(true));
    until.addEventListener("abort", () => tell(false));
    // A page that is closed ends no view; one that the browser keeps may be shown again.
    window.addEventListener("pagehide", () => tell(false), { signal: until });
    window.addEventListener("pageshow", (event) => event.persisted && tell(true), {
      signal: until,
    });
    state.on("msg:custom", (content) => content.type === "who is there" && tell(true), until);
    state.send({ type: "snapshot" });
  }
}

const LEAST = 120; // px that a figure needs for its margins and a little more

/** Until the element is in the page and has a width: figures can be drawn only then. */
async function attached(element: HTMLElement, until: AbortSignal): Promise<void> {
  while (element.clientWidth < LEAST && !until.aborted) await new Promise(requestAnimationFrame);
}

export default { render };
