"""Which hidden units of a network may trade places, and matching one network's units to another's.

A layer's units can be permuted if the next layer's inputs are permuted alike: the network computes
the same, but its parameter vector is another. Two trained networks are therefore far apart, and
behind a barrier, even where they compute almost the same. Weight matching (Ainsworth, Hayase &
Srinivasa 2023, "Git Re-Basin", algorithm 1) looks for the permutation that brings them closest.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from landscape_widgets.evaluation.graph.tracing import trace
from landscape_widgets.evaluation.strategy import Unsuited
from landscape_widgets.precision import accumulated

Permutation = npt.NDArray[np.int64]

ROUNDS = 100  # of matching all groups in turn, at most; a few are usually enough

_LINEAR = (nn.Linear,)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
# Modules and functions that treat each unit alike, and by itself.
_UNITWISE = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Tanh,
    nn.Sigmoid, nn.Softplus, nn.Hardtanh, nn.Hardswish, nn.Identity, nn.Dropout, nn.Dropout1d,
    nn.Dropout2d, nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d,
)  # fmt: skip
_UNITWISE_FUNCTIONS = {
    torch.relu, torch.tanh, torch.sigmoid, F.relu, F.relu6, F.leaky_relu, F.elu, F.gelu, F.silu,
    F.tanh, F.sigmoid, F.softplus, F.dropout, F.max_pool1d, F.max_pool2d, F.avg_pool1d,
    F.avg_pool2d, F.adaptive_avg_pool1d, F.adaptive_avg_pool2d,
}  # fmt: skip
_UNITWISE_METHODS = {"relu", "relu_", "tanh", "sigmoid", "contiguous"}
_SUMS = {operator.add, operator.iadd, torch.add}


@dataclass(frozen=True)
class Axis:
    """An axis of a parameter, or of a buffer, along which units lie, `block` entries for each."""

    parameter: str
    axis: int
    block: int = 1
    buffer: bool = False


@dataclass(frozen=True)
class Group:
    """Units that may trade places, and all the axes that must follow."""

    size: int
    axes: tuple[Axis, ...]


@dataclass
class _Units:
    """What a value's feature axis is made of: units of a group; `flat` once space is flattened."""

    group: int
    flat: bool = False


@dataclass
class _Book:
    """Groups as they are found, merged and frozen."""

    sizes: list[int] = field(default_factory=list)
    axes: list[list[Axis]] = field(default_factory=list)
    merged: list[int] = field(default_factory=list)
    frozen: set[int] = field(default_factory=set)

    def new(self, size: int) -> int:
        self.sizes.append(size)
        self.axes.append([])
        self.merged.append(len(self.merged))
        return len(self.merged) - 1

    def root(self, group: int) -> int:
        while self.merged[group] != group:
            group = self.merged[group]
        return group

    def merge(self, a: int, b: int) -> int:
        a, b = self.root(a), self.root(b)
        if a == b:
            return a
        if self.sizes[a] != self.sizes[b]:  # broadcast: nothing is known any more
            self.frozen |= {a, b}
            return a
        self.merged[b] = a
        self.axes[a] += self.axes[b]
        if b in self.frozen:
            self.frozen.add(a)
        return a

    def freeze(self, group: int) -> None:
        self.frozen.add(self.root(group))


def symmetries(model: nn.Module) -> list[Group]:
    """Groups of hidden units of a model that may be permuted, by its graph.

    Known are linear layers and convolutions, batch and layer normalisation, functions of single
    numbers, pooling, flattening and sums (residual connections). Units that anything else touches
    stay where they are, and so do inputs and outputs. Empty where torch.fx cannot read the model.
    """
    try:
        graph = trace(model)
    except Unsuited:
        return []
    return _Reader(model, graph).read()


