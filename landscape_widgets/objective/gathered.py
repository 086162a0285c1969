"""Gradients of large weights, added to what holds them as they are computed.

Autograd computes a weight's gradient as a tensor of its own and then adds it to `.grad`, so that
both are held for a moment. Where one weight is a large part of a model (the embedding of many
words, the first linear layer after a convolution) that is a large part of all memory, and a pass
through it twice. Within `gathering`, torch's embeddings and linear layers add to `.grad` at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.autograd.graph import get_gradient_edge
from torch.nn import functional as F

from landscape_widgets.objective.hessian_product import nodes_of

LARGE = 1 << 20  # numbers in a weight from which on it matters


def gather(loss: Tensor, weights: Sequence[Tensor], *, kept: bool = False) -> None:
    """Add the gradients of a loss to the `.grad` of weights, and to nobody else's.

    The graph is freed on the way, unless it is to be `kept`.

    A checkpoint that is entered again on the way back does not allow that one says to whose: what
    other leaves there are has its own back afterwards.
    """
    nodes = list(nodes_of([loss]))
    if not any(node.name().startswith("CheckpointFunction") for node in nodes):
        torch.autograd.backward(loss, inputs=weights, retain_graph=kept)
        return
    ours = {id(weight) for weight in weights}
    leaves = [node.variable for node in nodes if hasattr(node, "variable")]
    others = [(leaf, leaf.grad) for leaf in leaves if id(leaf) not in ours]
    for leaf, _ in others:
        leaf.grad = None
    try:
        torch.autograd.backward(loss, retain_graph=kept)
    finally:
        for leaf, before in others:
            leaf.grad = before


def reaches(loss: Tensor, weights: Sequence[Tensor]) -> bool:
    """Whether a pass back from a loss may come to one of the weights.

    What lies behind a function that is written in Python (a checkpoint) torch does not know.
    """
    ours = {id(weight) for weight in weights}
    return any(
        isinstance(node, torch.autograd.function.BackwardCFunction)
        or id(getattr(node, "variable", None)) in ours
        for node in nodes_of([loss])
    )


@contextmanager
def gathering(model: nn.Module) -> Iterator[None]:
    """Let large weights of a model add to their `.grad` without a tensor between.

    That is done only where autograd would do the same: in a pass back that ends in the weight,
    where its `.grad` is there already. Anything else finds the gradients that it always does.
    The layers are of another class meanwhile, in passes forward that are repeated on the way back
    (`torch.utils.checkpoint`) too, which modes of torch would not reach.
    """
    layers = [
        (layer, type(layer), _KINDS[type(layer)])
        for layer in model.modules()
        if type(layer) in _KINDS and _is_large(layer)
    ]
    for layer, _, kind in layers:
        layer.__class__ = kind
    try:
        yield
    finally:
        for layer, before, _ in layers:
            layer.__class__ = before


def _is_large(layer: nn.Module) -> bool:
    weight = layer.weight
    return (
        isinstance(weight, nn.Parameter)
        and weight.numel() >= LARGE
        and weight.layout == torch.strided
        and weight.is_floating_point()
        and weight.device.type in ("cpu", "cuda")
    )


def _plain(given: Tensor, weight: Tensor) -> bool:
    """Whether autograd alone is at work on a layer."""
    return (
        type(given) in (Tensor, nn.Parameter)
        and given.layout == torch.strided
        and not given.is_nested
        and weight.is_leaf
        and weight.requires_grad
        and torch.is_grad_enabled()
        and not torch._C._are_functorch_transforms_active()
        and forward_ad._current_level < 0
        and not torch.is_autocast_enabled(given.device.type)
    )


class _GatheringLinear(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        if not _plain(input, self.weight) or input.dtype != self.weight.dtype:
            return super().forward(input)
        found: Tensor = _Linear.apply(input, self.weight, self.bias)  # type: ignore[no-untyped-call]
        return found


class _GatheringEmbedding(nn.Embedding):
    def forward(self, input: Tensor) -> Tensor:
        plain = _plain(input, self.weight) and self.max_norm is None
        if not plain or self.scale_grad_by_freq:
            return super().forward(input)
        found: Tensor = _Embedding.apply(input, self.weight, self.padding_idx)  # type: ignore[no-untyped-call]
        return found


_KINDS: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: _GatheringLinear,
    nn.Embedding: _GatheringEmbedding,
}


def _held(weight: Tensor) -> Tensor | None:
    """What the gradient may be added to now; None where it is to be handed on."""
    held = weight.grad
    if held is None or torch.is_grad_enabled() or held.layout != torch.strided:
        return None
    try:
        with torch.enable_grad():  # by which torch 2.4 finds the node
            node = get_gradient_edge(weight).node
        ends_here = torch._C._will_engine_execute_node(node)
    except RuntimeError:  # torch.autograd.grad of this weight: torch refuses to tell
        return None
    return held.detach() if ends_here else None


class _Linear(torch.autograd.Function):
    """x Wᵀ + b."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight if x.requires_grad else None)
        ctx.weight = weight
        return F.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        out, into = ctx.weight.shape
        rows, columns = gradient.reshape(-1, out), x.reshape(-1, into)
        back = None if weight is None else (rows @ weight).view(x.shape)
        of_bias = rows.sum(0) if ctx.needs_input_grad[2] else None
        held = _held(ctx.weight)
        if held is None:
            return back, rows.T @ columns, of_bias
        held.addmm_(rows.T, columns)
        return back, None, of_bias


class _Embedding(torch.autograd.Function):
    """Rows of W."""

    @staticmethod
    def forward(ctx: Any, places: Tensor, weight: Tensor, padding: int | None) -> Tensor:
        ctx.save_for_backward(places)
        ctx.weight, ctx.padding = weight, padding  # whose numbers are not needed any more
        return F.embedding(places, weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor | None, None]:
        (places,) = ctx.saved_tensors
        rows, places = gradient.reshape(-1, ctx.weight.shape[1]), places.reshape(-1)
        if ctx.padding is not None:
            rows = rows.masked_fill((places == ctx.padding).unsqueeze(1), 0.0)
        held = _held(ctx.weight)
        if held is None:
            return None, _add_rows(torch.zeros_like(ctx.weight), places, rows), None
        _add_rows(held, places, rows)
        return None, None, None


def _add_rows(table: Tensor, places: Tensor, rows: Tensor) -> Tensor:
    """Add rows to those of a table, always in the same order: each of the two does so on one."""
    if table.device.type == "cpu":
        return table.index_add_(0, places, rows)
    return table.index_put_((places.long(),), rows, accumulate=True)
