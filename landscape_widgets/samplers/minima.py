"""The default: a slice through the trained weights and further minima found by descent."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from landscape_widgets.controls import Control
from landscape_widgets.geometry.basis import Basis, ConcatenatedBasis, DenseBasis, FloatArray
from landscape_widgets.geometry.cloud import Cloud
from landscape_widgets.objective.objective import Objective
from landscape_widgets.samplers import whole
from landscape_widgets.samplers.base import (
    BATCH_SIZE,
    RADIUS,
    SAMPLES,
    Sampler,
    Work,
    assemble,
    check_directions,
)
from landscape_widgets.samplers.calibration import filters_length, relative_radius
from landscape_widgets.samplers.descents import RATE, descend, perturbed_start
from landscape_widgets.samplers.settle import Ending, Settled, settle

EXAMPLES = 256_000  # that one descent's finish may see: 100 times 2,560 of them
FEWEST, MOST = 20, 200  # of its steps, whatever the number of examples
ADAM = 0.5  # the share of a descent that its steps on batches are, as progress is told
SAME = 0.05  # ends are one where they are nearer, in units of the weights and of the distance


@dataclass(frozen=True)
class Found:
    """Where descents ended, as displacements from θ*.

    Attributes
    ----------
    starts, ends : Tensor (k, P)
    start_losses, end_losses : tuple of float
        On all training data.
    radius : float
        How far from θ* the starts are.
    endings : tuple of str
        How each descent ended; see `settle.Settled`.
    twins : tuple of int or None
        For an end that is all but another's before it, the number of that one; −1 where it is θ*.
    """

    starts: Tensor
    ends: Tensor
    start_losses: tuple[float, ...]
    end_losses: tuple[float, ...]
    radius: float
    endings: tuple[Ending, ...]
    twins: tuple[int | None, ...]

    @property
    def directions(self) -> Tensor:
        """Ends, and starts in place of those that were found before: (k, P)."""
        rows = zip(self.starts, self.ends, self.twins, strict=True)
        return torch.stack([end if twin is None else start for start, end, twin in rows])


@dataclass(frozen=True)
class Minima(Sampler):
    """Points of the k-dimensional slice through θ* and k further minima.

    Asks: which basins lie around the trained one, and how high are the barriers between them?
    From k points as far from θ* as the loss of an untrained network is, Adam goes down on batches,
    and L-BFGS on all of the data until the loss has stopped falling. These k ends and θ* span the
    slice, and n points are drawn uniformly from a box around them. An end is called a minimum
    where its gradient and a further descent from beside it say so (see `settle.Settled`, and the
    table's column ``ending``), and is a mere "end" otherwise; one that is still falling when its
    steps are up ends where it was as low as θ*. Where a descent comes back to θ*, or
    to an end that was found before, the slice goes along the direction that it began in.

    Rates, gradients and ends are measured in units of each filter's own size: scaling layers of a
    ReLU network against each other changes no loss of the samples, but distances between them.

    A model of no more than k weights is shown whole: a line, a plane or a box of all of them.

    Cannot show: the other P − k directions. It is one slice of very many; another seed shows
    another. In three dimensions t-SNE or UMAP can lay it out truthfully; with k = 2 it is a plane
    (draw it as one), and from k = 5 on a map of two dimensions fades.

    Parameters
    ----------
    k : int
        Descents, and so dimensions of the slice.
    n : int
        Points drawn besides θ* and the minima.
    radius : float, optional
        How far from θ* the descents start; loss-calibrated by default (see `calibration`).
    steps, batch_size : int
        Of Adam, in each descent.
    finish : int
        Steps of L-BFGS at most, each a gradient or two on all of the data. By default no more than
        256,000 examples are seen by them in each descent, which is up to a fourth of what the
        samples cost.
    extent : pair of float
        Range of each coefficient. 0 is θ*, 1 the minimum; by default a quarter of the way between
        the two lies beyond each.

    Notes
    -----
    Measured against random slices, rays, descents and runs of training: of these, only here do
    the neighbours of a point on the map tell its loss when whole paths are held out, and more of
    it than distance from θ* does.

    The points are independent and uniform on purpose. Evenly spaced ones (Sobol, best-candidate)
    and ones that are denser where the loss is steep made t-SNE's maps worse, not better.
    """

    shows: ClassVar[str] = "basins around θ*, and the barriers between them"
    hides: ClassVar[str] = "any direction outside this slice; another seed shows another"
    controls: ClassVar[tuple[Control, ...]] = (
        Control("k", "minima", "dimensions of the slice; 3 can be shown truly", "whole", least=1),
        SAMPLES,
        RADIUS,
        Control("steps", "steps", "of each descent on batches", "whole", least=1),
        Control(
            "finish",
            "finish",
            "steps on all of the data at most",
            "whole",
            least=0,
            empty="by size",
        ),
        Control("extent", "extent", "0 is θ*, 1 a minimum", "range"),
        BATCH_SIZE,
    )

    k: int = 3
    n: int = 1000
    radius: float | None = None
    steps: int = 60
    batch_size: int = 256
    finish: int | None = None
    extent: tuple[float, float] = (-0.25, 1.25)

    @property
    def differentiates(self) -> bool:
        return True

    def check(self, objective: Objective) -> None:
        check_directions(self, self.k, objective)

    def find(self, work: Work) -> Found:
        """Descend k times; as many times as there are weights, if these are fewer.

        Raises
        ------
        Cancelled
        """
        objective = work.objective
        relative = relative_radius(work, self.radius)
        radius = relative * filters_length(objective)
        k = min(self.k, objective.size)
        starts: list[Tensor] = []
        settled: list[Settled] = []
        start_losses: list[float] = []
        twins: list[int | None] = []
        for number in range(k):
            work.report("minima", number, k)
            start = perturbed_start(work, relative)
            run = descend(
                work,
                start,
                steps=self.steps,
                learning_rate=RATE * relative,
                batch_size=self.batch_size,
                relative=True,
                until=ADAM,
            )
            if run.diverged:
                warnings.warn(
                    f"Descent {number + 1} of {k} met a loss or gradient that is not finite "
                    f"at step {len(run.losses)} of {self.steps} and ends before it. A smaller "
                    f"radius than {radius:.3g} may help: Minima(radius=...).",
                    RuntimeWarning,
                    stacklevel=2,
                )
            start_losses.append(objective.loss(objective.anchor + start))
            distance = 1.0 if run.units is None else run.units.length(start)
            end = settle(
                work,
                run,
                fell_from=start_losses[-1],
                distance=distance,
                steps=self._finish(objective),
                after=ADAM,
            )
            found_before = [torch.zeros_like(start), *(one.displacement for one in settled)]
            same = [
                which - 1
                for which, other in enumerate(found_before)
                if run.units is not None
                and run.units.length(end.displacement - other) < SAME * distance
            ]
            twins.append(same[0] if same else None)
            starts.append(start)
            settled.append(end)
            self._tell(work, settled, twins)
        return Found(
            torch.stack(starts),
            torch.stack([end.displacement for end in settled]),
            tuple(start_losses),
            tuple(end.loss for end in settled),
            radius,
            tuple(end.ending for end in settled),
            tuple(twins),
        )

    def _tell(self, work: Work, settled: list[Settled], twins: list[int | None]) -> None:
        """Tell of the ends that were found so far: the cloud begins with them."""
        own = [end for end, twin in zip(settled, twins, strict=True) if twin is None]
        if own and twins[-1] is None:
            # One by one, as a matrix of them would be a copy.
            basis = ConcatenatedBasis([DenseBasis(end.displacement[None]) for end in own])
            endings = [end.ending for end in own]
            work.known(self._assembled(work, basis, np.eye(len(own)), endings))

    def _finish(self, objective: Objective) -> int:
        if self.finish is not None:
            return self.finish
        return max(FEWEST, min(MOST, EXAMPLES // max(1, objective.n_examples)))

    def _draw(self, work: Work) -> Cloud:
        found = self.find(work)
        own = [number for number, twin in enumerate(found.twins) if twin is None]
        if work.objective.size <= self.k:
            return self._everywhere(work, found, own)
        coefficients = work.rng.uniform(*self.extent, size=(self.n, self.k))
        rows = np.vstack([np.eye(self.k)[own], coefficients])
        endings = [found.endings[number] for number in own]
        cloud = self._assembled(work, DenseBasis(found.directions), rows, endings)
        return replace(cloud, assumptions=tuple(_said(found)))

    def _everywhere(self, work: Work, found: Found, own: list[int]) -> Cloud:
        """All weights that there are, as far as they matter, and the ends of all descents."""
        ahead, behind = whole.extents(work, self.radius)
        ends = found.ends[own].cpu().double().numpy().reshape(-1, work.objective.size)
        high = np.maximum(ahead, ends.max(axis=0, initial=0.0))
        low = np.minimum(-behind, ends.min(axis=0, initial=0.0))
        places = np.vstack([ends, whole.fill(work, self.n, low, high)])
        basis = whole.axes(work.objective)
        cloud = self._assembled(work, basis, places, [found.endings[number] for number in own])
        return replace(cloud, assumptions=(whole.said(work.objective), *_said(found)))

    def _assembled(
        self, work: Work, basis: Basis, rows: FloatArray, endings: list[Ending]
    ) -> Cloud:
        """A cloud of θ*, the ends of descents, and samples."""
        others = len(rows) - len(endings)
        kinds = ["minimum" if ending == "minimum" else "end" for ending in endings]
        return assemble(
            work,
            self,
            basis,
            rows,
            kind=[*kinds, *["sample"] * others],
            ending=[*endings, *[""] * others],
        )


def _said(found: Found) -> Iterator[str]:
    """What a reader must know of the descents."""
    k = len(found.twins)
    for text, count in (
        ("came back to the trained weights", found.twins.count(-1)),
        ("ended where one before had", sum(twin is not None and twin >= 0 for twin in found.twins)),
    ):
        if count:
            yield (
                f"{count} of {k} descents {text}: there is no further minimum of theirs, and the "
                "samples go along the directions in which they began."
            )
    ended = [end for end, twin in zip(found.endings, found.twins, strict=True) if twin is None]
    for ending, text in ENDINGS.items():
        if ending in ended:
            yield f"{ended.count(ending)} of {k} descents ended {text}."


# How descents ended that found no minimum.
ENDINGS = {
    "still falling": "with the loss still falling, and are shown where it was as low as at the "
    "trained weights, if it came that far: these ends are no minima (a larger finish= goes on)",
    "stuck": "where no step lowers the loss although its gradient is not small, as in a kink: "
    "these ends may be no minima",
    "no gradient": "where the loss has no gradient, as on steps and plateaus: these ends are no "
    "minima that a descent could find",
    "not finite": "before a loss or gradient that is not finite: these ends are no minima",
}
