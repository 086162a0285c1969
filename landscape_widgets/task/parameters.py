"""Parameter vectors: flattened tensors, filters and their norms, random directions.

A parameter vector θ holds all trainable parameters of a model, flattened in
``named_parameters()`` order; tied parameters stand in it once, buffers and frozen
parameters never.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class ParameterLayout:
    """Which trainable tensor lies where in a parameter vector of length `size`.

    Attributes
    ----------
    names, shapes
        Of the tensors, in the order in which they lie there.
    normalising : frozenset of str
        The names of those that are a normalisation layer's own.
    """

    names: tuple[str, ...]
    shapes: tuple[torch.Size, ...]
    normalising: frozenset[str] = frozenset()

    @classmethod
    def of(cls, model: nn.Module) -> ParameterLayout:
        """Read the layout off a model.

        Raises
        ------
        ValueError
            If the model has no parameters, or all of them are frozen.
        """
        named = list(model.named_parameters())
        if not named:
            raise ValueError(
                f"{type(model).__name__} has no parameters, so it has no loss landscape. "
                "Give a model with at least one trainable torch.nn.Parameter."
            )
        trainable = [(name, p) for name, p in named if p.requires_grad and p.is_floating_point()]
        if not trainable:
            raise ValueError(
                f"All {len(named)} parameter tensors of {type(model).__name__} are frozen "
                "(requires_grad is False) or not floating point. The landscape is drawn over the "
                "trainable ones: set requires_grad_(True) on those that should vary."
            )
        return cls(
            names=tuple(name for name, _ in trainable),
            shapes=tuple(p.shape for _, p in trainable),
            normalising=frozenset(_normalising(model)),
        )

    @property
    def size(self) -> int:
        """P, the number of trainable parameters."""
        return sum(shape.numel() for shape in self.shapes)

    def dtype(self, model: nn.Module) -> torch.dtype:
        """The precision that holds every one of a model's trainable tensors."""
        named = dict(model.named_parameters())
        widest = named[self.names[0]].dtype
        for name in self.names:
            widest = torch.promote_types(widest, named[name].dtype)
        return widest

    def slices(self) -> Iterator[tuple[str, slice, torch.Size]]:
        """Yield each tensor's name, its place in a parameter vector, and its shape."""
        start = 0
        for name, shape in zip(self.names, self.shapes, strict=True):
            yield name, slice(start, start + shape.numel()), shape
            start += shape.numel()

    def flatten(
        self,
        tensors: Mapping[str, Tensor],
        dtype: torch.dtype | None = None,
        device: torch.device | None = None,
    ) -> Tensor:
        """Copy named tensors into one vector of shape (P,).

        Raises
        ------
        ValueError
            If a tensor is missing or has another shape.
        """
        missing = [name for name in self.names if name not in tensors]
        wrong = [
            f"{name}: {tuple(tensors[name].shape)} instead of {tuple(shape)}"
            for name, shape in zip(self.names, self.shapes, strict=True)
            if name in tensors and tensors[name].shape != shape
        ]
        if missing or wrong:
            raise ValueError(
                "These weights belong to another model: "
                + "; ".join(
                    ([f"missing {', '.join(missing)}"] if missing else [])
                    + ([f"of another shape {', '.join(wrong)}"] if wrong else [])
                )
                + ". Give weights of the very architecture that was handed over."
            )
        parts = [tensors[name].detach().reshape(-1).to(device, dtype) for name in self.names]
        widest = parts[0].dtype
        for part in parts:
            widest = torch.promote_types(widest, part.dtype)
        return torch.cat([part.to(widest) for part in parts])

    def unflatten(self, vector: Tensor) -> dict[str, Tensor]:
        """View a vector of shape (P,) as named tensors, without a copy."""
        return {name: vector[place].view(shape) for name, place, shape in self.slices()}


# BatchNorm2d, LayerNorm, GroupNorm, and those of others: LlamaRMSNorm, ActNorm.
_NORM = re.compile(r"norm(\dd)?$", re.IGNORECASE)


def _normalising(model: nn.Module) -> Iterator[str]:
    """Names of the parameters that are a normalisation layer's own."""
    for prefix, module in model.named_modules():
        if any(_NORM.search(kind.__name__) for kind in type(module).__mro__):
            for name, _ in module.named_parameters(prefix, recurse=False):
                yield name


def filter_norms(anchor: Tensor, layout: ParameterLayout, place: slice, filters: int) -> Tensor:
    """Norms (filters,) of the filters of the tensor at `place` in θ*.

    A tensor that is zero throughout (the second factor of a fresh low-rank adapter, the last layer
    of a block that begins as the identity) would never move. Its filters count as if its weights
    were of the `usual_size`.
    """
    rows = anchor[place].view(filters, -1)
    norms: Tensor = rows.norm(dim=1)
    if bool(norms.any()):
        return norms
    return torch.full_like(norms, usual_size(anchor, layout) * math.sqrt(rows.shape[1]))


