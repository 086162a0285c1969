"""Weights that the user hands over besides θ*, in all their forms: are they of this model?"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from landscape_widgets.errors import did_you_mean
from landscape_widgets.geometry.basis import Basis
from landscape_widgets.objective.objective import Objective
from landscape_widgets.precision import accumulated
from landscape_widgets.task.buffers import Buffers

Weights = Mapping[str, Any] | nn.Module | Tensor | np.ndarray[Any, Any] | str | os.PathLike[str]

logger = logging.getLogger(__name__)

SAME = 0.1  # relative difference of two losses half-way that is not worth a warning
FORMS = (
    "a state dict (model.state_dict()), a model, a vector of all trainable parameters, or the path "
    "of a file that holds one (.pt, .safetensors, .npz)"
)
WRAPPERS = ("module", "_orig_mod")  # what wrappers put into the names of the weights they wrap
SHOWN = 6  # names in a message
# Counters of what was seen in training; nothing in evaluation hangs on them.
COUNTER = ("num_batches_tracked", "seed_generator_state")
AVERAGED = "n_averaged"  # of torch's averaged models: how many they are an average of


def is_weights(item: Any) -> bool:
    """Whether a thing is of a form that weights may have."""
    kinds = (Mapping, nn.Module, Tensor, np.ndarray, str, os.PathLike)
    return isinstance(item, kinds)


def check_weights(items: Iterable[Any], where: str) -> None:
    """Raise unless each item is a state dict, a model, a vector or a file that exists."""
    for item in items:
        if not is_weights(item):
            raise TypeError(
                f"{where} was given weights of type {type(item).__name__}; expected is {FORMS}."
            )
        if isinstance(item, (str, os.PathLike)) and not Path(item).exists():
            raise FileNotFoundError(f"{where}: there is no file {os.fspath(item)!r}. Give {FORMS}.")


class Fitted:
    """Weights of the objective's model, under the model's own names.

    Parameters
    ----------
    weights
    objective
    where
        What a message calls these weights.

    Attributes
    ----------
    tensors : dict
        Each trainable tensor, as it was given.
    buffers : dict
        Buffers that they bring along, as they were given.

    Raises
    ------
    ValueError
        Naming the keys and shapes in which they are of another model.
    """

    def __init__(self, weights: Weights, objective: Objective, where: str) -> None:
        layout, known = objective.layout, objective.state_names
        given = _read(weights, where)
        self.buffers: dict[str, Tensor] = {}
        if isinstance(given, Tensor):
            if given.shape != (layout.size,):
                cure = ""
                if given.shape in layout.shapes:
                    cure = (
                        " Lists of arrays without names, as Keras' get_weights() gives, cannot be "
                        "told apart: put them into a model of their own "
                        "(other = keras.models.clone_model(model), other.set_weights(weights)) and "
                        "give that model."
                    )
                raise ValueError(
                    f"{where} is a tensor of shape {tuple(given.shape)}; a vector of the "
                    f"{layout.size} trainable parameters is expected, or a state dict.{cure}"
                )
            self.tensors = layout.unflatten(given)
            return
        read = [
            (f"{path}: {around}" if path and around else path or around, named)
            for path, part in _dictionaries(given)
            for around, named in _renamings(part, layout.names, known)
        ]
        _check_one(read, dict(zip(layout.names, layout.shapes, strict=True)), where)
        named = min((part for _, part in read), key=lambda p: _lacking(p, layout.names))
        wrong = []
        for name, shape in zip(layout.names, layout.shapes, strict=True):
            if name not in named:
                wrong.append(f"{name} is missing")
            elif named[name].shape != shape:
                wrong.append(f"{name} has shape {tuple(named[name].shape)} for {tuple(shape)}")
            elif named[name].is_meta:
                wrong.append(f"{name} lies on the device 'meta', and has no values")
            elif not named[name].is_floating_point():
                wrong.append(f"{name} is of type {named[name].dtype}, and no real numbers")
        wrong += [
            f"{name} is unknown ({did_you_mean(name, known)})"
            for name in named
            if name not in known and not name.endswith(COUNTER)
        ]
        if wrong:
            shown = "; ".join(wrong[:SHOWN])
            shown += f"; and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
            raise ValueError(
                f"{where} is of another model: {shown}. Give weights of the very model that is "
                "shown (its state_dict())."
            )
        self.tensors = {name: named[name] for name in layout.names}
        for name, value in objective.buffers.items():
            if name in named and not name.endswith(COUNTER) and named[name].shape == value.shape:
                self.buffers[name] = named[name]

    def displacement(self, objective: Objective) -> Tensor:
        """θ − θ*, shape (P,).

        Subtracted in float64: neighbouring checkpoints may differ in their last digits only.
        """
        anchor = objective.anchor
        moved = torch.empty_like(anchor)
        for name, place, _ in objective.layout.slices():  # no more than a tensor in float64 a time
            before = accumulated(anchor[place])
            theta = accumulated(self.tensors[name].detach().reshape(-1)).to(before.device)
            moved[place] = (theta - before).to(moved.dtype)
        return moved

    def moved_buffers(self, objective: Objective) -> dict[str, Tensor]:
        """The buffers, and frozen parameters, among them that are not as at θ*, in float64.

        What is θ*'s own, rounded to a shorter type, is as at θ*.
        """
        at_anchor = objective.buffers
        found: dict[str, Tensor] = {}
        for name, value in self.buffers.items():
            other, ours = value.detach().to("cpu"), at_anchor[name].to("cpu")
            if not torch.equal(other.double(), ours.to(other.dtype).double()):
                found[name] = other.double()
        return found


def moving_buffers(
    objective: Objective, ends: Sequence[Mapping[str, Tensor]], whose: str
) -> Buffers | None:
    """Of directions to `ends`, the buffers that these bring along; said among the assumptions."""
    found = Buffers.of(objective.buffers, ends)
    if found is None:
        return None
    statistics = any(name.endswith(("running_mean", "running_var")) for name in found.names)
    what = "batch statistics" if statistics else f"buffers ({', '.join(found.names[:3])})"
    if objective.reestimates and statistics:
        others = [n for n in found.names if not n.endswith(("running_mean", "running_var"))]
        if not others:
            return None  # whatever they are, they are estimated anew
        what = f"buffers ({', '.join(others[:3])})"
    objective.assume(
        f"At {whose} the {what} are their own; between them and θ* they are interpolated, and "
        "beyond they are held."
    )
    return found


def say_what_statistics_do(objective: Objective, basis: Basis, direction: int, end: str) -> None:
    """Half-way along a direction: what trained batch statistics give, and what others would.

    Halfway between two minima the loss may be several times too high with statistics that no
    network there would have (Izmailov et al. 2018, section 3.2). Takes three losses.
    """
    if not objective.has_batchnorm or objective.reestimates:
        return
    row = np.zeros(basis.k)
    row[direction] = 0.5
    trained, estimated = objective.with_both_statistics(basis, row)
    if abs(trained - estimated) > SAME * abs(estimated):
        sentence = (
            f"Half-way to {end} the loss is {trained:.3g} with the trained batch statistics, and "
            f"{estimated:.3g} with statistics estimated there: what looks like a barrier may be "
            "the statistics. Give batchnorm='reestimate' to see the weights' own."
        )
        logger.warning(sentence)
        objective.assume(sentence)


def _read(weights: Weights, where: str) -> Mapping[str, Any] | Tensor:
    """Weights of any form as a mapping, or as a vector."""
    if isinstance(weights, nn.Module):
        return weights.state_dict()
    if isinstance(weights, (str, os.PathLike)):
        weights = _loaded(Path(weights), where)
    if isinstance(weights, nn.Module):
        return weights.state_dict()
    if isinstance(weights, np.ndarray):
        return torch.as_tensor(weights)
    if isinstance(weights, (Tensor, Mapping)):
        return weights
    raise TypeError(f"{where} holds {type(weights).__name__}; expected is {FORMS}.")


def _loaded(path: Path, where: str) -> Any:
    if path.suffix in (".h5", ".keras"):
        made = "keras.models.load_model(path)"
        if path.suffix == ".h5":
            made = "other = keras.models.clone_model(model), other.load_weights(path)"
        raise ValueError(
            f"{where}: {os.fspath(path)!r} is a file of Keras. Load it into a model of its own "
            f"({made}) and give that model."
        )
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        if path.suffix in (".npz", ".npy"):
            return np.load(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).split("\n")[0][:200]
        raise ValueError(
            f"{where}: {os.fspath(path)!r} cannot be read ({type(error).__name__}: {reason}). If "
            "you trust the file, load it yourself (torch.load(..., weights_only=False)) and give "
            "the state dict in it."
        ) from error


def _check_one(
    read: Sequence[tuple[str, Mapping[str, Tensor]]],
    shapes: Mapping[str, torch.Size],
    where: str,
) -> None:
    """Raise a ValueError where a checkpoint holds several weights of the model, and not the same.

    Parameters
    ----------
    read
        What may be the weights, under the model's names, each with where it lies.
    shapes
        Of the trainable tensors, by name.
    where
    """
    found: dict[str, Mapping[str, Tensor]] = {}
    for place, part in read:
        fits = all(name in part and part[name].shape == shapes[name] for name in shapes)
        if fits and not any(_equal(part, other, shapes) for other in found.values()):
            found[place] = part
    if len(found) > 1:
        places = ", ".join(repr(place) for place in list(found)[:SHOWN])
        raise ValueError(
            f"{where} holds weights of this model more than once, and not the same: {places}. "
            "Give the ones that you mean alone, as a state dict."
        )


def _equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor], names: Iterable[str]) -> bool:
    return all(one[name] is other[name] or torch.equal(one[name], other[name]) for name in names)


def _lacking(part: Mapping[str, Tensor], wanted: Iterable[str]) -> int:
    return sum(name not in part for name in wanted)


def _dictionaries(
    given: Mapping[str, Any], path: str = "", depth: int = 4
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Every mapping of names to tensors in a checkpoint, which may hold much besides."""
    own: dict[str, Tensor] = {}
    for name, value in given.items():
        if isinstance(value, (Tensor, np.ndarray)):
            own[str(name)] = torch.as_tensor(value)
    yield path, own
    for name, value in given.items():
        if isinstance(value, nn.Module):
            value = value.state_dict()
        if isinstance(value, Mapping) and depth:
            yield from _dictionaries(value, f"{path}.{name}".lstrip("."), depth - 1)


