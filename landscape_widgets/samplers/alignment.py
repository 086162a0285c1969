"""Other trained models: what they are called, and their units in the order of θ*'s."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from landscape_widgets.objective.objective import Objective
from landscape_widgets.precision import accumulated
from landscape_widgets.samplers.matching import Group, apply, match, symmetries
from landscape_widgets.samplers.weights import Weights, check_weights, is_weights


def checked_models(
    given: Any, names: Sequence[str], where: str
) -> tuple[tuple[Weights, ...], tuple[str, ...]]:
    """Weights of other models, one or several, and their names, none or one for each.

    Raises
    ------
    TypeError, ValueError
    """
    several = (given,) if is_weights(given) else given
    if isinstance(several, str) or not isinstance(several, Sequence) or not several:
        raise TypeError(
            f"{where} was given {type(given).__name__}; a state dict or a list of them, one for "
            "each other trained model, is expected."
        )
    check_weights(several, where)
    named = tuple(str(name) for name in names)
    if named and (len(named) != len(several) or len(set(named)) < len(named)):
        raise ValueError(
            f"{where} was given {len(several)} models and the names {list(named)}; one for each, "
            "all of them different, is expected."
        )
    return tuple(several), named


def aligned(
    objective: Objective, moved: Tensor, buffers: Mapping[str, Tensor], seed: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """The same network with its hidden units in the order of θ*'s (weight matching).

    Parameters
    ----------
    objective : Objective
    moved : Tensor (P,)
        The network's displacement from θ*.
    buffers : dict
        Its buffers that are not as at θ*.
    seed : int
        Of the order in which layers are matched.

    Returns
    -------
    displacement : Tensor (P,)
    buffers : dict
    """
    groups = symmetries(objective.model_at(objective.anchor))
    layout = objective.layout
    reference = layout.unflatten(objective.anchor)
    other = layout.unflatten(accumulated(objective.anchor) + accumulated(moved))
    order = match(reference, other, groups, seed)
    vector = layout.flatten(apply(other, groups, order))
    theirs = {name: value.to("cpu", torch.float64) for name, value in objective.buffers.items()}
    theirs.update(buffers)  # those that are as at θ* move too
    turned = apply(theirs, [_buffers_only(group) for group in groups], order)
    found = {name: turned[name] for name in turned if not torch.equal(turned[name], theirs[name])}
    return (vector - accumulated(objective.anchor)).to(objective.anchor), {**buffers, **found}


def can_align(objective: Objective) -> bool:
    """Whether any hidden units of the model are known to be free to trade places."""
    return bool(symmetries(objective.model_at(objective.anchor)))


def named_models(model: Mapping[str, Any]) -> tuple[nn.Module, str, dict[str, Weights]]:
    """Of several models by their names the first, its name, and the others.

    Raises
    ------
    TypeError
        If the first is no model, or others are no weights.
    """
    if not model:
        raise TypeError("The mapping of models is empty. Give at least one: {name: model}.")
    (name, first), *others = model.items()
    if not isinstance(first, nn.Module):
        raise TypeError(
            f"The first of the models by name, {name!r}, is of type {type(first).__name__}; a "
            "torch.nn.Module is expected. The others may be state dicts or files, too."
        )
    check_weights([weights for _, weights in others], "The mapping of models")
    return first, str(name), {str(other): weights for other, weights in others}


def _buffers_only(group: Group) -> Group:
    return Group(group.size, tuple(axis for axis in group.axes if axis.buffer))
