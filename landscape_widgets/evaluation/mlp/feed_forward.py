"""Multilayer perceptrons, found in a model and computed feature-major for many vectors at once.

A feed-forward network is here a linear layer followed by linear layers, element-wise functions and
normalisations.
Activations are (r, features, examples) for r parameter vectors: examples lie next to each other,
so that matrix products, biases and losses all run along contiguous memory.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from landscape_widgets.evaluation.graph.tracing import is_own
from landscape_widgets.evaluation.strategy import Unsuited
from landscape_widgets.task.data import Batch
from landscape_widgets.task.losses import call_model, call_watched
from landscape_widgets.task.parameters import ParameterLayout

# Functions of single numbers; the modules among them keep no weights.
_MODULES = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish,
    nn.Tanh, nn.Sigmoid, nn.LogSigmoid, nn.Softplus, nn.Softsign, nn.Hardtanh, nn.Hardswish,
    nn.Hardsigmoid, nn.Tanhshrink, nn.Softshrink, nn.Hardshrink,
)  # fmt: skip
_NOTHING = (nn.Identity, nn.Dropout, nn.AlphaDropout, nn.Dropout1d)  # in evaluation mode
_FUNCTIONS = {
    torch.relu, torch.tanh, torch.sigmoid, torch.sin, torch.cos, torch.exp, F.relu, F.relu6,
    F.leaky_relu, F.elu, F.selu, F.celu, F.gelu, F.silu, F.mish, F.tanh, F.sigmoid, F.softplus,
    F.softsign, F.logsigmoid, F.hardtanh, F.hardswish, F.hardsigmoid,
}  # fmt: skip
_METHODS = {"relu", "tanh", "sigmoid", "sin", "cos", "exp"}

Step = Callable[["Weights", Tensor], Tensor]


class Weights:
    """The tensors of r parameter vectors, given as rows of (r, p), by name.

    Parameters
    ----------
    rows : Tensor (r, p)
        The part of the parameter vectors from `start` on.
    """

    def __init__(self, rows: Tensor, start: int = 0) -> None:
        self.rows, self.start = rows, start
        self._views: dict[int, Tensor] = {}

    def __getitem__(self, entry: Entry) -> Tensor:
        """Shape (r, *shape); of a frozen tensor (1, *shape)."""
        view = self._views.get(id(entry))
        if view is None:
            view = self._views[id(entry)] = self._view(entry)
        return view

    def _view(self, entry: Entry) -> Tensor:
        if entry.place is None:
            return entry.tensor.unsqueeze(0)
        first, last = entry.place.start - self.start, entry.place.stop - self.start
        return self.rows[:, first:last].view(len(self.rows), *entry.tensor.shape)


@dataclass(frozen=True)
class Entry:
    """A tensor of the model: where it lies in a parameter vector, or what it is if frozen."""

    place: slice | None
    tensor: Tensor


@dataclass(frozen=True)
class Linear:
    """W h + b."""

    weight: Entry
    bias: Entry | None

    def __call__(self, weights: Weights, h: Tensor) -> Tensor:
        matrix = weights[self.weight].expand(len(h), -1, -1)
        if self.bias is None:
            return torch.bmm(matrix, h)
        return torch.baddbmm(weights[self.bias].unsqueeze(-1), matrix, h)


@dataclass(frozen=True)
class Elementwise:
    """A function of single numbers."""

    function: Callable[[Tensor], Tensor]

    def __call__(self, weights: Weights, h: Tensor) -> Tensor:
        return self.function(h)


@dataclass(frozen=True)
class BatchNorm:
    """(h − μ) / √(σ² + ε) · γ + β with the trained statistics."""

    mean: Tensor
    variance: Tensor
    eps: float
    weight: Entry | None
    bias: Entry | None

    def __call__(self, weights: Weights, h: Tensor) -> Tensor:
        scale = torch.rsqrt(self.variance + self.eps).view(1, -1, 1)
        if self.weight is not None:
            scale = scale * weights[self.weight].unsqueeze(-1)
        shift = -self.mean.view(1, -1, 1) * scale
        if self.bias is not None:
            shift = shift + weights[self.bias].unsqueeze(-1)
        return torch.addcmul(shift, h, scale)


@dataclass(frozen=True)
class LayerNorm:
    """Each example brought to mean 0 and variance 1 over its features, times γ, plus β."""

    eps: float
    weight: Entry | None
    bias: Entry | None

    def __call__(self, weights: Weights, h: Tensor) -> Tensor:
        variance, mean = torch.var_mean(h, dim=1, correction=0, keepdim=True)
        h = (h - mean) * torch.rsqrt(variance + self.eps)
        if self.weight is not None:
            h = h * weights[self.weight].unsqueeze(-1)
        return h if self.bias is None else h + weights[self.bias].unsqueeze(-1)


@dataclass(frozen=True)
class FeedForward:
    """A model read as an MLP.

    Attributes
    ----------
    head : Linear
        The first layer, whose input depends on the data alone.
    module : nn.Linear
        The same in the working copy.
    steps : tuple
        What follows.
    width : int
        Most features that are held at a time.
    squeezed : bool
        The model drops the feature axis of its single output.
    """

    head: Linear
    module: nn.Linear
    steps: tuple[Step, ...]
    width: int
    squeezed: bool

    @property
    def places(self) -> list[slice]:
        """Where the tensors of the further layers lie in a parameter vector."""
        entries = [value for step in self.steps for value in vars(step).values()]
        return [e.place for e in entries if isinstance(e, Entry) and e.place is not None]

    def input(self, model: nn.Module, batch: Batch) -> Tensor:
        """The first layer's input (m, ..., in), as the model makes it of the data alone."""
        seen: list[Tensor] = []
        call_watched(
            lambda: call_model(model, batch.inputs), [self.module],
            lambda module, arguments, output: seen.append(arguments[0]),
        )  # fmt: skip
        return seen[0]

    def after_head(self, weights: Weights, h: Tensor) -> Tensor:
        """Outputs (r, features, m) from the first layer's pre-activations, which it overwrites."""
        for step in self.steps:
            h = step(weights, h)
        return h

    @property
    def outputs(self) -> int:
        """Features of the output."""
        linear = [step for step in (self.head, *self.steps) if isinstance(step, Linear)]
        return linear[-1].weight.tensor.shape[0]

    def as_given(self, h: Tensor) -> Tensor:
        """Outputs (r, features, m) in the model's own form: (r, m, features) or (r, m)."""
        return h[:, 0] if self.squeezed else h.transpose(1, 2)


