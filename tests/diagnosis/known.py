"""Networks whose state is known by how they were trained: each function makes one for a seed.

A case is a model, its training and its validation data, and which verdict is to say what.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

import torch
from sklearn.datasets import load_digits, make_moons
from torch import Tensor, nn
from torch.nn import functional as F

Data = tuple[Tensor, Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]


class Case(NamedTuple):
    model: nn.Module
    data: Data
    val_data: Data
    verdict: str
    kind: str


def moons(seed: int, n: int = 300, noise: float = 0.2) -> Data:
    x, y = make_moons(n, noise=noise, random_state=seed)
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y)


def spirals(seed: int, n: int = 300) -> Data:
    """Two arms, each wound one and a half times."""
    g = torch.Generator().manual_seed(seed)
    t = torch.rand(n, generator=g) * 9 + 1
    y = torch.arange(n) % 2
    turned = t + y * torch.pi
    x = torch.stack([turned.cos() * t, turned.sin() * t], 1) / 5
    return x + 0.03 * torch.randn(n, 2, generator=g), y


def waves(seed: int, n: int = 200, noise: float = 0.1) -> Data:
    g = torch.Generator().manual_seed(seed)
    x = torch.rand(n, 1, generator=g) * 4 - 2
    return x, torch.sin(3 * x) + noise * torch.randn(n, 1, generator=g)


def digits(seed: int, n: int = 400) -> tuple[Data, Data]:
    x, y = load_digits(return_X_y=True)
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
    x, y = torch.tensor(x / 16, dtype=torch.float32)[order], torch.tensor(y)[order]
    return (x[:n], y[:n]), (x[n : n + 400], y[n : n + 400])


def mlp(sizes: list[int], seed: int, activation: type[nn.Module] = nn.ReLU) -> nn.Module:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), activation()]
    return nn.Sequential(*layers[:-1])


def adam(model: nn.Module, data: Data, loss: Loss, steps: int, rate: float = 0.01) -> nn.Module:
    """Train on all of the data in each step."""
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    for _ in range(steps):
        optimiser.zero_grad()
        loss(model(data[0]), data[1]).backward()
        optimiser.step()
    return model


def lbfgs(model: nn.Module, data: Data, loss: Loss, steps: int) -> nn.Module:
    """Train until the loss no longer changes."""
    optimiser = torch.optim.LBFGS(
        model.parameters(), max_iter=steps, line_search_fn="strong_wolfe",
        tolerance_grad=1e-9, tolerance_change=1e-12,
    )  # fmt: skip

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = loss(model(data[0]), data[1])
        value.backward()
        return value

    optimiser.step(closure)
    return model


CE, MSE = F.cross_entropy, F.mse_loss


def untrained_on_digits(seed: int) -> Case:
    return Case(mlp([64, 16, 10], seed), *digits(seed), "fit", "not trained")


def untrained_on_waves(seed: int) -> Case:
    model = mlp([1, 16, 1], seed, nn.Tanh)
    return Case(model, waves(seed), waves(seed + 100), "fit", "not trained")


def stopped_early_on_digits(seed: int) -> Case:
    data, val = digits(seed)
    model = adam(mlp([64, 16, 10], seed), data, CE, 25)
    return Case(model, data, val, "place", "still falling")


def stopped_early_on_moons(seed: int) -> Case:
    data = moons(seed)
    model = adam(mlp([2, 16, 2], seed), data, CE, 60)
    return Case(model, data, moons(seed + 100), "place", "still falling")


def to_the_end_on_digits(seed: int) -> Case:
    data, val = digits(seed)
    model = lbfgs(mlp([64, 16, 10], seed), data, CE, 200)
    return Case(model, data, val, "place", "minimum")


def to_the_end_on_waves(seed: int) -> Case:
    data = waves(seed)
    model = lbfgs(mlp([1, 6, 1], seed, nn.Tanh), data, MSE, 1000)
    return Case(model, data, waves(seed + 100), "place", "minimum")


def to_the_end_on_noisy_moons(seed: int) -> Case:
    data = moons(seed, noise=0.5)
    model = lbfgs(mlp([2, 3, 2], seed, nn.Tanh), data, CE, 3000)
    return Case(model, data, moons(seed + 100, noise=0.5), "place", "minimum")


def on_40_digits(seed: int) -> Case:
    data, val = digits(seed, 40)
    model = adam(mlp([64, 32, 10], seed), data, CE, 400)
    return Case(model, data, val, "fit", "overfitting")


def on_40_waves(seed: int) -> Case:
    data = waves(seed, 40, noise=0.4)
    model = adam(mlp([1, 32, 32, 1], seed, nn.Tanh), data, MSE, 1000, 0.02)
    return Case(model, data, waves(seed + 100, noise=0.4), "fit", "overfitting")


def too_small_for_digits(seed: int) -> Case:
    data, val = digits(seed)
    model = adam(mlp([64, 1, 10], seed), data, CE, 600, 0.03)
    return Case(model, data, val, "fit", "underfitting")


def too_small_for_spirals(seed: int) -> Case:
    data = spirals(seed)
    model = adam(mlp([2, 2, 2], seed), data, CE, 800, 0.02)
    return Case(model, data, spirals(seed + 100), "fit", "underfitting")


def too_small_for_waves(seed: int) -> Case:
    data = waves(seed)
    model = adam(mlp([1, 1, 1], seed, nn.Tanh), data, MSE, 800, 0.02)
    return Case(model, data, waves(seed + 100), "fit", "underfitting")


def well_trained_on_digits(seed: int) -> Case:
    data, val = digits(seed, 1300)
    model = adam(mlp([64, 32, 10], seed), data, CE, 100)
    return Case(model, data, val, "fit", "fits")


def well_trained_on_waves(seed: int) -> Case:
    data = waves(seed, 400)
    model = adam(mlp([1, 16, 1], seed, nn.Tanh), data, MSE, 800, 0.02)
    return Case(model, data, waves(seed + 100, 400), "fit", "fits")


NETWORKS: tuple[Callable[[int], Case], ...] = (
    untrained_on_digits,
    untrained_on_waves,
    stopped_early_on_digits,
    stopped_early_on_moons,
    to_the_end_on_digits,
    to_the_end_on_waves,
    to_the_end_on_noisy_moons,
    on_40_digits,
    on_40_waves,
    too_small_for_digits,
    too_small_for_spirals,
    too_small_for_waves,
    well_trained_on_digits,
    well_trained_on_waves,
)