def usual_size(anchor: Tensor, layout: ParameterLayout) -> float:
    """Geometric mean of the root mean squares of tensors with two axes or more; zeros left out.

    It stays what it is where one layer is multiplied by a number and the next one divided by it,
    to the bit for powers of two: these are summed apart. 0 where there are none.
    """
    mantissas, exponents, count = 0.0, 0, 0
    for _, place, shape in layout.slices():
        size = float(anchor[place].norm()) if len(shape) > 1 else 0.0
        if size > 0:
            mantissa, exponent = math.frexp(size / math.sqrt(shape.numel()))
            mantissas += math.log2(mantissa)
            exponents += exponent
            count += 1
    return 2.0 ** ((mantissas + exponents) / count) if count else 0.0


def filter_normalise(
    direction: Tensor,
    anchor: Tensor,
    layout: ParameterLayout,
    one_dimensional: Literal["zero", "scale"] = "zero",
) -> Tensor:
    """Scale each filter of `direction` to the norm of the same filter of `anchor`.

    A filter is one slice along the first axis of a tensor with two axes or more: the weights
    that feed one output unit or channel (Li et al. 2018, "Visualizing the loss landscape of
    neural nets", section 4). A tensor with one axis or none (biases, normalisation) counts as
    one filter.

    Parameters
    ----------
    direction, anchor : Tensor, shape (P,)
    one_dimensional
        What becomes of biases and normalisation layers: ``"zero"`` leaves them where they are, as
        the paper does; ``"scale"`` treats each such tensor as one filter.
    """
    scaled = torch.zeros_like(direction)
    for _, place, shape in layout.slices():  # no more than a tensor of norms at a time
        if shape.numel() == 0 or (len(shape) < 2 and one_dimensional == "zero"):
            continue
        filters = shape[0] if len(shape) > 1 else 1
        rows = direction[place].view(filters, -1)
        norms = rows.norm(dim=1, keepdim=True)
        wanted = filter_norms(anchor, layout, place, filters)[:, None]
        scaled[place] = (rows * (wanted / torch.where(norms > 0, norms, 1.0))).reshape(-1)
    return scaled


def one_dimensional(layout: ParameterLayout) -> Literal["zero", "scale"]:
    """What becomes of tensors with one axis: they move only where there are no others."""
    return "scale" if all(len(shape) < 2 for shape in layout.shapes) else "zero"


def random_direction(
    anchor: Tensor,
    layout: ParameterLayout,
    generator: torch.Generator,
    filter_normalised: bool = True,
) -> Tensor:
    """Draw one Gaussian direction of shape (P,), filter-normalised unless told otherwise.

    `generator` lives on the CPU, so that a seed means the same on every device. A model with
    nothing but one-axis parameters would be left without a direction by the paper's rule; its
    tensors are scaled as one filter each instead.
    """
    direction = torch.randn(layout.size, generator=generator, dtype=anchor.dtype).to(anchor.device)
    if not filter_normalised:
        return direction
    return filter_normalise(direction, anchor, layout, one_dimensional(layout))


def random_directions(
    k: int,
    anchor: Tensor,
    layout: ParameterLayout,
    generator: torch.Generator,
    filter_normalised: bool = True,
) -> Tensor:
    """Draw k independent directions, shape (k, P); see `random_direction`."""
    return torch.stack(
        [random_direction(anchor, layout, generator, filter_normalised) for _ in range(k)]
    )


def reinitialise(anchor: Tensor, layout: ParameterLayout, generator: torch.Generator) -> Tensor:
    """Draw the weights of an untrained copy, shape (P,), from `generator` alone.

    Weights are uniform in ±1/√fan_in as torch's own layers have them by default; of the tensors
    with one axis, those called weight (normalisation) are one and the rest (biases) zero.
    ``reset_parameters()`` would do the same through the global random state, which is the user's.
    """
    fresh = torch.zeros(layout.size, dtype=anchor.dtype)
    for name, place, shape in layout.slices():
        if len(shape) > 1:
            bound = 1.0 / math.sqrt(max(1, shape[1:].numel()))
            fresh[place] = (
                torch.rand(shape.numel(), generator=generator, dtype=anchor.dtype) * 2 - 1
            ) * bound
        elif name.rsplit(".", 1)[-1].startswith("weight"):
            fresh[place] = 1.0
    return fresh.to(anchor.device)
