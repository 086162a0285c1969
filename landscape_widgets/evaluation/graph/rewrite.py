"""A model rewritten to do the same with fewer passes over memory, where torch.fx can read it.

Batch normalisation in evaluation mode is folded into the convolution before it;
ReLU overwrites what nothing else reads, and comes after a maximum instead of before it; a maximum
over blocks is taken slice by slice, which vectorises.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from landscape_widgets.evaluation.graph.tracing import is_own

_NORMS = {nn.Conv1d: nn.BatchNorm1d, nn.Conv2d: nn.BatchNorm2d, nn.Conv3d: nn.BatchNorm3d}
_FRESH = (*_NORMS, *_NORMS.values(), nn.Linear)


class Folded(nn.Module):
    """A convolution and the batch normalisation after it, as one layer.

    γ (W x + b − μ) / √(σ² + ε) + β = (s W) x + (s (b − μ) + β) with s = γ / √(σ² + ε).
    """

    def __init__(self, layer: Any, norm: Any) -> None:
        super().__init__()
        self.layer, self.norm = layer, norm
        self.weight = torch.empty_like(layer.weight, requires_grad=False)
        self.bias: Tensor
        self.refresh()

    @torch.no_grad()
    def refresh(self) -> None:
        """Take over the present weights of both layers."""
        scale = torch.rsqrt(self.norm.running_var + self.norm.eps)
        if self.norm.weight is not None:
            scale = scale * self.norm.weight
        shift = -self.norm.running_mean * scale
        if self.layer.bias is not None:
            shift = shift + self.layer.bias * scale
        if self.norm.bias is not None:
            shift = shift + self.norm.bias
        weight = self.layer.weight.detach()
        torch.mul(weight, scale.view(-1, *[1] * (weight.ndim - 1)), out=self.weight)
        self.bias = shift

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.layer._conv_forward(x, self.weight, self.bias)
        return result


class BlockMaximum(nn.Module):
    """Maximum over blocks of k×k that do not overlap."""

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k

    def forward(self, x: Tensor) -> Tensor:
        if x.is_mkldnn:  # see `blocked`
            return F.max_pool2d(x, self.k)
        for axis in (-2, -1):
            count = x.shape[axis] // self.k * self.k
            slices = [self._slice(x, axis, start, count) for start in range(self.k)]
            x = slices[0]
            for other in slices[1:]:
                x = torch.maximum(x, other)
        return x

    def _slice(self, x: Tensor, axis: int, start: int, count: int) -> Tensor:
        place = slice(start, count, self.k)
        return x[..., place, :] if axis == -2 else x[..., place]


class Rewritten(nn.Module):
    """What `rewrite` returns: the model's own modules, called by another program.

    Attributes
    ----------
    program
        The program.
    called
        The program itself, or one that does the same.
    """

    def __init__(self, program: fx.GraphModule, folded: list[Folded]) -> None:
        super().__init__()
        self.program, self.folded = program, folded
        self.called = program

    def refresh(self) -> None:
        """To be called when weights have changed."""
        for layer in self.folded:
            layer.refresh()

    def forward(self, *arguments: Any, **keywords: Any) -> Any:
        return self.called(*arguments, **keywords)


def rewrite(model: nn.Module, graph: fx.Graph) -> Rewritten | None:
    """A program of the modules of `model` that gives the same outputs, None if none is found.

    Parameters
    ----------
    model
    graph
        As it, or a copy of it, was traced.
    """
    return _Rewriter(as_program(model, graph)).rewrite()


def as_program(model: nn.Module, graph: fx.Graph) -> fx.GraphModule:
    """A model as a program of its own modules, which may be changed."""
    own = fx.Graph()
    own.output(own.graph_copy(graph, {}))
    return fx.GraphModule(model, own)


def copied(program: fx.GraphModule) -> fx.GraphModule:
    """A program of the same modules, whose graph may be changed."""
    return as_program(program, program.graph)


def is_relu(node: fx.Node, module: nn.Module | None) -> bool:
    """Whether a node, which calls this module if any, is a ReLU."""
    if module is not None:
        return is_own(module, nn.ReLU)
    return node.target in (torch.relu, torch.relu_, F.relu, "relu")


def is_sum(node: fx.Node) -> bool:
    """Whether a node is the sum of two others, and writes over nothing that is read elsewhere."""
    if len(node.all_input_nodes) != 2 or len(node.args) != 2 or node.kwargs:
        return False
    if node.target is operator.iadd:
        return len(node.all_input_nodes[0].users) == 1
    return node.target in (operator.add, torch.add)


class _Rewriter:
    def __init__(self, program: fx.GraphModule) -> None:
        self.program = program
        self.modules = dict(self.program.named_modules())
        self.folded: list[Folded] = []
        self.changes = 0

    def rewrite(self) -> Rewritten | None:
        for step in (self._fold, self._swap, self._overwrite, self._maximum):
            for node in list(self.program.graph.nodes):
                step(node)
        if not self.changes:
            return None
        self.program.graph.lint()
        self.program.recompile()
        return Rewritten(self.program, self.folded)

    def _module(self, node: fx.Node) -> Any:
        return self.modules.get(str(node.target)) if node.op == "call_module" else None

    def _input(self, node: fx.Node) -> fx.Node | None:
        """The only node that this one reads, if nothing else reads that one."""
        inputs = node.all_input_nodes
        return inputs[0] if len(inputs) == 1 and len(inputs[0].users) == 1 else None

    def _call(self, node: fx.Node, module: nn.Module) -> None:
        """Let a node call a new module."""
        name = f"rewritten_{self.changes}"
        self.program.add_module(name, module)
        self.modules[name] = module
        node.op, node.target = "call_module", name
        node.args, node.kwargs = (node.all_input_nodes[0],), {}
        self.changes += 1

    def _fold(self, node: fx.Node) -> None:
        before = self._input(node)
        norm, layer = self._module(node), self._module(before) if before is not None else None
        if before is None or layer is None or _NORMS.get(type(layer)) is not type(norm):
            return
        if not (is_own(layer, type(layer)) and is_own(norm, type(norm))):
            return
        if norm.training or not norm.track_running_stats or norm.running_var is None:
            return
        self._call(before, Folded(layer, norm))
        self.folded.append(self._module(before))
        node.replace_all_uses_with(before)
        self.program.graph.erase_node(node)

    def _swap(self, node: fx.Node) -> None:
        """max(relu(x)) is relu(max(x)), on fewer numbers."""
        relu = self._input(node)
        pool = self._module(node)
        if not is_own(pool, nn.MaxPool2d) or pool.return_indices or relu is None:
            return
        if is_relu(relu, self._module(relu)):
            source = relu.all_input_nodes[0]
            node.replace_input_with(relu, source)
            node.replace_all_uses_with(relu)
            relu.replace_input_with(source, node)
            node.append(relu)
            self.changes += 1

    def _overwrite(self, node: fx.Node) -> None:
        before = self._input(node)
        if before is None or not is_relu(node, self._module(node)) or not self._is_fresh(before):
            return
        node.op, node.target, node.kwargs = "call_function", torch.relu_, {}
        node.args = (before,)
        self.changes += 1

    def _is_fresh(self, node: fx.Node) -> bool:
        """Whether a node's result is memory of its own."""
        if node.target in (operator.add, torch.add):
            return True
        module = self._module(node)
        if isinstance(module, Folded) or is_own(module, nn.MaxPool2d):
            return True
        return any(is_own(module, kind) for kind in _FRESH)

    def _maximum(self, node: fx.Node) -> None:
        pool = self._module(node)
        if not is_own(pool, nn.MaxPool2d) or pool.dilation != 1 or pool.ceil_mode:
            return
        if pool.return_indices:
            return
        sizes = {pool.kernel_size, pool.stride}
        if pool.padding == 0 and len(sizes) == 1 and isinstance(pool.kernel_size, int):
            self._call(node, BlockMaximum(pool.kernel_size))
