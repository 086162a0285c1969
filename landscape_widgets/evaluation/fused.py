"""In place, by a copy of the model that makes fewer passes over memory."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from landscape_widgets.evaluation.blocked import blocked
from landscape_widgets.evaluation.inplace import InPlace
from landscape_widgets.evaluation.rewrite import Rewritten, rewrite
from landscape_widgets.parameters import ParameterLayout


class Fused(InPlace):
    """As `InPlace`, with the model rewritten (see `rewrite`) and images laid out channels last."""

    name = "fused"

    def __init__(self, model: nn.Module, layout: ParameterLayout, anchor: Tensor) -> None:
        super().__init__(model, layout, anchor, _refresh)
        own = dict(model.named_parameters())
        rewritten = rewrite(model)
        if rewritten is not None:
            rewritten.called = blocked(rewritten.program) or rewritten.program
            self.model = rewritten
        self.tensors = [own[name] for name in layout.names]


def _refresh(model: nn.Module) -> None:
    if isinstance(model, Rewritten):
        model.refresh()


def fused(inplace: InPlace) -> Fused | None:
    """The strategy for a model's working copy; None where there is nothing to gain."""
    model = inplace.model
    if isinstance(model, torch.jit.ScriptModule):
        return None
    images = any(isinstance(m, nn.Conv2d) for m in model.modules())
    with torch.no_grad():
        own = copy.deepcopy(model)
    if images:
        own = own.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    strategy = Fused(own, inplace.layout, inplace.anchor)
    strategy.tile = inplace.tile
    return strategy if images or isinstance(strategy.model, Rewritten) else None
