"""In place, by a copy of the model that makes fewer passes over memory."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, fx, nn

from landscape_widgets.evaluation.graph.blocked import blocked, has_blocks
from landscape_widgets.evaluation.graph.rewrite import Rewritten, rewrite
from landscape_widgets.evaluation.in_place import InPlace
from landscape_widgets.evaluation.strategy import Unsuited
from landscape_widgets.task.duplicate import Duplicate
from landscape_widgets.task.parameters import ParameterLayout

# Makes, of a program or of a part of one, another that does the same with other layouts, or None
# where there is nothing to gain; see `blocked`.
Arrange = Callable[..., "fx.GraphModule | None"]


class Fused(InPlace):
    """As `InPlace`, with the model rewritten (see `rewrite`) and its images in better layouts.

    Parameters
    ----------
    model
        A copy of its own.
    layout, anchor
        Of its parameter vector.
    graph
        Of the model, if torch.fx can read it.
    arrange : callable
    """

    name = "fused"

    def __init__(
        self,
        model: nn.Module,
        layout: ParameterLayout,
        anchor: Tensor,
        graph: fx.Graph | None,
        arrange: Arrange,
    ) -> None:
        super().__init__(model, layout, anchor, _refresh)
        rewritten = None if graph is None else rewrite(model, graph)
        arranged = None
        if rewritten is not None:
            self.model = rewritten
            arranged = arrange(rewritten.program, part=False)
            rewritten.called = arranged or rewritten.program
        self.arrange = _leave if arranged is None else arrange
        if has_images(model):  # in blocks, weights of any layout are as good
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def channels_last(self) -> Fused:
        """The same weights without blocks.

        Raises
        ------
        Unsuited
            If there are none.
        """
        if self.arrange is _leave or not isinstance(self.model, Rewritten):
            raise Unsuited("images are channels last already, if there are any")
        other = copy.copy(self)
        other.model = Rewritten(self.model.program, self.model.folded)
        other.name, other.arrange = "channels last", _leave  # type: ignore[misc]
        return other


def _leave(program: fx.GraphModule, *, part: bool) -> fx.GraphModule | None:
    return None


def _refresh(model: nn.Module) -> tuple[()]:
    if isinstance(model, Rewritten):
        model.refresh()
    return ()


def has_images(model: nn.Module) -> bool:
    """Whether some layer convolves images."""
    return any(isinstance(module, nn.Conv2d) for module in model.modules())


def fused(inplace: InPlace, graph: fx.Graph | None, *, blocks: bool = True) -> Fused:
    """The strategy for a model's working copy.

    Images are in `blocks` (see `blocked`) where there is such a layout, or else channels last.

    Raises
    ------
    Unsuited
        Where there is nothing to gain.
    """
    arrange = blocked if blocks and has_blocks(inplace.anchor) else _leave
    with torch.no_grad():
        model = Duplicate(inplace.model).model
        strategy = Fused(model, inplace.layout, inplace.anchor, graph, arrange)
    strategy.tile = inplace.tile
    if not (has_images(model) or isinstance(strategy.model, Rewritten)):
        raise Unsuited("there is nothing to fuse that can be seen")
    return strategy
