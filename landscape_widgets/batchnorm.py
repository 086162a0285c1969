"""Batch normalisation: whose running statistics a moved network is to use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from landscape_widgets.data import Batch

BatchNormMode = Literal["trained", "reestimate"]
_NORMS = nn.modules.batchnorm._BatchNorm


def tracked_norms(model: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """The layers that normalise by running statistics in evaluation mode."""
    return [m for m in model.modules() if isinstance(m, _NORMS) and m.track_running_stats]


def has_batch_statistics(model: nn.Module) -> bool:
    """Whether some layer normalises by the batch at hand even in evaluation mode."""
    return any(isinstance(m, _NORMS) and not m.track_running_stats for m in model.modules())


@torch.no_grad()
def reestimate(
    model: nn.Module, tiles: Iterable[Batch], forward: Callable[[nn.Module, Batch], None]
) -> list[tuple[Tensor, Tensor]]:
    """Running statistics averaged over `tiles` at the model's present weights.

    `forward` lets one tile go through the model.

    Statistics of the trained network are wrong for a moved one: halfway between two minima the
    loss may be several times too high (Izmailov et al. 2018, section 3.2).

    Returns
    -------
    list of (buffer, value)
        What each layer's running mean and variance are to be; the layers are left as they were
        but for what is in these buffers now.
    """
    norms = tracked_norms(model)
    before = [(norm.momentum, norm.training) for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over batches
        norm.train()
    try:
        for tile in tiles:
            if tile.size > 1:
                forward(model, tile)
    finally:
        for norm, (momentum, training) in zip(norms, before, strict=True):
            norm.momentum = momentum
            norm.train(training)
    found: list[tuple[Tensor, Tensor]] = []
    for norm in norms:
        for buffer in (norm.running_mean, norm.running_var):
            assert buffer is not None
            found.append((buffer, buffer.clone()))
    return found


class Statistics:
    """Batch statistics that follow the weights, and what a gradient takes from that.

    The loss with re-estimated statistics is L(θ, s(θ)), with s the average over tiles of each
    layer's batch mean and (unbiased) variance. Its gradient is ∂L/∂θ + (∂s/∂θ)ᵀ ∂L/∂s. The second
    part is found tile by tile, from ∂L/∂s, so that no graph is larger than a tile's.

    Parameters
    ----------
    model
        The working copy.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.norms = {
            name: module
            for name, module in model.named_modules()
            if isinstance(module, _NORMS) and module.track_running_stats
        }

    def leaves(self) -> dict[str, Tensor]:
        """The statistics that the layers hold now, by their names, to differentiate by."""
        found: dict[str, Tensor] = {}
        for name, norm in self.norms.items():
            for kind in ("running_mean", "running_var"):
                buffer = getattr(norm, kind)
                key = f"{name}.{kind}" if name else kind
                found[key] = buffer.detach().clone().requires_grad_()
        return found

    @contextmanager
    def normalising_by(self, leaves: Mapping[str, Tensor]) -> Iterator[None]:
        """Let layers use these statistics, in a way that can be differentiated by them."""

        def watch(name: str) -> Callable[[nn.Module, tuple[Any, ...], Tensor], Tensor]:
            start = f"{name}." if name else ""
            mean, variance = leaves[f"{start}running_mean"], leaves[f"{start}running_var"]

            def normalise(module: Any, arguments: tuple[Any, ...], output: Tensor) -> Tensor:
                if module.training:  # by the batch at hand, whatever the statistics
                    return output
                shape = [1, -1, *[1] * (output.ndim - 2)]
                scale = torch.rsqrt(variance.view(shape) + module.eps)
                result: Tensor = (arguments[0] - mean.view(shape)) * scale
                if module.affine:
                    result = result * module.weight.view(shape) + module.bias.view(shape)
                return result

            return normalise

        handles = [norm.register_forward_hook(watch(name)) for name, norm in self.norms.items()]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def of_batch(self, forward: Callable[[], Any]) -> list[tuple[str, Tensor]]:
        """Mean and variance of what each layer is given in a forward pass, by name.

        Layers normalise by the batch meanwhile, as they do when statistics are estimated.
        """
        found: list[tuple[str, Tensor]] = []
        handles = []
        training = [norm.training for norm in self.norms.values()]

        def watch(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
            start = f"{name}." if name else ""

            def note(module: nn.Module, arguments: tuple[Any, ...]) -> None:
                x = arguments[0]
                axes = [axis for axis in range(x.ndim) if axis != 1]
                found.append((f"{start}running_mean", x.mean(axes)))
                found.append((f"{start}running_var", x.var(axes, unbiased=True)))

            return note

        for name, norm in self.norms.items():
            handles.append(norm.register_forward_pre_hook(watch(name)))
            norm.train()
        try:
            forward()
        finally:
            for handle in handles:
                handle.remove()
            for norm, before in zip(self.norms.values(), training, strict=True):
                norm.train(before)
        return found
