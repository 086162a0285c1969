"""What an objective is made of, from what was found when its model was tried."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from landscape_widgets.evaluation.tiled_examples import TiledExamples
from landscape_widgets.objective.assumptions import about_noise, about_state, about_statistics
from landscape_widgets.objective.derivatives import Derivatives
from landscape_widgets.objective.findings import Findings, try_out
from landscape_widgets.objective.many_vectors import ManyVectors
from landscape_widgets.objective.options import Options
from landscape_widgets.objective.probe import probe_of
from landscape_widgets.objective.statistics import BatchStatistics
from landscape_widgets.objective.working_model import WorkingModel
from landscape_widgets.progress import CancelCallback, ProgressCallback
from landscape_widgets.task.batchnorm import named_norms
from landscape_widgets.task.data import Batch, Examples
from landscape_widgets.task.losses import call_model, main_output
from landscape_widgets.task.metrics import Metric, check_metrics, resolve_metrics


class SetUp:
    """The parts of an objective, made of what the user gave; see `Objective` for that.

    Attributes
    ----------
    working : WorkingModel
    found : Findings
    statistics : BatchStatistics
    has_batchnorm : bool
    assumptions : tuple of str
    metrics : dict
        By split, as from `metrics.resolve_metrics`: what was asked for on each, what was not where
        there are none but training data, or on the validation data alone.
    splits : dict of TiledExamples
    outputs_shape : tuple of int or None
    many : ManyVectors
    derivatives : Derivatives
    """

    def __init__(
        self,
        model: nn.Module,
        data: Any,
        val_data: Any,
        loss: Callable[..., Any] | None,
        metrics: Sequence[str | Metric] | Mapping[str, Metric] | None,
        options: Options,
        progress: ProgressCallback,
        cancelled: CancelCallback,
    ) -> None:
        self.working = working = WorkingModel(model, loss, options)
        self.found = found = try_out(model, working, data, val_data, options, progress, cancelled)
        working.inplace.tile = found.tile
        self.statistics = BatchStatistics(
            found.train, working.device, found.loss, found.statistics_tile
        )
        norms = named_norms(working.copy)
        self.has_batchnorm = bool(norms)
        if options.batchnorm == "reestimate" and self.has_batchnorm:
            working.inplace.prepare = self.statistics.estimate
        self.assumptions = (
            *found.assumptions,
            *about_noise(working, options.seed),
            *about_state(working),
            *about_statistics(working, options.batchnorm, norms, self.statistics.size),
        )
        measured = {"train": found.train} | ({} if found.val is None else {"val": found.val})
        if metrics:
            for examples in measured.values():
                check_metrics(examples.batches[0], found.has_outputs)
        read_as = "custom" if found.predictions is None else found.predictions.task
        resolved = resolve_metrics(metrics, read_as, sure=found.sure)
        taken_on = measured if metrics is not None else list(measured)[-1:]
        self.metrics = {split: resolved if split in taken_on else {} for split in measured}
        self.splits = self._splits(found, options)
        self.many = ManyVectors(
            working, found.loss, found.predictions, self.splits, self.metrics, options
        )
        self.derivatives = Derivatives(
            working, found.loss, self.splits["train"], found.separable, self.statistics
        )

    def _splits(self, found: Findings, options: Options) -> dict[str, TiledExamples]:
        """All examples in tiles, and those whose predictions make up outputs space."""
        device = self.working.device
        probe, self.outputs_shape = probe_of(found, options, self._predicted, device)
        splits = {
            "train": TiledExamples(found.train, device, found.separable),
            "probe": TiledExamples(Examples(probe, capped=True), device, found.separable),
        }
        if found.val is not None:
            splits["val"] = TiledExamples(found.val, device, found.val_separable)
        return splits

    def _predicted(self, batch: Batch) -> Tensor:
        with torch.no_grad(), self.working.inplace.alone():
            return main_output(call_model(self.working.copy, batch.inputs))