def read_feed_forward(model: nn.Module, layout: ParameterLayout, graph: fx.Graph) -> FeedForward:
    """The model as a network.

    Raises
    ------
    Unsuited
        Where it is anything else.
    """
    network = _Reader(model, layout, graph).read()
    if network is None:
        raise Unsuited(
            "it is for chains of linear layers, activations and normalisations "
            "whose examples do not see each other"
        )
    return network


class _Reader:
    def __init__(self, model: nn.Module, layout: ParameterLayout, graph: fx.Graph) -> None:
        self.modules = dict(model.named_modules())
        self.graph = graph
        self.places = {name: place for name, place, _ in layout.slices()}
        self.names = {id(p): name for name, p in model.named_parameters()}
        self.steps: list[Step] = []
        self.width = 0
        self.features = 0
        self.squeezed = False

    def read(self) -> FeedForward | None:
        nodes = [node for node in self.graph.nodes if node.op != "placeholder"]
        position = next((i for i, n in enumerate(nodes) if self._is(n, nn.Linear)), None)
        if position is None or any(self._has_weights(node) for node in nodes[:position]):
            return None
        head = nodes[position]
        module = self.modules[head.target]
        first = self._linear(module)
        previous = head
        for node in nodes[position + 1 :]:
            if node.op == "output":
                if node.args != (previous,):
                    return None
                assert isinstance(module, nn.Linear)
                return FeedForward(first, module, tuple(self.steps), self.width, self.squeezed)
            # One input, the step before: no branches and no second use of anything.
            if node.all_input_nodes != [previous] or self.squeezed or not self._take(node):
                return None
            previous = node
        return None

    def _is(self, node: fx.Node, kind: type[nn.Module]) -> bool:
        return node.op == "call_module" and is_own(self.modules[str(node.target)], kind)

    def _has_weights(self, node: fx.Node) -> bool:
        if node.op == "get_attr":
            return True
        module = self.modules[str(node.target)] if node.op == "call_module" else None
        return module is not None and any(True for _ in module.parameters())

    def _take(self, node: fx.Node) -> bool:
        """Add a node as a step; False if it is of no known kind."""
        if node.op == "call_module":
            return self._take_module(self.modules[str(node.target)])
        if node.op == "call_function" and node.target in (F.dropout, F.alpha_dropout):
            return node.kwargs.get("training", True) is False
        if node.op == "call_function" and node.target in (torch.squeeze, torch.flatten):
            return self._reshape(node.target.__name__, node)
        if node.op == "call_method" and node.target in ("squeeze", "flatten"):
            return self._reshape(str(node.target), node)
        known = (node.op == "call_function" and node.target in _FUNCTIONS) or (
            node.op == "call_method" and node.target in _METHODS
        )
        if not known:
            return False
        function = node.target
        if node.op == "call_method":
            function = operator.methodcaller(str(node.target))
        assert callable(function)
        self.steps.append(Elementwise(_bound(function, node)))
        return True

    def _take_module(self, module: Any) -> bool:
        kind = type(module)
        if not is_own(module, kind) or module.training:
            return False
        if kind is nn.Linear:
            self.steps.append(self._linear(module))
        elif kind is nn.ReLU:
            self.steps.append(Elementwise(torch.relu_))  # activations are ours to overwrite
        elif kind in _MODULES:
            self.steps.append(Elementwise(module))
        elif kind is nn.BatchNorm1d and module.track_running_stats:
            self.steps.append(
                BatchNorm(
                    module.running_mean,
                    module.running_var,
                    module.eps,
                    self._entry(module.weight),
                    self._entry(module.bias),
                )
            )
        elif kind is nn.LayerNorm and module.normalized_shape == (self.features,):
            self.steps.append(
                LayerNorm(module.eps, self._entry(module.weight), self._entry(module.bias))
            )
        elif kind is nn.Flatten:
            return bool(module.start_dim == 1 and module.end_dim in (-1, 1))
        else:
            return kind in _NOTHING
        return True

    def _reshape(self, name: str, node: fx.Node) -> bool:
        axes = (*node.args[1:], *node.kwargs.values())
        if name == "flatten":
            return axes == (1,)
        self.squeezed = axes in ((-1,), (1,)) and self.features == 1
        return self.squeezed

    def _linear(self, module: Any) -> Linear:
        weight = self._entry(module.weight)
        assert weight is not None
        self.features = module.out_features
        self.width = max(self.width, self.features)
        return Linear(weight, self._entry(module.bias))

    def _entry(self, parameter: Tensor | None) -> Entry | None:
        if parameter is None:
            return None
        return Entry(self.places.get(self.names.get(id(parameter), "")), parameter)


def _bound(function: Callable[..., Any], node: fx.Node) -> Callable[[Tensor], Tensor]:
    """The function of a traced call, with its further arguments as they were."""
    if function in (torch.relu, F.relu):
        return torch.relu_
    further, keywords = node.args[1:], dict(node.kwargs)
    keywords.pop("input", None)
    if not further and not keywords:
        return function

    def request(h: Tensor) -> Tensor:
        result: Tensor = function(h, *further, **keywords)
        return result

    return request
