// What is around the map: the bar on top, and the colours below.

import { count, VIRIDIS } from "../draw/colours";
import { starPath } from "../draw/geometry";
import type { ColourScale } from "../map/map";
import { kindsOfDiamonds, modelsOf, nameOf, trainedName } from "../names";
import type { State } from "../state";
import { h, s } from "../ui/dom";
import type { Choosable, Progress, Samples } from "../wire";

type Chooser = Choosable | "colour-by";

/** What the status says where no work goes on. */
const RESTING = {
  idle: "",
  stopped: "Stopped; what is done is kept",
  done: "Done",
  error: "Failed",
};

export interface BarHandlers {
  choose(what: Chooser, key: string): void;
  start(): void;
  stop(): void;
}

export class Bar {
  private readonly row = h("div", {
    class: "lw-bar",
    role: "toolbar",
    "aria-label": "Landscape",
  });
  /** What the sampler can show, and what not. */
  private readonly purpose = h("p", { class: "lw-purpose", "data-testid": "purpose" });
  readonly element = h("div", {}, this.row, this.purpose);
  /** Goes into a second row as a whole: a status with a row of its own would be lost in it. */
  private readonly end = h("div", { class: "lw-bar-end" });
  private readonly selects = new Map<Chooser, HTMLSelectElement>();
  private readonly start = h(
    "button",
    { class: "lw-button", "data-testid": "start", type: "button" },
    "Start",
  );
  private readonly stop = h(
    "button",
    { class: "lw-button", "data-testid": "stop", type: "button" },
    "Stop",
  );
  private readonly fill = h("div", { class: "lw-progress-fill" });
  private readonly progress = h(
    "div",
    {
      class: "lw-progress",
      role: "progressbar",
      "data-testid": "progress",
      "aria-label": "Progress",
      "aria-valuemin": 0,
      "aria-valuemax": 100,
    },
    this.fill,
  );
  private readonly status = h("span", {
    class: "lw-status",
    "data-testid": "status",
    "aria-live": "off",
    tabindex: -1,
  });

  constructor(
    private readonly state: State,
    on: BarHandlers,
    beside: Partial<Record<Chooser, HTMLElement>>,
  ) {
    for (const [what, label] of [
      ["question", "Ask"],
      ["sampler", "by"],
      ["space", "Distance"],
      ["reducer", "Map"],
      ["dimensions", "in"],
      ["colour-by", "Colour"],
    ] as [Chooser, string][]) {
      const select = h("select", { class: "lw-select", "data-testid": what, "aria-label": label });
      select.addEventListener("change", () => on.choose(what, select.value));
      this.selects.set(what, select);
      const field = h(
        "label",
        { class: "lw-field" },
        h("span", { class: "lw-field-name" }, label),
        select,
      );
      const more = beside[what];
      if (what === "colour-by") this.end.append(field);
      else this.row.append(more ? h("span", { class: "lw-field-group" }, field, more) : field);
    }
    this.start.addEventListener("click", on.start);
    this.stop.addEventListener("click", on.stop);
    this.end.append(
      h("div", { class: "lw-work" }, this.start, this.stop, this.progress, this.status),
    );
    this.row.append(this.end);
  }

  drawChoices(): void {
    for (const what of ["question", "sampler", "space", "reducer", "dimensions"] as const) {
      const select = this.selects.get(what)!;
      options(select, this.state.choices(what), this.state.chosen(what));
      select.disabled = !this.state.alive;
    }
    const [shows, hides] = [this.state.chosen("shows"), this.state.chosen("hides")];
    this.purpose.textContent = this.purpose.title = shows && `Shows ${shows}. Not ${hides}.`;
    const known = Object.keys(this.state.columns);
    const columns = known.length ? known : [this.state.colourBy];
    options(
      this.selects.get("colour-by")!,
      columns.map((key) => ({ key, label: nameOf(key) })),
      this.state.colourBy,
    );
  }

  drawProgress(): void {
    const { alive } = this.state;
    const { state, done, total, message } = this.state.progress;
    const running = alive && state === "running";
    const share = total > 0 ? Math.min(1, done / total) : running ? 0 : 1;
    this.fill.style.width = `${100 * share}%`;
    this.progress.setAttribute("aria-valuenow", String(Math.round(100 * share)));
    this.progress.classList.toggle("lw-idle", !running);
    this.start.textContent = state === "stopped" ? "Go on" : "Start";
    const focused = [this.start, this.stop].find((button) => button === document.activeElement);
    this.start.hidden = running || state === "done" || !alive;
    this.stop.hidden = !running;
    // A focus on what is hidden would be the page's, and the next key the application's.
    if (focused?.hidden)
      (running ? this.stop : this.start.hidden ? this.status : this.start).focus({
        preventScroll: true,
      });
    this.status.dataset.state = alive ? state : "no kernel";
    this.status.textContent = this.status.title = running
      ? describe(this.state.progress)
      : alive
        ? (state === "stopped" && message) || RESTING[state as keyof typeof RESTING]
        : "No kernel";
  }
}

