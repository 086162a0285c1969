// Who draws the map and the slice: bqplot where there is a manager of widgets, else the page itself.

import type { Model } from "../wire";
import { Figure } from "./bqplot";
import { BqplotLines } from "./bqplot_lines";
import { BqplotScatter } from "./bqplot_scatter";
import type { Lines } from "./lines";
import { MAP_MARGIN, OwnPlot, type Plot, SLICE_MARGIN } from "./plot";
import type { Scatter } from "./scatter";
import { SvgLines } from "./svg_lines";

/** The values of α that a slice shows. */
const ALPHAS: [number, number] = [-0.5, 1.5];

export interface MapPlot {
  plot: Plot;
  /** Draws few samples, by an element each; null where only a canvas can draw. */
  marks: Scatter | null;
  /** Null where the page draws itself. */
  figure: Figure | null;
}

export async function mapPlot(
  model: Model,
  host: HTMLElement,
  signal: AbortSignal,
): Promise<MapPlot> {
  const figure = await shown(model, "_map", host, signal);
  if (!figure) return { plot: new OwnPlot(host, MAP_MARGIN), marks: null, figure };
  return { plot: figure, marks: new BqplotScatter(figure), figure };
}

export async function slicePlot(
  model: Model,
  host: HTMLElement,
  signal: AbortSignal,
): Promise<{ plot: Plot; lines: Lines }> {
  const figure = await shown(model, "_slice", host, signal);
  if (figure) return { plot: figure, lines: new BqplotLines(figure) };
  const plot = new OwnPlot(host, SLICE_MARGIN);
  plot.setDomain("x", ALPHAS);
  return { plot, lines: new SvgLines(plot, signal) };
}

/** A view of Python's figure, where there is somebody to make one. */
async function shown(
  model: Model,
  name: string,
  host: HTMLElement,
  signal: AbortSignal,
): Promise<Figure | null> {
  const { widget_manager: manager } = model;
  return manager ? Figure.show(manager, model.get(name) as string, host, signal) : null;
}
