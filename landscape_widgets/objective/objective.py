"""A model on fixed data, as a function of its parameter vector."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from landscape_widgets.evaluation.quantities import SPLITS, Evaluation, Names, Split
from landscape_widgets.geometry.basis import Basis, FloatArray
from landscape_widgets.objective.hessian_product import HessianProduct
from landscape_widgets.objective.options import Options, with_options
from landscape_widgets.objective.probe import features
from landscape_widgets.objective.set_up import SetUp
from landscape_widgets.precision import accumulated
from landscape_widgets.progress import CancelCallback, ProgressCallback, ignore, never
from landscape_widgets.task.metrics import Metric
from landscape_widgets.task.working_copy import check_model
from landscape_widgets.tracebacks import entries


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
        ``metric(outputs, targets) -> float``, taken on training and validation data. By default
        accuracy or R², on the validation data alone where there are any.
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
    size : int
        P, the length of a parameter vector.
    at_anchor : dict of float
        Quantities at θ*, by name: "loss" (`anchor_loss`, too), "val_loss", and the metrics.
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
        made = SetUp(model, data, val_data, loss, metrics, self.options, progress, cancelled)
        self._working, self._many = made.working, made.many
        self._statistics, self._derivatives = made.statistics, made.derivatives
        self.layout, self.device = made.working.layout, made.working.device
        self.size, self.anchor = self.layout.size, made.working.anchor
        found, self.dtype = made.found, self.anchor.dtype
        self.train, self.val = found.train, found.val
        self.loss_function, self.predictions = found.loss, found.predictions
        self.task, self.stochastic = found.task, found.stochastic
        self.batchnorm, self.has_batchnorm = self.options.batchnorm, made.has_batchnorm
        self.assumptions = made.assumptions
        self.outputs_shape = made.outputs_shape
        self.engine, self.at_anchor = made.many.engine, made.many.at_anchor
        self.anchor_loss = self.at_anchor["loss"]

    # What is known of model and data

    @property
    def buffers(self) -> dict[str, Tensor]:
        """The model's tensors that are no part of θ, at θ*: buffers; frozen ones, not copied."""
        return self._working.buffers

    @property
    def seed(self) -> int:
        """Of what is drawn of the data, and of random numbers that model or loss draw."""
        return self.options.seed

    @property
    def reestimates(self) -> bool:
        """Whether batch statistics are estimated anew at each parameter vector."""
        return self._working.inplace.prepare is not None

    @property
    def state_names(self) -> set[str]:
        """Names in the model's state dict."""
        return set(self._working.copy.state_dict())

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

    def loss(self, theta: Tensor, split: Split = "train") -> float:
        """Mean loss at θ (P,) on one split."""
        return self._many.loss(theta, split)

    def check_gradient(self) -> None:
        """Raise a ValueError, which says what to do, where the loss has no gradient at all."""
        self._derivatives.gradient.check()
        if (doubts := self._derivatives.gradient.doubts) is not None:
            self.assume(doubts)

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
        return self._derivatives.gradient.at(self._working.check(theta))

    def minibatch_gradient(
        self,
        theta: Tensor,
        generator: torch.Generator,
        batch_size: int = 256,
        buffers: Mapping[str, Tensor] | None = None,
    ) -> tuple[float, Tensor]:
        """Loss and gradient (P,) at θ on random training examples.

        Of data that only make sense in their own batches, one whole batch is taken. Statistics
        that are re-estimated are those of these examples. `buffers` are as for `with_buffers`.
        """
        some = self._derivatives.drawn(generator, batch_size)
        with self.with_buffers(buffers or {}):
            return self._derivatives.gradient.at(self._working.check(theta), some)

    @contextmanager
    def with_buffers(self, buffers: Mapping[str, Tensor]) -> Iterator[None]:
        """Let these of `buffers`, by name, be others than at θ*, for what is asked within it."""
        with self._working.lock, self._working.inplace.with_buffers(buffers):
            yield

    def hvp(self, theta: Tensor, v: Tensor) -> Tensor:
        """Hessian of the mean training loss at θ, times v: both (P,), the product too."""
        return self.hessian(theta, keep=False)(v)

    def hessian(self, theta: Tensor, *, keep: bool = True) -> HessianProduct:
        """Products with the Hessian at θ for many vectors: v (P,) → H v (P,).

        What does not hang on v is kept between them where it fits in memory; `keep=False` never
        does, and takes a tile's memory.
        """
        self.check_gradient()
        return self._derivatives.hessian.at(self._working.check(theta).clone(), keep=keep)

    def exact_hessian(self, theta: Tensor) -> HessianProduct | None:
        """The same products in float64; None where the model cannot be run in it, or is already."""
        theta = self._working.check(theta)
        return self._derivatives.hessian.in_double(theta, self.engine.double.twin)

    def with_both_statistics(self, basis: Basis, row: FloatArray) -> tuple[float, float]:
        """Training loss at θ* + Σ_j c_j b_j, `row` (k,), with batch statistics of two kinds.

        With the trained ones (or as the basis moves them), and with re-estimated ones.
        """
        trained = self._many.loss_with(None, basis, row)
        return trained, self._many.loss_with(self._statistics.estimate, basis, row)

    def outputs(self, theta: Tensor) -> Tensor:
        """Predictions at θ on the probe batch, (m, ...)."""
        return self._many.outputs(theta)

    def model_at(self, theta: Tensor, buffers: Mapping[str, Tensor] | None = None) -> nn.Module:
        """A new model with the weights θ (P,), in evaluation mode and working precision.

        Parts of a model of float32 and float64 have their own. What was trainable in the user's
        model is so in the new one. `buffers` are as for `with_buffers`.
        """
        return self._working.duplicate(theta, buffers or {})

    # Many parameter vectors

    def quantities(self, splits: Sequence[Split] = SPLITS, *, metrics: bool = True) -> Names:
        """Names of what `evaluate` finds, losses first: "loss", "val_loss", and the metrics."""
        return self._many.quantities(splits, metrics)

    def evaluate(
        self,
        basis: Basis,
        coefficients: FloatArray,
        *,
        splits: Sequence[Split] = SPLITS,
        metrics: bool = True,
        outputs: bool = False,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
        on_chunk: Callable[[int, Evaluation], None] | None = None,
    ) -> Evaluation:
        """Quantities at θ* + Σ_j c_j b_j for each row of `coefficients` (n, k).

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
        return self._many.evaluate(
            basis, coefficients, splits, metrics, outputs, progress, cancelled, on_chunk
        )

    def example_losses(
        self,
        basis: Basis,
        coefficients: FloatArray,
        examples: npt.NDArray[np.int64] | None = None,
        *,
        split: Split = "train",
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
        return self._many.example_losses(basis, coefficients, examples, split, cancelled)

    def why_no_example_losses(self) -> str | None:
        """Why `example_losses` would raise, and what to do; None where it would not."""
        return self._many.why_no_example_losses()

    def output_features(self, outputs: npt.NDArray[np.floating[Any]]) -> FloatArray:
        """Predictions as points whose Euclidean distances mean something; see `probe.features`."""
        classes = None if self.task == "custom" else self.predictions
        return features(
            outputs, classes, lambda: float(accumulated(self.outputs(self.anchor)).std())
        )
