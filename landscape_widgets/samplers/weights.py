"""Weights that the user hands over besides θ*: state dicts, models; are they of this model?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from landscape_widgets.errors import did_you_mean
from landscape_widgets.objective import Objective

Weights = Mapping[str, Tensor] | nn.Module

# What wrappers put before the names of the weights they wrap.
PREFIXES = ("module.", "_orig_mod.")


def check_weights(items: Iterable[Any], where: str) -> None:
    """Raise a TypeError unless each item is a state dict or a model."""
    for item in items:
        if not isinstance(item, (Mapping, nn.Module)):
            raise TypeError(
                f"{where} was given weights of type {type(item).__name__}; a state dict "
                "(model.state_dict()) or a model is expected. Load files with torch.load first."
            )


def named_weights(weights: Weights) -> dict[str, Tensor]:
    """Tensors by name, without what wrappers put before the names."""
    given: Mapping[str, Any]
    given = weights.state_dict() if isinstance(weights, nn.Module) else weights
    named = {name: value for name, value in given.items() if isinstance(value, Tensor)}
    for prefix in PREFIXES:
        if named and all(name.startswith(prefix) for name in named):
            named = {name.removeprefix(prefix): value for name, value in named.items()}
    return named


def displacement(
    weights: Weights, objective: Objective, where: str, known: set[str] | None = None
) -> Tensor:
    """θ − θ* for weights of the same model, shape (P,).

    Subtracted in float64: neighbouring checkpoints may differ in their last digits only.

    Parameters
    ----------
    where, known
        As for `check_fit`, which sees first whether they are of the same model.
    """
    check_fit(weights, objective, where, known)
    named, anchor = named_weights(weights), objective.anchor
    moved = torch.empty_like(anchor)
    for name, place, _ in objective.layout.slices():  # no more than a tensor in float64 at a time
        theta = named[name].detach().reshape(-1).to(anchor.device, torch.float64)
        moved[place] = theta - anchor[place].double()
    return moved


def check_fit(
    weights: Weights, objective: Objective, where: str, known: set[str] | None = None
) -> None:
    """Raise unless weights are of the objective's model.

    Parameters
    ----------
    where
        What the message calls these weights.
    known : set of str, optional
        Names in the model's state dict, to find them once for many.

    Raises
    ------
    ValueError
        Naming all keys and shapes in which they are of another model.
    """
    named = named_weights(weights)
    known = known if known is not None else state_names(objective)
    wrong = []
    for name, shape in zip(objective.layout.names, objective.layout.shapes, strict=True):
        if name not in named:
            wrong.append(f"{name} is missing")
        elif named[name].shape != shape:
            wrong.append(f"{name} has shape {tuple(named[name].shape)} for {tuple(shape)}")
    wrong += [
        f"{name} is unknown ({did_you_mean(name, known)})" for name in named if name not in known
    ]
    if wrong:
        shown = "; ".join(wrong[:6]) + (f"; and {len(wrong) - 6} more" if len(wrong) > 6 else "")
        raise ValueError(
            f"{where} is of another model: {shown}. Give weights of the very model that is "
            "shown (its state_dict())."
        )


def state_names(objective: Objective) -> set[str]:
    """Names in the model's state dict."""
    return set(objective.model_at(objective.anchor).state_dict())
