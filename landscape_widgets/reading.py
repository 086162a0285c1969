"""How a model, its data and its loss fit together: tried once, before any work starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from landscape_widgets.batchnorm import has_batch_statistics
from landscape_widgets.data import Batch, Examples, Form, take
from landscape_widgets.drift import check_repeats
from landscape_widgets.errors import brief
from landscape_widgets.evaluation.accumulate import Accumulator
from landscape_widgets.evaluation.inplace import InPlace, add_losses
from landscape_widgets.evaluation.split import Split
from landscape_widgets.inner_gradients import Recorded, read_recorded
from landscape_widgets.losses import (
    BatchLoss,
    Loss,
    MeanLoss,
    ModelLoss,
    call_model,
    infer_loss,
    is_plain,
    main_output,
    own_loss,
)
from landscape_widgets.structure import describe


@dataclass(frozen=True)
class Reading:
    """What the trial found.

    Attributes
    ----------
    loss : Loss
    predictions : MeanLoss or None
        How outputs are read as predictions, whatever the loss; None if they are not.
    stochastic : bool
        The model draws random numbers even in evaluation mode.
    separable : bool
        Examples do not see each other: batches may be cut at will.
    has_outputs : bool
        Called on inputs alone, the model gives a tensor.
    assumptions : tuple of str
        What had to be inferred, as sentences for the user.
    recorded : Recorded or None
        How model and loss are called, where they differentiate by themselves.
    """

    loss: Loss
    predictions: MeanLoss | None
    stochastic: bool
    separable: bool
    has_outputs: bool
    assumptions: tuple[str, ...] = ()
    recorded: Recorded | None = None


def read_model(
    inplace: InPlace,
    given: Callable[..., Any] | None,
    train: Examples,
    val: Examples | None,
    device: torch.device,
    *,
    uses_model: bool = False,
) -> Reading:
    """Run the working copy and its loss on a few examples and see what they are.

    `uses_model` says that the loss reaches the working copy by other ways than its arguments.

    Raises
    ------
    TypeError, ValueError
        If the model cannot take the data, or the loss is no scalar or does not fit the targets.
    """
    whole = train.joined
    batch = (train.batches[0] if whole is None else take(whole, slice(0, 32))).to(device)
    own = None if given is None else own_loss(given)
    if own is None and isinstance(batch.raw, Mapping):
        own = ModelLoss(OfOutputs(batch.form))
    if isinstance(own, BatchLoss) and uses_model:
        own = ModelLoss(OfBoth(own, batch.form))
    model, trial = inplace.model, _Trial(inplace)
    recorded = read_recorded(inplace, own, batch)
    assumed: list[str] = []
    loss: Loss
    predictions: MeanLoss | None = None
    outputs: Any = None
    if isinstance(own, ModelLoss):
        loss = own
        trial.run(lambda: own(model, batch.raw), batch)
        outputs = trial.outputs_or_none(batch)
        if outputs is not None:
            predictions = _predictions_or_none(outputs, batch.targets)
    else:
        outputs = trial.run(lambda: call_model(model, batch.inputs), batch)
        if isinstance(own, BatchLoss) and not is_plain(given, batch.targets):
            loss = own
            trial.run(lambda: own(outputs, batch.targets), batch)
            predictions = _predictions_or_none(outputs, batch.targets)
            outputs = _tensor_or_none(outputs)
        else:
            loss = predictions = infer_loss(main_output(outputs), batch.targets)
            if own is None:
                assumed.append(f"The loss is {loss.name}, inferred from the targets.")
            for examples in (train, val):
                for part in examples.batches if examples is not None else ():
                    predictions.check(main_output(outputs), part.targets)
    few = Split(Examples([batch], capped=True), device, separable=False)
    check_repeats(inplace, lambda: _value(inplace, loss, few), [model, given])
    separable = _is_separable(inplace, loss, train, val, device, trial.stochastic)
    has_outputs = outputs is not None
    return Reading(
        loss, predictions, trial.stochastic, separable, has_outputs, tuple(assumed), recorded
    )


class _Trial:
    """Runs the user's code for the first time, explains what goes wrong, and watches for noise."""

    def __init__(self, inplace: InPlace) -> None:
        self.inplace, self.model = inplace, inplace.model

    @property
    def stochastic(self) -> bool:
        return self.inplace.draws

    def run(self, function: Callable[[], Any], batch: Batch) -> Any:
        try:
            return self._watched(function)
        except (RuntimeError, TypeError, IndexError, AttributeError, KeyError) as error:
            raise ValueError(
                f"{type(self.model).__name__} with its loss could not be run on a batch with "
                f"inputs {describe(batch.inputs)} and targets {describe(batch.targets)}: "
                f"{type(error).__name__}: {brief(str(error), 600)}. Give data in the form and "
                "type that the model was trained on."
            ) from error

    def outputs_or_none(self, batch: Batch) -> Tensor | None:
        """Predictions, where a model whose loss is `loss(model, batch)` gives any by itself."""
        try:
            return main_output(self._watched(lambda: call_model(self.model, batch.inputs)))
        except Exception:
            # Whatever the model does when called alone: its loss does not need that call.
            return None

    def _watched(self, function: Callable[[], Any]) -> Any:
        with torch.no_grad(), self.inplace.alone(watched=True):
            return function()