def _renamings(
    named: Mapping[str, Tensor], wanted: Sequence[str], known: set[str]
) -> list[tuple[str, dict[str, Tensor]]]:
    """Tensors under the model's names, in every way that they may be, each with what was around.

    A prefix before all of them, on either side; what wrappers put into names; the adapter's name,
    which files of adapters leave out.
    """
    if all(name in named for name in wanted):
        return [("", dict(named))]
    firsts = {wanted[0], *_shorter(wanted[0])}
    plain = {_without(name): value for name, value in named.items() if name != AVERAGED}
    candidates = [("", dict(named)), ("", plain)]
    for part in (dict(named), plain):
        # What stands before the names on either side, as the end of the first one tells.
        around = {
            (name.removesuffix(end), first.removesuffix(end))
            for first in firsts
            for end in _ends(first)
            for name in part
            if name == end or name.endswith(f".{end}")
        }
        for theirs, ours in sorted(around):
            inside = [(k, v) for k, v in part.items() if k.startswith(theirs)]
            renamed = {ours + k.removeprefix(theirs): v for k, v in inside}
            candidates.append((f"{theirs}...", renamed))
    longer: dict[str, str] = {}
    for name in (*wanted, *known):
        for short in _shorter(name):
            longer.setdefault(short, name)
    candidates += [(around, _by_rank(part, known)) for around, part in candidates[:2]]
    candidates += [
        (around, {k if k in known else longer.get(k, k): v for k, v in part.items()})
        for around, part in candidates
    ]
    return candidates


