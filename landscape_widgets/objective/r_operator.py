"""Products of a feed-forward network's Hessian with vectors, by the R-operator (Pearlmutter 1994).

R{·} is the derivative along v of whatever hangs on θ. For z_l = W_l h_{l−1} + b_l and h_l = f(z_l),
with δ_l the gradient of the loss ℓ with respect to z_l, and (V_l, c_l) the parts of v,

    R z_l = V_l h_{l−1} + c_l + W_l R h_{l−1},                  R h_l = f'(z_l) ∘ R z_l,
    R δ_{l−1} = f'(z_{l−1}) ∘ (W_lᵀ R δ_l + V_lᵀ δ_l) + f''(z_{l−1}) ∘ W_lᵀ δ_l ∘ R z_{l−1},
    H v = Σ (R δ_l h_{l−1}ᵀ + δ_l R h_{l−1}ᵀ,  R δ_l),          R δ_L = ∇²ℓ R z_L.

All that hangs on θ alone is computed once, so that a product is two passes of matrix products.
Double backward takes the same ones, and as long again to find its way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from landscape_widgets.evaluation.graph.tracing import trace
from landscape_widgets.evaluation.mlp.feed_forward import (
    Elementwise,
    Entry,
    FeedForward,
    Linear,
    read_feed_forward,
)
from landscape_widgets.evaluation.strategy import Unsuited
from landscape_widgets.evaluation.tiled_examples import TiledExamples
from landscape_widgets.objective.hessian_product import TILE_BYTES, HessianProduct
from landscape_widgets.task.losses import MeanLoss
from landscape_widgets.task.parameters import ParameterLayout

Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Network:
    """A stack of linear layers and functions of single numbers, with its loss and its data.

    Attributes
    ----------
    layers, functions
        Each layer, and what follows it.
    squeezed : bool
        The model drops the feature axis of its single output.
    loss
    inputs : Tensor (m, in)
        Of the first layer.
    targets : Tensor (m, ...)
    """

    layers: tuple[Linear, ...]
    functions: tuple[tuple[Function, ...], ...]
    squeezed: bool
    loss: MeanLoss
    inputs: Tensor
    targets: Tensor

    def part(self, count: int) -> Network:
        """The same on the first examples."""
        return Network(
            self.layers, self.functions, self.squeezed, self.loss,
            self.inputs[:count], self.targets[:count],
        )  # fmt: skip

    def double(self) -> Network:
        """The same in float64."""
        floating = self.targets.is_floating_point()
        targets = self.targets.double() if floating else self.targets
        return replace(self, inputs=self.inputs.double(), targets=targets)

    @property
    def count(self) -> float:
        """What the sum of losses is divided by."""
        return float(self.loss.denominator(self.loss.count(self.targets)))

    @property
    def each(self) -> int:
        """Bytes that one example takes at most: h, δ, f', f'', and R h and R δ meanwhile."""
        widths = sum(layer.weight.tensor.shape[0] for layer in self.layers)
        return (self.inputs.shape[1] + 6 * widths) * self.inputs.element_size()

    def mean(self, z: Tensor, targets: Tensor) -> Tensor:
        """Share of the mean loss that some examples have, from z_L (m, out)."""
        h = _applied(self.functions[-1], z)
        outputs = h[:, 0] if self.squeezed else h
        return self.loss.total(outputs, targets) / self.count


def read_network(
    model: nn.Module, layout: ParameterLayout, loss: MeanLoss, split: TiledExamples
) -> Network | None:
    """The model as the R-operator wants it, or None where it is anything else."""
    if not (split.separable and split.on_device):
        return None
    try:
        network = read_feed_forward(model, layout, trace(model))
    except Unsuited:
        return None
    found = _layers_of(network)
    if found is None:
        return None
    (batch,) = split.tiles(split.size)
    with torch.no_grad():
        inputs = network.input(model, batch)
    if inputs.ndim != 2 or not isinstance(batch.targets, Tensor):
        return None
    return Network(*found, network.squeezed, loss, inputs, batch.targets)


