"""LandscapeWidget: the loss landscape of a model, in a cell."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
import traitlets
from ipywidgets import widget_serialization
from torch import nn

from landscape_widgets.landscape.landscape import Landscape
from landscape_widgets.objective.options import Options, with_options
from landscape_widgets.samplers.base import Sampler
from landscape_widgets.samplers.models import with_others
from landscape_widgets.task.sources import replayable
from landscape_widgets.tracebacks import entries, entry
from landscape_widgets.widget.channel import Channel
from landscape_widgets.widget.comparison import KINDS, NOTHING
from landscape_widgets.widget.controls import setting
from landscape_widgets.widget.figures import map_figure, slice_figure
from landscape_widgets.widget.lifetime import RetiringWidget
from landscape_widgets.widget.messages import Messages
from landscape_widgets.widget.preparation import Preparation
from landscape_widgets.widget.session import Session
from landscape_widgets.widget.sides.norms import TENSORS
from landscape_widgets.widget.traits import Name, Selection, Strength


def _front_end(name: str) -> str | Path:
    """A file of the built front end; where anywidget reloads what changes, its path.

    Not always: a path has a thread that watches it, and that keeps widgets which are closed.
    """
    file = files("landscape_widgets") / "static" / name
    return Path(str(file)) if os.environ.get("ANYWIDGET_HMR") == "1" else file.read_text("utf-8")


def _count(widget: LandscapeWidget) -> int:
    return widget.session.n_samples


def _columns(widget: LandscapeWidget) -> list[str]:
    norms = ("l1", "l2") if "norms" in widget._answers else ()
    parted = ("basin",) if "basins" in widget._answers else ()
    return ["loss", *widget._columns, *norms, *parted]


def _quantities(widget: LandscapeWidget) -> list[str]:
    shown = widget._info.get("quantities", [])
    return ["loss", *(known["name"] for known in shown if known["name"] != "loss")]


def _tensors(widget: LandscapeWidget) -> tuple[str, ...]:
    return TENSORS


def _nulls(widget: LandscapeWidget) -> tuple[str, ...]:
    return KINDS


@entries
class LandscapeWidget(RetiringWidget):
    """Sample the loss around a trained model, and look at it: a map beside a slice.

    >>> w = LandscapeWidget(model, (X, y), val_data=(Xv, yv))  # doctest: +SKIP

    Work starts by itself, on a thread of its own: the cell returns at once, also where data take
    long to read; whatever asks for the `landscape` waits for them. Point at a sample of the map to
    see the loss on the way to it, click or draw a lasso to select.

    Parameters
    ----------
    model : torch.nn.Module
        Or several by their names, {"no decay": a, "decay": b}: the first is a module, the others of
        the same architecture, also as state dicts or files. They are shown on one map.
    data, val_data
        (inputs, targets), a Dataset, a DataLoader, or a list of batches.
    loss, metrics, client, tolerance, weight_decay, device, seed, max_examples, batchnorm,
    probe_examples, strategy, precision, batch_size, batch_axis
        As for `Landscape`.
    sampler, reducer, space
        What is sampled, how it is laid out, and what distances mean; `Minima()`, `TSNE()` and the
        sampler's own space by default.
    start : bool
        Whether to start at once.
    n_components : {2, 3}
        Dimensions of the map. One of three is turned in the browser.

    Attributes
    ----------
    selected : tuple of int
        Numbers of the selected samples. Set it, and the view follows; observe it.
    colour_by : str
        The column that colours stand for.
    quantity : str
        What slice and plane show: "loss", "val_loss", or a metric. Metrics are taken along slices
        once one is chosen.
    l1, l2 : float
        The strengths of the penalty that is shown with the training loss, l1·‖θ‖₁ + l2·‖θ‖₂²; no
        loss is evaluated for it. `landscape.penalised` has the numbers.
    tensors : {"weights", "all"}
        Which tensors it counts: by default no biases and no normalisation.
    sampler, reducer, space, standardise, n_components
        Set one, and what follows is done again: samples for a new sampler, else only the map.
    compare_with : {"nothing", "shuffled", "isotropic", "walk"}
        A null whose map is laid beside this one: a picture of samples without structure.
    landscape : Landscape
        What is behind the widget, for scripts.

    Raises
    ------
    TypeError, ValueError
        For a bad model, data, loss, keyword or combination: before any work starts. While data are
        still being read after a second, the cell returns; what is wrong then is shown in the
        widget, and raised by `wait` and `landscape`.
    """

    elsewhere = "LandscapeWidget: it needs a running kernel. Run this cell in Jupyter to see it."
    _esm = _front_end("widget.js")
    _css = _front_end("widget.css")

    selected: Any = Selection(_count).tag(sync=True)
    colour_by: Any = Name("loss", _columns, "There is no column {!r}.").tag(sync=True)
    quantity: Any = Name("loss", _quantities, "There is no quantity {!r}.").tag(sync=True)
    l1: Any = Strength("l1").tag(sync=True)
    l2: Any = Strength("l2").tag(sync=True)
    tensors: Any = Name("weights", _tensors, "There are no tensors {!r}.").tag(sync=True)
    compare_with: Any = Name(NOTHING, _nulls, "There is no null {!r}.").tag(sync=True)

    # What the browser draws from: `channel` sets it, js/src reads it.
    _map: Any = traitlets.Any().tag(sync=True, **widget_serialization)
    _slice: Any = traitlets.Any().tag(sync=True, **widget_serialization)
    _points: Any = traitlets.Bytes().tag(sync=True)
    _columns: Any = traitlets.Dict().tag(sync=True)
    _evaluated: Any = traitlets.Bytes().tag(sync=True)
    _samples: Any = traitlets.Dict().tag(sync=True)
    _frame: Any = traitlets.Int(0).tag(sync=True)
    _glide: Any = traitlets.Bool(False).tag(sync=True)
    _alphas: Any = traitlets.List().tag(sync=True)
    _profiles: Any = traitlets.Dict().tag(sync=True)
    _estimates: Any = traitlets.Dict().tag(sync=True)
    _answers: Any = traitlets.Dict().tag(sync=True)
    _asked: Any = traitlets.Dict().tag(sync=True)
    _progress: Any = traitlets.Dict().tag(sync=True)
    _trust: Any = traitlets.Dict().tag(sync=True)
    _terrain: Any = traitlets.Dict().tag(sync=True)
    _info: Any = traitlets.Dict().tag(sync=True)
    _frames: Any = traitlets.Bytes().tag(sync=True)
    _trace: Any = traitlets.Dict().tag(sync=True)
    _lassos: Any = traitlets.List().tag(sync=True)
    _null: Any = traitlets.Dict().tag(sync=True)
    _choices: Any = traitlets.Dict().tag(sync=True)
    _chosen: Any = traitlets.Dict().tag(sync=True)
    _settings: Any = traitlets.Dict().tag(sync=True)

    @with_options
    def __init__(
        self,
        model: nn.Module | Mapping[str, Any],
        data: Any,
        val_data: Any = None,
        loss: Callable[..., Any] | None = None,
        sampler: Sampler | str | None = None,
        reducer: Any = None,
        space: str | None = None,
        metrics: Sequence[Any] | Mapping[str, Any] | None = None,
        *,
        client: Any = None,
        tolerance: float | None = None,
        weight_decay: float | None = None,
        start: bool = True,
        n_components: int = 2,
        **options: Any,
    ) -> None:
        Options.of(options, LandscapeWidget.__init__, "LandscapeWidget")  # before anything is read
        keywords = {"loss": loss, "metrics": metrics, "client": client, "tolerance": tolerance}
        keywords |= {"weight_decay": weight_decay, "val_data": replayable(val_data), **options}
        build = partial(Landscape, model, replayable(data), **keywords)
        if sampler is None:
            _, sampler = with_others(model)
        chosen = {"sampler": sampler, "reducer": reducer}
        self._begin(Preparation(build), start, space=space, n_components=n_components, **chosen)

    @classmethod
    def from_landscape(cls, landscape: Landscape) -> LandscapeWidget:
        """Show a landscape that is there already, from a script or a file."""
        widget = cls.__new__(cls)
        chosen = {name: getattr(landscape, name) for name in ("sampler", "reducer", "space")}
        n_components = landscape.coordinates.shape[1]
        widget._begin(Preparation(landscape), True, n_components=n_components, **chosen)
        return widget

    def _begin(self, preparation: Preparation, start: bool, **chosen: Any) -> None:
        session = Session(preparation, Channel(self._put, self.send), **chosen)
        session.open()
        self.session = session
        self._messages = Messages(session, lambda: self.refine(), self.retire_unless_seen)
        super().__init__(_map=map_figure(), _slice=slice_figure(), **session.channel.nothing_yet())
        session.begin(start)
        self.on_msg(self._receive)

    # The user's hand on it, from Python

    @entry
    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)

    @property
    def landscape(self) -> Landscape:
        """The headless `Landscape` behind the widget; waits while its data are read."""
        return self.session.land

    @property
    def selection(self) -> pd.DataFrame:
        """The selected samples: a row each, as in `Landscape.to_frame`."""
        frame = self.landscape.to_frame()
        return frame.loc[[i for i in self.selected if i in frame.index]]

    sampler = setting("sampler", "What is sampled; set it or its name, and samples are drawn anew.")
    reducer = setting("reducer", "How samples are laid out; set it or its name for another map.")
    space = setting("space", 'What distances mean, "weights" or "outputs"; set it for another map.')
    standardise = setting(
        "standardise", "Whether each parameter, or output, counts in its own standard deviation."
    )
    n_components = setting("n_components", "Dimensions of the map, 2 or 3; set it for another map.")

    def model_at(self, index: int) -> nn.Module:
        """A new model with the weights of a sample; yours stays as it is."""
        return self.landscape.model_at(index)

    def start(self) -> None:
        """Start, or go on with what was stopped."""
        self.session.start()

    def refine(self, n: int = 100) -> None:
        """Sample more around the selected samples, and place them on the map as it is.

        Parameters
        ----------
        n : int
            How many new samples.

        Raises
        ------
        ValueError
            If nothing is selected, or there is no map yet.
        """
        self.session.refine(list(self.selected), n)

    def stop(self) -> None:
        """Stop the work, and keep what is done."""
        self.session.stop()

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the running work is done.

        Raises
        ------
        TimeoutError
            If it takes longer than `timeout` seconds.
        Exception
            Whatever went wrong in the work.
        """
        self.session.wait(timeout)

    async def done(self) -> None:
        """`wait`, for a cell that lets others run meanwhile: ``await w.done()``."""
        await self.session.done()

    def close(self) -> None:
        """End the work and let go of the landscape and all figures."""
        if not hasattr(self, "session"):
            return  # refused by the constructor: there is nothing to close yet
        self.session.close()
        self.on_msg(self._receive, remove=True)
        self._close_models()
        self.session.let_go()

    @property
    def _is_awaited(self) -> bool:
        return self.session.is_awaited

    def _pause(self) -> None:
        self.session.pause()

    def _come_back(self) -> bool:
        if self.session.preparation.is_closed:
            return False
        self._map, self._slice = map_figure(), slice_figure()
        self.session.come_back()
        return True

    def _close_models(self) -> None:
        with self.session.channel.lock:
            super()._close_models()

    @traitlets.observe("quantity")
    def _quantity_changed(self, change: Any) -> None:
        self.session.show(change["new"])

    @traitlets.observe("compare_with")
    def _comparison_changed(self, change: Any) -> None:
        self.session.compare_with(change["new"])

    # From the browser

    _selected_there: Any = None  # while the browser's changes are taken in, its selection

    def set_state(self, sync_data: dict[str, Any]) -> None:
        self._selected_there = sync_data.get("selected")
        try:
            super().set_state(sync_data)
        finally:
            self._selected_there = None

    @traitlets.observe("selected")
    def _forget_lassos(self, change: Any) -> None:
        """Lassos are around what the browser selected with them, and nothing else."""
        there = self._selected_there
        if there is None or tuple(there) != tuple(change["new"]):
            self._lassos = []

    def _receive(self, _: Any, content: dict[str, Any], buffers: Any) -> None:
        self._messages.take(content)

    def _put(self, values: dict[str, Any]) -> None:
        """Set several traits in one message."""
        with self.hold_sync():
            for name, value in values.items():
                setattr(self, name, value)
