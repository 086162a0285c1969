"""The user's own losses, taken as they are."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from landscape_widgets.errors import brief
from landscape_widgets.structure import fresh

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


class BatchLoss:
    """The user's own ``loss(outputs, targets)``: a scalar for a batch, taken as it is.

    Batches count by their number of examples.
    """

    task = "custom"

    def __init__(self, function: Callable[[Any, Any], Any]) -> None:
        self.function = function
        self.name = name_of(function)

    def __call__(self, outputs: Any, targets: Any) -> Tensor:
        return scalar(self.function(outputs, targets), self.name)


class ModelLoss:
    """The user's own ``loss(model, batch)``: the model is a working copy, the batch as it came."""

    task = "custom"

    def __init__(self, function: Callable[[nn.Module, Any], Any]) -> None:
        self.function = function
        self.name = name_of(function)

    def __call__(self, model: nn.Module, batch: Any) -> Tensor:
        # In containers of its own: a loss may take its batch apart.
        return scalar(self.function(model, fresh(batch)), self.name)


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
    elif isinstance(value, (float, int)):
        got, advice = f"the number {value:g}", "Return the tensor itself, without .item()."
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


def looks_like_model_loss(function: Callable[..., Any]) -> bool | None:
    """Whether the arguments' names say ``loss(model, batch)``; None where they say nothing."""
    if type(function).__module__ == "torch.nn.modules.loss":
        return False
    called = function.forward if isinstance(function, nn.Module) else function
    try:
        parameters = inspect.signature(called).parameters
    except (ValueError, TypeError):
        return None
    names = [name.lower() for name in parameters]
    if (names[:1] and names[0] in MODEL_NAMES) or names[1:2] == ["batch"]:
        return True
    if names[:1] and names[0] in ("outputs", "output", "logits", "pred", "preds", "input", "y_hat"):
        return False
    return None
