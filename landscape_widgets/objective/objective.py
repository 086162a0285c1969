"""A model on fixed data, as a function of its parameter vector."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from landscape_widgets.evaluation.accumulate import Accumulator, EachExample
from landscape_widgets.evaluation.chunk_size import ChunkSize
from landscape_widgets.evaluation.engine import Engine
from landscape_widgets.evaluation.in_place import InPlace, add_losses
from landscape_widgets.evaluation.quantities import Evaluation, collected
from landscape_widgets.evaluation.request import Request
from landscape_widgets.evaluation.tiled_examples import TiledExamples
from landscape_widgets.evaluation.tiling import tile_size
from landscape_widgets.geometry.basis import Basis, DenseBasis, FloatArray
from landscape_widgets.objective.derivatives import Derivatives
from landscape_widgets.objective.forms import find_form
from landscape_widgets.objective.hessian import HessianProduct
from landscape_widgets.objective.options import Options, with_options
from landscape_widgets.objective.set_up import read_model
from landscape_widgets.precision import accumulated
from landscape_widgets.progress import CancelCallback, Progress, ProgressCallback, ignore, never
from landscape_widgets.task.batchnorm import BatchNormMode, named_norms, reestimate
from landscape_widgets.task.borrowed import Borrowed
from landscape_widgets.task.data import Batch, Examples, take
from landscape_widgets.task.duplicate import Duplicate
from landscape_widgets.task.inner_gradients import call_alike
from landscape_widgets.task.losses import (
    BinaryCrossEntropy,
    CrossEntropy,
    MeanLoss,
    ModelLoss,
    OwnLoss,
    call_model,
    main_output,
)
from landscape_widgets.task.metrics import Metric, resolve_metrics
from landscape_widgets.task.parameters import ParameterLayout
from landscape_widgets.task.sources import Source
from landscape_widgets.task.state import State
from landscape_widgets.task.structure import describe, tensors
from landscape_widgets.task.untouched_inputs import inputs_untouched
from landscape_widgets.task.working_copy import WorkingCopy, check_device, check_model, refused
from landscape_widgets.tracebacks import entries

logger = logging.getLogger(__name__)

PROBE_BYTES = 4 << 20  # of the predictions of one parameter vector that make up outputs space
EACH_ELEMENTS = 1 << 23  # losses of single examples that are held at a time: 64 MiB
TILE = 256  # examples that batch statistics are estimated on at a time, if as many fit


@entries
class Objective:
    """Loss, gradient, Hessian products, outputs and metrics at any parameter vector.

    The model that is handed over is read and never written: all work is done on a copy, in
    evaluation mode (dropout off). Half-precision models are worked on in float32, which holds
    their weights exactly.

    Parameters
    ----------
    model : torch.nn.Module
        Its trainable parameters make up the vector θ*; frozen ones and buffers stay as they are.
    data, val_data
        A pair (inputs, targets), a Dataset, a DataLoader, or a list of batches. Inputs may be a
        tensor, a tuple (positional arguments) or a mapping (keyword arguments).
    loss : callable, optional
        ``loss(outputs, targets)`` or ``loss(model, batch)``. torch's own losses are summed exactly
        over all examples, others are taken of whole batches. By default cross-entropy for integer
        targets, mean squared error for floating ones, or what the model returns as ``.loss`` when
        a batch is a mapping; a ValueError where that is in doubt.
    metrics : list of names or functions, optional
        "accuracy", "precision", "recall", "f1" (macro averages), "r2", "mae", or functions
        ``metric(outputs, targets) -> float``.
    progress, cancelled
        Told how far reading the data is; raises `Cancelled` after `cancelled` says yes.
    options
        Keywords as the attributes of `Options`: device, max_examples, batchnorm, probe_examples,
        strategy, precision, seed, batch_size, batch_axis.

    Attributes
    ----------
    layout : ParameterLayout
    anchor : Tensor (P,)
        The trained weights θ*.
    anchor_loss, anchor_val_loss : float
        Loss at θ*; the second is None without validation data.
    task : {"classification", "binary", "regression", "custom"}
    outputs_shape : tuple (m, ...) or None
        Of the predictions on the probe batch; None where the model gives none by itself.
    assumptions : tuple of str
        Full sentences that whoever reads the numbers must know: what was inferred, what is
        approximate. The loss comes first.

    Raises
    ------
    TypeError, ValueError
        For a model without trainable parameters, data that the model cannot take, a loss that is
        no scalar or not finite at θ*: before any work starts.
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
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
        **options: Any,
    ) -> None:
        model = check_model(model)
        self.options = Options.of(options, Objective.__init__, "Objective")
        given = WorkingCopy(model, loss)
        self._copy = given.model
        self.layout = ParameterLayout.of(self._copy)
        self._lock = threading.RLock()

        self.device = check_device(model, self.options.device)
        trainable = [p for p in self._copy.parameters() if p.requires_grad]
        double = any(p.dtype == torch.float64 for p in trainable)
        self.dtype = torch.float64 if double else torch.float32
        given.settle(self.device, self.dtype)
        self.anchor = self.layout.flatten(
            dict(self._copy.named_parameters()), self.dtype, self.device
        ).clone()

        opened = partial(
            Source,
            max_examples=self.options.max_examples,
            seed=self.options.seed,
            dtype=self.dtype,
            batch_size=self.options.batch_size,
        )
        source = opened(data)
        with _of_val_data():
            val_source = None if val_data is None else opened(val_data)
        self.has_batchnorm = bool(named_norms(self._copy))
        prepare = (
            self._reestimate if self.batchnorm == "reestimate" and self.has_batchnorm else None
        )
        self._inplace = InPlace(self._copy, self.layout, self.anchor, prepare)

        roots = [self._copy, given.loss]
        borrowed = Borrowed(self.device, self.seed, roots, given.shared)
        state = State(roots, self._inplace.tensors, borrowed.seed, given.originals(), given.shared)
        self._inplace.state, self._inplace.borrowed = state, borrowed
        with inputs_untouched(self._copy):
            form, said = find_form(
                self._inplace,
                source.first(progress, cancelled),
                self.device,
                self.options.batch_axis,
            )
            self.train = self._on_device(source.read(form, progress, cancelled))
            self.val = None
            if val_source is not None:
                with _of_val_data():
                    self.val = self._on_device(val_source.read(form, progress, cancelled))
            progress(Progress("trying", 0, 1))
            # On the trained statistics: what a loss is does not hang on them.
            plain = InPlace(self._copy, self.layout, self.anchor, state=state, borrowed=borrowed)
            with refused(model):
                found = read_model(
                    plain, given.loss, self.train, self.val, uses_model=given.uses_model
                )
        self.loss_function, self.predictions = found.loss, found.predictions
        self._tile: int | None = min(TILE, 4 * found.fitting) if found.separable else None
        self.stochastic, self._recorded = found.stochastic, found.recorded
        self.assumptions = (
            *found.assumptions, *said, *self.train.assumptions, *self._of_state_and_noise(),
            *_of_shared(given.unseen),
        )  # fmt: skip
        self.task = found.task
        read_as = "custom" if self.predictions is None else self.predictions.task
        if metrics:
            self._check_metrics(found.has_outputs)
        self._metrics = resolve_metrics(metrics, read_as, sure=found.sure)
        self.metric_names = tuple(self._metrics)
        if found.separable:
            few = next(
                iter(TiledExamples(self.train, self.device, separable=True).part(2).tiles(None))
            )
            with self._inplace.alone():
                self._inplace.tile = tile_size(self._copy, few, self.device, self.loss_function)
        self._probe = self._draw_probe(found.separable and found.has_outputs)
        self.outputs_shape: tuple[int, ...] | None = None
        if found.has_outputs:
            self._probe = self._of_one_shape(self._probe)
        self._splits = self._make_splits(found.separable, found.val_separable)
        self._chunk_size = ChunkSize()
        self._anchor_losses = self._measured_at_anchor()
        self.engine = Engine(
            self._inplace,
            self.loss_function,
            self._splits["train"],
            stochastic=self.stochastic or self._inplace.keeps or self._recorded is not None,
            strategy=self.options.strategy,
            precision=self.options.precision,
        )
        self.anchor_loss = self._anchor_losses["train"]
        self.anchor_val_loss = self._anchor_losses.get("val")
        for split, value in (("training", self.anchor_loss), ("validation", self.anchor_val_loss)):
            if value is not None and not np.isfinite(value):
                raise ValueError(
                    f"The {split} loss ({self.loss_function.name}) is {value} at the trained "
                    f"weights; a finite number is expected. {self._not_finite(split)}"
                )

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs: all but the lock, and what it can find for itself."""
        state = {**self.__dict__, "_lock": None}
        state.pop("_derivatives", None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.RLock()
        call_alike(self._copy, self._recorded)

    # What is known of the model and the data

    @property
    def size(self) -> int:
        """P, the length of a parameter vector."""
        return self.layout.size

    @cached_property
    def buffers(self) -> dict[str, Tensor]:
        """What of the model's tensors is no part of θ, at θ*, by name: buffers, frozen parameters.

        Frozen parameters are not copied.
        """
        with self._alone():
            self._inplace.begin()
            found = {name: tensor.clone() for name, tensor in self._copy.named_buffers()}
        trained = set(self.layout.names)
        named = self._copy.named_parameters()
        return {**found, **{name: p.detach() for name, p in named if name not in trained}}

    @property
    def seed(self) -> int:
        """Of what is drawn of the data, and of random numbers that model or loss draw."""
        return self.options.seed

    @property
    def batchnorm(self) -> BatchNormMode:
        """Which batch statistics hold at a parameter vector."""
        return self.options.batchnorm

    @property
    def reestimates(self) -> bool:
        """Whether batch statistics are estimated anew at each parameter vector."""
        return self._inplace.prepare is not None

    @property
    def state_names(self) -> set[str]:
        """Names in the model's state dict."""
        return set(self._copy.state_dict())

    def assume(self, sentence: str) -> None:
        """Add to what whoever reads the numbers must know."""
        if sentence not in self.assumptions:
            self.assumptions = (*self.assumptions, sentence)

    @property
    def n_examples(self) -> int:
        """Training examples that the loss is taken over."""
        return self.train.size

    @property
    def n_val_examples(self) -> int:
        """Validation examples, 0 where none were given."""
        return 0 if self.val is None else self.val.size

    @property
    def capped(self) -> bool:
        """Whether only a part of the data is used (`max_examples`)."""
        return self.train.capped or (self.val is not None and self.val.capped)

    @property
    def strategy(self) -> str:
        """How the latest parameter vectors were evaluated, in words."""
        return self.engine.description

    # One parameter vector

    def loss(self, theta: Tensor, split: Literal["train", "val"] = "train") -> float:
        """Mean loss at θ (P,) on one split."""
        with self._lock, torch.no_grad(), self._borrowing():
            accumulator = Accumulator(self.loss_function, {}, None, 1)
            model = self._inplace.load(self._take(theta))
            add_losses(model, self._split(split).tiles(self._inplace.tile), accumulator, 0)
            return float(accumulator.finish()[0][0])

    def check_gradient(self) -> None:
        """Raise a ValueError, which says what to do, where the loss has no gradient at all."""
        self._derivatives.check()

    def gradient(self, theta: Tensor) -> Tensor:
        """Gradient of the mean training loss at θ, shape (P,)."""
        return self.loss_and_gradient(theta)[1]

    def loss_and_gradient(self, theta: Tensor) -> tuple[float, Tensor]:
        """Mean training loss and its gradient (P,) at θ.

        Raises
        ------
        ValueError
            If the loss has none: nothing leads back from it to the weights.
        """
        return self._derivatives.loss_and_gradient(self._take(theta))

    def minibatch_gradient(
        self,
        theta: Tensor,
        generator: torch.Generator,
        batch_size: int = 256,
        buffers: Mapping[str, Tensor] | None = None,
    ) -> tuple[float, Tensor]:
        """Loss and gradient (P,) at θ on random training examples.

        Of data that only make sense in their own batches, one whole batch is taken. Statistics
        that are re-estimated are those of these examples. `buffers` are those, by name, that are
        not as at θ*.
        """
        whole = self.train.joined if self._tile is not None else None
        if whole is not None:
            count = min(batch_size, whole.size)
            picked = torch.randperm(whole.size, generator=generator)[:count]
            batch = take(whole, picked)
        else:
            number = int(torch.randint(len(self.train.batches), (), generator=generator))
            batch = self.train.batches[number]
        some = TiledExamples(Examples([batch], capped=True), self.device, whole is not None)
        with self._lock, self._inplace.with_buffers(buffers or {}):
            return self._derivatives.loss_and_gradient(self._take(theta), some)

    def hvp(self, theta: Tensor, v: Tensor) -> Tensor:
        """Hessian of the mean training loss at θ, times v: both (P,), the product too."""
        return self.hessian(theta, keep=False)(v)

    def hessian(self, theta: Tensor, *, keep: bool = True) -> HessianProduct:
        """Products with the Hessian at θ for many vectors: v (P,) → H v (P,).

        What does not hang on v is kept between them where it fits in memory; `keep=False` never
        does, and takes a tile's memory.
        """
        return self._derivatives.hessian(self._take(theta).clone(), keep=keep)

    def with_both_statistics(self, basis: Basis, row: FloatArray) -> tuple[float, float]:
        """Training loss at θ* + Σ_j c_j b_j, `row` (k,), with batch statistics of two kinds.

        With the trained ones (or as the basis moves them), and with re-estimated ones.
        """
        found = []
        for prepare in (None, self._reestimate):
            with self._alone(), torch.no_grad(), self._inplace.preparing(prepare):
                accumulator = Accumulator(self.loss_function, {}, None, 1)
                for model in self._inplace.at(basis, row[None]):
                    add_losses(
                        model, self._split("train").tiles(self._inplace.tile), accumulator, 0
                    )
                found.append(float(accumulator.finish()[0][0]))
        return found[0], found[1]

    def exact_hessian(self, theta: Tensor) -> HessianProduct | None:
        """The same products in float64; None where the model cannot be run in it, or is already."""
        return self._derivatives.in_double(self._take(theta), self.engine.double.twin)

    def outputs(self, theta: Tensor) -> Tensor:
        """Predictions at θ on the probe batch, (m, ...)."""
        with self._lock, torch.no_grad(), self._borrowing():
            model = self._inplace.load(self._take(theta))
            tiles = self._splits["probe"].tiles(self._inplace.tile)
            return torch.cat([main_output(call_model(model, tile.inputs)) for tile in tiles])

    def model_at(self, theta: Tensor, buffers: Mapping[str, Tensor] | None = None) -> nn.Module:
        """A new model with the weights θ (P,), in evaluation mode and working precision.

        What was trainable in the user's model is so in the new one. `buffers` are those, by name,
        that are not as at θ*.
        """
        with self._alone(), torch.no_grad(), self._inplace.with_buffers(buffers or {}):
            model = Duplicate(self._inplace.load(self._take(theta))).model
        named = dict(model.named_parameters())
        for name in self.layout.names:
            named[name].requires_grad_(True)
        return model

    # Many parameter vectors

    def evaluate(
        self,
        basis: Basis,
        coefficients: FloatArray,
        *,
        splits: Sequence[Literal["train", "val"]] = ("train", "val"),
        metrics: bool = True,
        outputs: bool = False,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
        on_chunk: Callable[[int, Evaluation], None] | None = None,
    ) -> Evaluation:
        """Losses at θ* + Σ_j c_j b_j for each row of `coefficients` (n, k).

        Parameters
        ----------
        basis, coefficients
            Directions and rows of coefficients.
        splits
            "val" is left out where there is no validation data.
        metrics, outputs
            Whether to compute the metrics, and the predictions on the probe batch.
        progress, cancelled, on_chunk
            Told as rows are finished; `on_chunk(start, part)` gets each part. After `cancelled`
            says yes, the leading rows that are done are returned.
        """
        coefficients = np.atleast_2d(np.asarray(coefficients, dtype=np.float64))
        options = {"splits": tuple(splits), "metrics": metrics, "outputs": outputs}
        watched = progress is not ignore or cancelled is not never or on_chunk is not None
        chunks = self._chunks(basis, coefficients, options, cancelled, watched)
        if self.engine.waits_for_compiler(len(coefficients)):
            progress(Progress("compiling", 0, 1))
        return collected(chunks, len(coefficients), progress, on_chunk)

    def example_losses(
        self,
        basis: Basis,
        coefficients: FloatArray,
        examples: npt.NDArray[np.int64] | None = None,
        *,
        split: Literal["train", "val"] = "train",
        cancelled: CancelCallback = never,
    ) -> Iterator[tuple[int, FloatArray]]:
        """Loss of each example by itself, at θ* + Σ_j c_j b_j, some rows at a time.

        Parameters
        ----------
        basis, coefficients
            As for `evaluate`.
        examples : array (m,), optional
            Which of the split's examples; all by default.
        split
            Training or validation data.
        cancelled
            After it says yes, no further rows are yielded.

        Yields
        ------
        start : int
        losses : array (r, m)
            Of rows ``start`` to ``start + r - 1``. Their mean over all examples is the loss.

        Raises
        ------
        ValueError
            If examples have no loss of their own: the loss is the user's function of a batch, or
            the model must see its batches whole.
        """
        why_not = self.why_no_example_losses()
        if why_not is not None:
            raise ValueError(why_not)
        chosen, loss = self._split(split), self.loss_function
        data, batch = chosen.examples, chosen.examples.joined
        assert isinstance(loss, MeanLoss)
        assert batch is not None
        if examples is not None:
            part = take(batch, torch.as_tensor(examples, device=_where(batch)))
            chosen = TiledExamples(Examples([part], capped=True), self.device, separable=True)
        # Of an example with several targets, or none that counts, the weight is theirs.
        scale = data.size / loss.denominator(loss.count(batch.targets))
        request, start = Request.of(basis, coefficients), 0
        most = max(1, EACH_ELEMENTS // max(1, chosen.size))
        group = self.engine.group(len(coefficients), [chosen])
        while start < len(coefficients) and not cancelled():
            count = min(most, self._chunk_size.rows(len(coefficients), group))
            rows = coefficients[start : start + count]
            with self._lock, torch.no_grad(), self._chunk_size.timed(len(rows)):
                (found,) = self.engine.evaluate(
                    request, rows, [chosen], partial(_each_example, loss, len(rows))
                )
            assert isinstance(found, EachExample)
            yield start, found.losses.numpy() * scale
            start += len(rows)

    def why_no_example_losses(self) -> str | None:
        """Why `example_losses` would raise, and what to do; None where it would not."""
        if not isinstance(self.loss_function, MeanLoss):
            return (
                f"The loss {self.loss_function.name} gives one number for a batch; the loss of "
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

    def _chunks(
        self,
        basis: Basis,
        coefficients: FloatArray,
        options: dict[str, Any],
        cancelled: CancelCallback,
        watched: bool,
    ) -> Iterator[tuple[int, Evaluation]]:
        request, start = Request.of(basis, coefficients), 0
        group = self.engine.group(len(coefficients), self._asked(options["splits"]))
        while start < len(coefficients) and not cancelled():
            count = self._chunk_size.rows(len(coefficients), group, watched=watched)
            rows = coefficients[start : start + count]
            with self._lock, torch.no_grad(), self._borrowing(), self._chunk_size.timed(len(rows)):
                part = self._evaluate_chunk(request, rows, **options)
            self._pin_anchor(rows, part)
            yield start, part
            start += len(rows)

    def _evaluate_chunk(
        self,
        request: Request,
        rows: FloatArray,
        splits: Sequence[str],
        metrics: bool,
        outputs: bool,
    ) -> Evaluation:
        splits = [split for split in splits if split in self._splits]
        chosen = self._asked(splits)
        measured = self._splits["train" if self.val is None else "val"]
        found: dict[str, FloatArray] = {}
        named: dict[str, FloatArray] = {}

        def accumulator_for(split: TiledExamples) -> Accumulator:
            wanted = self._metrics if metrics and split is measured else {}
            return Accumulator(self.loss_function, wanted, self.predictions, len(rows))

        accumulators = self.engine.evaluate(request, rows, chosen, accumulator_for)
        for name, split, accumulator in zip(splits, chosen, accumulators, strict=True):
            losses, values = accumulator.finish()
            found[name] = losses.numpy()
            at_anchor = self._anchor_losses.get(name)
            if at_anchor is not None:
                self.engine.sharpen(request, rows, split, found[name], at_anchor)
            named.update({metric: value.numpy() for metric, value in values.items()})
        predictions = None
        if outputs:
            # Maps of outputs space are made of these: always by the same strategy.
            found_outputs = self._inplace.outputs(request, rows, self._splits["probe"])
            predictions = found_outputs.float().cpu().numpy()
        nothing: FloatArray = np.full(len(rows), np.nan)
        return Evaluation(found.get("train", nothing), found.get("val"), named, predictions)

    def _asked(self, names: Sequence[str]) -> list[TiledExamples]:
        return [self._splits[name] for name in names if name in self._splits]

    def _pin_anchor(self, rows: FloatArray, part: Evaluation) -> None:
        """θ* has one loss, to the bit, however its neighbours in the chunk were evaluated."""
        if not hasattr(self, "anchor_loss"):
            return
        at_anchor = ~rows.any(axis=1)
        part.losses[at_anchor & np.isfinite(part.losses)] = self.anchor_loss
        if part.val_losses is not None and self.anchor_val_loss is not None:
            part.val_losses[at_anchor] = self.anchor_val_loss

    def output_features(self, outputs: npt.NDArray[np.floating[Any]]) -> FloatArray:
        """Predictions as points whose Euclidean distances mean something, (n, d).

        For classes: √softmax / √m, so that the distance of two rows is √2 times the root mean
        squared Hellinger distance between their predictions. For numbers: the predictions in
        units of their standard deviation at the trained weights.
        """
        n, m = outputs.shape[:2]
        z = torch.as_tensor(np.ascontiguousarray(outputs), dtype=torch.float64)
        read = self.predictions
        if self.task == "custom" or not isinstance(read, (BinaryCrossEntropy, CrossEntropy)):
            spread = float(accumulated(self.outputs(self.anchor)).std()) or 1.0
            result: FloatArray = (z.reshape(n, -1) / (spread * m**0.5)).numpy()
            return result
        probabilities = read.probabilities(z)
        result = (probabilities.sqrt().reshape(n, -1) / probabilities.shape[1] ** 0.5).numpy()
        return result

    # Set-up

    def _check_metrics(self, has_outputs: bool) -> None:
        """Raise a ValueError where no metric can be asked for, whichever it is."""
        batch = (self.train if self.val is None else self.val).batches[0]
        if batch.targets is None or not has_outputs:
            lacking = "has no targets of its own" if has_outputs else "gives no outputs by itself"
            raise ValueError(
                f"metrics= was given; metrics are taken of outputs and targets, and a batch "
                f"{describe(batch.raw)} {lacking}. Give data as pairs (inputs, targets), such that "
                "model(inputs) gives outputs, or leave metrics out."
            )

    def _not_finite(self, split: str) -> str:
        """Where a loss that is not finite may come from."""
        if not bool(self.anchor.isfinite().all()):
            views = self.layout.unflatten(self.anchor)
            names = [name for name, part in views.items() if not bool(part.isfinite().all())]
            return f"Weights are not finite: {', '.join(names)}."
        examples = self.train if split == "training" else self.val
        assert examples is not None
        for number, batch in enumerate(examples.batches):
            for kind, part in (("inputs", batch.inputs), ("targets", batch.targets)):
                for leaf in tensors(part):
                    if leaf.ndim == 0 or leaf.layout != torch.strided:
                        continue
                    bad = (~leaf.isfinite()).reshape(len(leaf), -1).any(dim=1)
                    if bool(bad.any()):
                        said = f"The {split} {kind} are not finite in {int(bad.sum())} rows"
                        if len(examples.batches) > 1:
                            said += f" of batch {number}"
                        if not examples.capped:
                            said += f", the first of which is {int(bad.int().argmax())}"
                        return f"{said}. Leave them out."
        return "Weights and data are finite: look into the loss."

    def _on_device(self, examples: Examples) -> Examples:
        if self.device.type != "cpu" and not self._fits(examples):
            return examples  # moved tile by tile
        moved = [batch.to(self.device) for batch in examples.batches]
        return replace(examples, batches=moved)

    def _of_state_and_noise(self) -> Iterator[str]:
        """What becomes of random numbers, of modes and buffers, and of batch statistics."""
        state, borrowed = self._inplace.state, self._inplace.borrowed
        assert state is not None
        assert borrowed is not None
        drawn = [*borrowed.drawn, *state.draws]
        if drawn:
            yield (
                f"Random numbers are drawn (from {', '.join(drawn[:3])}): the same ones at every "
                f"parameter vector, those of seed {self.seed}."
            )
        written = {name for name in state.found if name.endswith("training")}
        written |= {name for name in state.found if name in dict(self._copy.named_buffers())}
        if written:
            logger.debug("Put back at each parameter vector: %s", ", ".join(state.found))
            first = ", ".join(sorted(written)[:3]) + (" and others" if len(written) > 3 else "")
            yield (
                f"A call changes the model ({first}); this is put back at every parameter vector."
            )
        if borrowed.written:
            names = borrowed.written
            first = ", ".join(names[:3]) + (" and others" if len(names) > 3 else "")
            yield (
                f"A call writes to {first}, outside model and loss: every parameter vector finds "
                "there what there was when the model was handed over, and you what you left there."
            )
        if self.has_batchnorm and self.reestimates:
            size = self._statistics_size()
            at_a_time = "" if size is None else f", {size} examples at a time"
            yield (
                "Batch statistics are estimated anew at every parameter vector, on the training "
                f"data{at_a_time}. Products with the Hessian hold them fixed."
            )
        elif self.batchnorm == "reestimate":
            yield (
                "batchnorm='reestimate' changes nothing: no layer of the model is one of torch's "
                "norms with running statistics, or derived from one. Other layers keep what they "
                "were trained with."
            )
        elif any(f"{name}.training" in written for name in named_norms(self._copy)):
            yield (
                "A call puts batch normalisation into training mode: it uses the statistics of "
                "the batch at hand, not the trained ones."
            )
        elif self.has_batchnorm:
            yield "Batch normalisation uses the trained statistics at every parameter vector."

    def _measured_at_anchor(self) -> dict[str, float]:
        """Losses at θ* on all of the data, by the plain loop, with metrics to see that they work.

        Model and loss get copies of all they are called with, and keep getting them if they have
        written over any.
        """
        request, rows = (
            Request.of(DenseBasis(self.anchor[None] * 0), np.zeros((1, 1))),
            np.zeros((1, 1)),
        )
        found: dict[str, float] = {}
        measured = "train" if self.val is None else "val"
        with (
            self._borrowing(), torch.no_grad(), inputs_untouched(self._copy),
            self._chunk_size.timed(1),
        ):  # fmt: skip
            for name, split in self._splits.items():
                if name == "probe":
                    continue
                metrics = self._metrics if name == measured else {}
                accumulator = Accumulator(self.loss_function, metrics, self.predictions, 1)
                self._inplace.run(request, rows, split, accumulator)
                found[name] = float(accumulator.finish()[0][0])
        if isinstance(self.loss_function, OwnLoss):
            self.loss_function.settle()
        return found

    def _reestimate(self, model: nn.Module) -> list[tuple[Tensor, Tensor]]:
        return reestimate(model, self._statistics_tiles(), self._forward)

    def _statistics_tiles(self, split: TiledExamples | None = None) -> Iterator[Batch]:
        """What batch statistics are estimated on: a split, or all training examples.

        In the user's own batches, if there are any.
        """
        examples = self.train if split is None else split.examples
        size = self._statistics_size() if examples.given_whole else None
        return (tile.to(self.device) for tile in examples.tiles(size))

    def _statistics_size(self) -> int | None:
        """Examples that they are estimated on at a time; None for the user's own batches."""
        return self._tile if self.train.given_whole else None

    def _forward(self, model: nn.Module, tile: Batch) -> None:
        """Let a tile go through the model as the loss lets it."""
        if isinstance(self.loss_function, ModelLoss):
            self.loss_function(model, tile.raw)
        else:
            call_model(model, tile.inputs)

    def _fits(self, examples: Examples) -> bool:
        """Whether the data may stay on the device: it takes a quarter of what is free at most."""
        if self.device.type != "cuda":
            return True
        held = [leaf for batch in examples.batches for leaf in tensors(batch.raw)]
        needed = sum(leaf.nbytes for leaf in held if leaf.layout == torch.strided)
        return needed < torch.cuda.mem_get_info(self.device)[0] / 4

    def _make_splits(self, separable: bool, val_separable: bool) -> dict[str, TiledExamples]:
        splits = {
            "train": TiledExamples(self.train, self.device, separable),
            "probe": TiledExamples(Examples(self._probe, capped=True), self.device, separable),
        }
        if self.val is not None:
            splits["val"] = TiledExamples(self.val, self.device, val_separable)
        return splits

    def _draw_probe(self, cut: bool) -> list[Batch]:
        count = self.options.probe_examples
        source = self.train if self.val is None else self.val
        whole = source.joined
        if whole is not None:
            if cut:
                # Of predictions for each of 50,000 words, those for a few texts are as many.
                one = take(whole, slice(0, 1)).to(self.device)
                each = self._predicted(one).nbytes
                count = min(count, max(1, PROBE_BYTES // max(1, each)))
            generator = torch.Generator().manual_seed(self.seed)
            picked = torch.randperm(whole.size, generator=generator)[:count].sort().values
            return [take(whole, picked).to(self.device)]
        batches: list[Batch] = []
        for batch in source.batches:
            batches.append(batch.to(self.device))
            if sum(b.size for b in batches) >= count:
                break
        return batches

    def _of_one_shape(self, probe: list[Batch]) -> list[Batch]:
        """Those batches whose predictions fit together, whose shape is then known.

        All of them, and no shape, where a prediction is one number.
        """
        if len(probe) == 1 and self._tile is not None:
            # Of examples that do not see each other, two tell what there is of each.
            found = self._predicted(take(probe[0], slice(0, 2)))
            self.outputs_shape = (probe[0].size, *found.shape[1:])
            return probe
        alike: dict[torch.Size, list[Batch]] = {}
        lengths: dict[torch.Size, int] = {}
        for batch in probe:
            found = self._predicted(batch)
            if found.ndim > 0 and not found.is_nested:
                alike.setdefault(found.shape[1:], []).append(batch)
                lengths[found.shape[1:]] = lengths.get(found.shape[1:], 0) + len(found)
        if not alike:
            return probe
        each = max(alike, key=lambda shape: sum(batch.size for batch in alike[shape]))
        self.outputs_shape = (lengths[each], *each)
        return alike[each]

    def _predicted(self, batch: Batch) -> Tensor:
        """Predictions at θ*."""
        with torch.no_grad(), self._inplace.alone():
            return main_output(call_model(self._copy, batch.inputs))

    # Running the model

    def _take(self, theta: Tensor) -> Tensor:
        if theta.shape != (self.size,):
            raise ValueError(
                f"A parameter vector of shape ({self.size},) is expected; shape "
                f"{tuple(theta.shape)} was given."
            )
        return theta.detach().to(self.device, self.dtype)

    def _split(self, name: str) -> TiledExamples:
        if name not in self._splits:
            raise ValueError("There is no validation data. Give val_data to see its loss.")
        return self._splits[name]

    @cached_property
    def _derivatives(self) -> Derivatives:
        return Derivatives(
            self._inplace,
            self.loss_function,
            self._splits["train"],
            stochastic=self.stochastic,
            around=self._alone,
            forward=self._forward,
            tiles_of=self._statistics_tiles,
        )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._lock, self._borrowing():
            yield

    @contextmanager
    def _borrowing(self) -> Iterator[None]:
        """Let what is the user's be used, and be as it was afterwards."""
        assert self._inplace.borrowed is not None
        with self._inplace.borrowed.lent():
            yield


def _each_example(loss: MeanLoss, n: int, split: TiledExamples) -> EachExample:
    return EachExample(loss, n, split.size)


def _of_shared(unseen: Sequence[str]) -> list[str]:
    """What there is to say of what could not be copied."""
    if not unseen:
        return []
    return [
        f"What cannot be copied is your own: {'; '.join(unseen[:3])}. What the model or the loss "
        "does to it is done at every call and stays."
    ]


def _where(batch: Batch) -> torch.device:
    """Where a batch lies."""
    return tensors(batch.raw)[0].device


@contextmanager
def _of_val_data() -> Iterator[None]:
    """Say of what is wrong that it is so with the validation data."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise type(error)(f"val_data: {error}") from error
