"""Images that stay in oneDNN's own layout from one convolution to the next.

There (torch says "mkldnn tensors") channels lie in blocks of what a vector register holds, which
convolutions and maxima like better than any layout that a plain tensor can have.

Its ReLU and its maximum take what is not a number for a number. So values carry a bound of their
size, by |W x + b| ≤ max_i (‖W_i‖₁ |x| + |b_i|), and where that does not rule out an overflow, the
values themselves are looked at, or the layers run on plain tensors.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from landscape_widgets.evaluation.graph.rewrite import BlockMaximum, Folded, copied, is_relu, is_sum
from landscape_widgets.evaluation.graph.tracing import is_own
from landscape_widgets.evaluation.graph.versions import Versions

# Sums of numbers below it are finite in float32.
LARGEST = 1e37


@dataclass(frozen=True)
class Blocked:
    """Images (m, channels, height, width) in oneDNN's layout, none above `bound` in size."""

    value: Tensor
    bound: float


Value = Tensor | Blocked


def plain(x: Value) -> Tensor:
    """Images as a tensor like any other."""
    return x.value.to_dense() if isinstance(x, Blocked) else x


class Convolution(nn.Module):
    """A convolution that takes and gives images in blocks where it may.

    Parameters
    ----------
    layer : nn.Conv2d, or one that is folded with its normalisation
    """

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer
        self._versions = Versions()
        self._norm = self._shift = 0.0

    def forward(self, x: Value) -> Value:
        """Convolve."""
        bound = self._bound(x.bound) if isinstance(x, Blocked) else float("inf")
        if bound < LARGEST:
            assert isinstance(x, Blocked)
            return Blocked(self.layer(x.value), bound)
        images = plain(x)
        if has_blocks(images) and images.ndim == 4 and not torch.is_autocast_enabled("cpu"):
            bound = self._bound(_largest(images))
            if bound < LARGEST:
                return Blocked(self.layer(images.to_mkldnn()), bound)
        result: Tensor = self.layer(images)
        return result

    def _bound(self, largest: float) -> float:
        """Of outputs for inputs of at most this size; not a number if some weight is none."""
        weight, bias = self.layer.weight, self.layer.bias
        if self._versions.have_changed(weight, bias):  # weights serve many tiles
            self._norm = float(weight.abs().sum((1, 2, 3)).amax())
            self._shift = 0.0 if bias is None else float(bias.abs().amax())
        return self._norm * largest + self._shift


def _largest(images: Tensor) -> float:
    low, high = torch.aminmax(images)
    return max(-float(low), float(high))


def has_blocks(tensor: Tensor) -> bool:
    """Whether there is such a layout for tensors of this kind on this machine."""
    there: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return there and tensor.device.type == "cpu" and tensor.dtype == torch.float32


class Within(nn.Module):
    """A function of images whose results are no larger than they."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Value) -> Value:
        """Apply it."""
        if isinstance(x, Blocked):
            return Blocked(self.function(x.value), x.bound)
        return self.function(x)


def add(x: Value, y: Value) -> Value:
    """The sum of two images."""
    if isinstance(x, Blocked) and isinstance(y, Blocked) and x.value.shape == y.value.shape:
        bound = x.bound + y.bound
        if bound < LARGEST:
            return Blocked(x.value + y.value, bound)
    return plain(x) + plain(y)


def blocked(program: fx.GraphModule, *, part: bool = False) -> fx.GraphModule | None:
    """A program that does the same in blocks; None where images would go in and out too often.

    Of a `part` of a program that does not, they may: its weights are laid out for it.
    """
    blocker = _Blocker(copied(program))
    blocker.block()
    few = blocker.crossings <= blocker.convolutions
    return blocker.program if blocker.convolutions and (few or part) else None


class _Blocker:
    def __init__(self, program: fx.GraphModule) -> None:
        self.program = program
        self.modules = dict(program.named_modules(remove_duplicate=False))
        self.inside: set[fx.Node] = set()  # whose values may be in blocks
        self.convolutions, self.crossings = 0, 0

    def block(self) -> None:
        nodes = list(self.program.graph.nodes)
        for node in nodes:
            if self._take(node):
                self.inside.add(node)
        for node in nodes:
            self._cross(node)
        self.program.graph.lint()
        self.program.recompile()

    def _module(self, node: fx.Node) -> nn.Module | None:
        return self.modules[str(node.target)] if node.op == "call_module" else None

    def _take(self, node: fx.Node) -> bool:
        """Let a node work in blocks, if it can."""
        module, inputs = self._module(node), node.all_input_nodes
        if _is_convolution(module):
            self.convolutions += 1
            self._call(node, Convolution(module))
        elif not inputs or not self.inside.issuperset(inputs):
            return False
        elif (function := _within(node, module)) is not None:
            self._call(node, Within(function))
        elif is_sum(node):
            node.op, node.target = "call_function", add
        else:
            return False
        return True

    def _call(self, node: fx.Node, module: nn.Module) -> None:
        name = f"blocked_{len(self.inside)}"
        self.program.add_module(name, module)
        node.op, node.target = "call_module", name
        node.args, node.kwargs = (node.all_input_nodes[0],), {}

    def _cross(self, node: fx.Node) -> None:
        """Count where values go in, and let those that come out be plain ones."""
        readers = [user for user in node.users if (user in self.inside) != (node in self.inside)]
        self.crossings += bool(readers)
        if node in self.inside and readers:
            with self.program.graph.inserting_after(node):
                out = self.program.graph.call_function(plain, (node,))
            for user in readers:
                user.replace_input_with(node, out)


def _is_convolution(module: nn.Module | None) -> bool:
    layer: Any = module.layer if isinstance(module, Folded) else module
    return is_own(layer, nn.Conv2d) and layer.padding_mode == "zeros"


def _within(node: fx.Node, module: nn.Module | None) -> Callable[[Tensor], Tensor] | None:
    """What a node does to its input, where oneDNN knows it and it makes nothing larger."""
    if module is None and is_relu(node, module) and len(node.args) == 1:
        return (
            functools.partial(node.target, **node.kwargs) if callable(node.target) else torch.relu
        )
    if isinstance(module, BlockMaximum):
        return module
    if module is None or not is_own(module, type(module)) or module.training:
        return None
    known = type(module) in (nn.ReLU, nn.Identity, nn.Dropout)
    if type(module) is nn.MaxPool2d:
        known = module.dilation in (1, (1, 1)) and not module.return_indices
    elif type(module) is nn.AdaptiveAvgPool2d:
        known = module.output_size in (1, (1, 1))
    return module if known else None
