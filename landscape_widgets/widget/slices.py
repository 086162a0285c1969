"""The slices of all samples: first those that are asked for, then the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
import numpy.typing as npt

from landscape_widgets.evaluation.quantities import LOSSES, SPLITS, on_split, split_of
from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.geometry.cloud import Cloud
from landscape_widgets.landscape.landscape import Landscape
from landscape_widgets.profiles.growing import FIRST, SHARES, GrowingSlices
from landscape_widgets.profiles.line import ALPHAS, Slice, slice_along
from landscape_widgets.progress import CancelCallback, Progress, ProgressCallback
from landscape_widgets.widget.channel import Channel
from landscape_widgets.widget.opening import opening
from landscape_widgets.widget.wire import Profiles
from landscape_widgets.widget.worker import Urgency

PROFILE_SECONDS = 20.0  # what is spent on slices that nobody has asked for yet
HALF_ABOVE = 2.0  # s for all slices, above which half of their points come first
FIRST_SECONDS = 5.0  # what is spent on slices before the map is judged
MEASURING_SECONDS = 1.0  # what is spent at most on measuring the pace of many rows
AT_ONCE = 0.5  # s, in which a slice that is asked for should be there
PUBLISH_EVERY = 1.0  # s
BLOCK_SECONDS = 0.2  # of work between two looks at what is asked for
BLOCK = 16  # slices that are taken at once where many are asked for; more where they take no time
LARGEST_BLOCK = 1024
TELL_ABOVE = 0.3  # s; what is asked for and is there sooner is not worth a word


class Slices:
    """Computes slices on the worker's thread, and sends them to the browser.

    Where all of the data take too long for a slice to be there at once, slices are estimated from
    a part of it (see `growing`): those on the screen are refined for as long as the browser asks
    for it, the others in the time that is left.

    Parameters
    ----------
    channel : Channel
        To the browser.
    report : callable
        Told of slices that nobody has asked for yet.
    report_asked : callable
        Told of those that are asked for, and that take a while.
    give_way : callable
        Does what waits and is at least so urgent, between two blocks of slices.

    Attributes
    ----------
    quantity : str
        What slices are to show from now on. A metric is of all of the data, and takes longer than a
        loss: it is taken along no slice before it is chosen.
    """

    def __init__(
        self,
        channel: Channel,
        report: ProgressCallback,
        report_asked: ProgressCallback,
        give_way: Callable[[Urgency], None],
    ) -> None:
        self._channel, self._give_way = channel, give_way
        self._report, self._report_asked = report, report_asked
        self._until = 0.0
        self._pace = 0.0  # s that a slice took, last time
        self._all = 0.0  # s that all slices are expected to take
        self._lock = threading.Lock()
        self.quantity = "loss"
        self.end()

    def end(self) -> None:
        """Let go of the landscape."""
        self._land: Landscape | None = None
        self._growing: GrowingSlices | None = None
        self._wanted: list[int] = []
        self._doubted: list[int] = []
        self.profile = Profiles(0, ALPHAS, ["loss"])

    @property
    def land(self) -> Landscape:
        """The landscape that is sliced."""
        assert self._land is not None
        return self._land

    def begin(self, land: Landscape, alphas: FloatArray = ALPHAS) -> None:
        """Begin anew, with the samples of a landscape."""
        assert land.cloud is not None
        self._land, self._growing, self._doubted = land, None, []
        self._all = 0.0
        losses = land.objective.quantities(metrics=False)
        self.profile = Profiles(len(land.cloud), alphas, losses)
        self._publish(anew=True)

    def follow(self, cloud: Cloud) -> None:
        """Make room for samples behind those that are there."""
        self.profile.grow(len(cloud))
        if self._growing is not None:
            self._growing.follow(cloud)
        self._publish(anew=True)

    def fit(self, seconds: float | None) -> None:
        """Choose the values of α and the part of the data by what a loss takes.

        Parameters
        ----------
        seconds : float, optional
            At most what a loss takes; it is measured where it is not given.
        """
        land, cloud = self.land, self.land.cloud
        assert cloud is not None
        # What sampling took holds trials of strategies and metrics, too, and a strategy for many
        # rows needs many to show what it can.
        many = (cloud.coefficients[1:3, None, :] * ALPHAS[:, None]).reshape(-1, cloud.basis.k)
        for rows in (cloud.coefficients[:3], many):
            if seconds is None or 2 * len(rows) * seconds < MEASURING_SECONDS:
                seconds = _seconds_a_loss(land, rows) if len(rows) else seconds
        assert seconds is not None
        first = None
        if len(ALPHAS) * seconds > AT_ONCE and _may_estimate(land):
            fitting = [
                part
                for part, share in enumerate(SHARES[: FIRST + 1])
                if share * len(ALPHAS) * seconds < AT_ONCE
            ]
            first = max(fitting, default=0)
            seconds *= SHARES[first]
        alphas = ALPHAS
        if len(cloud) * len(ALPHAS) * seconds > 2 * PROFILE_SECONDS:
            # There is no time for the slices of all: as many values as one can have at once.
            step = 2 if len(ALPHAS[::2]) * seconds < AT_ONCE else 4
            alphas = np.unique(np.append(ALPHAS[::step], [0.0, 1.0]))
        if first is None and alphas is ALPHAS:
            self._all = len(cloud) * len(ALPHAS) * seconds
            return
        self.begin(land, alphas)
        if first is not None:
            self._growing = GrowingSlices(land.objective, cloud, alphas, first=first)

    # Asked for by the browser

    def ask(self, indices: Iterable[int]) -> None:
        """Want the slices of these samples, the last first, and no longer of others.

        A block that is underway is taken to its end.
        """
        with self._lock:
            self._wanted = list(indices)

    def doubt(self, indices: Iterable[int]) -> None:
        """Want better slices of these samples, which are on the screen, and no longer of others."""
        with self._lock:
            self._doubted = list(indices)

    def forget(self) -> None:
        """Want no slices any more."""
        self.ask([])
        self.doubt([])

    def serve(self, cancelled: CancelCallback) -> None:
        """Compute the slices that were asked for; answers come between two blocks of them."""
        done, size = 0, BLOCK
        while self._wanted and not cancelled():
            with self._lock:
                latest = dict.fromkeys(reversed(self._wanted))
                waiting = [i for i in latest if self._is_missing(i)]
                block, self._wanted = waiting[:size], waiting[size:][::-1]
            self._tell("slices", done, done + len(waiting))
            if block:
                begun = time.perf_counter()
                done += self._take(block, cancelled)
                took = time.perf_counter() - begun
                size = int(np.clip(size * BLOCK_SECONDS / max(took, 1e-3), BLOCK, LARGEST_BLOCK))
                self._publish()
            self._give_way(Urgency.ANSWERS)

    def improve(self, cancelled: CancelCallback) -> None:
        """Take the slices on the screen from the next larger part of the data."""
        while self._doubted and self._growing is not None and not cancelled():
            with self._lock:
                shown, self._doubted = self._doubted, []
            known = [i for i in shown if i < self.profile.n and self.profile.has(i)]
            rough = self._growing.doubtful(known)
            if rough:
                self._tell("estimates", 0, len(rough))
                self._take_losses(rough, lambda: self.is_asked or cancelled())
                self._publish()
            self._give_way(Urgency.ANSWERS)

    def _tell(self, phase: str, done: int, total: int) -> None:
        """Report slices that are asked for, unless they are there in no time."""
        if total * self._pace > TELL_ABOVE:
            self._report_asked(Progress(phase, done, total))

    @property
    def is_asked(self) -> bool:
        """Whether slices are wanted, or better ones."""
        return bool(self._wanted or self._doubted)

    def _is_missing(self, index: int) -> bool:
        return index < self.profile.n and not self.profile.has(
            index, _shown(self.land, self.quantity)
        )

    def _take(self, indices: list[int], interrupted: CancelCallback) -> int:
        """Take slices of what is shown; how many were done."""
        if self.quantity in LOSSES:
            return self._take_losses(indices, interrupted)
        begun = time.perf_counter()
        found = _metrics_along(self.land, indices, self.profile.alphas, self.quantity)
        if self._growing is not None:  # their losses are compared with those of the same examples
            found = Slice(found.indices, found.alphas, _without_losses(found.values))
        self.profile.put(found)
        self._pace = (time.perf_counter() - begun) / len(indices)
        return len(indices)

    def _take_losses(self, indices: list[int], interrupted: CancelCallback) -> int:
        """Take slices, from the next part where they are estimated; how many were done."""
        land, growing = self.land, self._growing
        assert land.cloud is not None
        begun, done = time.perf_counter(), 0
        if growing is None:
            for part, alphas in _missing_points(self.profile, indices):
                self.profile.put(slice_along(land.objective, land.cloud, part, alphas))
            done = len(indices)
        else:
            for index in indices:
                found = growing.grow(index, interrupted=interrupted)
                if found is None:
                    break
                self.profile.put(found)
                done += 1
        if done:
            self._pace = (time.perf_counter() - begun) / done
        return done

    # In the background

    def compute_first(self, cancelled: CancelCallback) -> None:
        """What there is time for of all slices before the map is judged.

        Every second point of them, where all points take a while.
        """
        if self._growing is not None:
            return
        self._until = time.monotonic() + min(FIRST_SECONDS, PROFILE_SECONDS)
        half = HALF_ABOVE < self._all <= PROFILE_SECONDS and self.quantity in LOSSES
        self._work_through("ahead", self._is_missing, cancelled, self._take_half if half else None)

    def _take_half(self, indices: list[int], interrupted: CancelCallback) -> int:
        land = self.land
        assert land.cloud is not None
        half = self.profile.alphas[::2]
        if land.tolerance is None:  # θ* and the samples are evaluated
            inner = half[(half != 0) & (half != 1)]
            found = slice_along(land.objective, land.cloud, indices, inner)
            found = found.joined(_ends(land, found.indices))
        else:
            found = slice_along(land.objective, land.cloud, indices, half)
        self.profile.put_half(found)
        return len(indices)

    def compute(self, cancelled: CancelCallback) -> None:
        """The slices of all samples, so that the browser needs the kernel no more.

        Those that are not there in time come when they are asked for.
        """
        self._until = time.monotonic() + PROFILE_SECONDS
        if self._growing is None or self.quantity in LOSSES:
            self._work_through("ahead", self._is_missing, cancelled)
        self._work_through("between", self._is_interpolated, cancelled, self._take_losses)
        if self.profile.forget_interpolated():
            self._publish()
        for part in range(len(SHARES) if self._growing is not None else 0):
            rough = partial(self._is_rough, part)
            self._work_through("refined ahead", rough, cancelled, self._take_losses)

    @property
    def seconds_left(self) -> float:
        """How long slices may yet be taken that nobody has asked for."""
        return max(0.0, self._until - time.monotonic())

    def _is_interpolated(self, index: int) -> bool:
        return bool(self.profile.interpolated[index])

    def _is_rough(self, part: int, index: int) -> bool:
        """Whether a sample's slice is from a part, and not good enough."""
        growing = self._growing
        assert growing is not None
        return bool(growing.parts[index] == part) and not growing.converged(index)

    def _work_through(
        self,
        phase: str,
        is_due: Callable[[int], bool],
        cancelled: CancelCallback,
        take: Callable[[list[int], CancelCallback], int] | None = None,
    ) -> None:
        """Take the slices that are due block by block, as long as there is time."""
        take = take or self._take
        size, shown = 4 if self._growing is None else 1, time.monotonic()
        first = opening(self.land)  # on the screen, where a page is open and nothing is selected
        order = dict.fromkeys([*first, *range(self.profile.n)])
        waiting = list(filter(is_due, order))
        total = self.profile.n if phase == "ahead" else len(waiting)  # some are there from before
        if waiting and self.seconds_left:
            self._report(Progress(phase, total - len(waiting), total))
        while waiting and not cancelled() and self.seconds_left:
            self._give_way(Urgency.REFINEMENTS)
            waiting = list(filter(is_due, waiting))  # some may have been asked for
            begun = time.perf_counter()
            done = take(waiting[:size], lambda: self.is_asked or cancelled())
            waiting = waiting[done:]
            took = time.perf_counter() - begun
            size = int(np.clip(size * BLOCK_SECONDS / max(took, 1e-3), 1, 64))
            self._report(Progress(phase, total - len(waiting), total))
            if time.monotonic() - shown > PUBLISH_EVERY:
                shown = time.monotonic()
                self._publish()
        self._publish()

    def _publish(self, anew: bool = False) -> None:
        profile, growing = self.profile, self._growing
        tolerance = None if growing is None else growing.tolerance
        n_examples = 0 if self._land is None else self._land.objective.n_examples
        self._channel.slices(profile, n_examples, tolerance, anew)


