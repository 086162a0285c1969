// Pointer and keyboard over the map, on a layer of our own above the figure: bqplot's selectors
// hide their polygon, and its marks send a message to the kernel for each hover.

import { nearest, nextInDirection, type Point, thin } from "../draw/geometry";
import { type Mode, modeOf } from "../history";

export interface Target {
  pixels: Float32Array;
  toData(x: number, y: number): Point;
  /** Whether it can be turned, and whether the main button does that instead of drawing. */
  solid: boolean;
  turning: boolean;
}

export interface Handlers {
  hover(index: number, at: Point): void;
  leave(): void;
  pick(index: number, mode: Mode): void;
  drag(path: readonly Point[], mode: Mode): void;
  lasso(polygon: Point[], mode: Mode): void;
  clear(): void;
  undo(): void;
  redo(): void;
  /** Turn by angles to the right and downwards; null turns it back. */
  turn(by: Point | null): void;
}

const REACH = 14; // how far from a point, in px, it is still meant
const FINGER = 24; // the same where a finger points
const PER_PIXEL = 0.008; // radians that the map turns
const PER_KEY = Math.PI / 24;
const DRAG = 5; // how far, in px, a press must move to be a lasso

export function listen(
  layer: SVGSVGElement,
  target: Target,
  on: Handlers,
  signal: AbortSignal,
): void {
  const pressed = new Set<number>(); // pointers that are down
  let path: Point[] | null = null;
  let dragging = false;
  let held: Point | null = null; // where the map was last turned to
  let done = false; // whether the press was a gesture, and is no click any more
  let last = -1; // the sample that was pointed at or stepped to last
  /** Where arrows begin; −1 where that sample is no more. */
  const cursor = () => (2 * last < target.pixels.length ? last : -1);

  const at = (event: MouseEvent): Point => {
    const box = layer.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const options = { signal };
  /** Take the focus, without its frame: after a key, browsers would draw it for a script's focus. */
  const focus = () => {
    layer.focus({ preventScroll: true });
    layer.dataset.pointed = "";
  };
  /** Give up what is being drawn or turned. */
  const giveUp = () => {
    path = held = null;
    done = true;
    on.drag([], "replace");
  };

  layer.addEventListener(
    "pointerdown",
    (event) => {
      const turns = target.solid && (event.button !== 0 || target.turning);
      if (!turns && event.button !== 0) return;
      pressed.add(event.pointerId);
      // Two fingers zoom or scroll the page: none of them draws.
      if (pressed.size > 1) return giveUp();
      // A text that is marked would be dragged away in place of the lasso.
      const marked = document.getSelection();
      if (marked && !marked.isCollapsed) marked.removeAllRanges();
      if (turns) event.preventDefault(); // of the middle button, which would scroll
      focus();
      layer.setPointerCapture(event.pointerId);
      done = turns;
      dragging = false;
      if (turns) {
        held = at(event);
        on.leave();
      } else path = [at(event)];
    },
    options,
  );
  // Nor is a text marked by a press here, or by one that began beside it.
  for (const name of ["mousedown", "dragstart", "selectstart"]) {
    layer.addEventListener(name, (event) => event.preventDefault(), options);
  }
  layer.addEventListener(
    "pointermove",
    (event) => {
      const point = at(event);
      if (held) {
        on.turn([PER_PIXEL * (point[0] - held[0]), PER_PIXEL * (point[1] - held[1])]);
        held = point;
        return;
      }
      if (!path) {
        if (pressed.size > 0) return;
        const index = nearest(target.pixels, point[0], point[1], REACH);
        if (index >= 0) last = index;
        on.hover(index, point);
        return;
      }
      path.push(point);
      const [x, y] = path[0]!;
      dragging ||= Math.hypot(point[0] - x, point[1] - y) > DRAG;
      if (dragging) on.drag(path, modeOf(event));
    },
    options,
  );
  layer.addEventListener(
    "pointerup",
    (event) => {
      pressed.delete(event.pointerId);
      held = null;
      if (!path) return;
      const drawn = path;
      path = null;
      if (!dragging) return;
      done = true;
      on.lasso(
        thin(drawn, 2).map(([x, y]) => target.toData(x, y)),
        modeOf(event),
      );
    },
    options,
  );
  // The browser takes a finger that scrolls or zooms; a capture that is lost had its end elsewhere.
  for (const name of ["pointercancel", "lostpointercapture"] as const) {
    layer.addEventListener(
      name,
      (event) => {
        pressed.delete(event.pointerId);
        if (path || held) giveUp();
      },
      options,
    );
  }
  layer.addEventListener(
    "click",
    (event) => {
      // The second click of a double one means what the first did.
      if (done || event.detail > 1) return;
      const [x, y] = at(event);
      const finger = (event as PointerEvent).pointerType === "touch";
      const index = nearest(target.pixels, x, y, finger ? FINGER : REACH);
      if (index >= 0) {
        last = index;
        on.pick(index, modeOf(event));
      } else if (modeOf(event) === "replace") on.clear();
    },
    options,
  );
  layer.addEventListener("contextmenu", (event) => target.solid && stop(event), options);
  layer.addEventListener("pointerleave", () => !path && !held && on.leave(), options);

  const arrows: Record<string, Point> = {
    ArrowRight: [1, 0],
    ArrowLeft: [-1, 0],
    ArrowDown: [0, 1],
    ArrowUp: [0, -1],
  };
  layer.addEventListener(
    "keydown",
    (event) => {
      const arrow = arrows[event.key];
      const command = event.ctrlKey || event.metaKey;
      const key = event.key.toLowerCase();
      if (target.solid && event.shiftKey && arrow) {
        on.turn([PER_KEY * arrow[0], PER_KEY * arrow[1]]);
      } else if (target.solid && event.key === "Home") {
        on.turn(null);
      } else if (arrow) {
        const from = cursor();
        const next = from < 0 ? 0 : nextInDirection(target.pixels, from, arrow[0], arrow[1]);
        last = next >= 0 ? next : from;
        if (cursor() >= 0) on.hover(last, [target.pixels[2 * last]!, target.pixels[2 * last + 1]!]);
      } else if (event.key === "Enter" || event.key === " ") {
        if (cursor() >= 0) on.pick(last, modeOf(event));
      } else if (event.key === "Escape") {
        if (path || held) giveUp();
        else on.clear();
      } else if (command && (key === "y" || (key === "z" && event.shiftKey))) {
        on.redo();
      } else if (command && key === "z") {
        on.undo();
      } else return;
      delete layer.dataset.pointed;
      stop(event);
    },
    options,
  );
  layer.addEventListener(
    "blur",
    () => {
      delete layer.dataset.pointed;
      on.leave();
    },
    options,
  );
}

/** The browser scrolls on the same keys, and has a menu on the same button. */
function stop(event: Event): void {
  event.preventDefault();
  event.stopPropagation();
}
