// Pointer and keyboard over the map, on a layer of our own above the figure: bqplot's selectors
// hide their polygon, and its marks send a message to the kernel for each hover.

import { nearest, nextInDirection, thin, type Point } from "./geometry";
import { modeOf, type Mode } from "./selection";

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
  drag(path: readonly Point[]): void;
  lasso(polygon: Point[], mode: Mode): void;
  clear(): void;
  undo(): void;
  /** Turn by angles to the right and downwards; null turns it back. */
  turn(by: Point | null): void;
}

const REACH = 14; // how far from a point, in px, it is still meant
const PER_PIXEL = 0.008; // radians that the map turns
const PER_KEY = Math.PI / 24;
const DRAG = 5; // how far, in px, a press must move to be a lasso

export function listen(layer: SVGSVGElement, target: Target, on: Handlers, signal: AbortSignal): void {
  let path: Point[] | null = null;
  let dragging = false;
  let held: Point | null = null; // where the map was last turned to
  let cursor = -1;

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

  layer.addEventListener(
    "pointerdown",
    (event) => {
      if (target.solid && (event.button !== 0 || target.turning)) {
        event.preventDefault(); // of the middle button, which would scroll
        focus();
        layer.setPointerCapture(event.pointerId);
        held = at(event);
        on.leave();
        return;
      }
      if (event.button !== 0) return;
      focus();
      layer.setPointerCapture(event.pointerId);
      path = [at(event)];
      dragging = false;
    },
    options,
  );
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
        const index = nearest(target.pixels, point[0], point[1], REACH);
        if (index >= 0) cursor = index;
        on.hover(index, point);
        return;
      }
      path.push(point);
      const [x, y] = path[0]!;
      dragging ||= Math.hypot(point[0] - x, point[1] - y) > DRAG;
      if (dragging) on.drag(path);
    },
    options,
  );
  layer.addEventListener(
    "pointerup",
    (event) => {
      held = null;
      if (!path) return;
      const drawn = path;
      path = null;
      if (dragging) {
        on.lasso(
          thin(drawn, 2).map(([x, y]) => target.toData(x, y)),
          modeOf(event),
        );
        return;
      }
      const [x, y] = at(event);
      const index = nearest(target.pixels, x, y, REACH);
      if (index >= 0) on.pick(index, modeOf(event));
      else if (modeOf(event) === "replace") on.clear();
    },
    options,
  );
  layer.addEventListener(
    "pointercancel",
    () => {
      path = held = null;
      on.drag([]);
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
      if (target.solid && event.shiftKey && arrow) {
        on.turn([PER_KEY * arrow[0], PER_KEY * arrow[1]]);
      } else if (target.solid && event.key === "Home") {
        on.turn(null);
      } else if (arrow) {
        const from = cursor >= 0 && cursor * 2 < target.pixels.length ? cursor : 0;
        const next = cursor < 0 ? 0 : nextInDirection(target.pixels, from, arrow[0], arrow[1]);
        cursor = next >= 0 ? next : from;
        on.hover(cursor, [target.pixels[2 * cursor]!, target.pixels[2 * cursor + 1]!]);
      } else if (event.key === "Enter" || event.key === " ") {
        if (cursor >= 0) on.pick(cursor, modeOf(event));
      } else if (event.key === "Escape") {
        if (path) {
          path = null;
          on.drag([]);
        } else on.clear();
      } else if (event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey)) {
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

/** JupyterLab has shortcuts on the same keys, and a menu on the same button. */
function stop(event: Event): void {
  event.preventDefault();
  event.stopPropagation();
}
