"""What a widget does, and in which order; nothing here knows of ipywidgets."""

from __future__ import annotations

import asyncio
from functools import partial
from types import TracebackType
from typing import Any, Literal

import numpy as np

from landscape_widgets.landscape.landscape import Landscape
from landscape_widgets.progress import CancelCallback
from landscape_widgets.tracebacks import place, shortened
from landscape_widgets.widget.channel import Channel
from landscape_widgets.widget.comparison import NOTHING
from landscape_widgets.widget.controls import Controls
from landscape_widgets.widget.film import Film
from landscape_widgets.widget.pipeline import Pipeline
from landscape_widgets.widget.preparation import Preparation
from landscape_widgets.widget.views import Views
from landscape_widgets.widget.worker import Job, Urgency, Worker

LONGEST_MESSAGE = 2000  # characters of an error that are shown


class Session:
    """The work behind a widget: samples, their map, what is judged of it, and slices.

    A change does no more than it has to: a sampler samples anew, everything else makes only the
    map anew, and while samples are still on their way, even that is left to the work that is
    running. What is asked for by hand goes before all of that.

    Parameters
    ----------
    preparation : Preparation
        The landscape.
    channel : Channel
        To the browser.
    **chosen
        The sampler, reducer, space and n_components at first; see `Controls`.
    """

    def __init__(self, preparation: Preparation, channel: Channel, **chosen: Any) -> None:
        self.preparation, self.channel = preparation, channel
        self.worker = Worker(self.fail, self._is_unwanted)
        worker = self.worker
        self.views = Views(channel.who_is_there, lambda: worker.busy)
        self.controls = Controls(preparation, channel, self._changed, **chosen)
        pipeline = Pipeline(preparation, channel, self.controls, self.worker.give_way)
        self.pipeline, self.slices = pipeline, pipeline.slices
        self.questions, self.comparison = pipeline.questions, pipeline.comparison
        self._waiting = 0  # calls of `wait` that are underway
        self._error: BaseException | None = None
        self._traceback: TracebackType | None = None

    def open(self) -> None:
        """Make the landscape, or begin to where its data take long to read.

        Raises
        ------
        Exception
            Whatever is wrong with it at once, or with what is chosen for it.
        """
        if self.preparation.is_ready:
            return self.controls.check()
        self.worker.submit(self.preparation.run)
        try:
            if self.preparation.briefly() is not None:
                self._take_over()
        except BaseException:
            self.worker.close(0)
            raise

    def begin(self, start: bool) -> None:
        """Show what is there, and start."""
        with self.channel.together():
            self.channel.film(Film())
            self.pipeline.publish_info()
            self.controls.publish()
        if not self.preparation.is_ready:
            self.preparation.listen(self.pipeline.report)
            self.worker.submit(self._prepared)
            if start:
                self.pipeline.is_sampling = True
                self.worker.submit(self.pipeline.run)
        elif start:
            self.start()

    # From outside

    @property
    def land(self) -> Landscape:
        """The landscape; waits while its data are read."""
        return self.preparation.landscape

    @property
    def n_samples(self) -> int:
        """How many samples there are."""
        cloud = self.land.cloud
        return 0 if cloud is None else len(cloud)

    def start(self) -> None:
        """Start, or go on with what was stopped."""
        if self.worker.busy:
            return
        self._error = None
        self.pipeline.is_sampling = True
        if not self.preparation.is_ready:  # stopped while data were read
            self.worker.submit(self.preparation.run)
            self.worker.submit(self._prepared)
        self.worker.submit(self.pipeline.run)

    def stop(self) -> None:
        """Stop the work, and keep what is done."""
        with self.channel.lock:
            self.pipeline.is_replaced = False
            self.slices.forget()
            self.questions.stop()
            self.worker.stop()
            if self.worker.busy:  # what was to come and was dropped cannot tell of it
                self.worker.submit(self._end_stopped)

    def refine(self, chosen: list[int], n: int) -> None:
        """Sample more around samples, and place the new ones on the map as it is.

        Raises
        ------
        ValueError
            If none are chosen, or there is no map yet.
        """
        if not chosen:
            raise ValueError("Nothing is selected. Select the samples to refine around first.")
        if not np.isfinite(self.land.coordinates).any():
            raise ValueError("There is no map yet. Wait for it, or start the work.")
        self.worker.submit(partial(self.pipeline.refine, chosen, n))

    def wait(self, timeout: float | None = None) -> None:
        """Wait until there is nothing left to do, and raise what went wrong."""
        self._waiting += 1
        try:
            self.come_back()
            if not self.worker.wait(timeout):
                raise TimeoutError(f"The work was not done within {timeout:g} s; it goes on.")
        finally:
            self._waiting -= 1
        if self._error is not None:
            raise self._error.with_traceback(self._traceback)

    async def done(self) -> None:
        """`wait`, letting others run meanwhile."""
        self._waiting += 1
        try:
            self.come_back()
            while not self.worker.wait(0):
                await asyncio.sleep(0.05)
        finally:
            self._waiting -= 1
        self.wait(0)

    def close(self) -> None:
        """End the work."""
        self.worker.close()

    def let_go(self) -> None:
        """Hold the landscape no longer."""
        self.preparation.close()
        self.slices.end()

    # Whether anybody looks

    @property
    def is_awaited(self) -> bool:
        """Whether a view is open, or somebody waits for the work."""
        return self.views.any or bool(self._waiting)

    def pause(self) -> None:
        """Stop until somebody comes back."""
        self.pipeline.is_unseen = self.pipeline.is_unseen or self.worker.busy
        self.worker.stop()

    def come_back(self) -> None:
        """Go on with what was stopped since nobody looked."""
        if self.pipeline.is_unseen:
            self.pipeline.is_unseen = False
            self._error = None
            self.worker.submit(self._go_on)

    def _is_unwanted(self) -> bool:
        """Whether nobody looks at the work, nor waits for it."""
        if self._waiting or not self.views.away:
            return False
        self.pipeline.is_unseen = True
        return True

    # Asked for by hand: it goes before what is running, as far as that gives way

    def ask_slices(self, indices: list[int]) -> None:
        """Want the slices of these samples, and no longer of others."""
        self.slices.ask(indices)
        self._submit_slices()

    def _submit_slices(self) -> None:
        self.worker.submit(self._resting(self.slices.serve), Urgency.SLICES)

    def doubt(self, indices: list[int]) -> None:
        """Want better slices of these samples, and no longer of others."""
        self.slices.doubt(indices)
        self.worker.submit(self._resting(self.slices.improve), Urgency.REFINEMENTS)

    def ask(self, name: str, of: dict[str, Any]) -> None:
        """Want to know what a side asks; see `Questions`."""
        self.questions.ask(name, of)
        self.worker.submit(partial(self.questions.serve, self.land), Urgency.ANSWERS)

    def show(self, quantity: str) -> None:
        """Show another quantity along slices."""
        self.slices.quantity = quantity
        if not self.pipeline.is_unfinished:
            self.worker.submit(self._resting(self.pipeline.take_slices))

    def compare_with(self, kind: str) -> None:
        """Want another null beside the map, or none."""
        self.comparison.choose(kind)
        if kind != NOTHING:
            self.worker.submit(lambda cancelled: self.comparison.lay_now(self.land, cancelled))

    def _resting(self, work: Job) -> Job:
        """Work after which what was said before is said again."""

        def job(cancelled: CancelCallback) -> None:
            resting = self.channel.progress_shown
            work(cancelled)
            self.channel.progress_again(resting)

        return job

    # The work, on the worker's thread

    def _take_over(self) -> None:
        """Take the landscape that is there now, if it can be sampled and mapped as asked."""
        self.controls.check()
        self.preparation.is_ready = True

    def _prepared(self, cancelled: CancelCallback) -> None:
        self._take_over()
        self.pipeline.publish_info()
        self.controls.publish()

    def _go_on(self, cancelled: CancelCallback) -> None:
        if not self.preparation.is_ready:
            self.preparation.run(cancelled)
            self._prepared(cancelled)
        if self.pipeline.is_unfinished or self.channel.progress_shown["state"] == "stopped":
            self.pipeline.run(cancelled)

    def _changed(self, what: Literal["samples", "map"]) -> None:
        """Do anew what is made with what is chosen; the lock is held."""
        busy = self.worker.busy
        if what == "samples":
            due = busy or self.land.cloud is not None
            self.pipeline.is_sampling = self.pipeline.is_sampling or due
        else:  # samples on their way read the map's settings in the end
            due = not (self.pipeline.is_sampling and busy) and bool(self.land.evaluated.any())
        if due:
            self.pipeline.is_replaced = busy
            job = self.pipeline.run if what == "samples" else self.pipeline.remap
            self.worker.submit(job, instead=True)
            self._submit_slices()  # those that are still wanted

    def _end_stopped(self, cancelled: CancelCallback) -> None:
        if self.pipeline.is_unfinished:
            self.pipeline.publish_stopped()

    def fail(self, error: BaseException) -> None:
        """Say what went wrong, and keep it for `wait`."""
        where = place(error)
        self._error = shortened(error)
        self._traceback = error.__traceback__
        said = f"{type(error).__name__}: {error}"
        if len(said) > LONGEST_MESSAGE:
            said = f"{said[:LONGEST_MESSAGE]}…"
        if where:
            said += f"\nraised {where}"
        said += "\nCall .wait() on the widget to have it raised with its traceback."
        with self.channel.lock:
            self.pipeline.is_sampling = False
            self.channel.progress("error", message=said)
