"""Batch normalisation, of instances too: whose running statistics a moved network is to use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from landscape_widgets.task.data import Batch

BatchNormMode = Literal["trained", "reestimate"]
_Norm = nn.modules.batchnorm._NormBase  # of batches and of instances, and what packages derive
_BATCH_NORMS = nn.modules.batchnorm._BatchNorm
_INSTANCE_NORMS = nn.modules.instancenorm._InstanceNorm


def named_norms(model: nn.Module) -> dict[str, _Norm]:
    """The layers that normalise by running statistics in evaluation mode, by name."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, _Norm) and module.track_running_stats
    }


def has_batch_statistics(model: nn.Module) -> bool:
    """Whether some layer normalises by the batch at hand even in evaluation mode."""
    return any(isinstance(m, _BATCH_NORMS) and not m.track_running_stats for m in model.modules())


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
    norms = list(named_norms(model).values())
    before = [(norm.momentum, norm.training) for norm in norms]
    handles = []
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over batches
        if isinstance(norm, _INSTANCE_NORMS):  # which have none of their own
            handles.append(norm.register_forward_pre_hook(_plain_average()))
        norm.train()
    try:
        for tile in tiles:
            if tile.size > 1:
                forward(model, tile)
    finally:
        for handle in handles:
            handle.remove()
        for norm, (momentum, training) in zip(norms, before, strict=True):
            norm.momentum = momentum
            norm.train(training)
    found: list[tuple[Tensor, Tensor]] = []
    for norm in norms:
        for buffer in (norm.running_mean, norm.running_var):
            assert buffer is not None
            found.append((buffer, buffer.clone()))
    return found


def _plain_average() -> Callable[[nn.Module, tuple[Any, ...]], None]:
    calls = 0

    def weigh(module: Any, arguments: tuple[Any, ...]) -> None:
        nonlocal calls
        calls += 1
        module.momentum = 1 / calls

    return weigh


def _channels(norm: _Norm, x: Tensor) -> int:
    """Along which axis a layer's channels lie: instances may come alone."""
    alone = isinstance(norm, _INSTANCE_NORMS) and x.ndim == norm._get_no_batch_dim()  # type: ignore[no-untyped-call]
    return 0 if alone else 1


class Statistics:
    """Batch statistics that follow the weights, and what a gradient takes from that.

    The loss with re-estimated statistics is L(θ, s(θ)), with s the average over tiles of each
    layer's batch mean and (unbiased) variance; of instances, their averages over the batch. Its
    gradient is ∂L/∂θ + (∂s/∂θ)ᵀ ∂L/∂s. The second part is found tile by tile, from ∂L/∂s, so that
    no graph is larger than a tile's.

    Parameters
    ----------
    model
        The working copy.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.norms = named_norms(model)

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
        """Let layers use these statistics, in a way that can be differentiated by them.

        What they are given is moved and scaled so that their own statistics make of it what these
        would make of what came: whatever a layer does besides is its own.
        """

        def watch(name: str) -> Callable[[nn.Module, tuple[Any, ...]], tuple[Any, ...] | None]:
            start = f"{name}." if name else ""
            mean, variance = leaves[f"{start}running_mean"], leaves[f"{start}running_var"]

            def normalise(module: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
                if module.training:  # by the batch at hand, whatever the statistics
                    return None
                x, *others = arguments
                shape = [1] * x.ndim
                shape[_channels(module, x)] = -1
                own = torch.sqrt(variance.detach() + module.eps)
                scale = torch.rsqrt(variance + module.eps) * own
                moved = (x - mean.view(shape)) * scale.view(shape) + mean.detach().view(shape)
                return (moved, *others)

            return normalise

        handles = [norm.register_forward_pre_hook(watch(name)) for name, norm in self.norms.items()]
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

            def note(module: Any, arguments: tuple[Any, ...]) -> None:
                x, along = arguments[0], _channels(module, arguments[0])
                axes = [axis for axis in range(x.ndim) if axis != along]
                if isinstance(module, _INSTANCE_NORMS):
                    axes = [axis for axis in axes if axis > along]
                mean, variance = x.mean(axes), x.var(axes, unbiased=True)
                if mean.ndim > 1:  # of each instance
                    mean, variance = mean.mean(0), variance.mean(0)
                found.append((f"{start}running_mean", mean))
                found.append((f"{start}running_var", variance))

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
