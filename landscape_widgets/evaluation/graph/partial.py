"""A model's graph cut in two: what no moving weight reaches, and the rest.

Where weights move along k directions only, the values that the rest takes in are constant, or,
behind the first layers that move, affine in the coefficients. Both are computed once for all
samples.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from landscape_widgets.evaluation.graph.rewrite import Folded, copied
from landscape_widgets.evaluation.graph.tracing import is_own

_AFFINE = (
    nn.Linear, nn.Embedding, nn.Conv1d, nn.Conv2d, nn.Conv3d,
    nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
)  # fmt: skip


@dataclass(frozen=True)
class AffineLayer:
    """A layer whose output is affine in its moving weights, on inputs that never change.

    Attributes
    ----------
    module
    moving : tuple of (name in the layout, tensor)
    """

    module: Any
    moving: tuple[tuple[str, Tensor], ...]


@dataclass(frozen=True)
class Cut:
    """The two halves.

    Attributes
    ----------
    before
        From the model's arguments to (constant values, inputs of the affine layers).
    after
        From constant values and outputs of the affine layers to the model's output.
    layers : tuple of AffineLayer
    saves : bool
        Some layer with weights need not be run again, or only for its directions.
    """

    before: fx.GraphModule
    after: fx.GraphModule
    layers: tuple[AffineLayer, ...]
    saves: bool


def cut(program: fx.GraphModule, moving: Set[str], names: dict[int, str], affine: bool) -> Cut:
    """Cut a program at the weights called `moving`.

    Parameters
    ----------
    program
    moving
        Names in the layout.
    names
        Of the parameters by id.
    affine
        Whether to let the first moving layers be affine; else they count to the rest.
    """
    return _Cutter(program, moving, names, affine).cut()


class _Cutter:
    def __init__(
        self, program: fx.GraphModule, moving: Set[str], names: dict[int, str], affine: bool
    ) -> None:
        self.program = copied(program)
        self.modules = dict(program.named_modules(remove_duplicate=False))
        self.moving, self.names = moving, names
        if affine:
            self._unfold()
        self.nodes = list(self.program.graph.nodes)
        self.uses = self._count_uses()
        self.affine_nodes: list[fx.Node] = []
        self.reached: set[fx.Node] = set()  # by a moving weight
        for node in self.nodes:
            if any(source in self.reached for source in node.all_input_nodes):
                self.reached.add(node)
            elif self._moving_of(node) or node.op == "output":
                self.reached.add(node)
                if affine and self._is_affine(node):
                    self.affine_nodes.append(node)

    def _unfold(self) -> None:
        """A convolution folded with a normalisation that moves is not affine; alone it is."""
        graph = self.program.graph
        for node in list(graph.nodes):
            module = self._module(node)
            if isinstance(module, Folded) and self._moves(module.norm):
                with graph.inserting_after(node):
                    norm = graph.call_module(f"{node.target}.norm")
                node.replace_all_uses_with(norm)
                norm.args = (node,)
                node.target = f"{node.target}.layer"

    def _module(self, node: fx.Node) -> nn.Module | None:
        return self.modules[str(node.target)] if node.op == "call_module" else None

    def _moves(self, module: nn.Module) -> bool:
        return any(self.names.get(id(p), "") in self.moving for p in module.parameters())

    def _count_uses(self) -> dict[int, int]:
        """By how many nodes each parameter is used."""
        uses: dict[int, int] = {}
        for node in self.nodes:
            for parameter in self._parameters(node):
                uses[id(parameter)] = uses.get(id(parameter), 0) + 1
        return uses

    def _parameters(self, node: fx.Node) -> list[Tensor]:
        if node.op == "call_module":
            return list(self.modules[str(node.target)].parameters())
        if node.op == "get_attr":
            value: Any = self.program
            for part in str(node.target).split("."):
                value = getattr(value, part)
            return [value] if isinstance(value, nn.Parameter) else []
        return []

    def _moving_of(self, node: fx.Node) -> tuple[tuple[str, Tensor], ...]:
        named = [(self.names.get(id(p), ""), p) for p in self._parameters(node)]
        return tuple((name, p) for name, p in named if name in self.moving)

    def _is_affine(self, node: fx.Node) -> bool:
        if node.op != "call_module" or len(node.args) != 1 or node.kwargs:
            return False
        if any(self.uses[id(p)] > 1 for p in self._parameters(node)):
            return False
        module = self.modules[str(node.target)]
        if isinstance(module, Folded):
            return not self._moves(module.norm)
        if isinstance(module, nn.Embedding) and module.max_norm is not None:
            return False
        return type(module) in _AFFINE and is_own(module, type(module))

    def cut(self) -> Cut:
        affine = set(self.affine_nodes)
        kept = [node for node in self.nodes if node not in self.reached]
        rest = [node for node in self.nodes if node in self.reached and node not in affine]
        wanted = [n for n in kept if any(u in self.reached and u not in affine for u in n.users)]

        before, copies = fx.Graph(), dict[fx.Node, fx.Node]()
        for node in kept:
            copies[node] = before.node_copy(node, lambda n: copies[n])
        inputs = [node.all_input_nodes[0] for node in self.affine_nodes]
        before.output((tuple(copies[n] for n in wanted), tuple(copies[n] for n in inputs)))

        after, values = fx.Graph(), dict[fx.Node, fx.Node]()
        for number, node in enumerate([*wanted, *self.affine_nodes]):
            values[node] = after.placeholder(f"value_{number}")
        for node in rest:
            values[node] = after.node_copy(node, lambda n: values[n])

        layers = tuple(
            AffineLayer(self.modules[str(node.target)], self._moving_of(node))
            for node in self.affine_nodes
        )
        saves = bool(layers) or any(self._parameters(node) for node in kept)
        return Cut(
            fx.GraphModule(self.program, before), fx.GraphModule(self.program, after), layers, saves
        )


def nbytes(value: Any) -> int:
    """Bytes of a value that may or may not be a tensor."""
    return value.nbytes if isinstance(value, torch.Tensor) else 0
