"""A loss landscape without a notebook: sample, evaluate, embed, slice, ask."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import nn

from landscape_widgets import reducers, samplers
from landscape_widgets.evaluation.quantities import Evaluation
from landscape_widgets.geometry.basis import DenseBasis, FloatArray
from landscape_widgets.geometry.cloud import Cloud, Space
from landscape_widgets.landscape import files as storage
from landscape_widgets.landscape.cluster import Cluster, check_client
from landscape_widgets.objective import fingerprint
from landscape_widgets.objective.evaluator import Evaluator
from landscape_widgets.objective.objective import Objective
from landscape_widgets.profiles.estimated import EstimatedSlice, estimated_losses, estimated_slice
from landscape_widgets.profiles.line import Slice, slice_along
from landscape_widgets.profiles.plane import EXTENT, Plane, plane_along
from landscape_widgets.progress import (
    CancelCallback,
    Cancelled,
    Progress,
    ProgressCallback,
    ignore,
    never,
)
from landscape_widgets.reducers.base import Frame, Reducer
from landscape_widgets.samplers import parsing
from landscape_widgets.samplers.base import Sampler
from landscape_widgets.task.batchnorm import BatchNormMode
from landscape_widgets.task.metrics import Metric
from landscape_widgets.tracebacks import entries
from landscape_widgets.trust import Faithfulness, assess, nulls, scores

# Predictions are kept for "outputs" space and for the readouts as long as they fit in this.
OUTPUT_BYTES = 512 << 20


@dataclass(frozen=True)
class _Measure:
    """How samples become points of a space; fixed with a map, so that later samples join in."""

    space: Space
    scale: FloatArray | None
    standardise: bool = False

    def points(self, land: Landscape) -> FloatArray:
        cloud = land._sampled()
        if self.space == "weights":
            assert self.scale is not None
            return cloud.points(self.scale)
        assert land.outputs is not None
        features = land.objective.output_features(land.outputs)
        return features if self.scale is None else features * self.scale


def _stage(progress: ProgressCallback, phase: str, number: int, stages: int) -> ProgressCallback:
    """Tell of one of several like pieces of work as a part of all of them."""

    def tell(part: Progress) -> None:
        progress(Progress(phase, number * part.total + part.done, stages * part.total))

    return tell


def _check_tolerance(tolerance: float, objective: Objective) -> None:
    """Refuse to estimate losses where that cannot be done, or would spare nothing."""
    if not tolerance > 0:
        raise ValueError(f"tolerance={tolerance!r}; a relative error above 0 is expected.")
    why_not = objective.why_no_example_losses()
    if why_not is not None:
        raise ValueError(
            f"tolerance={tolerance!r} asks for losses from a part of the data. {why_not}"
        )
    if objective.metric_names and not objective.n_val_examples:
        raise ValueError(
            f"tolerance={tolerance!r} asks for losses from a part of the training data, but the "
            f"metrics ({', '.join(objective.metric_names)}) are taken on all of it. Give val_data, "
            "on which they are taken then, or metrics=[]."
        )


@entries
class Landscape:
    """The loss of a model on its data, sampled around the trained weights.

    >>> land = Landscape(model, (X, y)).sample(Minima(k=3, n=1000)).embed(TSNE())  # doctest: +SKIP
    >>> land.to_frame().head()  # doctest: +SKIP

    Parameters
    ----------
    model, data, val_data, loss, metrics, device, max_examples, batchnorm, probe_examples,
    strategy, precision, batch_size, batch_axis, progress, cancelled
        As for `Objective`.
    seed : int
        Of everything that is drawn: the same seed gives the same landscape.
    client : dask.distributed.Client, optional
        Whose workers evaluate the samples.
    tolerance : float, optional
        Take the training losses of samples from as many examples, the same ones for all samples,
        as their standard errors need to be at most this share of them. All are taken by default.

    Attributes
    ----------
    objective : Objective
    evaluator : Evaluator
        What takes losses at many parameter vectors: the objective, or a cluster.
    cloud : Cloud or None
        What was sampled.
    losses, val_losses : array (N,)
        NaN where not evaluated yet (see `evaluated`), or where the loss is not a number.
    loss_errors : array (N,) or None
        Standard errors of the losses, where they are estimated (`tolerance`).
    metrics : dict of arrays (N,)
    outputs : array (N, m, ...) or None
        Predictions on the probe batch, where they fit in memory.
    evaluated : array (N,) of bool
    strategy : str
        How the samples were evaluated, in words; empty where none was, or the losses were read.
    coordinates : array (N, 2 or 3)
        The map; NaN for samples that are not on it.
    space, reducer : what the map was made with
    """

    def __init__(
        self,
        model: nn.Module,
        data: Any,
        *,
        val_data: Any = None,
        loss: Callable[..., Any] | None = None,
        metrics: Sequence[str | Metric] | Mapping[str, Metric] | None = None,
        device: torch.device | str | None = None,
        seed: int = 0,
        max_examples: int = 10_000,
        batchnorm: BatchNormMode = "trained",
        probe_examples: int = 100,
        strategy: str = "auto",
        precision: str | None = None,
        batch_size: int | None = None,
        batch_axis: int | tuple[int, int] | None = None,
        client: Any = None,
        tolerance: float | None = None,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
    ) -> None:
        if client is not None:
            check_client(client)
        self.seed = seed
        self.tolerance = tolerance
        unasked = tolerance is not None and metrics is None and val_data is None
        if unasked:
            metrics = []  # one that nobody asked for gives way
        self.objective = Objective(
            model,
            data,
            val_data=val_data,
            loss=loss,
            metrics=metrics,
            device=device,
            max_examples=max_examples,
            batchnorm=batchnorm,
            probe_examples=probe_examples,
            strategy=strategy,
            precision=precision,
            seed=seed,
            batch_size=batch_size,
            batch_axis=batch_axis,
            progress=progress,
            cancelled=cancelled,
        )
        if tolerance is not None:
            _check_tolerance(tolerance, self.objective)
        if unasked and self.objective.predictions is not None:
            self.objective.assume(
                "No metric is shown: losses are estimated from parts of the training data "
                "(tolerance=). Give val_data to see one on it."
            )
        self.evaluator: Evaluator = (
            self.objective if client is None else Cluster(self.objective, client)
        )
        self.sampler: Sampler | None = None
        self.reducer: Reducer | None = None
        self.space: Space | None = None
        self.cloud: Cloud | None = None
        self._placing: _Measure | None = None
        self._from_file = False  # the map was read: its reducer has not seen the points yet
        self._reset(0)

    def _reset(self, n: int) -> None:
        self.losses: FloatArray = np.full(n, np.nan)
        self.loss_errors: FloatArray | None = None if self.tolerance is None else np.full(n, np.nan)
        self.val_losses: FloatArray | None = (
            np.full(n, np.nan) if self.objective.n_val_examples else None
        )
        self.metrics: dict[str, FloatArray] = {
            name: np.full(n, np.nan) for name in self.objective.metric_names
        }
        size = self.objective.outputs_shape
        self.outputs: npt.NDArray[np.float32] | None = None
        if size is not None and self._outputs_fit(n):
            self.outputs = np.full((n, *size), np.nan, dtype=np.float32)
        self.evaluated: npt.NDArray[np.bool_] = np.zeros(n, dtype=bool)
        self.strategy = ""
        self.coordinates: FloatArray = np.full((n, 2), np.nan)

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What was inferred or is approximate, as sentences; see `Objective.assumptions`."""
        found = self.objective.assumptions
        if self.cloud is not None:
            found += self.cloud.assumptions
        return found if self.reducer is None else found + self.reducer.assumptions

    def __repr__(self) -> str:
        done = f"{int(self.evaluated.sum())} samples" if len(self.evaluated) else "not sampled"
        return f"<Landscape of {self.objective.size:,} parameters, {done}>"

    # Sampling

    def sample(
        self,
        sampler: Sampler | str | None = None,
        *,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
        on_drawn: Callable[[Cloud], None] | None = None,
        on_chunk: Callable[[npt.NDArray[np.int64]], None] | None = None,
        path: str | os.PathLike[str] | None = None,
    ) -> Landscape:
        """Draw a cloud of samples and evaluate the loss at each.

        Parameters
        ----------
        sampler
            One of `landscape_widgets.samplers`, or its name; `Minima()` by default.
        progress, cancelled
            When `cancelled` says yes, the samples that are evaluated are kept, and
            `evaluate_rest` goes on with the others.
        on_drawn : callable, optional
            Gets the cloud before any loss is evaluated.
        on_chunk : callable, optional
            Gets the indices of samples as they are evaluated.
        path : optional
            A file that gets each result as it is found. If it is there already, from a run of the
            same sampler on the same model and data, that run is taken up where it ended.

        Raises
        ------
        ValueError
            If `path` holds a landscape of another model, data, sampler or seed.
        Cancelled
            If work was cancelled before there was a cloud; the landscape is then as it was.
        """
        sampler = samplers.resolve(sampler)
        file = None if path is None or not Path(path).exists() else storage.read(path)
        if file is None:
            drawn = sampler.draw(
                self.objective,
                seed=self.seed,
                progress=progress,
                cancelled=cancelled,
                evaluator=self.evaluator,
            )
            self.cloud = drawn
            self._reset(len(drawn))
        else:
            self._check_origin(file, path)
            if file.document["sampler"] != repr(sampler) or file.document["seed"] != self.seed:
                raise ValueError(
                    f"{path} holds samples of {file.document['sampler']} with seed "
                    f"{file.document['seed']}; asked for is {sampler!r} with seed {self.seed}. "
                    "Give another path, or delete the file."
                )
            self._restore(file)
        self.sampler, self.space, self._placing = sampler, None, None
        if path is not None and file is None:
            self.save(path)
        if on_drawn is not None:
            on_drawn(self._sampled())
        return self.evaluate_rest(
            progress=progress, cancelled=cancelled, on_chunk=on_chunk, path=path
        )

    def evaluate_rest(
        self,
        *,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
        on_chunk: Callable[[npt.NDArray[np.int64]], None] | None = None,
        path: str | os.PathLike[str] | None = None,
    ) -> Landscape:
        """Evaluate the samples that have no loss yet; see `sample`."""
        cloud = self._sampled()
        waiting = np.flatnonzero(~self.evaluated)
        rows_on_disk = None if path is None else storage.Rows(path, list(self._results()))
        estimates = None
        if self.tolerance is not None and len(waiting):
            # Of a run that is resumed, all samples: they say together how many examples it takes.
            estimated = waiting if path is None else np.arange(len(cloud))
            try:
                estimates = estimated_losses(
                    self.objective,
                    cloud.basis,
                    cloud.coefficients[estimated],
                    self.tolerance,
                    progress=progress,
                    cancelled=cancelled,
                )
            except Cancelled:
                return self

        def take(start: int, part: Evaluation) -> None:
            rows = waiting[start : start + len(part)]
            if estimates is not None and self.loss_errors is not None:
                places = np.searchsorted(estimated, rows)
                part.losses[:] = estimates.losses[places]
                self.loss_errors[rows] = estimates.errors[places]
            self._store(rows, part)
            self.strategy = self.evaluator.strategy
            if rows_on_disk is not None:
                rows_on_disk.put(rows, {name: a[rows] for name, a in self._results().items()})
            if on_chunk is not None:
                on_chunk(rows)

        self.evaluator.evaluate(
            cloud.basis,
            cloud.coefficients[waiting],
            splits=("train", "val") if estimates is None else ("val",),
            outputs=self.outputs is not None,
            progress=progress,
            cancelled=cancelled,
            on_chunk=take,
        )
        return self

    def _store(self, rows: npt.NDArray[np.int64], part: Evaluation) -> None:
        self.losses[rows] = part.losses
        if self.val_losses is not None and part.val_losses is not None:
            self.val_losses[rows] = part.val_losses
        for name, values in part.metrics.items():
            self.metrics[name][rows] = values
        if self.outputs is not None and part.outputs is not None:
            self.outputs[rows] = part.outputs
        self.evaluated[rows] = True

    def _outputs_fit(self, n: int) -> bool:
        shape = self.objective.outputs_shape
        return shape is not None and n * math.prod(shape) * 4 <= OUTPUT_BYTES

    def _results(self) -> dict[str, npt.NDArray[Any]]:
        """All that has one row a sample, by name; `evaluated` comes last."""
        found: dict[str, npt.NDArray[Any]] = {"losses": self.losses}
        if self.loss_errors is not None:
            found["loss_errors"] = self.loss_errors
        if self.val_losses is not None:
            found["val_losses"] = self.val_losses
        found.update({f"metric:{name}": values for name, values in self.metrics.items()})
        if self.outputs is not None:
            found["outputs"] = self.outputs
        found["evaluated"] = self.evaluated
        return found

    def _sampled(self) -> Cloud:
        if self.cloud is None:
            raise RuntimeError("There are no samples yet. Call .sample() first.")
        return self.cloud

    # The map

    def points(self, space: Space | None = None, *, standardise: bool = False) -> FloatArray:
        """The samples as points whose Euclidean distances are those of a space, (N, d).

        "weights": isometric coordinates. "outputs": see `Objective.output_features`. With
        `standardise` each parameter (or output) is measured in its own standard deviation.

        Raises
        ------
        ValueError
            If there is no such space, or predictions are not to be had or kept.
        """
        return self._measure(space, standardise).points(self)

    def _measure(self, space: Space | None, standardise: bool) -> _Measure:
        cloud = self._sampled()
        space = cloud.space if space is None else space
        if space == "weights":
            return _Measure(space, cloud.isometry(standardise), standardise)
        if space != "outputs":
            raise ValueError(f"space={space!r}; expected is 'weights' or 'outputs'.")
        if self.outputs is None:
            raise ValueError(self._why_no_outputs(len(cloud)))
        if not standardise:
            return _Measure(space, None)
        spread = np.nanstd(self.objective.output_features(self.outputs), axis=0)
        return _Measure(space, 1.0 / np.where(spread > 0, spread, 1.0), standardise)

    def _why_no_outputs(self, n: int) -> str:
        shape = self.objective.outputs_shape
        if shape is None:
            return (
                "'outputs' space needs the predictions model(inputs), which this model does not "
                "give for its batches. Use space='weights'."
            )
        return (
            f"The predictions of {n} samples take {n * math.prod(shape) * 4 / 2**20:,.0f} MiB; at "
            f"most {OUTPUT_BYTES >> 20} are kept. Give fewer probe_examples, or use "
            "space='weights'."
        )

    def embed(
        self,
        reducer: Any = None,
        *,
        space: Space | None = None,
        standardise: bool = False,
        n_components: int = 2,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
        on_frame: Callable[[Frame, npt.NDArray[np.int64]], None] | None = None,
    ) -> Landscape:
        """Lay the samples out in 2 or 3 dimensions.

        Parameters
        ----------
        reducer
            One of `landscape_widgets.reducers`, its name, or a scikit-learn transformer; by
            default `PCA()` for samples of one or two dimensions, which are shown as they are,
            and `TSNE()` for all others.
        space : {"weights", "outputs"}, optional
            What distances are measured in; by default what the sampler names as its own.
        standardise
            Measure each parameter, or output, in units of its own standard deviation.
        progress, cancelled
            A cancelled reducer leaves its last map.
        on_frame : callable, optional
            Gets each intermediate map and the indices of its samples.
        """
        cloud = self._sampled()
        measure = self._measure(space, standardise)
        points = measure.points(self)
        reducer = (
            reducers.default(points.shape[1]) if reducer is None else reducers.resolve(reducer)
        )
        rows = np.flatnonzero(self.evaluated & np.isfinite(points).all(axis=1))

        def frame(part: Frame) -> None:
            if on_frame is not None:
                on_frame(part, rows)

        found = reducer.fit(
            points[rows],
            n_components=n_components,
            seed=self.seed,
            progress=progress,
            cancelled=cancelled,
            on_frame=frame if on_frame is not None else None,
        )
        coordinates = np.full((len(cloud), n_components), np.nan)
        coordinates[rows] = found
        self.coordinates = coordinates
        self.reducer, self.space, self._placing = reducer, measure.space, measure
        self._from_file = False
        return self

    def refine(
        self,
        indices: npt.ArrayLike,
        n: int = 100,
        *,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
        on_drawn: Callable[[Cloud], None] | None = None,
        on_chunk: Callable[[npt.NDArray[np.int64]], None] | None = None,
    ) -> Landscape:
        """Sample more around some samples, and place them on the map as it is.

        New samples are a smoothed bootstrap of the chosen ones: one of them, plus a normal
        displacement with half their standard deviation (Silverman 1986, section 6.4). Around a
        single sample, its ten nearest neighbours give the scale. All that was there keeps its
        number and its place.

        Parameters
        ----------
        indices : array
            Around which samples.
        n : int
            How many new ones.
        progress, cancelled, on_drawn, on_chunk
            As for `sample`.

        Raises
        ------
        ValueError
            If no samples are given, n is not positive, or the map was read from a file that does
            not tell how it was made.
        """
        cloud = self._sampled()
        if self._placing is None and np.isfinite(self.coordinates).any():
            raise ValueError(
                "The file does not tell how its map was made, so nothing can be placed on it. "
                "Call .embed() first."
            )
        chosen = np.unique(np.atleast_1d(np.asarray(indices, dtype=np.int64)))
        if not len(chosen) or n < 1:
            raise ValueError(
                f"{len(chosen)} samples and n={n} were given; at least one of each is expected. "
                "Select the samples to refine around first."
            )
        around = chosen
        if len(chosen) == 1:
            points = cloud.isometric()
            distances = np.linalg.norm(points - points[chosen], axis=1)
            around = np.argsort(distances, kind="stable")[:11]
        rng = np.random.default_rng([self.seed, len(cloud)])
        centred = cloud.coefficients[around] - cloud.coefficients[around].mean(axis=0)
        noise = rng.normal(size=(n, len(around))) @ centred / np.sqrt(max(1, len(around) - 1))
        coefficients = cloud.coefficients[rng.choice(chosen, size=n)] + 0.5 * noise
        table = pd.DataFrame(
            {"sampler": "refine", "kind": "sample", "path": -1, "step": 0}, index=range(n)
        )
        before = len(cloud)
        self.cloud = cloud.extended(coefficients, table)
        self._grow(len(self.cloud))
        if on_drawn is not None:
            on_drawn(self.cloud)
        self.evaluate_rest(progress=progress, cancelled=cancelled, on_chunk=on_chunk)
        self.place(np.arange(before, len(self.cloud)))
        return self

    def place(self, indices: npt.ArrayLike) -> None:
        """Find a place on the map for evaluated samples without one, the others staying put."""
        if self.reducer is None or self._placing is None:
            return
        rows = np.asarray(indices)
        points = self._placing.points(self)
        if self._from_file:
            known = np.isfinite(self.coordinates).all(axis=1)
            self.reducer.resume(points[known], self.coordinates[known], self.seed)
            self._from_file = False
        rows = rows[self.evaluated[rows] & np.isfinite(points[rows]).all(axis=1)]
        if len(rows):
            self.coordinates[rows] = self.reducer.place(points[rows])

    def _grow(self, n: int) -> None:
        """Make room for more samples; what is known of the others stays."""
        old, before = {**self._results(), "coordinates": self.coordinates}, len(self.evaluated)
        self._reset(n)
        self.coordinates = np.full((n, old["coordinates"].shape[1]), np.nan)
        new = {**self._results(), "coordinates": self.coordinates}
        for name, values in old.items():
            if name in new:
                new[name][:before] = values

    def initial_coordinates(self, n_components: int = 2) -> FloatArray:
        """Principal components of the samples in weights space, (N, n_components): at once."""
        return self._sampled().principal_coordinates(n_components)

    # Questions

    def slice(self, indices: npt.ArrayLike, alphas: npt.ArrayLike | None = None) -> Slice:
        """The loss along the lines from θ* to some samples; see `line.slice_along`."""
        return slice_along(self.evaluator, self._sampled(), indices, alphas)

    def estimated_slice(
        self,
        indices: npt.ArrayLike,
        alphas: npt.ArrayLike | None = None,
        tolerance: float = 0.01,
        *,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
    ) -> EstimatedSlice:
        """Slices from a part of large data, with standard errors; see `profiles.estimated`."""
        return estimated_slice(
            self.objective,
            self._sampled(),
            indices,
            alphas,
            tolerance,
            progress=progress,
            cancelled=cancelled,
        )

    def plane(
        self,
        a: int,
        b: int,
        *,
        extent: tuple[float, float] = EXTENT,
        resolution: int = 51,
        tolerance: float = 0.005,
        max_evaluations: int | None = None,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
        on_plane: Callable[[Plane], None] | None = None,
    ) -> Plane:
        """The loss on the plane through θ* and two samples, at a few hundred evaluations.

        Sample `a` lies at (1, 0) and sample `b` at (0, 1).

        Parameters
        ----------
        a, b : int
            Numbers of the samples.
        extent, resolution, tolerance, max_evaluations, progress, cancelled, on_plane
            As for `plane.plane_along`.

        Raises
        ------
        IndexError
            If there is no such sample.
        ValueError
            If θ* and the samples lie on one line.
        """
        cloud = self._sampled()
        for index in (a, b):
            if not 0 <= index < len(cloud):
                raise IndexError(f"Sample {index} was asked for; there are 0 to {len(cloud) - 1}.")
        if a == b:
            raise ValueError(f"A plane needs two samples; sample {a} was given twice.")
        basis = DenseBasis(torch.stack([cloud.displacement(a), cloud.displacement(b)]))
        if cloud.basis.buffers is not None:
            basis.buffers = cloud.basis.buffers.taken(cloud.coefficients[[a, b]])
        return plane_along(
            self.evaluator,
            basis,
            extent=extent,
            resolution=resolution,
            tolerance=tolerance,
            max_evaluations=max_evaluations,
            progress=progress,
            cancelled=cancelled,
            on_plane=on_plane,
        )

    def faithfulness(
        self,
        seeds: int = 3,
        *,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
    ) -> Faithfulness:
        """How far the map can be trusted; see `landscape_widgets.trust`.

        Parameters
        ----------
        seeds : int
            Maps that are compared, this one among them (see `agreement`); 1 makes no others,
            which saves their time and leaves the agreement out.
        progress, cancelled
            As for `agreement`.

        Raises
        ------
        RuntimeError
            If there is no map yet.
        Cancelled
            If other maps were asked for and not finished.
        """
        cloud = self._sampled()
        points, rows = self._mapped()
        changes = None
        if self.outputs is not None:
            features = self.objective.output_features(self.outputs[rows])
            changes = np.linalg.norm(features - features[0], axis=1)
            known = changes[np.isfinite(changes)]
            farthest = float(known.max(initial=0.0))
            changes = np.nan_to_num(changes, nan=farthest, posinf=farthest)
        found = assess(
            points,
            self.coordinates[rows],
            self.losses[rows],
            cloud.table["path"].to_numpy()[rows],
            cloud.table["radius"].to_numpy()[rows],
            changes,
            cloud.table["step"].to_numpy(dtype=np.float64)[rows],
            positions=cloud.isometric()[rows],
            parameters=self.objective.size,
            seed=self.seed,
        )
        if seeds < 2:
            return found
        return found.agreeing(*self.agreement(seeds, progress=progress, cancelled=cancelled))

    def _mapped(self) -> tuple[FloatArray, npt.NDArray[np.intp]]:
        """What was mapped (n, d), and which samples these are (n,)."""
        if self._placing is None:
            raise RuntimeError("There is no map yet. Call .embed() first.")
        rows = np.flatnonzero(np.isfinite(self.coordinates).all(axis=1))
        return self._placing.points(self)[rows], rows

    def distortion(self) -> FloatArray:
        """Share of each sample's neighbours that the map does not show as such, (N,)."""
        points, rows = self._mapped()
        found: FloatArray = np.full(len(self.coordinates), np.nan)
        found[rows] = scores.distortion(points, self.coordinates[rows])
        return found

    def agreement(
        self,
        seeds: int = 3,
        *,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
    ) -> tuple[float, float]:
        """How alike this map and others of the same cloud are.

        Each of the others is made by another seed, of four fifths of the samples. By another seed
        alone, maps that start from principal components hardly differ, and PCA's not at all: that
        they agree says where they started, not what the samples are like. Whether the picture would
        have been the same had other samples been drawn is what a reader wants to know.

        Parameters
        ----------
        seeds : int
            How many maps are compared, this one among them: at least 2.
        progress, cancelled
            As for `embed`.

        Returns
        -------
        aligned, shared : float
            See `trust.scores.agreement`.

        Raises
        ------
        RuntimeError
            If there is no map yet.
        Cancelled
        """
        points, rows = self._mapped()
        if self.reducer is None:
            raise RuntimeError("There is no map yet. Call .embed() first.")
        if seeds < 2:
            raise ValueError(f"seeds={seeds} was given; at least 2 maps can be compared.")
        if 0.8 * len(points) < scores.FEWEST:
            return math.nan, math.nan
        other = copy.deepcopy(self.reducer)
        size = math.ceil(0.8 * len(points))
        maps = [self.coordinates[rows]]
        # A map that was stopped is compared with others that were made for as long.
        most, made = self.reducer.info.get("iterations", math.inf), 0

        def watch(frame: Frame) -> None:
            nonlocal made
            made = frame.iteration

        def ended() -> bool:
            return cancelled() or made >= most

        for number in range(1, seeds):
            made = 0
            rng = np.random.default_rng(self.seed + number)
            part = np.sort(rng.choice(len(points), size, replace=False))
            found = np.full_like(maps[0], np.nan)
            found[part] = other.fit(
                points[part],
                n_components=found.shape[1],
                seed=self.seed + number,
                progress=_stage(progress, "agreement", number - 1, seeds - 1),
                cancelled=ended,
                on_frame=watch,
            )
            if cancelled():
                raise Cancelled
            maps.append(found)
        return scores.agreement(maps)

    def null(
        self,
        kind: str = "isotropic",
        *,
        seed: int | None = None,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
    ) -> Landscape:
        """The same picture of samples without structure, to lay beside this one.

        Its losses are real, unless they are shuffled; its map is made as this one was.

        Parameters
        ----------
        kind : {"shuffled", "isotropic", "walk"}
            "shuffled": this map, with losses and metrics dealt out anew among its samples.
            "isotropic": samples as far from θ*, in random directions. "walk": random walks with
            steps as long as those of this cloud's paths. See `nulls.like`.
        seed : int, optional
            Of the null; that of the landscape by default.

        Returns
        -------
        Landscape
            With coordinates, losses, `faithfulness()` and all else of its own.

        Raises
        ------
        ValueError
            If there is no such null, or its samples do not fit in memory.
        RuntimeError
            If there is no map yet.
        Cancelled
        """
        nulls.check_kind(kind)
        cloud = self._sampled()
        if self._placing is None or self.reducer is None:
            raise RuntimeError("There is no map yet. Call .embed() first.")
        null = copy.copy(self)
        null.seed = self.seed if seed is None else seed
        if kind == "shuffled":
            order = nulls.shuffled(cloud, null.seed)
            null.losses = self.losses[order]
            null.val_losses = None if self.val_losses is None else self.val_losses[order]
            null.metrics = {name: values[order] for name, values in self.metrics.items()}
            return null
        null.sample(nulls.like(cloud, kind, null.seed), progress=progress, cancelled=cancelled)
        if cancelled():
            raise Cancelled
        null.embed(
            copy.deepcopy(self.reducer),
            space=self._placing.space,
            standardise=self._placing.standardise,
            n_components=self.coordinates.shape[1],
            progress=progress,
            cancelled=cancelled,
        )
        if cancelled():
            raise Cancelled
        return null

    def model_at(self, index: int) -> nn.Module:
        """A new model with the weights of a sample."""
        cloud = self._sampled()
        if not 0 <= index < len(cloud):
            raise IndexError(f"Sample {index} was asked for; there are 0 to {len(cloud) - 1}.")
        return self.objective.model_at(cloud.vector(index), cloud.buffers(index))

    def to_frame(self) -> pd.DataFrame:
        """One row for each evaluated sample, under its number.

        Columns: loss, loss_error (where losses are estimated), val_loss, radius, x, y (and z),
        sampler, kind, path, step, each metric, and what else the sampler tells.
        """
        cloud = self._sampled()
        columns: dict[str, Any] = {"loss": self.losses}
        if self.loss_errors is not None:
            columns["loss_error"] = self.loss_errors
        if self.val_losses is not None:
            columns["val_loss"] = self.val_losses
        columns["radius"] = cloud.table["radius"].to_numpy()
        columns.update(zip("xyz", self.coordinates.T, strict=False))
        for name in ("sampler", "kind", "path", "step"):
            columns[name] = cloud.table[name].to_numpy()
        columns.update(self.metrics)
        for name in cloud.table.columns:
            columns.setdefault(name, cloud.table[name].to_numpy())
        frame = pd.DataFrame(columns)
        frame.index.name = "sample"
        return frame[self.evaluated]

    # On disk

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything but the model and the data to one file (safetensors with JSON)."""
        tensors, cloud = storage.pack_cloud(self._sampled())
        for name, values in {**self._results(), "coordinates": self.coordinates}.items():
            tensors[name] = torch.from_numpy(values)
        if self._placing is not None and self._placing.scale is not None:
            tensors["map_scale"] = torch.from_numpy(np.ascontiguousarray(self._placing.scale))
        storage.write(
            path,
            tensors,
            {
                "cloud": cloud,
                "map": self._map_origin(),
                "model": fingerprint.of_model(self.objective),
                "data": fingerprint.of_data(self.objective),
                "sampler": repr(self.sampler),
                "reducer": None if self.reducer is None else repr(self.reducer),
                "space": self.space,
                "seed": self.seed,
                "tolerance": self.tolerance,
                "torch": torch.__version__,
            },
        )

    def _map_origin(self) -> dict[str, Any] | None:
        """How the map was made, as JSON; None where there is none, or it cannot be told."""
        kinds = {kind.__name__: kind for kind in reducers.BY_NAME.values()}
        name = type(self.reducer).__name__
        if self._placing is None or self.reducer is None or name not in kinds:
            return None

        def plain(values: dict[str, Any]) -> dict[str, Any]:
            return {k: v.tolist() if hasattr(v, "tolist") else v for k, v in values.items()}

        return {
            "reducer": name,
            "parameters": plain(self.reducer.parameters),
            "info": plain(self.reducer.info),
        }

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], model: nn.Module, data: Any, **keywords: Any
    ) -> Landscape:
        """Read a landscape back, with the model and the data that it was made of.

        Parameters
        ----------
        path
            As given to `save`.
        model, data, keywords
            As for `Landscape`; the seed and the tolerance are the saved ones unless given.

        Raises
        ------
        ValueError
            If the model or the data are others than the ones it was made of.
        """
        file = storage.read(path)
        saved = {name: file.document.get(name) for name in ("seed", "tolerance")}
        land = cls(model, data, **{**saved, **keywords})
        land._check_origin(file, path)
        land._restore(file)
        return land

    def _check_origin(self, file: storage.File, path: object) -> None:
        """Raise a ValueError where a file was made of another model or other data."""
        model, data = fingerprint.of_model(self.objective), fingerprint.of_data(self.objective)
        saved = {**file.document["model"], **file.document["data"]}
        advice = {
            "parameters": "The model has other parameters. Give the architecture that was saved.",
            "weights": "The model has other weights. Load the weights that it was made with.",
            "loss": f"The loss was {saved['loss']}; give the same.",
            "batchnorm": f"batchnorm was {saved['batchnorm']!r}; give the same.",
            "train": "The training data, max_examples, batch_size or seed differ. Give the same.",
            "val": "The validation data differ. Give the same, or none if there were none.",
        }
        for name, value in {**model, **data}.items():
            if saved[name] != value:
                raise ValueError(f"{path} was not made of this model and data. {advice[name]}")
        tolerance = file.document.get("tolerance")
        if tolerance != self.tolerance:
            raise ValueError(
                f"{path} was made with tolerance={tolerance}; given is {self.tolerance}. Give the "
                "same."
            )

    def _restore(self, file: storage.File) -> None:
        """Take everything over from a file."""
        cloud = storage.unpack_cloud(file, self.objective.anchor, self.objective.layout)
        self.cloud = cloud
        self._reset(len(cloud))
        for name, values in self._results().items():
            if name not in file.tensors:
                raise ValueError(
                    f"The file holds no {name.removeprefix('metric:')!r}. "
                    "Give the metrics that it was saved with."
                )
            values[...] = file.tensors[name].numpy()
        self.coordinates = file.tensors["coordinates"].numpy().copy()
        self.sampler = parsing.parse(file.document["sampler"], samplers.BY_NAME)
        self.space = file.document["space"]
        self.reducer, self._placing = None, None
        origin = file.document.get("map")
        if origin is not None and self.space is not None:
            self.reducer = reducers.resolve(origin["reducer"])
            self.reducer = type(self.reducer)(**origin["parameters"])
            self.reducer.info = origin["info"]
            scale = file.tensors.get("map_scale")
            self._placing = _Measure(self.space, None if scale is None else scale.numpy())
            self._from_file = True
