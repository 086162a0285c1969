"""The two bqplot figures. Python makes them; the browser fills them from the synced buffers."""

from __future__ import annotations

from typing import Any

import bqplot
import ipywidgets
import numpy as np

# Viridis: perceptually uniform, and kind to the colour-blind.
VIRIDIS = [
    "#440154", "#482475", "#414487", "#355f8d", "#2a788e", "#21918c",
    "#22a884", "#44bf70", "#7ad151", "#bddf26", "#fde725",
]  # fmt: skip
NOTHING = np.zeros(0, dtype=np.float32)


def _figure(marks: list[Any], axes: list[Any], margin: dict[str, int]) -> bqplot.Figure:
    return bqplot.Figure(
        marks=marks,
        axes=axes,
        fig_margin=margin,
        padding_x=0,
        padding_y=0,
        # The figure fills its place; the browser keeps a unit as long on both axes of the map.
        min_aspect_ratio=0.01,
        max_aspect_ratio=100,
        animation_duration=0,
        display_toolbar=False,
        background_style={"fill": "transparent"},
        layout=ipywidgets.Layout(width="100%", height="100%", min_width="0", min_height="0"),
    )


def _plane(x: tuple[float, float], y: tuple[float, float]) -> dict[str, Any]:
    """Two scales that show just this, without the room that bqplot leaves for large marks."""
    return {
        "x": bqplot.LinearScale(min=x[0], max=x[1], allow_padding=False),
        "y": bqplot.LinearScale(min=y[0], max=y[1], allow_padding=False),
    }


def map_figure() -> bqplot.Figure:
    """The map: paths, samples in four states, and θ*, in this order.

    The last is a dot: bqplot has no star, the browser draws one over it.
    """
    scales = _plane((-1.0, 1.0), (-1.0, 1.0))
    # Nearer samples of a map in three dimensions are larger; 1 is the usual area.
    sized = {**scales, "size": bqplot.LinearScale(min=0.0, max=1.0, allow_padding=False)}
    coloured = {**sized, "color": bqplot.ColorScale(colors=VIRIDIS, min=0.0, max=1.0)}

    def scatter(mark_scales: dict[str, Any], **look: Any) -> bqplot.Scatter:
        x = {"x": NOTHING, "y": NOTHING, "scales": mark_scales, "interactions": {}}
        return bqplot.Scatter(**x, **look)

    paths = bqplot.Lines(
        x=NOTHING, y=NOTHING, scales=scales, colors=["#888888"], stroke_width=0.8, opacities=[0.5]
    )
    waiting = scatter(sized, fill=False, colors=["#999999"], stroke_width=1.0, default_size=28)
    points = scatter(
        coloured, color=NOTHING, stroke="rgba(150,150,150,0.6)", stroke_width=0.7, default_size=42
    )
    hollow = scatter(sized, fill=False, colors=["#c62828"], stroke_width=1.5, default_size=36)
    minima = scatter(
        coloured,
        color=NOTHING,
        marker="diamond",
        stroke="#e0218a",
        stroke_width=2.0,
        default_size=130,
        names=[],
        display_names=True,
    )
    star = scatter(
        scales,
        marker="circle",
        colors=["#e0218a"],
        default_size=40,
    )
    margin = {"top": 6, "bottom": 22, "left": 22, "right": 6}
    return _figure([paths, waiting, points, hollow, minima, star], [], margin)


def slice_figure() -> bqplot.Figure:
    """The slice: quartile band, faint lines, training, validation, median, in this order.

    Losses are drawn as log10; the browser labels the ticks with the loss itself.
    """
    scales = _plane((-0.5, 1.5), (-4.0, 1.0))

    def lines(**look: Any) -> bqplot.Lines:
        return bqplot.Lines(x=NOTHING, y=NOTHING, scales=scales, interactions={}, **look)

    band = lines(
        fill="between",
        fill_colors=["#0072b2"],
        fill_opacities=[0.18],
        colors=["#0072b2"],
        opacities=[0.0, 0.0],
    )
    # To be seen on black as on white, and the median among them.
    faint = lines(colors=["#56b4e9"], opacities=[0.26], stroke_width=1.0)
    train = lines(stroke_width=2.4)
    val = lines(stroke_width=2.0, line_style="dashed")
    median = lines(colors=["#1b87cf"], stroke_width=3.0)
    x_axis = bqplot.Axis(
        scale=scales["x"],
        label="α, from the trained weights (0) to the sample (1)",
        tick_values=np.array([-0.5, 0.0, 0.5, 1.0, 1.5]),
        tick_labels={"-0.5": "−0.5", "0": "0", "0.5": "0.5", "1": "1", "1.5": "1.5"},
        grid_lines="none",
        label_offset="32px",
    )
    y_axis = bqplot.Axis(
        scale=scales["y"],
        orientation="vertical",
        label="loss",
        tick_values=np.array([-4.0, -2.0, 0.0]),
        tick_labels={"-4": "1e−4", "-2": "0.01", "0": "1"},
        grid_lines="none",
        label_offset="50px",
    )
    margin = {"top": 6, "bottom": 46, "left": 64, "right": 12}
    return _figure([band, faint, train, val, median], [x_axis, y_axis], margin)
