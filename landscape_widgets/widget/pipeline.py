"""From samples to a map that is judged, and slices: each step follows from the one before."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.geometry.cloud import Cloud
from landscape_widgets.landscape.landscape import Landscape
from landscape_widgets.progress import CancelCallback, Cancelled, Progress
from landscape_widgets.reducers.base import Frame
from landscape_widgets.samplers.base import Sampler
from landscape_widgets.widget import ahead
from landscape_widgets.widget.channel import Channel
from landscape_widgets.widget.comparison import Comparison
from landscape_widgets.widget.controls import Controls
from landscape_widgets.widget.film import Film
from landscape_widgets.widget.preparation import Preparation
from landscape_widgets.widget.questions import Questions
from landscape_widgets.widget.sides import ANSWERS, point
from landscape_widgets.widget.slices import Slices
from landscape_widgets.widget.stopwatch import Stopwatch
from landscape_widgets.widget.worker import Urgency

UNSEEN = "Stopped, since no page showed it any more; what is done is kept"
WITHIN_TIME = ("ahead", "between", "refined ahead")  # phases that are left when their time is over


class Pipeline:
    """Makes what is chosen, and shows each step of it; all on the worker's thread.

    Parameters
    ----------
    preparation : Preparation
        The landscape.
    channel : Channel
        To the browser.
    controls : Controls
        What is chosen.
    give_way : callable
        Does what waits and is at least so urgent.

    Attributes
    ----------
    is_sampling : bool
        Whether samples are on their way; the map's settings are read when that is done.
    is_replaced : bool
        Whether what is running ends because other work takes its place.
    is_unseen : bool
        Whether work was stopped since nobody looked.
    """

    def __init__(
        self,
        preparation: Preparation,
        channel: Channel,
        controls: Controls,
        give_way: Callable[[Urgency], None],
    ) -> None:
        self._preparation, self._channel, self._controls = preparation, channel, controls
        self._let = give_way
        self.slices = Slices(channel, self.report, self._report_asked, give_way)
        self.questions = Questions(channel, give_way, ANSWERS)
        self.comparison = Comparison(channel, self._step)
        self._stopwatch = Stopwatch()
        self._film = Film()
        self._distortion: npt.NDArray[np.float64] | None = None
        self._evaluating_since = 0.0
        self._laid_out = True  # or the layout of the map was stopped, and is to be made anew
        self.is_sampling = False
        self.is_replaced = False
        self.is_unseen = False

    @property
    def land(self) -> Landscape:
        """The landscape; waits while its data are read."""
        return self._preparation.landscape

    @property
    def is_unfinished(self) -> bool:
        """Whether there is more to do for what is chosen."""
        if not self._preparation.is_ready:
            return True
        drawn = self._controls.is_drawn and bool(self.land.evaluated.all())
        return not drawn or not self._controls.is_mapped or not self._laid_out

    def run(self, cancelled: CancelCallback) -> None:
        """Do what is not done yet, from the sampling on."""
        if not self._preparation.is_ready:
            return  # what is wrong with it has been told
        land, sampler, drawn = self.land, self._controls.sampler, self._controls.is_drawn
        with self._channel.lock:
            self.is_sampling, self.is_replaced = True, False
        known = int(land.evaluated.sum()) if drawn else 0
        warming: list[Progress] = []
        warm_up = self._controls.map.reducer.warm_up
        warm = threading.Thread(target=warm_up, args=(warming.append,), daemon=True)
        warm.start()
        if drawn:
            self._evaluating_since = time.monotonic()
            if self.slices.profile.n != len(land.evaluated):  # it came with the landscape
                self._drawn_cloud()
            land.evaluate_rest(
                progress=self.report, cancelled=cancelled, on_chunk=self._evaluated_chunk
            )
        else:
            try:
                land.sample(
                    sampler,
                    progress=self.report,
                    cancelled=cancelled,
                    on_drawn=partial(self._new_cloud, sampler),
                    on_chunk=self._evaluated_chunk,
                    on_known=self._known,
                )
            except Cancelled:  # what there is of a cloud is kept, as is one that was there before
                return self.publish_stopped()
        self._publish_points()
        if cancelled():
            return self.publish_stopped()
        evaluated = len(land.evaluated) - known
        took = time.monotonic() - self._evaluating_since
        timed = evaluated > 0 and land.tolerance is None  # with all of the data
        self.slices.fit(took / evaluated if timed else None)
        while warm.is_alive():
            if warming and warming[-1].phase.startswith("compiling"):
                self.report(warming[-1])
            warm.join(0.1)
        with self._channel.lock:
            self.is_sampling = False
            mapped = self._controls.is_mapped and self._laid_out
        # A file may hold a map, but not what made it and could add to it.
        mapped = mapped and land.reducer is not None
        if mapped and np.isfinite(land.coordinates).any():
            self._finish_map(cancelled)
        else:
            self.remap(cancelled)

    def refine(self, chosen: list[int], n: int, cancelled: CancelCallback) -> None:
        """Sample more around samples, and place the new ones on the map as it is."""
        land = self.land

        self.comparison.take_away()
        land.refine(chosen, n, progress=self.report, cancelled=cancelled, on_drawn=self._grown)
        self._publish_points()
        self.publish_info()  # which tells how many samples there are
        if cancelled():
            return self.publish_stopped()
        self._finish_map(cancelled)

    def remap(self, cancelled: CancelCallback) -> None:
        """Make the map anew."""
        self._controls.settle_reducer()
        with self._channel.together():
            self.is_sampling, self.is_replaced = False, False
            settings = self._controls.map
            self.comparison.forget()
            self._distortion = None
            self._film = Film(settings.reducer.objective)
            space = settings.space or self._controls.space
            self._channel.new_map(self._film, settings.reducer, space, settings.standardise)
        stopped = ""
        try:
            self.land.embed(
                settings.reducer,
                space=settings.space,  # type: ignore[arg-type]
                standardise=settings.standardise,
                n_components=settings.n_components,
                progress=self.report,
                cancelled=cancelled,
                on_frame=self._show_frame,
            )
            last = self._film.last
            if cancelled() and last is not None and last.iteration < last.total:
                stopped = f"stopped at iteration {last.iteration:,}"
            self._controls.mapped_by, self._laid_out = settings, not stopped
        finally:
            with self._channel.together():
                self._publish_points(glide=True)
                self._end_film()
                self.publish_info(stopped)
        if cancelled():
            return self.publish_stopped()
        self._finish_map(cancelled)

    def _finish_map(self, cancelled: CancelCallback) -> None:
        """Judge the map, and take slices."""
        self.slices.compute_first(cancelled)
        self._diagnose(cancelled)
        self._distortion = self.land.distortion()
        self.comparison.judge(self.land)
        self._publish_points()
        self._controls.publish()
        self.slices.compute(cancelled)
        ahead.answer(self.questions, self.land, self.slices.profile.alphas, self.report, cancelled)
        self.comparison.compare(self.land, cancelled)
        if cancelled():
            return self.publish_stopped()
        with self._channel.together():
            self._channel.settle()
            self._channel.progress("stopped" if self.is_unfinished else "done")

    def _diagnose(self, cancelled: CancelCallback) -> None:
        """Say in the caption what the trained weights are."""
        if self.land.diagnosed() is None:
            self.questions.answer_ahead(self.land, "point", point.TRAINED, cancelled)
            self.publish_info()

    def take_slices(self, cancelled: CancelCallback) -> None:
        """Take slices of what is shown now, beside a map that rests."""
        self.slices.compute(cancelled)
        self._channel.settle()

    # What work tells while it goes on

    def _new_cloud(self, sampler: Sampler, cloud: Cloud) -> None:
        self._controls.drawn_by = sampler
        with self._channel.together():
            self.comparison.forget()
            self._distortion = None
            if self.land.evaluated.any():  # it began with samples that are shown already
                self._evaluating_since = time.monotonic()
                self._grown(cloud)
                self._controls.publish()
                self.publish_info()
            else:
                self._drawn_cloud()

    def _known(self, cloud: Cloud) -> None:
        """Something of a cloud is known before all of it is drawn."""
        with self._channel.together():
            if self.slices.profile.n:
                self._grown(cloud)
                self.publish_info()
            else:
                self._drawn_cloud()

    def _grown(self, cloud: Cloud) -> None:
        """There are more samples, behind those that are shown."""
        with self._channel.together():
            self._end_film()  # its frames know nothing of the new samples
            self._channel.samples(cloud)
            self.slices.follow(cloud)
            self._publish_points()

    def _drawn_cloud(self) -> None:
        self._evaluating_since = time.monotonic()
        with self._channel.together():
            self._channel.nothing_selected()
            self._channel.samples(self.land.cloud)
            self._end_film()
            self.slices.begin(self.land)
            self.questions.forget()
            self._publish_points()
        self._controls.publish()
        self.publish_info()

    def _evaluated_chunk(self, rows: npt.NDArray[np.int64]) -> None:
        if self._channel.is_free:
            self._publish_points()
        self._give_way()

    def _show_frame(self, frame: Frame, rows: npt.NDArray[np.int64]) -> None:
        n_components = frame.coordinates.shape[1]
        coordinates = np.full((len(self.land.evaluated), n_components), np.nan)
        coordinates[rows] = frame.coordinates
        self._film.add(frame, coordinates)
        if self._channel.is_free:
            with self._channel.together():
                self._publish_points(coordinates)
                self._channel.trace(self._film)
        self._give_way()

    def _step(self, progress: Progress) -> None:
        self.report(progress)
        self._give_way()

    def _give_way(self) -> None:
        """Let through what takes a moment and is looked at; more would delay what is running."""
        self._let(Urgency.SLICES)

    def report(self, progress: Progress) -> None:
        """Tell how far the work is."""
        if self._stopwatch.take(progress):
            at_most = self.slices.seconds_left if progress.phase in WITHIN_TIME else None
            self._channel.progress("running", progress, self._stopwatch.left, at_most=at_most)

    def _report_asked(self, progress: Progress) -> None:
        """Slices that are waited for; the time that other work takes is not measured by them."""
        self._channel.progress("running", progress)

    def _publish_points(self, coordinates: FloatArray | None = None, glide: bool = False) -> None:
        land = self.land
        if coordinates is None:
            coordinates = land.coordinates
            if not np.isfinite(coordinates).any():
                coordinates = land.initial_coordinates(self._controls.map.n_components)
        self._channel.points(land, coordinates, self._distortion, glide)

    def _end_film(self) -> None:
        self._channel.film(self._film)
        self._film = Film()

    def publish_info(self, note: str = "") -> None:
        """Say what the map is, or that there is none yet."""
        mapped_by = self._controls.mapped_by
        standardised = mapped_by is not None and mapped_by.standardise
        self._channel.info(self.land if self._preparation.is_ready else None, standardised, note)

    def publish_stopped(self) -> None:
        """Say that the work was stopped."""
        with self._channel.together():
            if not self.is_replaced:  # else other work goes on at once
                self.is_sampling = False
                self._channel.settle()
                self._channel.progress("stopped", message=UNSEEN if self.is_unseen else "")