def _predictions_or_none(outputs: Any, targets: Any) -> MeanLoss | None:
    """With a loss of the user's own, outputs need not be readable as predictions at all."""
    try:
        reading = infer_loss(main_output(outputs), targets)
        reading.check(main_output(outputs), targets)
    except (TypeError, ValueError):
        return None
    return reading


def _tensor_or_none(outputs: Any) -> Tensor | None:
    """The predictions among outputs, where the user's own loss may make sense of others."""
    try:
        return main_output(outputs)
    except TypeError:
        return None


def _is_separable(
    inplace: InPlace,
    loss: Loss,
    train: Examples,
    val: Examples | None,
    device: torch.device,
    stochastic: bool,
) -> bool:
    if train.joined is None or (val is not None and val.joined is None):
        return False
    if train.joined.form.axes != (0, 0):
        return False
    if stochastic or has_batch_statistics(inplace.model):
        return False
    return _halves_add_up(inplace, loss, train, device)


@torch.no_grad()
def _halves_add_up(inplace: InPlace, loss: Loss, train: Examples, device: torch.device) -> bool:
    assert train.joined is not None
    whole = take(train.joined, slice(0, 64)).to(device)
    if whole.size < 2:
        return True
    middle = (whole.size + 1) // 2
    halves = [take(whole, slice(0, middle)), take(whole, slice(middle, None))]
    values = []
    for tiles in ([whole], halves):
        accumulator = Accumulator(loss, {}, None, 1)
        try:
            with inplace.alone(watched=True):
                add_losses(inplace.model, tiles, accumulator, 0)
        except (RuntimeError, ValueError, IndexError):
            return False  # a loss or a model that wants its batches whole
        values.append(float(accumulator.finish()[0][0]))
    return bool(np.isclose(values[0], values[1], rtol=1e-4, atol=1e-9, equal_nan=True))


@torch.no_grad()
def _value(inplace: InPlace, loss: Loss, few: Split) -> float:
    accumulator = Accumulator(loss, {}, None, 1)
    add_losses(inplace.model, few.tiles(None), accumulator, 0)
    return float(accumulator.finish()[0][0])


class OfBoth:
    """``loss(model, batch)`` of a ``loss(outputs, targets)`` that uses the model besides."""

    def __init__(self, loss: BatchLoss, form: Form) -> None:
        self.loss, self.form, self.__name__ = loss, form, loss.name

    def __call__(self, model: nn.Module, raw: Any) -> Tensor:
        batch = Batch.of(raw, self.form)
        return self.loss(call_model(model, batch.inputs), batch.targets)


class OfOutputs:
    """What a model that computes its own loss returns as ``.loss`` or ``["loss"]``."""

    def __init__(self, form: Form) -> None:
        self.form, self.__name__ = form, "loss_of_outputs"

    def __call__(self, model: nn.Module, batch: Mapping[str, Any]) -> Tensor:
        outputs = call_model(model, self.form.arguments(batch))
        value = outputs["loss"] if isinstance(outputs, Mapping) else getattr(outputs, "loss", None)
        if not isinstance(value, Tensor):
            raise TypeError(
                f"The model returned {type(outputs).__name__} without a loss. "
                "Give loss=function(model, batch)."
            )
        return value
