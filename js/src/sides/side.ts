// What is shown beside the map, one tab each. A new side is a file with one of these, and a line in
// index.ts.

import type { State } from "../state";
import type { Follow } from "../ui/effects";
import type { Model } from "../wire";

/** What a side is made from. */
export interface Context {
  readonly model: Model;
  readonly state: State;
  readonly follow: Follow;
  /** Ends with the view. */
  readonly signal: AbortSignal;
  /** Whether the side of this key is on the screen. */
  isShown(key: string): boolean;
  /** Between which heights the map's colours of the loss go, whatever they show now. */
  lossRange(): readonly [number, number];
}

/** All but `begin` and `element` may read signals, and are asked again once those are others. */
export interface Side {
  readonly key: string;
  /** What its tab says, and for tests its data-testid. */
  readonly label: string;
  readonly testId: string;
  /** Whether it stands beside the others, without a tab, on a page that has the room. */
  readonly standsBeside?: boolean;
  /** Fills the room beside the map. */
  readonly element: HTMLElement;
  /** Whether there is anything to show; its tab cannot be chosen else. */
  readonly isPossible: boolean;
  /** What its tab says on pointing at it: what the side shows, or what it takes to show it. */
  readonly hint: string;
  readonly title: string;
  /** What stands below it. */
  readonly legend: HTMLElement[];
  /** Whether nothing is on its way to the screen. */
  readonly isStill: boolean;
  /** For those who wait for it, as JSON has it; see ui/drawn.ts. */
  readonly shown: Record<string, unknown>;
  /** Draw, and ask the kernel for what that takes: the page has been laid out. */
  begin(): Promise<void>;
}

export type MakeSide = (context: Context) => Side;
