"""Models that a graph, or a look at the kinds of modules, tells the wrong things of."""

import copy
import types

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from landscape_widgets.evaluation import engine, strategy_names
from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.objective.objective import Objective


class By(nn.Module):
    """A model by a function of itself and its input."""

    def __init__(self, function, **modules):
        super().__init__()
        self.function = function
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x):
        return self.function(self, x)


class Doubling(nn.Linear):
    def forward(self, x):
        return super().forward(x) * 2 + 1


class Leaking(nn.ReLU):
    def forward(self, x):
        return torch.relu(x) + 0.1 * x


def two(function):
    return By(function, a=nn.Linear(6, 8), b=nn.Linear(8, 4))


def with_number(function):
    model = two(function)
    model.g = nn.Parameter(torch.tensor(1.5))
    return model


def hooked():
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))
    model[0].register_forward_hook(lambda module, arguments, output: output * 2)
    return model


def patched():
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))
    model[0].forward = types.MethodType(lambda self, x: 3 * F.linear(x, self.weight), model[0])
    return model


def patched_normalisation():
    model = images(nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5), nn.ReLU())
    model[1].forward = types.MethodType(lambda self, x: x * self.weight[:, None, None], model[1])
    return model


def images(*layers):
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.LazyLinear(4))


def frozen_then_added(model, x):
    h = model.e(x)
    h += model.a(h)
    return model.b(torch.relu(h))


def read_after_a_relu(model, x):
    h = model.c(x)
    r = model.r(h)
    return model.l(F.max_pool2d(r, 2).mean((2, 3)) + h.mean((2, 3)))


def unpooled(model, x):
    y, places = model.p(torch.relu(model.c(x)))
    return model.l(model.u(y, places).flatten(1))


def in_half_precision(model, x):
    with torch.autocast("cpu", torch.bfloat16):
        h = torch.relu(model.a(x))
    return model.b(h.float())


def with_forces(model, x):
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        (force,) = torch.autograd.grad(torch.tanh(model.a(x)).sum(), x)
    return model.b(force)


def counted(model, x):
    model.last = model.a(x)
    return model.b(torch.relu(model.last))


class Optional(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 4)

    def forward(self, x, scale=None, *further, **named):
        if scale is not None:
            x = x * 2
        return self.b(torch.relu(self.a(x)))


def shared_twice():
    layer = nn.Linear(6, 6)
    return nn.Sequential(layer, nn.ReLU(), layer, nn.ReLU(), nn.Linear(6, 4))


ROWS, IMAGES = (70, 6), (40, 2, 8, 8)
MODELS = {
    "parametrised": (lambda: nn.Sequential(
        parametrizations.weight_norm(nn.Linear(6, 8)), nn.ReLU(),
        parametrizations.spectral_norm(nn.Linear(8, 4)),
    ), ROWS),
    "hooks": (hooked, ROWS),
    "a layer used twice": (shared_twice, ROWS),
    "a weight used directly": (
        lambda: two(lambda m, x: m.b(torch.relu(m.a(x)) + m.a.weight.sum())), ROWS,
    ),
    "all weights, asked for in forward": (lambda: two(
        lambda m, x: m.b(torch.relu(m.a(x))) * (1 + sum(p.pow(2).sum() for p in m.parameters()))
    ), ROWS),
    "a weight as a number": (lambda: with_number(
        lambda m, x: m.b(torch.relu(m.a(x))) * float(m._parameters["g"].detach())
    ), ROWS),
    "overridden layers": (lambda: nn.Sequential(Doubling(6, 8), Leaking(), Doubling(8, 4)), ROWS),
    "a patched layer": (patched, ROWS),
    "a patched normalisation": (patched_normalisation, IMAGES),
    "a constant that is added to": (lambda: By(
        frozen_then_added, e=nn.Linear(6, 8).requires_grad_(False), a=nn.Linear(8, 8),
        b=nn.Linear(8, 4),
    ), ROWS),
    "what a ReLU has overwritten": (lambda: By(
        read_after_a_relu, c=nn.Conv2d(2, 5, 3), r=nn.ReLU(inplace=True), l=nn.Linear(5, 4)
    ), IMAGES),
    "a maximum's places": (lambda: By(
        unpooled, c=nn.Conv2d(2, 5, 3), p=nn.MaxPool2d(2, return_indices=True),
        u=nn.MaxUnpool2d(2), l=nn.Linear(180, 4),
    ), IMAGES),
    "autocast inside": (lambda: two(in_half_precision), ROWS),
    "gradients inside": (
        lambda: By(with_forces, a=nn.Linear(6, 8), b=nn.Linear(6, 4)), ROWS,
    ),
    "an attribute that is kept": (lambda: two(counted), ROWS),
    "arguments that are not given": (Optional, ROWS),
    "circular and grouped convolutions": (lambda: images(
        nn.Conv2d(2, 4, 3, padding=1, padding_mode="circular"), nn.BatchNorm2d(4), nn.ReLU(),
        nn.Conv2d(4, 8, 3, padding="same", dilation=2, groups=2), nn.BatchNorm2d(8), nn.ReLU(),
        nn.ConvTranspose2d(8, 4, 3, 2), nn.InstanceNorm2d(4), nn.MaxPool2d(3, 2, 1, ceil_mode=True),
    ), IMAGES),
}  # fmt: skip


def plain_losses(model, x, y, vectors, rows):
    model = copy.deepcopy(model)
    weights = [p for p in model.parameters() if p.requires_grad]
    anchor = torch.cat([p.detach().reshape(-1) for p in weights]).clone()
    losses = []
    for row in rows:
        parts = (anchor + torch.from_numpy(row).float() @ vectors).split(
            [p.numel() for p in weights]
        )
        with torch.no_grad():
            for weight, part in zip(weights, parts, strict=True):
                weight.copy_(part.view_as(weight))
            losses.append(F.cross_entropy(model(x).double(), y).item())
    return np.array(losses)


@pytest.mark.parametrize("name", MODELS)
def test_a_strategy_that_reads_a_model_wrongly_gives_no_loss(name, monkeypatch):
    monkeypatch.setattr(engine, "_choices", {})
    torch.manual_seed(0)
    make, shape = MODELS[name]
    model, x = make().eval(), torch.randn(shape)
    with torch.no_grad():
        model(x)
    y = torch.randint(0, 4, (len(x),))
    for strategy in strategy_names.STRATEGIES:
        try:
            objective = Objective(model, (x, y), strategy=strategy)
        except ValueError as error:
            assert "cannot evaluate this" in str(error)  # noqa: PT017
            continue
        vectors = torch.randn(3, objective.size, generator=torch.Generator().manual_seed(1)) * 0.3
        rows = np.random.default_rng(0).normal(size=(40, 3))
        behind = vectors.clone()
        behind[:, : objective.size // 2] = 0  # the first layers stay where they are
        for basis in (behind, vectors):
            found = objective.evaluate(DenseBasis(basis), rows).losses
            np.testing.assert_allclose(found, plain_losses(model, x, y, basis, rows), rtol=5e-5)
