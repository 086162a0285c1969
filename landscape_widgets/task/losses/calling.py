"""Calling a model on a batch, and finding the predictions in what it returns."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from landscape_widgets.errors import brief
from landscape_widgets.task.inner_gradients import recorded_of

# What predictions are called, the surest first.
PREDICTIONS = (
    "logits", "out", "output", "outputs", "prediction", "predictions", "pred", "preds", "y_hat",
    "y_pred",
)  # fmt: skip


def call_model(model: Callable[..., Any], inputs: Any) -> Any:
    """Run a model on inputs: a mapping as keywords, a tuple as arguments, else as one argument."""
    recorded = recorded_of(model)
    if recorded is None or not isinstance(model, nn.Module):
        return _call(model, inputs)
    return recorded.call(lambda given: _call(model, given), model, inputs)


def _call(model: Callable[..., Any], inputs: Any) -> Any:
    if isinstance(inputs, Mapping):
        return model(**inputs)
    if isinstance(inputs, (tuple, list)):
        return model(*inputs)
    return model(inputs)


def call_watched(
    run: Callable[[], Any],
    modules: Iterable[nn.Module],
    watch: Callable[[Any, tuple[Any, ...], Any], None],
) -> None:
    """Call `run`, and `watch(module, arguments, output)` for some of the modules that it runs."""
    handles = [
        module.register_forward_hook(watch)
        for module in modules
        if not isinstance(module, torch.jit.ScriptModule)  # they take no hooks
    ]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()


def main_output(outputs: Any) -> Tensor:
    """The tensor of predictions among a model's outputs.

    A tensor is itself; of a tuple it is the first. Of parts with names it is the one that is called
    as in `PREDICTIONS`, or the only tensor.

    Raises
    ------
    TypeError
        If there is no tensor, or several and none by a known name.
    """
    if isinstance(outputs, Tensor):
        return outputs
    named = named_parts(outputs)
    if named is None:
        parts = outputs if isinstance(outputs, (tuple, list)) else ()
        for part in parts:
            if isinstance(part, Tensor):
                return part
    else:
        for name in PREDICTIONS:
            known = named.get(name)
            if isinstance(known, Tensor):
                return known
        tensors = {name: part for name, part in named.items() if isinstance(part, Tensor)}
        if len(tensors) == 1:
            return next(iter(tensors.values()))
        if tensors:
            raise TypeError(
                f"The model returned {brief(', '.join(map(repr, tensors)), 200)}; which of "
                "them are the predictions is not known. Give loss=function(model, batch), which "
                "takes from them what it needs."
            )
    raise TypeError(
        f"The model returned {type(outputs).__name__}; a tensor of predictions is expected. "
        "Give loss=function(model, batch) to compute the loss from what it returns."
    )


def named_parts(outputs: Any) -> dict[str, Any] | None:
    """The parts of a mapping, a named tuple, a dataclass or a plain object, by their names."""
    if isinstance(outputs, Mapping):
        return {str(name): part for name, part in outputs.items()}
    if isinstance(outputs, tuple) and hasattr(outputs, "_asdict"):
        return dict(outputs._asdict())
    if dataclasses.is_dataclass(outputs):
        return {f.name: getattr(outputs, f.name) for f in dataclasses.fields(outputs)}
    if isinstance(outputs, (tuple, list, nn.Module)) or not hasattr(outputs, "__dict__"):
        return None
    return dict(vars(outputs))
