"""Losses of the model and a batch, made of what the user gave in another form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from landscape_widgets.task.data import Batch, Form
from landscape_widgets.task.losses.calling import call_model
from landscape_widgets.task.losses.own import BatchLoss


class OfBoth:
    """``loss(model, batch)`` of a ``loss(outputs, targets)`` that uses the model besides."""

    def __init__(self, loss: BatchLoss, form: Form) -> None:
        self.loss, self.form, self.__name__ = loss, form, loss.name

    def __call__(self, model: nn.Module, raw: Any) -> Tensor:
        batch = Batch.of(raw, self.form)
        return self.loss(call_model(model, batch.inputs), batch.targets)


class OfOutputs:
    """What a model that computes its own loss returns as ``.loss`` or ``["loss"]``.

    Of a tuple without names it is the first part, if that is a single number.
    """

    def __init__(self, form: Form) -> None:
        self.form, self.__name__ = form, "the model's own"

    def __call__(self, model: nn.Module, batch: Mapping[str, Any]) -> Tensor:
        outputs = call_model(model, self.form.arguments(batch))
        if isinstance(outputs, Mapping):
            value = outputs.get("loss")
        elif type(outputs) is tuple and outputs:
            value = outputs[0] if getattr(outputs[0], "ndim", None) == 0 else None
        else:
            value = getattr(outputs, "loss", None)
        if not isinstance(value, Tensor):
            raise TypeError(
                f"The model returned {type(outputs).__name__} without a loss. "
                "Give the targets in the batch, under the name that the model takes them by, or "
                "loss=function(model, batch)."
            )
        return value