def _by_rank(named: Mapping[str, Tensor], known: set[str]) -> dict[str, Tensor]:
    """Tensors under the model's names, where layers are numbered as Keras does.

    It goes on counting over all models ("model_2/dense_7/kernel"): the n-th layer of a kind of one
    model is the n-th of that kind of the other.
    """
    ours, theirs = _ranked(known), _ranked(named)
    if any(len(ours.get(kind, ())) != len(names) for kind, names in theirs.items()):
        return dict(named)
    pairs = {
        old: new
        for kind, names in theirs.items()
        for old, new in zip(names, ours[kind], strict=True)
    }
    return {pairs.get(name, name): value for name, value in named.items()}


def _ranked(names: Iterable[str]) -> dict[tuple[str, str, str], list[str]]:
    """Names with slashes by what they are but for the layer's number, in the order of these."""
    found: dict[tuple[str, str, str], list[tuple[int, str]]] = {}
    for name in names:
        before, _, path = name.rpartition(".")
        if "/" not in path:
            continue
        layer, variable = path.split("/")[-2:]
        kind, _, number = layer.rpartition("_")
        known = (kind, int(number)) if kind and number.isdigit() else (layer, 0)
        found.setdefault((before, known[0], variable), []).append((known[1], name))
    return {kind: [name for _, name in sorted(group)] for kind, group in found.items()}


def _ends(name: str) -> list[str]:
    """A name without its leading parts, as long as enough is left to tell it by."""
    parts = name.split(".")
    return [".".join(parts[place:]) for place in range(max(1, len(parts) - 1))]


def _shorter(name: str) -> list[str]:
    """A name without one or two of its inner parts: files leave out what names an adapter."""
    parts = name.split(".")
    return [
        ".".join(parts[:place] + parts[place + count :])
        for count in (1, 2)
        for place in range(1, len(parts) - count)
    ]


def _without(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)
