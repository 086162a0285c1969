"""A model's loss at a cloud of samples, as they are drawn and evaluated."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from torch import nn

from landscape_widgets import samplers
from landscape_widgets.evaluation.quantities import Evaluation
from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.geometry.cloud import Cloud, Space
from landscape_widgets.landscape import evaluating, files, saved
from landscape_widgets.landscape.cluster import Cluster, check_client
from landscape_widgets.landscape.map import Map, Measure, outputs_fit
from landscape_widgets.objective.evaluator import Evaluator
from landscape_widgets.objective.objective import Objective
from landscape_widgets.objective.options import Options, with_options
from landscape_widgets.progress import CancelCallback, ProgressCallback, ignore, never
from landscape_widgets.samplers import parsing
from landscape_widgets.samplers.base import Sampler
from landscape_widgets.task.metrics import Metric
from landscape_widgets.tracebacks import entries


@entries
class Sampled:
    """The loss of a model on its data at samples around the trained weights; no map of them yet.

    `Landscape` adds the map, and tells what makes one.

    Attributes
    ----------
    objective : Objective
    evaluator : Evaluator
        What takes losses at many parameter vectors: the objective, or a cluster.
    cloud : Cloud or None
        What was sampled, by `sampler`.
    values : dict of arrays (N,)
        By quantity: "loss", "val_loss" where there is validation data, and the metrics. NaN where
        not evaluated yet (see `evaluated`), or where it is not a number.
    errors : dict of arrays (N,)
        Standard errors, by quantity: of the losses, where they are estimated (`tolerance`).
    outputs : array (N, m, ...) or None
        Predictions on the probe batch, where they fit in memory.
    evaluated : array (N,) of bool
    strategy : str
        How the samples were evaluated, in words; empty where none was, or the losses were read.
    """

    @with_options
    def __init__(
        self,
        model: nn.Module,
        data: Any,
        *,
        val_data: Any = None,
        loss: Callable[..., Any] | None = None,
        metrics: Sequence[str | Metric] | Mapping[str, Metric] | None = None,
        client: Any = None,
        tolerance: float | None = None,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
        **options: Any,
    ) -> None:
        Options.of(options, Sampled.__init__, type(self).__name__)
        if client is not None:
            check_client(client)
        unasked = tolerance is not None and metrics is None and val_data is None
        keywords = {"val_data": val_data, "loss": loss, "metrics": [] if unasked else metrics}
        keywords |= {"progress": progress, "cancelled": cancelled, **options}
        self.objective = Objective(model, data, **keywords)
        self.seed, self.tolerance = self.objective.seed, tolerance
        if tolerance is not None:
            evaluating.check_tolerance(tolerance, self.objective)
        if unasked and self.objective.predictions is not None:
            self.objective.assume(
                "No metric is shown: losses are estimated from parts of the training data "
                "(tolerance=). Give val_data to see one on it."
            )
        self.evaluator: Evaluator = (
            self.objective if client is None else Cluster(self.objective, client)
        )
        self.sampler: Sampler | None = None
        self.cloud: Cloud | None = None
        self._reset(0)

    def __repr__(self) -> str:
        done = f"{int(self.evaluated.sum())} samples" if len(self.evaluated) else "not sampled"
        return f"<{type(self).__name__} of {self.objective.size:,} parameters, {done}>"

    @property
    def quantities(self) -> tuple[str, ...]:
        """Names of what is known of each sample: "loss", "val_loss", and the metrics."""
        if self.tolerance is None:
            return self.objective.quantities()
        return "loss", *self.objective.quantities(("val",))

    @property
    def losses(self) -> FloatArray:
        """Training losses of the samples, (N,)."""
        return self.values["loss"]

    @property
    def val_losses(self) -> FloatArray | None:
        """Validation losses of the samples, (N,); None without validation data."""
        return self.values.get("val_loss")

    def _reset(self, n: int) -> None:
        self.values: dict[str, FloatArray] = {name: np.full(n, np.nan) for name in self.quantities}
        estimated = [] if self.tolerance is None else ["loss"]
        self.errors: dict[str, FloatArray] = {name: np.full(n, np.nan) for name in estimated}
        size = self.objective.outputs_shape
        self.outputs: npt.NDArray[np.float32] | None = None
        if size is not None and outputs_fit(self.objective, n):
            self.outputs = np.full((n, *size), np.nan, dtype=np.float32)
        self.evaluated: npt.NDArray[np.bool_] = np.zeros(n, dtype=bool)
        self.strategy = ""

    def _store(self, rows: npt.NDArray[np.int64], part: Evaluation) -> None:
        for name, values in part.values.items():
            self.values[name][rows] = values
        for name, errors in part.errors.items():
            self.errors[name][rows] = errors
        if self.outputs is not None and part.outputs is not None:
            self.outputs[rows] = part.outputs
        self.evaluated[rows] = True

    def _results(self) -> dict[str, npt.NDArray[Any]]:
        """All that has one row a sample, by name; `evaluated` comes last."""
        found: dict[str, npt.NDArray[Any]] = {
            f"quantity:{name}": values for name, values in self.values.items()
        }
        found.update({f"error:{name}": errors for name, errors in self.errors.items()})
        if self.outputs is not None:
            found["outputs"] = self.outputs
        found["evaluated"] = self.evaluated
        return found

    def _grow(self, n: int) -> None:
        """Make room for more samples; what is known of the others stays."""
        old, before = self._results(), len(self.evaluated)
        self._reset(n)
        new = self._results()
        for name, values in old.items():
            if name in new:
                new[name][:before] = values

    def _sampled(self) -> Cloud:
        if self.cloud is None:
            raise RuntimeError("There are no samples yet. Call .sample() first.")
        return self.cloud

    def sample(
        self,
        sampler: Sampler | str | None = None,
        *,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
        on_drawn: Callable[[Cloud], None] | None = None,
        on_chunk: Callable[[npt.NDArray[np.int64]], None] | None = None,
        path: str | os.PathLike[str] | None = None,
    ) -> Self:
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
            same sampler on the same model and data, that run is taken up where it ended; a
            ValueError if it is of another model, data, sampler or seed.

        Raises
        ------
        Cancelled
            If work was cancelled before there was a cloud; the landscape is then as it was.
        """
        sampler = samplers.resolve(sampler)
        file = None if path is None or not Path(path).exists() else files.read(path)
        if file is None:
            drawn = sampler.draw(
                self.objective,
                seed=self.seed,
                progress=progress,
                cancelled=cancelled,
                evaluator=self.evaluator,
            )
            self._take(drawn)
        else:
            saved.check_origin(file, path, self.objective, self.tolerance)
            saved.check_run(file, path, sampler, self.seed)
            self._restore(file)
        self.sampler = sampler
        if path is not None and file is None:
            self._write(path)
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
    ) -> Self:
        """Evaluate the samples that have no loss yet; see `sample`."""
        cloud = self._sampled()
        on_disk = None if path is None else files.Rows(path, list(self._results()))

        def put(rows: npt.NDArray[np.int64], part: Evaluation) -> None:
            self._store(rows, part)
            self.strategy = self.evaluator.strategy
            if on_disk is not None:
                on_disk.put(rows, {name: a[rows] for name, a in self._results().items()})
            if on_chunk is not None:
                on_chunk(rows)

        evaluating.evaluate(
            self.evaluator,
            self.objective,
            cloud,
            np.flatnonzero(~self.evaluated),
            put,
            tolerance=self.tolerance,
            # A run that is resumed needs as many examples as when it began.
            together=None if path is None else np.arange(len(cloud)),
            outputs=self.outputs is not None,
            progress=progress,
            cancelled=cancelled,
        )
        return self

    def _take(self, cloud: Cloud) -> None:
        """Let a new cloud take the place of the one that was there."""
        self.cloud = cloud
        self._reset(len(cloud))

    def _write(self, path: str | os.PathLike[str], shown: Map | None = None) -> None:
        """Write everything but the model and the data to one file."""
        saved.save(
            path,
            self.objective,
            self._sampled(),
            self._results(),
            shown,
            sampler=self.sampler,
            seed=self.seed,
            tolerance=self.tolerance,
        )

    def _restore(self, file: files.File) -> None:
        """Take over cloud and results from a file."""
        self._take(files.unpack_cloud(file, self.objective.anchor, self.objective.layout))
        saved.read_results(file, self._results())
        self.sampler = parsing.parse(file.document["sampler"], samplers.BY_NAME)

    def model_at(self, index: int) -> nn.Module:
        """A new model with the weights of a sample."""
        cloud = self._sampled()
        if not 0 <= index < len(cloud):
            raise IndexError(f"Sample {index} was asked for; there are 0 to {len(cloud) - 1}.")
        return self.objective.model_at(cloud.vector(index), cloud.buffers(index))

    def points(self, space: Space | None = None, *, standardise: bool = False) -> FloatArray:
        """The samples as points whose Euclidean distances are those of a space, (N, d).

        "weights": isometric coordinates. "outputs": see `Objective.output_features`. With
        `standardise` each parameter (or output) is measured in its own standard deviation. A
        ValueError is raised if predictions are not to be had or kept.
        """
        of = self.objective, self._sampled(), self.outputs
        return Measure.of(*of, space, standardise).points(*of)

    def initial_coordinates(self, n_components: int = 2) -> FloatArray:
        """Principal components of the samples in weights space, (N, n_components): at once."""
        return self._sampled().principal_coordinates(n_components)
