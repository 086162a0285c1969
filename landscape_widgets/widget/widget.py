"""LandscapeWidget: the loss landscape of a model, in a cell."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from importlib.resources import files
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import traitlets
from ipywidgets import Layout, widget_serialization
from torch import nn

from landscape_widgets.errors import did_you_mean, reject_unknown
from landscape_widgets.geometry.cloud import Cloud
from landscape_widgets.landscape.landscape import Landscape
from landscape_widgets.profiles.line import ALPHAS
from landscape_widgets.progress import Cancelled, Progress
from landscape_widgets.reducers.base import Frame
from landscape_widgets.samplers.base import Sampler
from landscape_widgets.task.sources import replayable
from landscape_widgets.tracebacks import entries, entry, place, shortened
from landscape_widgets.trust import Faithfulness
from landscape_widgets.widget import wire
from landscape_widgets.widget.controls import ControlledWidget
from landscape_widgets.widget.figures import map_figure, slice_figure
from landscape_widgets.widget.film import Film
from landscape_widgets.widget.lifetime import (
    Cell,
    Views,
    current_cell,
    forget_output,
    leave_boxes,
    models,
    register,
)
from landscape_widgets.widget.nulls import Comparison
from landscape_widgets.widget.planes import Planes
from landscape_widgets.widget.preparation import Preparation
from landscape_widgets.widget.slices import Slices
from landscape_widgets.widget.worker import Worker

_STATIC = files("landscape_widgets") / "static"

PUBLISH_EVERY = 1.0  # s, where no browser acknowledges
LONGEST_MESSAGE = 2000  # characters of an error that are shown
UNSEEN = "Stopped, since no page showed it any more; what is done is kept"
# Instead of the widget, by viewers of notebooks that show none: GitHub, nbconvert, an editor.
ELSEWHERE = "LandscapeWidget: it needs a running kernel. Run this cell in Jupyter to see it."


class Numbers(traitlets.Tuple):
    """A tuple, from whatever can be made one: arrays, ranges, an Index of pandas."""

    def validate(self, obj: Any, value: Any) -> Any:
        if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
            value = tuple(value)
        return super().validate(obj, value)


@entries
class LandscapeWidget(ControlledWidget, Comparison):
    """Sample the loss around a trained model, and look at it: a map beside a slice.

    >>> w = LandscapeWidget(model, (X, y), val_data=(Xv, yv))  # doctest: +SKIP

    Work starts by itself, on a thread of its own: the cell returns at once, also where data take
    long to read; whatever asks for the `landscape` waits for them. Point at a sample of the map to
    see the loss on the way to it, click or draw a lasso to select.

    Parameters
    ----------
    model : torch.nn.Module
    data, val_data
        (inputs, targets), a Dataset, a DataLoader, or a list of batches.
    loss, metrics, device, seed, client, max_examples, batchnorm, probe_examples, strategy,
    precision, tolerance
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
    sampler, reducer, space, standardise, n_components
        What is sampled, how it is laid out, what distances mean, whether each parameter counts in
        its own standard deviation, and how many dimensions the map has. Set one, and what follows
        from it is done again: samples for a new sampler, else only the map.
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

    _esm = (_STATIC / "widget.js").read_text(encoding="utf-8")
    _css = (_STATIC / "widget.css").read_text(encoding="utf-8")

    selected: Any = Numbers().tag(sync=True)
    colour_by: Any = traitlets.Unicode("loss").tag(sync=True)

    # What the browser draws from; see js/src/wire.ts.
    _map: Any = traitlets.Any().tag(sync=True, **widget_serialization)
    _slice: Any = traitlets.Any().tag(sync=True, **widget_serialization)
    _points: Any = traitlets.Bytes().tag(sync=True)
    _columns: Any = traitlets.Dict().tag(sync=True)
    _evaluated: Any = traitlets.Bytes().tag(sync=True)
    _samples: Any = traitlets.Dict().tag(sync=True)
    _frame: Any = traitlets.Int(0).tag(sync=True)
    _glide: Any = traitlets.Bool(False).tag(sync=True)
    _alphas: Any = traitlets.List().tag(sync=True)
    _profiles: Any = traitlets.Bytes().tag(sync=True)
    _val_profiles: Any = traitlets.Bytes().tag(sync=True)
    _estimates: Any = traitlets.Dict().tag(sync=True)
    _plane: Any = traitlets.Dict().tag(sync=True)
    _plane_state: Any = traitlets.Dict().tag(sync=True)
    _progress: Any = traitlets.Dict().tag(sync=True)
    _trust: Any = traitlets.Dict().tag(sync=True)
    _info: Any = traitlets.Dict().tag(sync=True)
    _frames: Any = traitlets.Bytes().tag(sync=True)
    _trace: Any = traitlets.Dict().tag(sync=True)
    _lassos: Any = traitlets.List().tag(sync=True)

    def __init__(
        self,
        model: nn.Module,
        data: Any,
        val_data: Any = None,
        loss: Callable[..., Any] | None = None,
        sampler: Sampler | str | None = None,
        reducer: Any = None,
        space: str | None = None,
        metrics: Sequence[Any] | Mapping[str, Any] | None = None,
        device: Any = None,
        seed: int = 0,
        client: Any = None,
        start: bool = True,
        n_components: int = 2,
        **keywords: Any,
    ) -> None:
        known = inspect.signature(Landscape.__init__).parameters
        own = inspect.signature(LandscapeWidget.__init__).parameters
        extra = [name for name in known if name not in (*own, "self")]
        extra = [name for name in extra if name not in ("progress", "cancelled")]
        if any(name not in extra for name in keywords):
            everything = [n for n in (*own, *extra) if n not in ("self", "keywords")]
            reject_unknown(keywords, everything, "LandscapeWidget")
        data, val_data = replayable(data), replayable(val_data)
        self._begin_work()
        self._preparation = Preparation(
            lambda progress, cancelled: Landscape(
                model,
                data,
                val_data=val_data,
                loss=loss,
                metrics=metrics,
                device=device,
                seed=seed,
                client=client,
                progress=progress,
                cancelled=cancelled,
                **keywords,
            )
        )
        self._worker.submit(self._preparation.run)
        try:
            landscape = self._preparation.briefly()
        except BaseException:
            self._worker.close(0)
            raise
        self._begin(landscape, sampler, reducer, space, start, n_components)

    @classmethod
    def from_landscape(cls, landscape: Landscape) -> LandscapeWidget:
        """Show a landscape that is there already, from a script or a file."""
        widget = cls.__new__(cls)
        widget._begin_work()
        widget._begin(
            landscape,
            landscape.sampler,
            landscape.reducer,
            landscape.space,
            True,
            landscape.coordinates.shape[1],
        )
        return widget

    def _begin_work(self) -> None:
        self._waiting = 0  # calls of `wait` that are underway
        self._left = False  # whether work was stopped since nobody looked
        self.cell: Cell | None = current_cell()
        self.replaced = False
        worker = self._worker = Worker(self._fail, self._is_unwanted)
        self._views = Views(lambda: self.send({"type": "who is there"}), lambda: worker.busy)

    def _begin(
        self,
        landscape: Landscape | None,
        sampler: Any,
        reducer: Any,
        space: str | None,
        start: bool,
        n_components: int,
    ) -> None:
        self._begin_controls(landscape, sampler, reducer, space, n_components)
        self._lock = threading.RLock()
        self._error: BaseException | None = None
        self._traceback: TracebackType | None = None
        self._slices = Slices(self._send_traits, self._report, self._report_asked, self._draw_plane)
        self._planes = Planes(self._send_traits, self._slices.serve)
        self._drawn = 0
        self._published = 0.0
        self._phase = ("", 0.0)
        self._evaluating_since = 0.0
        self._film = Film()
        self._distortion: npt.NDArray[np.float64] | None = None
        self._judged: Faithfulness | None = None
        super().__init__(
            _map=map_figure(),
            _slice=slice_figure(),
            _samples=wire.samples(None),
            _alphas=ALPHAS.tolist(),
            _progress=wire.progress("idle"),
        )
        self._publish_film()
        self._publish_info()
        self._publish_choices()
        self.on_msg(self._receive)
        register(self)
        if landscape is None and self._preparation is not None:
            self._preparation.listen(self._report)
            self._worker.submit(self._prepared)
            if start:
                self._sampling = True
                self._worker.submit(self._run)
        elif start:
            self.start()

    # The user's hand on it, from Python

    @property
    def selection(self) -> pd.DataFrame:
        """The selected samples: a row each, as in `Landscape.to_frame`."""
        frame = self.landscape.to_frame()
        return frame.loc[[i for i in self.selected if i in frame.index]]

    @entry
    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)

    def model_at(self, index: int) -> nn.Module:
        """A new model with the weights of a sample; yours stays as it is."""
        return self.landscape.model_at(index)

    def start(self) -> None:
        """Start, or go on with what was stopped."""
        if self._worker.busy:
            return
        self._error = None
        self._sampling = True
        if not self._is_prepared and self._preparation is not None:  # stopped while data were read
            self._worker.submit(self._preparation.run)
            self._worker.submit(self._prepared)
        self._worker.submit(self._run)

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
        if not self.selected:
            raise ValueError("Nothing is selected. Select the samples to refine around first.")
        if not np.isfinite(self.landscape.coordinates).any():
            raise ValueError("There is no map yet. Wait for it, or start the work.")
        chosen = list(self.selected)
        self._worker.submit(lambda cancelled: self._refine(chosen, n, cancelled))

    def stop(self) -> None:
        """Stop the work, and keep what is done."""
        with self._lock:
            self._replaced = False
            self._slices.forget()
            self._planes.stop()
            self._worker.stop()
            if self._worker.busy:  # what was to come and was dropped cannot tell of it
                self._worker.submit(self._end_stopped)

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the running work is done.

        Raises
        ------
        TimeoutError
            If it takes longer than `timeout` seconds.
        Exception
            Whatever went wrong in the work.
        """
        self._waiting += 1
        try:
            self._come_back()
            if not self._worker.wait(timeout):
                raise TimeoutError(f"The work was not done within {timeout:g} s; it goes on.")
        finally:
            self._waiting -= 1
        if self._error is not None:
            raise self._error.with_traceback(self._traceback)

    async def done(self) -> None:
        """`wait`, for a cell that lets others run meanwhile: ``await w.done()``."""
        self._waiting += 1
        try:
            self._come_back()
            while not self._worker.wait(0):
                await asyncio.sleep(0.05)
        finally:
            self._waiting -= 1
        self.wait(0)

    def close(self) -> None:
        """End the work and let go of the landscape and all figures."""
        if not hasattr(self, "_film"):
            return  # refused by the constructor: there is nothing to close yet
        self._worker.close()
        self.on_msg(self._receive, remove=True)
        self._close_models()
        self._landscape = self._preparation = None
        self._slices.end()

    def _close_models(self) -> None:
        for model in models(self):
            if model is not self:
                model.close()
        super().close()

    # Looked at or not; see lifetime.py

    @property
    def model_id(self) -> str:
        """What the browser knows the widget by; one that was retired comes back with it."""
        if self.comm is None and (self._landscape or self._preparation):
            self._model_id = None
            self._map, self._slice, self.layout = map_figure(), slice_figure(), Layout()
            self.cell, self.replaced = current_cell(), False
            self.open()
            self._come_back()
        name: str = super().model_id
        return name

    def _repr_mimebundle_(self, **keywords: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        bundle = super()._repr_mimebundle_(**keywords)
        if bundle is not None:
            bundle[0]["text/plain"] = ELSEWHERE
        return bundle

    def retire_unless_seen(self) -> None:
        """End what goes on for a widget in whose place there is another, once it has no view.

        The landscape stays, for whoever holds it, and the widget can be shown again.
        """
        if not self.replaced or self._views.any or self.comm is None or self._waiting:
            return
        self._left = self._left or self._worker.busy
        self._worker.stop()
        leave_boxes(self)
        with self._lock:
            self._close_models()
        del self._repr_mimebundle_  # which keeps a closed widget from being shown
        forget_output(self)

    def _is_unwanted(self) -> bool:
        """Whether nobody looks at the work, nor waits for it."""
        if self._waiting or not self._views.away:
            return False
        self._left = True
        return True

    def _come_back(self) -> None:
        """Go on with what was stopped since nobody looked."""
        if self._left:
            self._left = False
            self._error = None
            self._worker.submit(self._go_on)

    def _go_on(self, cancelled: Callable[[], bool]) -> None:
        preparation = self._preparation
        if preparation is not None:
            preparation.run(cancelled)
            self._prepared(cancelled)
        if self._unfinished or self._progress["state"] == "stopped":
            self._run(cancelled)

    @traitlets.validate("selected")
    def _valid_selected(self, proposal: Any) -> tuple[int, ...]:
        value = proposal["value"]
        cloud = self.landscape.cloud
        n = 0 if cloud is None else len(cloud)
        if len(value) and n == 0:
            raise traitlets.TraitError("There are no samples yet to select. Wait for them.")
        chosen = []
        for index in value:
            if not isinstance(index, (int, np.integer)) or not 0 <= index < n:
                raise traitlets.TraitError(
                    f"selected holds {index!r}; numbers of samples from 0 to {n - 1} are expected."
                )
            chosen.append(int(index))
        return tuple(chosen)

    @traitlets.validate("colour_by")
    def _valid_colour(self, proposal: Any) -> str:
        name: str = proposal["value"]
        known = [*self._columns, "loss"]
        if name not in known:
            raise traitlets.TraitError(f"There is no column {name!r}. {did_you_mean(name, known)}")
        return name

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
        kind = content.get("type")
        self._views.heard()
        if kind == "drawn":
            self._drawn = int(content["frame"])
        elif kind == "view":
            self._views.tell(str(content["view"]), bool(content["open"]))
            if self._views.any:
                self._come_back()
            else:
                self.retire_unless_seen()
        elif kind == "start":
            self.start()
        elif kind == "stop":
            self.stop()
        elif not self._is_prepared:  # the kernel does not wait for the data
            if kind in ("choose", "set"):
                self._answer(content["what"], {"": "The data are being read."})
                self._publish_choices()
        elif kind == "slices":
            self._slices.ask(int(i) for i in content["indices"])
            self._worker.submit(partial(self._at_rest, self._slices.serve))
        elif kind == "doubted":
            self._slices.doubt(int(i) for i in content["indices"])
            self._worker.submit(partial(self._at_rest, self._slices.improve))
        elif kind == "plane":
            self._planes.ask(*(int(i) for i in content["pair"]))
            self._worker.submit(self._draw_plane)
        elif kind == "no plane":
            self._planes.stop()
        elif kind == "refine":
            try:
                self.refine()
            except ValueError as error:
                self._fail(error)
        elif kind == "choose":
            self._choose(content["what"], content["key"])
        elif kind == "set":
            self._set(content["what"], content["values"])

    # The work, on the worker's thread

    def _prepared(self, cancelled: Callable[[], bool]) -> None:
        """Take over the landscape that is there now, if it can be sampled and mapped as asked."""
        land = self.landscape
        self._check_sampler(self._sampler)
        self._check_map(self._space)
        self._landscape, self._preparation = land, None
        self._publish_info()
        self._publish_choices()

    def _run(self, cancelled: Callable[[], bool]) -> None:
        if not self._is_prepared:
            return  # what is wrong with it has been told
        land, sampler = self.landscape, self._sampler
        with self._lock:
            self._sampling, self._replaced = True, False
        known = int(land.evaluated.sum()) if self._drawn_by is sampler else 0
        warming: list[Progress] = []
        warm = threading.Thread(target=self._reducer.warm_up, args=(warming.append,), daemon=True)
        warm.start()
        if self._drawn_by is sampler:
            self._evaluating_since = time.monotonic()
            if self._slices.profile.n != len(land.evaluated):  # it came with the landscape
                self._drawn_cloud()
            land.evaluate_rest(
                progress=self._report, cancelled=cancelled, on_chunk=self._evaluated_chunk
            )
        else:
            try:
                land.sample(
                    sampler,
                    progress=self._report,
                    cancelled=cancelled,
                    on_drawn=lambda cloud: self._new_cloud(sampler),
                    on_chunk=self._evaluated_chunk,
                )
            except Cancelled:  # there is no cloud yet: what was there before is kept
                return self._publish_stopped()
        self._publish_points()
        if cancelled():
            return self._publish_stopped()
        evaluated = len(land.evaluated) - known
        took = time.monotonic() - self._evaluating_since
        timed = evaluated > 0 and land.tolerance is None  # with all of the data
        self._slices.fit(took / evaluated if timed else None)
        while warm.is_alive():
            if warming and warming[-1].phase.startswith("compiling"):
                self._report(warming[-1])
            warm.join(0.1)
        with self._lock:
            self._sampling = False
            mapped = self._mapped_by == self._map_settings and self._laid_out
        # A file may hold a map, but not what made it and could add to it.
        mapped = mapped and land.reducer is not None
        if mapped and np.isfinite(land.coordinates).any():
            self._finish_map(cancelled)
        else:
            self._remap(cancelled)

    def _refine(self, chosen: list[int], n: int, cancelled: Callable[[], bool]) -> None:
        land = self.landscape

        def drawn(cloud: Cloud) -> None:
            with self._lock, self.hold_sync():
                self._publish_film()  # its frames know nothing of the new samples
                self._samples = wire.samples(cloud)
                self._slices.follow(cloud)
                self._publish_points()

        with self._lock:
            self._null = {}
        land.refine(chosen, n, progress=self._report, cancelled=cancelled, on_drawn=drawn)
        self._publish_points()
        self._publish_info()  # which tells how many samples there are
        if cancelled():
            return self._publish_stopped()
        self._finish_map(cancelled)

    def _remap(self, cancelled: Callable[[], bool]) -> None:
        land = self.landscape
        assert land.cloud is not None
        self._settle_reducer()
        with self._lock, self.hold_sync():
            self._sampling, self._replaced = False, False
            settings = reducer, space, standardise, n_components = self._map_settings
            self._forget_comparison()
            self._distortion = None
            self._lassos = []  # drawn in the coordinates of another map
            self._film = Film(reducer.objective)
            self._frames, self._trace = b"", self._film.trace(live=True)
            name = wire.map_name(reducer, space or land.cloud.space, standardise)
            self._info = {**self._info, "title": f"{name}, being laid out", "axes": []}
        stopped = ""
        try:
            land.embed(
                reducer,
                space=space,  # type: ignore[arg-type]
                standardise=standardise,
                n_components=n_components,
                progress=self._report,
                cancelled=cancelled,
                on_frame=self._show_frame,
            )
            last = self._film.last
            if cancelled() and last is not None and last.iteration < last.total:
                stopped = f"stopped at iteration {last.iteration:,}"
            self._mapped_by, self._laid_out = settings, not stopped
        finally:
            with self._lock, self.hold_sync():
                self._publish_points(glide=True)
                self._publish_film()
                self._publish_info(stopped)
        if cancelled():
            return self._publish_stopped()
        self._finish_map(cancelled)

    def _finish_map(self, cancelled: Callable[[], bool]) -> None:
        self._slices.compute_first(cancelled)
        self._report(Progress("trust", 0, 1))
        self._judged = self.landscape.faithfulness(seeds=1)
        self._distortion = self.landscape.distortion()
        with self._lock, self.hold_sync():
            self._trust = wire.trust(self._judged, more=True)
            self._publish_points()
        self._publish_choices()
        self._slices.compute(cancelled)
        self._compare_map(cancelled)
        if cancelled():
            return self._publish_stopped()
        with self._lock:
            self._progress = wire.progress("stopped" if self._unfinished else "done")

    def _new_cloud(self, sampler: Sampler) -> None:
        self._drawn_by = sampler
        with self._lock, self.hold_sync():
            self._forget_comparison()
            self._distortion = None
            self._drawn_cloud()

    def _drawn_cloud(self) -> None:
        self._evaluating_since = time.monotonic()
        with self._lock, self.hold_sync():
            self.selected = ()
            self._lassos = []
            self._samples = wire.samples(self.landscape.cloud)
            self._publish_film()
            self._slices.begin(self.landscape)
            self._planes.forget()
            self._publish_points()
        self._publish_choices()
        self._publish_info()

    def _draw_plane(self, cancelled: Callable[[], bool]) -> None:
        self._planes.draw(self.landscape, cancelled)

    def _evaluated_chunk(self, rows: npt.NDArray[np.int64]) -> None:
        if self._may_publish():
            self._publish_points()
        self._slices.serve()

    def _show_frame(self, frame: Frame, rows: npt.NDArray[np.int64]) -> None:
        n_components = frame.coordinates.shape[1]
        coordinates = np.full((len(self.landscape.evaluated), n_components), np.nan)
        coordinates[rows] = frame.coordinates
        self._film.add(frame, coordinates)
        if self._may_publish():
            with self._lock, self.hold_sync():
                self._publish_points(coordinates)
                self._trace = self._film.trace(live=True)
        self._slices.serve()

    def _publish_film(self) -> None:
        with self._lock, self.hold_sync():
            self._frames, self._trace = self._film.pictures(), self._film.trace(live=False)
        self._film = Film()

    # To the browser

    def _send_traits(self, values: dict[str, Any]) -> None:
        """Set several traits in one message."""
        with self._lock, self.hold_sync():
            for name, value in values.items():
                setattr(self, name, value)

    def _may_publish(self) -> bool:
        """Whether what was sent last is on the screen, or nobody looks and a while has passed."""
        return self._drawn >= self._frame or time.monotonic() - self._published > PUBLISH_EVERY

    def _publish_points(
        self, coordinates: npt.NDArray[np.float64] | None = None, glide: bool = False
    ) -> None:
        land = self.landscape
        if coordinates is None:
            coordinates = land.coordinates
            if not np.isfinite(coordinates).any():
                coordinates = land.initial_coordinates(self._n_components)
        with self._lock, self.hold_sync():
            scale = wire.loss_scale(land)
            if self._info.get("scale") != scale:
                self._info = {**self._info, "scale": scale}
            self._points = wire.floats(coordinates)
            self._columns = wire.columns(land, self._distortion)
            self._evaluated = wire.floats(land.evaluated)
            self._glide = glide
            self._published = time.monotonic()
            self._frame += 1

    def _publish_info(self, note: str = "") -> None:
        if not self._is_prepared:
            self._info = wire.READING
            return
        with self._lock:
            standardised = self._mapped_by is not None and self._mapped_by[2]
            self._info = wire.info(self.landscape, standardised, note)

    def _publish_stopped(self) -> None:
        with self._lock:
            if not self._replaced:  # else other work goes on at once
                self._sampling = False
                why = UNSEEN if self._left else ""
                self._progress = wire.progress("stopped", message=why)

    def _at_rest(
        self, work: Callable[[Callable[[], bool]], None], cancelled: Callable[[], bool]
    ) -> None:
        """Do what was asked for after other work, and say again what was said before."""
        resting = self._progress
        work(cancelled)
        with self._lock:
            self._progress = resting

    def _end_stopped(self, cancelled: Callable[[], bool]) -> None:
        if self._unfinished:
            self._publish_stopped()

    def _report(self, progress: Progress) -> None:
        now = time.monotonic()
        phase, begun = self._phase
        is_new = phase != progress.phase  # what it waits for may take long to tell again
        done = progress.done + progress.within
        if is_new or done == 0:
            self._phase = (phase, begun) = (progress.phase, now)
        left = None
        if 0 < done < progress.total and now - begun > 0.5:
            left = (now - begun) * (progress.total - done) / done
        ahead = progress.phase in ("ahead", "between", "refined ahead")
        at_most = self._slices.seconds_left if ahead else None
        if is_new or progress.done >= progress.total or now - getattr(self, "_reported", 0.0) > 0.1:
            self._reported = now
            with self._lock:
                self._progress = wire.progress("running", progress, left, at_most=at_most)

    def _report_asked(self, progress: Progress) -> None:
        """Slices that are waited for; the time that other work takes is not measured by them."""
        with self._lock:
            self._progress = wire.progress("running", progress)

    def _fail(self, error: BaseException) -> None:
        where = place(error)
        self._error = shortened(error)
        self._traceback = error.__traceback__
        said = f"{type(error).__name__}: {error}"
        if len(said) > LONGEST_MESSAGE:
            said = f"{said[:LONGEST_MESSAGE]}…"
        if where:
            said += f"\nraised {where}"
        said += "\nCall .wait() on the widget to have it raised with its traceback."
        with self._lock:
            self._sampling = False
            self._progress = wire.progress("error", message=said)