class _Reader:
    def __init__(self, model: nn.Module, graph: fx.Graph) -> None:
        self.modules = dict(model.named_modules())
        self.names = {id(p): name for name, p in model.named_parameters()}
        self.buffers = {id(b): name for name, b in model.named_buffers()}
        self.graph = graph
        self.book = _Book()
        self.values: dict[fx.Node, _Units | None] = {}  # None: fixed, nothing in it moves
        self.seen: dict[str, int] = {}  # modules that were run, and how often

    def read(self) -> list[Group]:
        for node in self.graph.nodes:
            units = self._run(node)
            self.values[node] = units
        book = self.book
        groups = []
        for number, axes in enumerate(book.axes):
            if book.root(number) == number and number not in book.frozen and axes:
                groups.append(Group(book.sizes[number], tuple(axes)))
        return groups

    def _run(self, node: fx.Node) -> _Units | None:
        inputs = [self.values[source] for source in node.all_input_nodes]
        if node.op == "call_module":
            name = str(node.target)
            module = self.modules[name]
            self.seen[name] = self.seen.get(name, 0) + 1
            has_weights = any(True for _ in module.parameters())
            if len(inputs) == 1 and not (has_weights and self.seen[name] > 1):
                handled, units = self._module(module, inputs[0])
                if handled:
                    return units
            self._freeze_weights(module)
        elif node.op in ("call_function", "call_method"):
            handled, units = self._function(node, inputs)
            if handled:
                return units
        for value in inputs:
            if value is not None:
                self.book.freeze(value.group)
        return None

    def _module(self, module: nn.Module, units: _Units | None) -> tuple[bool, _Units | None]:
        kind = type(module)
        if kind in _LINEAR:
            return self._affine(module, units, flat_input=True)
        if kind in _CONVOLUTIONS and module.groups == 1:
            return self._affine(module, units, flat_input=False)
        if kind in _BATCH_NORMS or (
            isinstance(module, nn.LayerNorm) and len(module.normalized_shape) == 1
        ):
            return True, self._norm(module, units)
        if kind in _UNITWISE:
            return True, units
        if kind is nn.Flatten and module.start_dim == 1 and module.end_dim == -1:
            return True, None if units is None else _Units(units.group, flat=True)
        return False, None

    def _affine(
        self, module: Any, units: _Units | None, flat_input: bool
    ) -> tuple[bool, _Units | None]:
        """A layer with weights (out, in, ...): its inputs follow, its outputs are new units."""
        weight = self._name(module.weight)
        if weight is None:
            return False, None
        features = module.weight.shape[1]
        if units is not None:
            size = self.book.sizes[self.book.root(units.group)]
            block, rest = divmod(features, size)
            if rest or (block > 1 and not (units.flat and flat_input)):
                return False, None
            self.book.axes[self.book.root(units.group)].append(Axis(weight, 1, block))
        group = self.book.new(module.weight.shape[0])
        self.book.axes[group].append(Axis(weight, 0))
        if module.bias is not None:
            bias = self._name(module.bias)
            if bias is None:
                self.book.freeze(group)
            else:
                self.book.axes[group].append(Axis(bias, 0))
        return True, _Units(group)

    def _norm(self, module: Any, units: _Units | None) -> _Units | None:
        if units is None:
            return None
        group = self.book.root(units.group)
        tensors: list[Any] = [module.weight, module.bias]
        for tensor in tensors:
            if tensor is None:
                continue
            name, (block, rest) = self._name(tensor), divmod(len(tensor), self.book.sizes[group])
            if name is None or rest:
                self.book.freeze(group)
            else:
                self.book.axes[group].append(Axis(name, 0, block))
        for statistic in ("running_mean", "running_var"):
            buffer = getattr(module, statistic, None)
            if buffer is not None:
                block = len(buffer) // self.book.sizes[group]
                name = self.buffers[id(buffer)]
                self.book.axes[group].append(Axis(name, 0, block, buffer=True))
        return units

    def _function(self, node: fx.Node, inputs: list[_Units | None]) -> tuple[bool, _Units | None]:
        target: Any = node.target
        method = node.op == "call_method"
        if all(value is None for value in inputs):
            return True, None
        if target in _UNITWISE_METHODS if method else target in _UNITWISE_FUNCTIONS:
            return len(inputs) == 1, inputs[0]
        if target in (("add", "add_") if method else _SUMS) and len(inputs) == 2:
            one, other = inputs
            if one is None or other is None or one.flat != other.flat:
                return False, None
            return True, _Units(self.book.merge(one.group, other.group), one.flat)
        first = inputs[0]
        if len(inputs) != 1 or first is None:
            return False, None
        further = node.args[1:]
        if (target == "flatten" if method else target is torch.flatten) and further == (1,):
            return True, _Units(first.group, flat=True)
        if (target == "mean" if method else target is torch.mean) and not node.kwargs:
            dims = further[0] if further else None
            if isinstance(dims, (list, tuple)) and set(dims) <= {2, 3, -1, -2} and not first.flat:
                return len(dims) == 2, _Units(first.group, flat=True)
        return False, None

    def _name(self, tensor: Tensor) -> str | None:
        return self.names.get(id(tensor)) if tensor.requires_grad else None

    def _freeze_weights(self, module: nn.Module) -> None:
        """What is used twice, or in a way that is not known, keeps its units in place."""
        names = {self.names[id(p)] for p in module.parameters()}
        for group, axes in enumerate(self.book.axes):
            if any(axis.parameter in names for axis in axes):
                self.book.freeze(group)


