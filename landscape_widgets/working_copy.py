"""The copy of the user's model that all work is done on."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn


def check_model(model: object) -> nn.Module:
    """The module whose landscape is asked for, unwrapped from torch.compile.

    Raises
    ------
    TypeError, ValueError
        If it is no module, or its parameters are complex or not initialised yet.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"model is {type(model).__name__}; a torch.nn.Module is expected. "
            "Wrap a function in a module whose weights are torch.nn.Parameter."
        )
    inner = getattr(model, "_orig_mod", model)  # what torch.compile has wrapped
    assert isinstance(inner, nn.Module)
    for name, parameter in inner.named_parameters():
        if isinstance(parameter, nn.parameter.UninitializedParameter):
            raise ValueError(
                f"Parameter {name} is not initialised yet (a lazy module). "
                "Run the model once on some data first."
            )
        if parameter.is_complex():
            raise ValueError(
                f"Parameter {name} is complex; real parameters are expected. "
                "Keep real and imaginary parts as two parameters."
            )
    return inner


def working_copy(model: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """A copy in evaluation mode, on `device` and in `dtype`, that gathers no gradients.

    Raises
    ------
    ValueError
        If the model cannot be copied.
    """
    try:
        with torch.no_grad():  # TorchScript modules would copy into a graph
            working = copy.deepcopy(model)
    except Exception as error:
        raise ValueError(
            f"{type(model).__name__} cannot be copied ({error}); the landscape is computed on a "
            "copy, so that your model stays as it is. Modules that keep computed tensors as "
            "attributes (the old torch.nn.utils.weight_norm, say) cannot be: use "
            "torch.nn.utils.parametrizations instead."
        ) from error
    working = working.to(device)
    if any(p.is_floating_point() and p.dtype != dtype for p in working.parameters()):
        working = working.to(dtype)
    for parameter in working.parameters():
        parameter.grad = None
        parameter.requires_grad_(False)
    return working.eval()


def copied_loss(loss: Any) -> Any:
    """The user's loss, not shared with the user where it is an object that can change."""
    return copy.deepcopy(loss)