/** What is being done, how far it is, and how long it goes on: till it is done, or till its time is over. */
export function describe({ phase, done, total, seconds_left, at_most }: Progress): string {
  const limited = at_most !== null && (seconds_left === null || at_most < seconds_left);
  const counted =
    done > 0 && total > 1 ? `${at_most === null ? "" : ","} ${count(done)} of ${count(total)}` : "";
  const left = limited
    ? ` · ${time(at_most)} at most`
    : seconds_left === null
      ? ""
      : ` · ${time(seconds_left)} left`;
  return `${phase}${counted}${left}`;
}

const time = (seconds: number): string =>
  seconds < 60 ? `${Math.max(1, Math.round(seconds))} s` : `${Math.round(seconds / 60)} min`;

function options(
  select: HTMLSelectElement,
  choices: { key: string; label: string }[],
  chosen: string,
): void {
  const signature = JSON.stringify(choices);
  if (select.dataset.signature !== signature) {
    select.dataset.signature = signature;
    select.replaceChildren(...choices.map(({ key, label }) => h("option", { value: key }, label)));
  }
  select.value = chosen;
}

/** The colour bar below the map, once there are samples; its ticks show the value, not its logarithm. */
export function drawColourBar(
  host: HTMLElement,
  scale: ColourScale | null,
  counts: Record<string, number>,
  samples: Samples,
  off: ReadonlySet<number>,
  toggle: (index: number) => void,
): void {
  if (!scale || !counts.placed) {
    host.replaceChildren();
    return;
  }
  const stops = VIRIDIS.map((colour, i) => `${colour} ${(100 * i) / (VIRIDIS.length - 1)}%`).join(
    ", ",
  );
  const place = (at: number) => (100 * (at - scale.low)) / (scale.high - scale.low);
  const ticks = scale.ticks
    .filter(({ at }) => place(at) >= -0.5 && place(at) <= 100.5)
    .map(({ at, text }) => h("span", { class: "lw-tick", style: `left:${place(at)}%` }, text));
  const bar = h(
    "div",
    { class: "lw-colourbar", "aria-hidden": "true" },
    h("div", { class: "lw-gradient", style: `background:linear-gradient(to right, ${stops})` }),
    h("div", { class: "lw-ticks" }, ...ticks),
  );
  const entries = [symbol("star", trainedName(samples))];
  for (const kind of kindsOfDiamonds(samples)) entries.push(symbol("minimum", kind));
  for (const [index, name] of modelsOf(samples)) {
    const button = h(
      "button",
      {
        class: "lw-switch",
        type: "button",
        title: "Press to hide or show",
        "aria-pressed": String(!off.has(index)),
        "data-model": index,
      },
      symbol("minimum", name),
    );
    button.addEventListener("click", () => toggle(index));
    entries.push(button);
  }
  if (counts.hollow) entries.push(symbol("hollow", `not finite (${counts.hollow})`));
  if (counts.waiting) entries.push(symbol("waiting", `not evaluated yet (${counts.waiting})`));
  const focused = document.activeElement;
  const model = host.contains(focused) && (focused as HTMLElement).dataset.model;
  host.replaceChildren(
    h("div", { class: "lw-colour-name" }, scale.label),
    bar,
    h("div", { class: "lw-legend" }, ...entries),
  );
  // A focus on what is gone would be the page's, and the next key the application's.
  if (model) host.querySelector<HTMLElement>(`[data-model="${model}"]`)?.focus();
}

function symbol(kind: "star" | "minimum" | "hollow" | "waiting", label: string): HTMLElement {
  const icon = s("svg", {
    class: `lw-symbol lw-symbol-${kind}`,
    viewBox: "-8 -8 16 16",
    "aria-hidden": "true",
  });
  if (kind === "star") icon.append(s("path", { d: starPath(7) }));
  else if (kind === "minimum") icon.append(s("path", { d: "M0,-7L4,0L0,7L-4,0Z" }));
  else icon.append(s("circle", { r: 4 }));
  return h("span", { class: "lw-legend-entry" }, icon, label);
}
