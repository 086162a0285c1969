"""The user's own losses, taken as they are."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor, nn

from landscape_widgets.errors import brief
from landscape_widgets.task.structure import fresh, map_arrays

# How torch's losses of three tensors are handed over, by the names of their arguments.
_OF_THREE = {
    ("input", "target", "var"):
        "For a model that returns means and variances, with this loss as `criterion`, give "
        "loss=lambda outputs, targets: criterion(outputs[0], targets, outputs[1]).",
    ("input1", "input2", "target"):
        "For a model that returns two tensors, with this loss as `criterion`, give "
        "loss=lambda outputs, targets: criterion(outputs[0], outputs[1], targets).",
    ("anchor", "positive", "negative"):
        "For batches of three inputs, with this loss as `criterion`, give "
        "loss=lambda model, batch: criterion(*(model(inputs) for inputs in batch)).",
}  # fmt: skip
MODEL_NAMES = ("model", "module", "net", "network", "m")
BATCH_NAMES = ("batch", "data", "b")
OUTPUT_NAMES = (
    *("outputs", "output", "out", "logits", "logit", "input", "inputs", "pred", "preds"),
    *("prediction", "predictions", "predicted", "y_hat", "yhat", "y_pred", "ypred", "y_score"),
    *("probs", "proba", "probabilities", "recon", "x_hat"),
)
TARGET_NAMES = (
    *("targets", "target", "labels", "label", "true", "truth", "y_true", "ytrue", "y", "gold"),
    *("ground_truth", "gt", "actual", "expected", "x"),
)


class Order(NamedTuple):
    """How a loss is called: of model and batch, or of outputs and targets; in which order."""

    of_model: bool
    swapped: bool

    @property
    def said(self) -> str:
        """The call, in words."""
        names = ("model", "batch") if self.of_model else ("outputs", "targets")
        return f"loss({', '.join(names[::-1] if self.swapped else names)})"


OUTPUTS_TARGETS, TARGETS_OUTPUTS = Order(False, False), Order(False, True)
MODEL_BATCH, BATCH_MODEL = Order(True, False), Order(True, True)


class OwnLoss:
    """A function of the user's own, which may write over what it is given.

    Parameters
    ----------
    function
    swapped
        It takes its two arguments the other way round.

    Attributes
    ----------
    copies : bool
        It gets copies: until `settle` says that all of the data has been seen by it, and from then
        on if it has written over any of them.
    writes : bool
        It has.
    """

    task = "custom"

    def __init__(self, function: Callable[[Any, Any], Any], swapped: bool = False) -> None:
        self.function, self.swapped = function, swapped
        self.name = name_of(function)
        self.copies = True
        self.writes = False

    def settle(self) -> None:
        """What it has not written over so far it will not."""
        self.copies = self.writes

    def _called(self, first: Any, second: Any) -> Any:
        return self.function(second, first) if self.swapped else self.function(first, second)

    @contextmanager
    def _own(self, tree: Any) -> Iterator[Any]:
        """Copies of what it is called with, looked at afterwards."""
        known: dict[int, Any] = {}

        def copied(leaf: Any) -> Any:
            if not isinstance(leaf, Tensor) or leaf.requires_grad:
                return leaf  # one that is differentiated is of this very call
            return known.setdefault(id(leaf), leaf.clone())

        copies = map_arrays(copied, tree)
        before = [(tensor, tensor._version, tensor.requires_grad) for tensor in known.values()]
        try:
            yield copies
        finally:
            for tensor, version, required in before:
                self.writes |= tensor._version != version or tensor.requires_grad != required


class BatchLoss(OwnLoss):
    """The user's own ``loss(outputs, targets)``: a scalar for a batch, taken as it is.

    Batches count by their number of examples.
    """

    def __call__(self, outputs: Any, targets: Any) -> Tensor:
        if not self.copies:
            return scalar(self._called(outputs, targets), self.name)
        with self._own((outputs, targets)) as (own_outputs, own_targets):
            return scalar(self._called(own_outputs, own_targets), self.name)


class ModelLoss(OwnLoss):
    """The user's own ``loss(model, batch)``: the model is a working copy, the batch as it came."""

    def __call__(self, model: nn.Module, batch: Any) -> Tensor:
        if not self.copies:
            # In containers of its own: a loss may take its batch apart.
            return scalar(self._called(model, fresh(batch)), self.name)
        with self._own(batch) as own:
            return scalar(self._called(model, own), self.name)


def name_of(function: Callable[..., Any]) -> str:
    """What a function is called in messages."""
    if isinstance(function, functools.partial):
        return name_of(function.func)
    return str(getattr(function, "__name__", type(function).__name__))


class NotScalar(ValueError):
    """A loss returned something else than a scalar tensor."""


def scalar(value: Any, name: str) -> Tensor:
    """The loss as a scalar tensor, or a `NotScalar` that says what came instead."""
    if isinstance(value, Tensor) and value.numel() == 1:
        return value.reshape(())
    if isinstance(value, Tensor):
        got = f"shape {tuple(value.shape)}"
        advice = "Average it over the batch (reduction='mean', or .mean())."
    elif isinstance(value, (float, int, np.number)):
        got = f"the number {float(value):g}"
        advice = (
            "Return a tensor that torch has computed from the outputs, without .item(): a number, "
            "as NumPy and scikit-learn give it, has no gradient."
        )
    elif isinstance(value, (tuple, list, dict)):
        got, advice = type(value).__name__, "Return the loss of the batch alone, from among these."
    else:
        got, advice = type(value).__name__, "Return the mean loss of the batch."
    raise NotScalar(f"The loss {name} returned {got}; a scalar tensor is expected. {advice}")


def check_arguments(function: Any) -> None:
    """Raise a TypeError if the loss cannot be called with two arguments."""
    if not callable(function):
        raise TypeError(
            f"loss={brief(repr(function), 100)} was given; a function loss(outputs, targets) "
            "or loss(model, batch) is expected."
        )
    if inspect.isclass(function):
        raise TypeError(
            f"loss={function.__name__} is a class; give one of its instances: "
            f"loss={function.__name__}()."
        )
    called = function.forward if isinstance(function, nn.Module) else function
    try:
        names = list(inspect.signature(called).parameters)
        inspect.signature(called).bind(None, None)
    except TypeError as error:
        cure = next(
            (said for known, said in _OF_THREE.items() if tuple(names[:3]) == known),
            "Wrap it in a function of these two that passes on what it needs.",
        )
        raise TypeError(
            f"The loss {name_of(function)} takes {len(names)} arguments "
            f"({brief(', '.join(names), 200)}) and cannot be called with two; "
            f"loss(outputs, targets) or loss(model, batch) is expected. {cure}"
        ) from error
    except ValueError:
        pass  # a built-in function without a signature


def order_by_names(function: Callable[..., Any]) -> Order | None:
    """How a loss is called, as the names of its arguments say; None where they say nothing."""
    if type(function).__module__ == "torch.nn.modules.loss":
        return OUTPUTS_TARGETS
    called = function.forward if isinstance(function, nn.Module) else function
    try:
        names = [name.lower() for name in inspect.signature(called).parameters]
    except (ValueError, TypeError):
        return None
    first, second = (*names[:2], "", "")[:2]
    if second in MODEL_NAMES and first in BATCH_NAMES:
        return BATCH_MODEL
    if first in MODEL_NAMES or second == "batch":
        return MODEL_BATCH
    if first == "y_true" or (first in TARGET_NAMES and second in OUTPUT_NAMES):
        return TARGETS_OUTPUTS
    return OUTPUTS_TARGETS if first in OUTPUT_NAMES else None
