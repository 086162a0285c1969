"""In place, by a copy of the model that makes fewer passes over memory."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from landscape_widgets.evaluation.blocked import blocked, has_blocks
from landscape_widgets.evaluation.inplace import InPlace
from landscape_widgets.evaluation.rewrite import Rewritten, rewrite
from landscape_widgets.parameters import ParameterLayout


class Fused(InPlace):
    """As `InPlace`, with the model rewritten (see `rewrite`) and its images in better layouts."""

    name = "fused"

    def __init__(
        self, model: nn.Module, layout: ParameterLayout, anchor: Tensor, blocks: bool
    ) -> None:
        super().__init__(model, layout, anchor, _refresh)
        rewritten = rewrite(model)
        in_blocks = None
        if rewritten is not None:
            self.model = rewritten
            if blocks and has_blocks(anchor):
                in_blocks = blocked(rewritten.program)
            rewritten.called = in_blocks or rewritten.program
        self.in_blocks = in_blocks is not None
        if has_images(model) and not self.in_blocks:
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _refresh(model: nn.Module) -> None:
    if isinstance(model, Rewritten):
        model.refresh()


def has_images(model: nn.Module) -> bool:
    """Whether some layer convolves images."""
    return any(isinstance(module, nn.Conv2d) for module in model.modules())


def fused(inplace: InPlace, *, blocks: bool = True) -> Fused | None:
    """The strategy for a model's working copy; None where there is nothing to gain.

    Images are in `blocks` (see `blocked`) where there is such a layout, or else channels last.
    """
    model = inplace.model
    if isinstance(model, torch.jit.ScriptModule):
        return None
    with torch.no_grad():
        strategy = Fused(copy.deepcopy(model), inplace.layout, inplace.anchor, blocks)
    strategy.tile = inplace.tile
    return strategy if has_images(model) or isinstance(strategy.model, Rewritten) else None