def _shown(land: Landscape, quantity: str) -> tuple[str, ...]:
    """What is shown: both losses, or a metric, with that on validation data beside it."""
    both = ("loss",) if quantity in LOSSES else (quantity, on_split(quantity, "val"))
    return tuple(name for name in both if name in land.quantities)


def _missing_points(profile: Profiles, indices: list[int]) -> list[tuple[list[int], FloatArray]]:
    """Samples, and the values of α at which their losses are not evaluated yet."""
    halves = [i for i in indices if profile.interpolated[i]]
    others = [i for i in indices if not profile.interpolated[i]]
    parts = [(others, profile.alphas), (halves, profile.alphas[1::2])]
    return [(part, alphas) for part, alphas in parts if part]


def _metrics_along(land: Landscape, indices: list[int], alphas: FloatArray, quantity: str) -> Slice:
    """Slices with all metrics on those splits that are shown with a quantity."""
    assert land.cloud is not None
    splits = [split for split in SPLITS if split in map(split_of, _shown(land, quantity))]
    return slice_along(land.objective, land.cloud, indices, alphas, splits=splits, metrics=True)


def _without_losses(values: dict[str, FloatArray]) -> dict[str, FloatArray]:
    return {name: found for name, found in values.items() if name not in LOSSES}


def _ends(land: Landscape, indices: npt.NDArray[np.int64]) -> Slice:
    """What is known of slices from the losses of θ* and of the samples."""
    at_anchor = land.objective.at_anchor
    values = {
        name: np.column_stack([np.full(len(indices), at_anchor[name]), land.values[name][indices]])
        for name in land.objective.quantities(metrics=False)
    }
    return Slice(indices, np.array([0.0, 1.0]), values)


def _seconds_a_loss(land: Landscape, rows: FloatArray) -> float:
    """What a loss takes with the fastest strategy for so many rows."""
    assert land.cloud is not None
    land.evaluator.evaluate(land.cloud.basis, rows, metrics=False)
    start = time.perf_counter()
    land.evaluator.evaluate(land.cloud.basis, rows, metrics=False)
    return (time.perf_counter() - start) / len(rows)


def _may_estimate(land: Landscape) -> bool:
    """Whether a part of the examples has a loss, and takes less time than all of them."""
    objective = land.objective
    reestimated = objective.has_batchnorm and objective.batchnorm == "reestimate"
    return objective.why_no_example_losses() is None and not reestimated