def _layers_of(
    network: FeedForward,
) -> tuple[tuple[Linear, ...], tuple[tuple[Function, ...], ...]] | None:
    layers: list[Linear] = [network.head]
    functions: list[tuple[Function, ...]] = [()]
    for step in network.steps:
        if isinstance(step, Linear):
            layers.append(step)
            functions.append(())
        elif isinstance(step, Elementwise):
            functions[-1] = (*functions[-1], step.function)
        else:
            return None
    return tuple(layers), tuple(functions)


class FeedForwardProduct(HessianProduct):
    """v (P,) → H v (P,) at one θ, H the Hessian of a network's mean loss.

    Parameters
    ----------
    network
    theta : Tensor (P,)
    """

    def __init__(self, network: Network, theta: Tensor) -> None:
        self.network, self.theta = network, theta
        self.weights = [self._of(theta, layer.weight) for layer in network.layers]
        size, tile = len(network.inputs), max(1, TILE_BYTES // network.each)
        self.points = [
            _Point(network, self.weights, self._biases(theta), slice(start, start + tile))
            for start in range(0, size, tile)
        ]

    @torch.no_grad()
    def __call__(self, v: Tensor) -> Tensor:
        v = v.to(self.theta)
        layers, total = self.network.layers, torch.zeros_like(self.theta)
        along = [self._of(v, layer.weight, frozen=0.0) for layer in layers]
        shifts = self._biases(v, frozen=0.0)
        for point in self.points:
            z, moved, bent = point.forward(self.weights, along, shifts)
            signal = point.curvature(z)
            for number in reversed(range(len(layers))):
                self._add(total, number, signal, point.inputs[number])
                if number == 0:
                    break
                before = point.signals[number]
                if layers[number].weight.place is not None:
                    self._of(total, layers[number].weight).addmm_(before.T, moved[number])
                signal = (signal @ self.weights[number]).addmm_(before, along[number])
                signal = _scaled(signal, point.slopes[number - 1])
                bend = bent[number - 1]
                if bend is not None:
                    signal += bend
        return total

    @torch.no_grad()
    def gradient(self) -> Tensor:
        """The gradient (P,) of the mean loss."""
        total = torch.zeros_like(self.theta)
        for point in self.points:
            for number, signal in enumerate(point.signals):
                self._add(total, number, signal, point.inputs[number])
        return total

    def _add(self, total: Tensor, number: int, signal: Tensor, h: Tensor) -> None:
        """Add what a signal δ (m, out) and inputs h (m, in) are to a layer's gradient."""
        layer = self.network.layers[number]
        if layer.weight.place is not None:
            self._of(total, layer.weight).addmm_(signal.T, h)
        if layer.bias is not None and layer.bias.place is not None:
            total[layer.bias.place] += signal.sum(dim=0)

    def _of(self, vector: Tensor, entry: Entry, frozen: float | None = None) -> Tensor:
        """A tensor's part of a vector; a frozen one is what it is, or does not move."""
        if entry.place is not None:
            return vector[entry.place].view(entry.tensor.shape)
        tensor = entry.tensor.detach().to(vector)
        return tensor if frozen is None else torch.full_like(tensor, frozen)

    def _biases(self, vector: Tensor, frozen: float | None = None) -> list[Tensor | None]:
        biases = [layer.bias for layer in self.network.layers]
        return [None if bias is None else self._of(vector, bias, frozen) for bias in biases]


class _Point:
    """What products at one θ share, on some of the examples.

    Attributes
    ----------
    inputs : list of Tensors (m, in)
        h_{l−1} of each layer.
    signals : list of Tensors (m, out)
        δ_l.
    slopes, bends : lists of Tensors (m, out), or None where they are 1, or 0
        f'(z_l), and f''(z_l) ∘ W_{l+1}ᵀ δ_{l+1}, of each layer but the last.
    curvature : callable
        R z_L → R δ_L = ∇²ℓ R z_L. Where it is not written out, by double backward through the loss.
    """

    def __init__(
        self,
        network: Network,
        weights: Sequence[Tensor],
        biases: Sequence[Tensor | None],
        place: slice,
    ) -> None:
        self.inputs = [network.inputs[place]]
        self.slopes: list[Tensor | None] = []
        self.bends: list[Tensor | None] = []
        with torch.no_grad():
            z = _affine(self.inputs[0], weights[0], biases[0])
        for number, functions in enumerate(network.functions[:-1], start=1):
            h, slope, bend = _derivatives(functions, z)
            self.inputs.append(h)
            self.slopes.append(slope)
            self.bends.append(bend)
            with torch.no_grad():
                z = _affine(h, weights[number], biases[number])
        signal = self._differentiate(network, z, network.targets[place])
        self.signals = [signal]
        for number in reversed(range(1, len(weights))):
            signal = signal @ weights[number]
            bend = self.bends[number - 1]
            self.bends[number - 1] = None if bend is None else bend * signal
            signal = _scaled(signal, self.slopes[number - 1])
            self.signals.insert(0, signal)

    def forward(
        self, weights: Sequence[Tensor], along: Sequence[Tensor], shifts: Sequence[Tensor | None]
    ) -> tuple[Tensor, list[Tensor], list[Tensor | None]]:
        """R z_L, and R h_{l−1} and the bends' part of R δ_l of each layer."""
        z = _affine(self.inputs[0], along[0], shifts[0])
        moved, bent = [self.inputs[0]], list[Tensor | None]()  # the data do not move: never read
        for number in range(1, len(weights)):
            bend = self.bends[number - 1]
            bent.append(None if bend is None else bend * z)
            moved.append(_scaled(z, self.slopes[number - 1]))
            z = _affine(self.inputs[number], along[number], shifts[number])
            z.addmm_(moved[number], weights[number].T)
        return z, moved, bent

    def _differentiate(self, network: Network, z: Tensor, targets: Tensor) -> Tensor:
        """δ_L (m, out), and `curvature`."""
        known = None
        if not network.functions[-1] and not network.squeezed:
            known = network.loss.curvature(z, targets)
        with torch.enable_grad():
            leaf = z.requires_grad_()
            loss = network.mean(leaf, targets)
            (gradient,) = torch.autograd.grad(loss, leaf, create_graph=known is None)
        count = network.count
        if known is not None:
            self.curvature: Function = lambda moved: known(moved).div_(count)
        else:
            self.curvature = lambda moved: torch.autograd.grad(
                gradient, leaf, moved, retain_graph=True
            )[0]
        return gradient.detach()


def _affine(h: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return h @ weight.T if bias is None else torch.addmm(bias, h, weight.T)


def _scaled(fresh: Tensor, slope: Tensor | None) -> Tensor:
    return fresh if slope is None else fresh.mul_(slope)


def _applied(functions: Sequence[Function], z: Tensor) -> Tensor:
    h = z.clone() if functions else z  # some of them overwrite what they are given
    for function in functions:
        h = function(h)
    return h


def _derivatives(
    functions: Sequence[Function], z: Tensor
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """f(z), f'(z) and f''(z), each number by itself; None where f' is 1, and where f'' is 0."""
    if not functions:
        return z, None, None
    if functions == (torch.relu_,):  # which all but always it is, and soon differentiated
        return z.relu_(), (z > 0).to(z), None
    with torch.enable_grad():
        z = z.requires_grad_()
        h = _applied(functions, z)
        (slope,) = torch.autograd.grad(h.sum(), z, create_graph=True)
        bend = None
        if slope.requires_grad:
            (bend,) = torch.autograd.grad(slope.sum(), z)
    curved = bend is not None and bool(bend.any())
    return h.detach(), slope.detach(), bend if curved else None
