"""Products of a Hessian with vectors.

For any model the gradient g(θ) is differentiated once: H v = ∂(gᵀv)/∂θ is then one pass back
through its graph, for as many vectors as there are. That graph is kept where it fits in memory,
else it is built for each product and each tile of examples anew. Chains of linear layers have a
shorter way (`r_operator`).
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import CheckpointError

from landscape_widgets.resources import SHARE, free_memory, zeros_like

PILOT = 32  # examples of a tile, where their graph fits
TILE_BYTES = 16 << 20  # a pass through more than this leaves the caches
GRAPH_BYTES = 256 << 20  # that a tile's graph may take at most, but for a single example's

Shares = Callable[[], Iterator[Tensor]]


class HessianProduct(ABC):
    """v (P,) → H v (P,) at one θ."""

    @abstractmethod
    def __call__(self, v: Tensor) -> Tensor: ...

    @abstractmethod
    def gradient(self) -> Tensor | None:
        """The gradient (P,) that products are taken from, where it is kept."""


@dataclass(frozen=True)
class GraphBytes:
    """What the graph of a gradient holds, on so many examples.

    Attributes
    ----------
    tile, example : int
        Bytes for each tile, and for each example in it besides.
    """

    tile: int
    example: int

    @property
    def examples(self) -> int:
        """Examples of a tile: near a core's caches, or as many as their graph may take."""
        cached, fitting = TILE_BYTES // self.example, GRAPH_BYTES // self.example
        return max(1, cached, min(PILOT, fitting))

    def total(self, examples: int) -> int:
        """Bytes of the graphs of so many examples."""
        return -(-examples // self.examples) * self.tile + examples * self.example


class GraphProduct(HessianProduct):
    """v (P,) → H v (P,) at one θ, H the Hessian of a sum of shares, by double backward.

    Parameters
    ----------
    leaves : sequence of Tensors
        θ, tensor by tensor.
    shares : callable
        Makes, tile by tile, shares of the loss as differentiable functions of the leaves.
    around : callable
        Makes the context that the loss is differentiated in.
    keep : bool
        Whether graphs are kept between products.
    """

    def __init__(
        self,
        leaves: Sequence[Tensor],
        shares: Shares,
        around: Callable[[], AbstractContextManager[None]],
        keep: bool,
    ) -> None:
        self.leaves, self.shares, self.around = leaves, shares, around
        self.kept: list[Sequence[Tensor]] | None = None
        if keep:
            with self.around():
                self.kept = list(self._gradients())

    def __call__(self, v: Tensor) -> Tensor:
        parts = self._split(v.to(self.leaves[0]))
        total = zeros_like(v.to(self.leaves[0]))
        sums = self._split(total)
        keep = self.kept is not None
        with self.around():
            for gradient in self._gradients() if self.kept is None else self.kept:
                # A gradient that no longer depends on θ has no graph.
                curved = [i for i, g in enumerate(gradient) if g.requires_grad]
                if not curved:
                    continue
                products = torch.autograd.grad(
                    [gradient[i] for i in curved], self.leaves, [parts[i] for i in curved],
                    retain_graph=keep, allow_unused=True,
                )  # fmt: skip
                for part, product in zip(sums, products, strict=True):
                    if product is not None:
                        part += product
        return total

    def _split(self, vector: Tensor) -> list[Tensor]:
        """A vector (P,) as views of the leaves' shapes."""
        pieces = torch.split(vector, [leaf.numel() for leaf in self.leaves])
        return [part.view_as(leaf) for part, leaf in zip(pieces, self.leaves, strict=True)]

    def gradient(self) -> Tensor | None:
        if not self.kept:
            return None
        tiles = [torch.cat([part.detach().reshape(-1) for part in tile]) for tile in self.kept]
        return torch.stack(tiles).sum(dim=0)

    def _gradients(self) -> Iterator[Sequence[Tensor]]:
        for share in self.shares():
            if share.requires_grad:
                yield differentiated(share, self.leaves)


def differentiated(share: Tensor, leaves: Sequence[Tensor]) -> Sequence[Tensor]:
    """The gradient of a share of the loss, to be differentiated again."""
    try:
        return torch.autograd.grad(share, leaves, create_graph=True, materialize_grads=True)
    except RuntimeError as error:
        if not isinstance(error, CheckpointError) and "use_reentrant" not in str(error):
            raise
        raise ValueError(
            "The loss has no second derivative as it is: a part of the model is checkpointed "
            "(torch.utils.checkpoint). Switch that off in the model to have products with the "
            "Hessian and its eigenvalues; losses, gradients and the samplers Subspace, Minima and "
            "Rays need no second derivative."
        ) from error


def check_twice_differentiable(
    gradients: Sequence[Sequence[Tensor]], leaves: Sequence[Tensor]
) -> None:
    """Raise a ValueError where torch has no second derivative of something in the loss.

    Of a function of the user's own that is marked with `once_differentiable`, torch would make a
    derivative of zero.
    """
    curved = [part for gradient in gradients for part in gradient if part.requires_grad]
    if not curved:
        return
    lacking = "a function marked with once_differentiable" if _once_only(curved) else ""
    if not lacking:
        try:
            torch.autograd.grad(
                [part.sum() for part in curved], leaves, retain_graph=True, allow_unused=True
            )
        except RuntimeError as error:
            named = re.search(r"derivative for (\S+) is not implemented", str(error))
            if named is None:
                raise
            lacking = f"{named[1]} of torch"
    if lacking:
        raise ValueError(
            f"The loss has no second derivative: {lacking} in it can be differentiated once. "
            "Products with the Hessian and its eigenvalues need one; losses, gradients and the "
            "samplers Subspace, Minima and Rays do not."
        )


def _once_only(gradients: Sequence[Tensor]) -> bool:
    """Whether the graph of some gradients ends in torch's node for an error to come."""
    errors = ("torch::autograd::Error", "torch::autograd::DelayedError")
    return any(node.name() in errors for node in nodes_of(gradients))


def nodes_of(results: Sequence[Tensor]) -> Iterator[Any]:
    """The nodes of the graph that some tensors were computed by."""
    waiting: list[Any] = [part.grad_fn for part in results]
    seen: set[Any] = set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        yield node
        seen.add(node)
        waiting += [following for following, _ in node.next_functions]


class TwiceDifferentiable(TorchFunctionMode):
    """Within it, functions whose second derivatives torch lacks, or gets wrong, are written out.

    The backward of `torch._weight_norm`, differentiated again, is wrong on a CPU (torch 2.13); the
    one of an embedding with sparse gradients cannot be.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch._weight_norm:
            return _weight_norm(*args, **kwargs)
        if func in (F.embedding, F.embedding_bag):  # which hand on their options by name
            kwargs = {**kwargs, "sparse": False}
        return func(*args, **kwargs)


def _weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    return v * (g / torch.norm_except_dim(v, 2, dim))


def graph_allowance(device: torch.device) -> int:
    """Bytes that a graph may take as long as it is worked with."""
    return free_memory(device) // SHARE
