"""Devices that have no float64, as Apple's: whatever is done on one is done without.

There is none here: the CPU plays one. What was brought to the host by name (`.cpu()`, `.to("cpu")`,
NumPy), or was made without naming a device, is known to lie there; a tensor in float64 made of
anything else is refused, and one of the device's handed to NumPy, as such a device would.
"""

import numpy as np
import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from landscape_widgets import precision
from landscape_widgets.curvature.eigenpairs import hessian_eigenpairs
from landscape_widgets.evaluation.strategy_names import STRATEGIES
from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.landscape.landscape import Landscape
from landscape_widgets.objective.objective import Objective
from landscape_widgets.samplers import Interpolation, Langevin, Minima, Trajectory
from tests.models import train

DEVICE, HOST = torch.device("cpu"), torch.device("cpu", 0)  # torch takes them for one
TO_HOST = {torch.Tensor.cpu, torch.from_numpy}


def is_wide(leaf):
    return isinstance(leaf, torch.Tensor) and leaf.dtype in (torch.float64, torch.complex128)


class NoSuchTensor(Exception):
    """Not among the errors that a model or a strategy is forgiven."""


class WithoutDouble(TorchFunctionMode):
    """Within it, the CPU is a host and, beside it, a device without float64."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        # What is picked lies where it is picked from.
        sources = args[:1] if name == "__getitem__" else (args, kwargs)
        given = [x for x in tree_leaves(sources) if isinstance(x, torch.Tensor)]
        all_here = all(is_wide(x) or getattr(x, "on_host", False) for x in given)
        if name in ("numpy", "__array__") and not all_here:
            raise NoSuchTensor("a tensor of the device cannot be read by NumPy")
        if func == torch.Tensor.device.__get__:
            return HOST if all_here else DEVICE
        others = tree_leaves((args[1:], kwargs))
        placed = any(isinstance(x, torch.device) and x != HOST for x in others)
        to_host = func in TO_HOST or any(isinstance(x, str) and x == "cpu" for x in others)
        # What is made like a tensor in float64 goes to where that one is.
        to_host = to_host or HOST in [x for x in others if isinstance(x, torch.device)]
        to_host = to_host or (name == "to" and any(map(is_wide, others)))
        here = to_host or (all_here and not placed)
        result = func(*args, **kwargs)
        if to_host and any(result is x for x in given):
            result = result.view_as(result)  # from another device it would have been a copy
        for leaf in tree_leaves(result):
            if not isinstance(leaf, torch.Tensor):
                continue
            made = placed or not any(leaf is x for x in given)
            if made and not here and is_wide(leaf):
                raise NoSuchTensor(f"{name} makes a tensor of {leaf.dtype} on the device")
            if made and here:
                leaf.on_host = True
        return result


@pytest.fixture(autouse=True)
def device(monkeypatch):
    monkeypatch.setattr(precision, "WITHOUT_DOUBLE", {"cpu"})


def network(outputs=3):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, outputs))


def classes():
    torch.manual_seed(1)
    return torch.randn(90, 4), torch.randint(0, 3, (90,))


def test_the_mode_refuses_what_such_a_device_does():
    with WithoutDouble():
        x = torch.randn(3, device=torch.device("cpu"))
        for work in (
            x.double, x.numpy, lambda: x.sum(dtype=torch.float64),
            lambda: torch.zeros(2, dtype=torch.float64, device=x.device),
            lambda: torch.from_numpy(np.ones(3)).to(x.device),
            lambda: x.cpu().double() * x,
        ):  # fmt: skip
            with pytest.raises(NoSuchTensor):
                work()
        assert x.cpu().double().numpy().dtype == np.float64
        assert torch.from_numpy(np.ones(3)).to(x).dtype == torch.float32


@pytest.mark.parametrize(
    ("outputs", "loss"),
    [
        (3, None),
        (3, nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0]))),
        (3, nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0]), label_smoothing=0.1)),
        (1, "binary"), (1, "numbers"), (1, nn.HuberLoss()), (3, lambda z, y: z[:, 0].std()),
    ],
)  # fmt: skip
def test_losses_metrics_gradients_and_products_need_none(monkeypatch, outputs, loss):
    x, y = classes()
    if outputs == 1:
        y = (y > 0).long() if loss == "binary" else torch.randn(90, 1, dtype=torch.float64)
    given = None if isinstance(loss, str) else loss
    rows = np.linspace(-0.5, 0.5, 5)[:, None]

    model = network(outputs)

    def work():
        objective = Objective(model, (x, y), val_data=(x[:9], y[:9]), loss=given)
        direction = torch.randn(1, objective.size, generator=torch.Generator().manual_seed(2))
        found = objective.evaluate(DenseBasis(direction), rows, outputs=True)
        gradient = objective.gradient(objective.anchor)
        product = objective.hvp(objective.anchor, gradient)
        return [*found.values.values()], [gradient, product]

    with WithoutDouble():
        numbers, vectors = work()
    monkeypatch.setattr(precision, "WITHOUT_DOUBLE", set())
    expected, exact = work()
    for found, right in zip(numbers, expected, strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-5)
    for found, right in zip(vectors, exact, strict=True):
        torch.testing.assert_close(found, right, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("strategy", [name for name in STRATEGIES if name != "compiled"])
def test_every_strategy_does_without(strategy):
    data = classes()
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    rows = np.linspace(-1, 1, 64)[:, None] * np.ones(2)
    with WithoutDouble():
        objective = Objective(model, data, strategy=strategy)
        directions = torch.randn(2, objective.size, generator=torch.Generator().manual_seed(2))
        directions[:, :32] = 0.0  # layers that stay as they are, for what shares them
        found = objective.evaluate(DenseBasis(directions), rows)
    plain = Objective(model, data, strategy="inplace").evaluate(DenseBasis(directions), rows)
    usual = Objective(model, data, strategy=strategy)
    usual.evaluate(DenseBasis(directions), rows)
    assert strategy == "auto" or objective.engine.last == usual.engine.last
    np.testing.assert_allclose(found.losses, plain.losses, rtol=1e-5)


def test_eigenpairs_do_without():
    data = classes()
    model = train(network(), data, 30)
    with WithoutDouble():
        found = hessian_eigenpairs(Objective(model, data), top=2)
    expected = hessian_eigenpairs(Objective(model, data), top=2)
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-2)


@pytest.mark.parametrize(
    "make",
    [
        lambda model, other: Minima(n=6, k=2, steps=10, finish=5),
        lambda model, other: Interpolation(other, points=5, steps=5),
        lambda model, other: Trajectory([model, other, model]),
        lambda model, other: Langevin(chains=1, draws=4, burn_in=2),
        lambda model, other: "subspace",
    ],
)
def test_samplers_maps_slices_and_planes_do_without(make):
    data = classes()
    model, other = train(network(), data, 30), train(network(), data, 10)
    with WithoutDouble():
        sampler = make(model, other)
        land = Landscape(model, data, val_data=data).sample(sampler).embed("pca")
        assert np.isfinite(land.losses).mean() > 0.5
        if not isinstance(sampler, Minima):
            return
        assert np.isfinite(land.slice([1]).losses).all()
        assert np.isfinite(land.plane(1, 2, resolution=5).losses).any()


def test_losses_estimated_from_some_examples_do_without():
    torch.manual_seed(1)
    data = torch.randn(2000, 4), torch.randint(0, 3, (2000,))
    model = train(network(), data, 10)
    with WithoutDouble():
        land = Landscape(model, data, metrics=[], tolerance=0.05).sample("subspace")
        assert np.isfinite(land.losses).all()