def _front(tensor: Tensor, axis: Axis, size: int) -> Tensor:
    """The units' axis first, everything else behind it: (size, rest)."""
    moved = tensor.movedim(axis.axis, 0)
    return moved.reshape(size, -1)


def _permuted(tensor: Tensor, axis: Axis, permutation: Permutation) -> Tensor:
    index = torch.as_tensor(permutation, device=tensor.device)
    if axis.block > 1:
        steps = torch.arange(axis.block, device=tensor.device)
        index = (index[:, None] * axis.block + steps).flatten()
    return tensor.index_select(axis.axis, index)


def apply(
    tensors: Mapping[str, Tensor], groups: list[Group], permutations: list[Permutation]
) -> dict[str, Tensor]:
    """A network's tensors, buffers too if given, with the units of each group in another order."""
    found = dict(tensors)
    for group, permutation in zip(groups, permutations, strict=True):
        for axis in group.axes:
            if axis.buffer and axis.parameter not in found:
                continue
            found[axis.parameter] = _permuted(found[axis.parameter], axis, permutation)
    return found


def match(
    reference: Mapping[str, Tensor],
    other: Mapping[str, Tensor],
    groups: list[Group],
    seed: int = 0,
) -> list[Permutation]:
    """Permutations of the other network's units that bring its weights closest to the reference's.

    Coordinate descent: each group in turn is matched exactly (a linear assignment), the others
    held, until nothing gets better. A local optimum; the order of the groups is drawn from the
    seed.

    Returns
    -------
    list of arrays, one for each group
    """
    from scipy.optimize import linear_sum_assignment

    rng = np.random.default_rng(seed)
    reference = {name: accumulated(tensor.detach()) for name, tensor in reference.items()}
    current = {name: accumulated(tensor.detach()) for name, tensor in other.items()}
    found: list[Permutation] = [np.arange(group.size) for group in groups]
    for _ in range(ROUNDS):
        improved = False
        for number in rng.permutation(len(groups)):
            group = groups[number]
            similarity = sum(
                _front(reference[a.parameter], a, group.size)
                @ _front(current[a.parameter], a, group.size).T
                for a in group.axes
                if not a.buffer
            )
            assert isinstance(similarity, Tensor)
            matrix = similarity.cpu().numpy()
            _, order = linear_sum_assignment(matrix, maximize=True)
            gain = matrix[np.arange(group.size), order].sum() - np.trace(matrix)
            if gain <= 1e-12 * max(1.0, abs(np.trace(matrix))):
                continue
            moved = apply(current, [group], [order])
            if _product(reference, moved) <= _product(reference, current):
                continue  # a layer whose inputs and outputs are one group is not an assignment
            current = moved
            found[number] = found[number][order]
            improved = True
        if not improved:
            break
    return found


def _product(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    return sum(float((one[name] * other[name]).sum()) for name in one)
