"""In place, by a copy of the model that makes fewer passes over memory."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, fx, nn

from landscape_widgets.duplicate import Duplicate
from landscape_widgets.evaluation.blocked import blocked, has_blocks
from landscape_widgets.evaluation.encoder import with_encoders
from landscape_widgets.evaluation.inplace import InPlace
from landscape_widgets.evaluation.kernels import load
from landscape_widgets.evaluation.rewrite import Rewritten, rewrite
from landscape_widgets.evaluation.tiling import FEWEST
from landscape_widgets.evaluation.winograd import winograd
from landscape_widgets.parameters import ParameterLayout


class Fused(InPlace):
    """As `InPlace`, with the model rewritten (see `rewrite`) and its images in better layouts.

    Parameters
    ----------
    arrange : callable
        Makes, of a program or of a part of one, another that does the same with other layouts, or
        returns None where there is nothing to gain; see `blocked` and `winograd`.
    """

    name = "fused"

    def __init__(
        self, model: nn.Module, layout: ParameterLayout, anchor: Tensor, arrange: Arrange
    ) -> None:
        super().__init__(model, layout, anchor, _refresh)
        self.encodes = False
        if anchor.device.type == "cpu" and anchor.dtype == torch.float32:
            encoding = with_encoders(model)
            self.encodes = encoding is not None
            if self.encodes:
                load("encoder_kernel")
            self.model = model = encoding or model
        rewritten = rewrite(model)
        arranged = None
        if rewritten is not None:
            self.model = rewritten
            arranged = arrange(rewritten.program, part=False)
            rewritten.called = arranged or rewritten.program
        self.arrange = _leave if arranged is None else arrange
        if has_images(model) and arranged is None:
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


class Arrange(Protocol):
    """See `Fused`."""

    def __call__(self, program: fx.GraphModule, *, part: bool) -> fx.GraphModule | None: ...


def _leave(program: fx.GraphModule, *, part: bool) -> fx.GraphModule | None:
    return None


def _by_winograd(program: fx.GraphModule, *, part: bool) -> fx.GraphModule | None:
    return winograd(program)


def _refresh(model: nn.Module) -> tuple[()]:
    if isinstance(model, Rewritten):
        model.refresh()
    return ()


def has_images(model: nn.Module) -> bool:
    """Whether some layer convolves images."""
    return any(isinstance(module, nn.Conv2d) for module in model.modules())


def fused(inplace: InPlace, *, blocks: bool = True, by_winograd: bool = False) -> Fused | None:
    """The strategy for a model's working copy; None where there is nothing to gain.

    Images are convolved `by_winograd` (see `winograd`), or are in `blocks` (see `blocked`) where
    there is such a layout, or else channels last.
    """
    model = inplace.model
    if isinstance(model, torch.jit.ScriptModule):
        return None
    arrange: Arrange = _leave
    if by_winograd:
        arrange = _by_winograd
    elif blocks and has_blocks(inplace.anchor):
        arrange = blocked
    with torch.no_grad():
        strategy = Fused(Duplicate(model).model, inplace.layout, inplace.anchor, arrange)
    strategy.tile = inplace.tile
    if strategy.encodes:  # whose widest activations are nowhere in memory; in and out may stay near
        strategy.tile = max(FEWEST, strategy.tile // 2)
    faster = strategy.encodes or isinstance(strategy.model, Rewritten)
    return strategy if has_images(model) or faster else None
