"""Convolutions of 3×3 with fewer multiplications, by the compiled kernel (see `winograd_kernel`).

Images stay channels last from one convolution to the next, and sums and ReLUs behind a convolution
are taken with it. The kernel tells whether all that it found is finite; if not, torch's own
convolution takes its place, as in the other basis an infinity spreads to its neighbours.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from landscape_widgets.data import Batch
from landscape_widgets.evaluation.kernels import Float32, load, share_out, zeros
from landscape_widgets.evaluation.rewrite import Folded, copied, is_relu, is_sum
from landscape_widgets.evaluation.versions import Versions
from landscape_widgets.losses import call_watched

CHANNELS = 16  # whose multiples fill a vector register of any machine
LEAST = (32, 64)  # channels in and out: with fewer, the change of basis costs too much
TILES = 128  # that go through at once: their products stay near the core
MOSTLY = 0.5  # of all multiplications, which other convolutions would do faster in another layout

_here = threading.local()


def load_kernel() -> Any:
    """The kernel, once it is loaded."""
    return load("winograd_kernel").result()


class Convolution(nn.Module):
    """A convolution with what is added to it and the ReLU behind it.

    Parameters
    ----------
    layer : nn.Conv2d, or one that is folded with its normalisation
    """

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer
        self.rectified = False
        self._versions = Versions()
        self._packed: Float32 = np.empty(0, np.float32)

    def forward(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        """Convolve, add, rectify."""
        found = self._convolve(x, added) if self._suits(x, added) else None
        return self._plainly(x, added) if found is None else found

    def _suits(self, x: Tensor, added: Tensor | None) -> bool:
        kind = (x.ndim, x.device.type, x.dtype, self.layer.weight.dtype)
        if kind != (4, "cpu", torch.float32, torch.float32) or torch.is_autocast_enabled("cpu"):
            return False
        if x.shape[1] != self.layer.weight.shape[1]:
            return False
        expected = (len(x), len(self.layer.weight), *x.shape[2:])
        return added is None or (added.shape == expected and added.dtype == x.dtype)

    def _plainly(self, x: Tensor, added: Tensor | None) -> Tensor:
        y: Tensor = self.layer(x)
        if added is not None:
            y = y + added
        return torch.relu_(y) if self.rectified else y

    def _convolve(self, x: Tensor, added: Tensor | None) -> Tensor | None:
        kernel, (n, channels, height, width) = load_kernel(), x.shape
        weight, bias = self.layer.weight.detach(), self.layer.bias
        outputs, panel = len(weight), kernel.PANEL
        if self._versions.have_changed(weight, bias):  # weights serve many tiles
            shape = (-(-outputs // panel), kernel.PLACES, channels, panel)
            if self._packed.shape != shape:
                self._packed = zeros(*shape)
            kernel.pack(weight.flatten(1).numpy(), self._packed)
        shift = weight.new_zeros(outputs) if bias is None else bias.detach()
        plus = x.new_empty(0, 0, 0, 0) if added is None else _channels_last(added)
        inputs, y = _channels_last(x), x.new_empty(n, height, width, outputs)
        finite = []

        def some(rows: slice) -> None:
            across = (width + 1) // 2
            room = _room(kernel, across, channels + outputs + -outputs % panel)
            finite.append(
                kernel.convolve(
                    inputs.numpy(), self._packed, shift.numpy(), plus.numpy(), self.rectified,
                    y.numpy(), rows.start, rows.stop, room,
                )
            )  # fmt: skip

        share_out(some, slice(0, n * ((height + 1) // 2)))
        return y.permute(0, 3, 1, 2) if all(finite) else None


def _channels_last(images: Tensor) -> Tensor:
    return images.detach().permute(0, 2, 3, 1).contiguous()


def _room(kernel: Any, across: int, channels: int) -> Float32:
    """What a thread works in, of an odd number of tiles: their places must not fall together."""
    tiles = max(1, TILES // across) * across | 1
    size = kernel.PLACES * tiles * channels
    room: Float32 = getattr(_here, "room", np.empty(0, np.float32))
    if len(room) < size:
        room = _here.room = zeros(size)
    return room[:size]


class Last(nn.Module):
    """Another convolution, of images channels last."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """Convolve."""
        result: Tensor = self.layer(x.contiguous(memory_format=torch.channels_last))
        return result


def is_for(layer: nn.Module | None) -> bool:
    """Whether the kernel is for a convolution, and worth it."""
    if type(layer) is not nn.Conv2d:
        return False
    form = (layer.kernel_size, layer.stride, layer.dilation, layer.groups, layer.padding_mode)
    if form != ((3, 3), (1, 1), (1, 1), 1, "zeros") or layer.padding not in ((1, 1), "same"):
        return False
    channels = layer.in_channels, layer.out_channels
    return all(n >= least and n % CHANNELS == 0 for n, least in zip(channels, LEAST, strict=True))


@torch.no_grad()
def by_winograd(model: nn.Module, anchor: Tensor, few: Batch) -> bool:
    """Whether most multiplications of all convolutions are the kernel's; `few` go through to see.

    If so, the kernel is loaded meanwhile.
    """
    if (anchor.device.type, anchor.dtype) != ("cpu", torch.float32):
        return False
    work = {True: 0, False: 0}

    def watch(module: Any, arguments: Any, output: Tensor) -> None:
        work[is_for(module)] += output[:, 0].numel() * module.weight.numel()

    layers = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    if not any(is_for(layer) for layer in layers):
        return False
    call_watched(model, few.inputs, layers, watch)
    if work[True] <= MOSTLY * sum(work.values()):
        return False
    load("winograd_kernel")
    return True


def winograd(program: fx.GraphModule) -> fx.GraphModule:
    """A program that does the same, its convolutions of 3×3 by the kernel."""
    program = copied(program)
    graph = program.graph
    modules = dict(program.named_modules(remove_duplicate=False))

    def module_of(node: fx.Node) -> nn.Module | None:
        return modules[str(node.target)] if node.op == "call_module" else None

    for number, node in enumerate(list(graph.nodes)):
        module = module_of(node)
        layer = module.layer if isinstance(module, Folded) else module
        if type(layer) is nn.Conv2d:
            name = f"convolution_{number}"
            modules[name] = Convolution(module) if is_for(layer) else Last(module)
            program.add_module(name, modules[name])
            node.target = name
        elif is_sum(node):
            _add(node, module_of)
        elif is_relu(node, module):
            before = node.all_input_nodes[0]
            if isinstance(convolution := module_of(before), Convolution) and len(before.users) == 1:
                convolution.rectified = True
                node.replace_all_uses_with(before)
                graph.erase_node(node)
    graph.lint()
    program.recompile()
    return program


def _add(node: fx.Node, module_of: Any) -> None:
    """Let a convolution take what is added to it."""
    for before, other in (node.all_input_nodes, node.all_input_nodes[::-1]):
        module = module_of(before)
        takes = isinstance(module, Convolution) and not module.rectified and len(before.args) == 1
        if takes and len(before.users) == 1:
            node.op, node.target = "call_module", before.target
            node.args, node.kwargs = (before.args[0], other), {}
            node.graph.erase_node(before)
            return
