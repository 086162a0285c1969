"""An objective at many vectors: losses, metrics, predictions, and losses of single examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from landscape_widgets.evaluation.accumulate import Accumulator, EachExample
from landscape_widgets.evaluation.chunk_size import ChunkSize
from landscape_widgets.evaluation.engine import Engine
from landscape_widgets.evaluation.in_place import Prepare, add_losses
from landscape_widgets.evaluation.quantities import Evaluation, Split, collected, on_split
from landscape_widgets.evaluation.request import Request
from landscape_widgets.evaluation.tiled_examples import TiledExamples
from landscape_widgets.geometry.basis import Basis, DenseBasis, FloatArray
from landscape_widgets.objective.assumptions import why_not_finite
from landscape_widgets.objective.options import Options
from landscape_widgets.objective.working_model import WorkingModel
from landscape_widgets.progress import CancelCallback, Progress, ProgressCallback, ignore, never
from landscape_widgets.task.data import Examples, take
from landscape_widgets.task.losses import Loss, MeanLoss, OwnLoss, call_model, main_output
from landscape_widgets.task.metrics import Metric
from landscape_widgets.task.structure import tensors
from landscape_widgets.task.untouched_inputs import inputs_untouched

EACH_ELEMENTS = 1 << 23  # losses of single examples that are held at a time: 64 MiB


class ManyVectors:
    """Evaluates rows of coefficients, some at a time, by the fastest strategy.

    Parameters
    ----------
    working
    loss
    predictions
        How outputs are read as predictions; None if they are not.
    splits : dict
        Examples by the name of their split: "train", perhaps "val", "probe".
    metrics : dict
        As from `metrics.resolve_metrics`, of those that are taken on each split.
    options

    Attributes
    ----------
    at_anchor : dict of float
        Quantities at θ*, by name.
    engine : Engine
    chunk_size : ChunkSize

    Raises
    ------
    ValueError
        If a loss is not finite at θ*, or the named strategy cannot evaluate this model.
    """

    def __init__(
        self,
        working: WorkingModel,
        loss: Loss,
        predictions: MeanLoss | None,
        splits: Mapping[str, TiledExamples],
        metrics: Mapping[str, Mapping[str, str | Metric]],
        options: Options,
    ) -> None:
        self._working, self._loss, self._predictions = working, loss, predictions
        self._splits, self._metrics = splits, metrics
        self.chunk_size = ChunkSize()
        self.at_anchor = self._measure_anchor()
        inplace = working.inplace
        self.engine = Engine(
            inplace,
            loss,
            splits["train"],
            stochastic=inplace.draws or inplace.keeps or working.recorded is not None,
            strategy=options.strategy,
            precision=options.precision,
        )
        for split in metrics:
            value = self.at_anchor[on_split("loss", split)]
            if not np.isfinite(value):
                raise ValueError(
                    why_not_finite(working, loss, split, value, splits[split].examples)
                )

    def _measure_anchor(self) -> dict[str, float]:
        """Quantities at θ*, of all of the data, by the plain loop: metrics to see that they work.

        Model and loss get copies of all they are called with, and keep getting them if they have
        written over any.
        """
        working, rows = self._working, np.zeros((1, 1))
        request = Request.of(DenseBasis(working.anchor[None] * 0), rows)
        found: dict[str, float] = {}
        with (
            working.alone(), torch.no_grad(), inputs_untouched(working.copy),
            self.chunk_size.timed(1),
        ):  # fmt: skip
            for split, metrics in self._metrics.items():
                accumulator = Accumulator(self._loss, metrics, self._predictions, 1)
                working.inplace.run(request, rows, self._splits[split], accumulator)
                for name, values in accumulator.finish().items():
                    found[on_split(name, split)] = float(values[0])
        if isinstance(self._loss, OwnLoss):
            self._loss.settle()
        return found

    def split(self, name: str) -> TiledExamples:
        """Examples of a split.

        Raises
        ------
        ValueError
            If there is none of this name.
        """
        if name not in self._splits:
            raise ValueError("There is no validation data. Give val_data to see its loss.")
        return self._splits[name]

    def loss(self, theta: Tensor, split: str) -> float:
        """Mean loss at θ (P,) on one split."""
        working, accumulator = self._working, Accumulator(self._loss, {}, None, 1)
        with working.alone(), torch.no_grad():
            tiles = self.split(split).tiles(working.inplace.tile)
            add_losses(working.load(theta), tiles, accumulator, 0)
            return float(accumulator.finish()["loss"][0])

    def loss_with(self, prepare: Prepare | None, basis: Basis, row: FloatArray) -> float:
        """Training loss at θ* + Σ_j c_j b_j, `row` (k,), where weights are prepared so."""
        working, accumulator = self._working, Accumulator(self._loss, {}, None, 1)
        with working.alone(), torch.no_grad(), working.inplace.preparing(prepare):
            for model in working.inplace.at(basis, row[None]):
                tiles = self._splits["train"].tiles(working.inplace.tile)
                add_losses(model, tiles, accumulator, 0)
            return float(accumulator.finish()["loss"][0])

    def outputs(self, theta: Tensor) -> Tensor:
        """Predictions at θ (P,) on the probe, (m, ...)."""
        working = self._working
        with working.alone(), torch.no_grad():
            model = working.load(theta)
            tiles = self._splits["probe"].tiles(working.inplace.tile)
            return torch.cat([main_output(call_model(model, tile.inputs)) for tile in tiles])

    def quantities(self, splits: Sequence[Split], metrics: bool) -> tuple[str, ...]:
        """See `Objective.quantities`."""
        present = [split for split in self._metrics if split in splits]
        names = [on_split("loss", split) for split in present]
        for split in present if metrics else ():
            names += [on_split(name, split) for name in self._metrics[split]]
        return tuple(names)

    def evaluate(
        self,
        basis: Basis,
        coefficients: FloatArray,
        splits: Sequence[Split],
        metrics: bool,
        outputs: bool,
        progress: ProgressCallback,
        cancelled: CancelCallback,
        on_chunk: Callable[[int, Evaluation], None] | None,
    ) -> Evaluation:
        """See `Objective.evaluate`."""
        rows = np.atleast_2d(np.asarray(coefficients, dtype=np.float64))
        present = [split for split in splits if split in self._splits]
        watched = progress is not ignore or cancelled is not never or on_chunk is not None
        chunks = self._chunks(basis, rows, present, metrics, outputs, cancelled, watched)
        if self.engine.waits_for_compiler(len(rows)):
            progress(Progress("compiling", 0, 1))
        names = self.quantities(splits, metrics)
        return collected(chunks, len(rows), names, progress, on_chunk)

    def _chunks(
        self,
        basis: Basis,
        coefficients: FloatArray,
        splits: Sequence[Split],
        metrics: bool,
        outputs: bool,
        cancelled: CancelCallback,
        watched: bool,
    ) -> Iterator[tuple[int, Evaluation]]:
        request, start = Request.of(basis, coefficients), 0
        group = self.engine.group(len(coefficients), [self._splits[split] for split in splits])
        while start < len(coefficients) and not cancelled():
            count = self.chunk_size.rows(len(coefficients), group, watched=watched)
            rows = coefficients[start : start + count]
            with self._working.alone(), torch.no_grad(), self.chunk_size.timed(len(rows)):
                part = self._chunk(request, rows, splits, metrics, outputs)
            self._pin_anchor(rows, part)
            yield start, part
            start += len(rows)

    def _chunk(
        self,
        request: Request,
        rows: FloatArray,
        splits: Sequence[Split],
        metrics: bool,
        outputs: bool,
    ) -> Evaluation:
        chosen = [self._splits[name] for name in splits]
        values: dict[str, FloatArray] = {}

        def accumulator_for(split: TiledExamples) -> Accumulator:
            wanted = self._metrics[splits[chosen.index(split)]] if metrics else {}
            return Accumulator(self._loss, wanted, self._predictions, len(rows))

        accumulators = self.engine.evaluate(request, rows, chosen, accumulator_for)
        for name, split, accumulator in zip(splits, chosen, accumulators, strict=True):
            found = {on_split(k, name): v.numpy() for k, v in accumulator.finish().items()}
            loss = on_split("loss", name)
            self.engine.sharpen(request, rows, split, found[loss], self.at_anchor[loss])
            values.update(found)
        predictions = None
        if outputs:
            # Maps of outputs space are made of these: always by the same strategy.
            found_outputs = self._working.inplace.outputs(request, rows, self._splits["probe"])
            predictions = found_outputs.float().cpu().numpy()
        return Evaluation(len(rows), values, outputs=predictions)

    def _pin_anchor(self, rows: FloatArray, part: Evaluation) -> None:
        """θ* has one loss, to the bit, however its neighbours in the chunk were evaluated."""
        at_anchor = ~rows.any(axis=1)
        for name, values in part.values.items():
            values[at_anchor] = self.at_anchor[name]

    # Single examples

    def example_losses(
        self,
        basis: Basis,
        coefficients: FloatArray,
        examples: npt.NDArray[np.int64] | None,
        split: Split,
        cancelled: CancelCallback,
    ) -> Iterator[tuple[int, FloatArray]]:
        """See `Objective.example_losses`."""
        why_not = self.why_no_example_losses()
        if why_not is not None:
            raise ValueError(why_not)
        chosen, loss = self.split(split), self._loss
        data, batch = chosen.examples, chosen.examples.joined
        assert isinstance(loss, MeanLoss)
        assert batch is not None
        device = self._working.device
        if examples is not None:
            part = take(batch, torch.as_tensor(examples, device=tensors(batch.raw)[0].device))
            chosen = TiledExamples(Examples([part], capped=True), device, separable=True)
        # Of an example with several targets, or none that counts, the weight is theirs.
        scale = data.size / loss.denominator(loss.count(batch.targets))
        request, start = Request.of(basis, coefficients), 0
        most = max(1, EACH_ELEMENTS // max(1, chosen.size))
        group = self.engine.group(len(coefficients), [chosen])
        while start < len(coefficients) and not cancelled():
            count = min(most, self.chunk_size.rows(len(coefficients), group))
            rows = coefficients[start : start + count]
            with self._working.lock, torch.no_grad(), self.chunk_size.timed(len(rows)):
                (found,) = self.engine.evaluate(
                    request, rows, [chosen], partial(_each_example, loss, len(rows))
                )
            assert isinstance(found, EachExample)
            yield start, found.losses.numpy() * scale
            start += len(rows)

    def why_no_example_losses(self) -> str | None:
        """Why `example_losses` would raise, and what to do; None where it would not."""
        if not isinstance(self._loss, MeanLoss):
            return (
                f"The loss {self._loss.name} gives one number for a batch; the loss of "
                "each example by itself is needed, which torch's own losses have "
                "(nn.CrossEntropyLoss and the like, with their options, given as they are). "
                "Else take all of the data."
            )
        if not all(split.separable for name, split in self._splits.items() if name != "probe"):
            return (
                "The loss of each example by itself is needed; this model must see its batches "
                "whole (batch statistics, random numbers, or batches of different shapes). "
                "Take all of the data."
            )
        return None


def _each_example(loss: MeanLoss, n: int, split: TiledExamples) -> EachExample:
    return EachExample(loss, n, split.size)
