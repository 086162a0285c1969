// What a side asks of the kernel: asked while it is looked at, told how far it is, and kept.

import { computed, type ReadonlySignal, untracked } from "@preact/signals-core";

import { count } from "../draw/colours";
import type { State } from "../state";
import { h } from "../ui/dom";
import type { Follow } from "../ui/effects";
import type { Asked } from "../wire";

/** What the kernel calls what it counts, and what it does before anything is there. */
export interface Words {
  counted: string;
  first: string;
}

/**
 * Questions of one name, of which the latest counts.
 *
 * `of` says what is wanted, null while nobody looks; `decode` makes of an answer what is drawn.
 */
export class Question<Data> {
  private readonly decoded = computed(() => {
    const raw = this.state.answer(this.name);
    return raw && { key: JSON.stringify(raw.of), data: this.decode(raw) };
  });
  /** What the kernel was asked for; null while it is not. */
  private wish: string | null = null;

  constructor(
    private readonly state: State,
    readonly name: string,
    private readonly decode: (raw: Record<string, unknown>) => Data,
    private readonly words: Words = { counted: "evaluations", first: "evaluating" },
  ) {}

  /** What is known of this, whole or not. */
  data(of: unknown): Data | null {
    const known = this.decoded.value;
    return known && known.key === JSON.stringify(of) ? known.data : null;
  }

  /** How far the answer is. */
  work(of: unknown): Asked | null {
    const work = this.state.asked(this.name);
    return work && JSON.stringify(work.of) === JSON.stringify(of) ? work : null;
  }

  /** Ask while something is wanted, and anew once that is another. */
  begin(follow: Follow, wanted: ReadonlySignal<unknown>): void {
    follow(() => {
      const of = wanted.value;
      const wish = of === null ? null : JSON.stringify(of);
      if (wish === this.wish) return;
      this.wish = wish;
      if (of === null) this.stop();
      else if (untracked(() => !this.data(of) || this.work(of)?.state !== "done"))
        this.state.send({ type: "ask", name: this.name, of });
    });
  }

  stop(): void {
    this.state.send({ type: "no answer", name: this.name });
  }

  isWorking(of: unknown): boolean {
    const state = this.work(of)?.state;
    return this.state.alive && (state === "running" || state === "waiting");
  }

  hasFailed(of: unknown): boolean {
    return this.work(of)?.state === "error";
  }

  /** How far it is, and what stops it, for the legend; tests find them by the question's name. */
  status(of: unknown): HTMLElement[] {
    const text = this.told(of);
    const parts: HTMLElement[] = [];
    if (text)
      parts.push(h("span", { class: "lw-note", "data-testid": `${this.name}-status` }, text));
    if (this.isWorking(of)) {
      const stop = h(
        "button",
        { class: "lw-button lw-small", type: "button", "data-testid": `${this.name}-stop` },
        "Stop",
      );
      stop.addEventListener("click", () => this.stop());
      parts.push(stop);
    }
    return parts;
  }

  private told(of: unknown): string {
    const work = this.work(of);
    if (!work) return "";
    if (!this.state.alive && work.state !== "done" && work.state !== "error")
      return "left unfinished when the kernel ended";
    const { counted, first } = this.words;
    const so = work.total ? `: ${count(work.done)} of ${count(work.total)} ${counted}` : "…";
    return {
      waiting: "waiting for the work that is running",
      running: `${this.data(of) ? "refining" : first}${so}`,
      stopped: "stopped before it was as good as it should be",
      error: work.message,
      done: "",
    }[work.state];
  }
}
