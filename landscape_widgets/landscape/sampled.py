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
from landscape_widgets.landscape.results import OUTPUTS, Results, named
from landscape_widgets.objective.evaluator import Evaluator
from landscape_widgets.objective.objective import Objective
from landscape_widgets.objective.options import Options, with_options
from landscape_widgets.progress import CancelCallback, ProgressCallback, ignore, never
from landscape_widgets.samplers import parsing
from landscape_widgets.samplers.base import Sampler, nobody
from landscape_widgets.samplers.models import with_others
from landscape_widgets.task import regularisers
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
    sampler : Sampler or None
    results : Results
        The cloud of what was sampled, and what is known of it as of one moment: quantities with
        their errors, predictions. Another one takes its place with each part that is evaluated.
    strategy : str
        How the samples were evaluated, in words; empty where none was, or the losses were read.
    """

    @with_options
    def __init__(
        self,
        model: nn.Module | Mapping[str, Any],
        data: Any,
        *,
        val_data: Any = None,
        loss: Callable[..., Any] | None = None,
        metrics: Sequence[str | Metric] | Mapping[str, Metric] | None = None,
        client: Any = None,
        tolerance: float | None = None,
        weight_decay: float | None = None,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
        **options: Any,
    ) -> None:
        Options.of(options, Sampled.__init__, type(self).__name__)
        if client is not None:
            check_client(client)
        self.weight_decay = regularisers.check_weight_decay(weight_decay)
        unasked = tolerance is not None and metrics is None and val_data is None
        keywords = {"val_data": val_data, "loss": loss, "metrics": [] if unasked else metrics}
        keywords |= {"progress": progress, "cancelled": cancelled, **options}
        model, self._own_sampler = with_others(model)
        self.objective = Objective(model, data, **keywords)
        self.seed, self.tolerance = self.objective.seed, tolerance
        if tolerance is not None:
            evaluating.check_tolerance(tolerance, self.objective)
        if unasked and self.objective.predictions is not None:
            self.objective.assume(
                "No metric is shown: losses are estimated from parts of the training data "
                "(tolerance=). Give val_data to see one on it."
            )
        if self.weight_decay:
            self.objective.assume(regularisers.said_of_weight_decay(self.weight_decay))
        self.evaluator: Evaluator = (
            self.objective if client is None else Cluster(self.objective, client)
        )
        self.sampler: Sampler | None = None
        self.results, self.strategy = self._blank(None), ""

    def __repr__(self) -> str:
        done = f"{int(self.evaluated.sum())} samples" if len(self.evaluated) else "not sampled"
        return f"<{type(self).__name__} of {self.objective.size:,} parameters, {done}>"

    @property
    def quantities(self) -> tuple[str, ...]:
        """Names of what is known of each sample: "loss", "val_loss", and the metrics."""
        if self.tolerance is None:
            return self.objective.quantities()
        return "loss", *self.objective.quantities(("val",))

    # What is known of the samples, as it is now; `results` holds all of it as of one moment

    @property
    def cloud(self) -> Cloud | None:
        """What was sampled."""
        return self.results.cloud

    @property
    def values(self) -> Mapping[str, FloatArray]:
        """Quantities of the samples (N,), by name."""
        return self.results.values

    @property
    def errors(self) -> Mapping[str, FloatArray]:
        """Standard errors (N,) of the quantities that are estimated (`tolerance`)."""
        return self.results.errors

    @property
    def losses(self) -> FloatArray:
        """Training losses of the samples, (N,)."""
        return self.values["loss"]

    @property
    def val_losses(self) -> FloatArray | None:
        """Validation losses of the samples, (N,); None without validation data."""
        return self.values.get("val_loss")

    @property
    def outputs(self) -> npt.NDArray[np.float32] | None:
        """Predictions (N, m, ...) on the probe batch; None where they do not fit in memory."""
        return self.results.outputs

    @property
    def evaluated(self) -> npt.NDArray[np.bool_]:
        """Which samples are evaluated, (N,)."""
        return self.results.evaluated

    def _blank(self, cloud: Cloud | None) -> Results:
        """Samples of which nothing is known yet."""
        estimated = [] if self.tolerance is None else ["loss"]
        fit = outputs_fit(self.objective, 0 if cloud is None else len(cloud))
        outputs = self.objective.outputs_shape if fit else None
        return Results.blank(cloud, self.quantities, estimated, outputs)

    def _begun(self, cloud: Cloud) -> Results:
        """Samples of which the first are those that there are, and are known."""
        return self.results.grown(cloud, outputs=outputs_fit(self.objective, len(cloud)))

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
        on_known: Callable[[Cloud], None] | None = None,
        path: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Draw a cloud of samples and evaluate the loss at each.

        Parameters
        ----------
        sampler
            One of `landscape_widgets.samplers`, or its name; `Minima()` by default, and of several
            models `Models`.
        progress, cancelled
            When `cancelled` says yes, the samples that are evaluated are kept, and
            `evaluate_rest` goes on with the others.
        on_drawn : callable, optional
            Gets the cloud before its losses are evaluated, but for those that were known.
        on_chunk : callable, optional
            Gets the indices of samples as they are evaluated.
        on_known : callable, optional
            Where there was no cloud yet, gets beginnings of it that are known, and evaluated, while
            it is drawn: θ*, and ends of descents as they are found. Until all of it is drawn,
            `cloud` and all results are of these.
        path : optional
            A file that gets each result as it is found. If it is there already, from a run of the
            same sampler on the same model and data, that run is taken up where it ended; a
            ValueError if it is of another model, data, sampler or seed.

        Raises
        ------
        Cancelled
            If work was cancelled before all of the cloud was drawn. The landscape then holds what
            it did before, or the samples that were known by then if it had none.
        """
        sampler = samplers.resolve(self._own_sampler if sampler is None else sampler)
        file = None if path is None or not Path(path).exists() else files.read(path)
        if file is None:
            # Estimates of losses are made for all samples together.
            is_told = on_known is not None and self.cloud is None and self.tolerance is None

            def known(cloud: Cloud) -> None:
                self.results, self.sampler = self._begun(cloud), sampler
                self.evaluate_rest(cancelled=cancelled)
                if on_known is not None and self.evaluated.all():
                    on_known(cloud)

            drawn = sampler.draw(
                self.objective,
                seed=self.seed,
                progress=progress,
                cancelled=cancelled,
                evaluator=self.evaluator,
                on_known=known if is_told else nobody,
            )
            self._take(self._begun(drawn) if is_told else self._blank(drawn))
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
        columns = self.results.columns
        on_disk = None if path is None else files.Rows(path, [*columns, "evaluated"])

        def put(rows: npt.NDArray[np.int64], part: Evaluation) -> None:
            self.results = self.results.with_rows(rows, part)
            self.strategy = self.evaluator.strategy
            if on_disk is not None:
                on_disk.put(rows, {**named(part), "evaluated": True})
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
            outputs=OUTPUTS in columns,
            progress=progress,
            cancelled=cancelled,
        )
        return self

    def _take(self, results: Results) -> None:
        """Let a new cloud take the place of the one that was there."""
        self.results, self.strategy = results, ""

    def _write(self, path: str | os.PathLike[str], shown: Map | None = None) -> None:
        """Write everything but the model and the data to one file."""
        saved.save(
            path,
            self.objective,
            self.results,
            shown,
            sampler=self.sampler,
            seed=self.seed,
            tolerance=self.tolerance,
            weight_decay=self.weight_decay,
        )

    def _restore(self, file: files.File) -> None:
        """Take over cloud and results from a file."""
        cloud = files.unpack_cloud(file, self.objective.anchor, self.objective.layout)
        self._take(saved.read_results(file, self._blank(cloud)))
        self.sampler = parsing.parse(file.document["sampler"], samplers.BY_NAME)

    def model_at(self, index: int) -> nn.Module:
        """A new model with the weights of a sample."""
        cloud = self._sampled()
        cloud.check_index(index)
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
