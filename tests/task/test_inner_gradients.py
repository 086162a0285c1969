"""Models and losses that differentiate by themselves, against plain loops that do the same."""

import copy
import itertools
import pickle

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.objective.objective import Objective

grad = torch.autograd.grad


def tanh_mlp(*widths: int) -> nn.Module:
    layers: list[nn.Module] = []
    for i, o in itertools.pairwise(widths):
        layers += [nn.Linear(i, o), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def poisson(model, batch):
    """u'' + sin(x) by two derivatives with respect to the inputs."""
    x = batch[0].requires_grad_(True)
    u = model(x)
    (slope,) = grad(u.sum(), x, create_graph=True)
    (bend,) = grad(slope.sum(), x, create_graph=True)
    return (bend + torch.sin(x)).pow(2).mean() + model(torch.zeros(1, 1).to(x)).pow(2).mean()


def penalty(model, batch):
    """A critic's loss with a gradient penalty (Gulrajani et al. 2017)."""
    real, fake = batch
    between = (0.3 * real + 0.7 * fake).requires_grad_()
    (slope,) = grad(model(between).sum(), between, create_graph=True)
    steep = (slope.norm(dim=1) - 1).pow(2).mean()
    return model(fake).mean() - model(real).mean() + 10 * steep


def without_own_requirement(model, batch):
    """The user's tensors require gradients before they are handed over."""
    (slope,) = grad(model(batch[0]).sum(), batch[0], create_graph=True)
    return (slope - batch[1]).pow(2).mean()


def by_backward(model, batch):
    x = batch[0].requires_grad_(True)
    model(x).sum().backward(create_graph=True)
    slope = x.grad
    x.grad = None
    return (slope - batch[1]).pow(2).mean()


def by_func(model, batch):
    slope = torch.func.vmap(torch.func.grad(lambda x: model(x).sum()))(batch[0])
    return (slope - batch[1]).pow(2).mean()


def of_weights(model, batch):
    """The norm of the gradient with respect to the weights is penalised."""
    loss = nn.functional.mse_loss(model(batch[0]), batch[1][:, :1])
    slopes = grad(loss, list(model.parameters()), create_graph=True)
    return loss + 0.1 * sum(slope.pow(2).sum() for slope in slopes)


def jacobian_penalty(model, batch):
    jacobian = torch.func.vmap(torch.func.jacrev(model))(batch[0])
    return nn.functional.mse_loss(model(batch[0]), batch[1][:, :1]) + jacobian.pow(2).mean()


class Energy(nn.Module):
    """Forces −∂E/∂x, as atoms' models return them."""

    def __init__(self, always: bool = False) -> None:
        super().__init__()
        self.energy, self.always = tanh_mlp(3, 8, 1), always

    def forward(self, x: Tensor) -> Tensor:
        with torch.set_grad_enabled(self.always or torch.is_grad_enabled()):
            x = x.requires_grad_(True)
            (slope,) = grad(self.energy(x).sum(), x, create_graph=True)
        return -slope


class PointAndValue(nn.Module):
    """Returns its inputs beside its outputs, for the loss to differentiate by."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = tanh_mlp(1, 8, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.requires_grad_(True)
        return self.inner(x), x


def of_outputs(outputs, targets):
    (slope,) = grad(outputs[0].sum(), outputs[1], create_graph=True)
    return (slope - targets).pow(2).mean()


class Overwriting(nn.Module):
    """Centres the very tensor it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.sub_(1.0))


def make(kind: str):
    """Model, data, the loss that is handed over, and the same as a function (model, batch)."""
    torch.manual_seed(0)
    x, y = torch.randn(24, 3), torch.randn(24, 3)
    if kind == "poisson":
        return tanh_mlp(1, 8, 8, 1), [(x[:, :1],), (y[:, :1],)], poisson, poisson
    if kind in ("energy", "energy that sees to it itself"):
        model = Energy(always=kind != "energy")
        return model, (x, y), None, lambda m, b: nn.functional.mse_loss(m(b[0]), b[1])
    if kind == "overwriting":
        return Overwriting(), (x, y), None, lambda m, b: nn.functional.mse_loss(m(b[0]), b[1])
    if kind == "of outputs":
        loss = of_outputs
        return PointAndValue(), [(x[:, :1], y[:, :1])], loss, lambda m, b: loss(m(b[0]), b[1])
    if kind == "requires already":
        x.requires_grad_(True)
        return tanh_mlp(3, 8, 1), [(x, y)], without_own_requirement, without_own_requirement
    losses = {
        "penalty": penalty, "backward": by_backward, "func": by_func, "of weights": of_weights,
        "jacobian": jacobian_penalty,
    }  # fmt: skip
    return tanh_mlp(3, 8, 1), [(x, y), (y, x)], losses[kind], losses[kind]


KINDS = (
    "poisson", "energy", "energy that sees to it itself", "overwriting", "of outputs",
    "requires already", "penalty", "backward", "func", "of weights", "jacobian",
)  # fmt: skip


def plain(model: nn.Module, data, loss, names, theta: Tensor | None = None):
    """Mean loss and gradient by a loop over copies of the user's batches."""
    model = copy.deepcopy(model)
    if theta is not None:
        nn.utils.vector_to_parameters(theta, model.parameters())
    batches = data if isinstance(data, list) else [data]
    total, count, gradients = 0.0, 0, 0.0
    for batch in batches:
        batch = tuple(part.detach().clone().requires_grad_(part.requires_grad) for part in batch)
        value = loss(model, batch)
        found = grad(value, [model.get_parameter(n) for n in names], materialize_grads=True)
        size = len(batch[0])
        gradients = gradients + size * torch.cat([g.reshape(-1) for g in found])
        total, count = total + size * float(value.detach()), count + size
    return total / count, gradients / count


@pytest.mark.parametrize("kind", KINDS)
def test_losses_and_gradients_are_those_of_a_plain_loop(kind):
    model, data, given, loss = make(kind)
    before = [p.clone() for p in (data if isinstance(data, tuple) else data[0])]
    objective = Objective(model, data, loss=given, metrics=[])
    names = objective.layout.names
    generator = torch.Generator().manual_seed(1)
    direction = torch.randn(objective.size, generator=generator) * 0.3
    rows = np.linspace(-1, 1, 41)[:, None]
    found = objective.evaluate(DenseBasis(direction[None]), rows)
    for row in (0, 5, 20, 40):
        theta = objective.anchor + float(rows[row, 0]) * direction
        value, gradient = plain(model, data, loss, names, theta)
        assert found.losses[row] == pytest.approx(value, rel=1e-5)
        assert objective.loss(theta) == pytest.approx(value, rel=1e-5)
        mean, slope = objective.loss_and_gradient(theta)
        assert mean == pytest.approx(value, rel=1e-5)
        torch.testing.assert_close(slope, gradient, rtol=1e-3, atol=1e-5)
    after = data if isinstance(data, tuple) else data[0]
    assert all(torch.equal(a, b) and a.grad is None for a, b in zip(after, before, strict=True))
    assert [a.requires_grad for a in after] == [b.requires_grad for b in before]


@pytest.mark.parametrize("kind", KINDS)
def test_hessian_products_are_differences_of_gradients(kind):
    model, data, given, _ = make(kind)
    tensors = data if isinstance(data, tuple) else None
    wide = (
        tuple(t.double() for t in tensors) if tensors
        else [tuple(t.detach().double() for t in batch) for batch in data]
    )  # fmt: skip
    if kind == "requires already":
        wide[0][0].requires_grad_(True)
    objective = Objective(model.double(), wide, loss=given, metrics=[])
    generator = torch.Generator().manual_seed(1)
    v = torch.randn(objective.size, dtype=torch.float64, generator=generator)
    ahead, behind = (objective.gradient(objective.anchor + s * 1e-6 * v) for s in (1, -1))
    expected = (ahead - behind) / 2e-6
    for found in (objective.hvp(objective.anchor, v), objective.hessian(objective.anchor)(v)):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["energy", "energy that sees to it itself"])
def test_outputs_are_numbers_and_keep_nothing_of_how_they_were_computed(kind):
    model, data, _, _ = make(kind)
    objective = Objective(model, data, metrics=["mae"])
    outputs = objective.outputs(objective.anchor)
    assert not outputs.requires_grad
    torch.testing.assert_close(outputs, model(data[0].clone()).detach(), rtol=1e-4, atol=1e-6)
    found = objective.evaluate(
        DenseBasis(torch.ones(1, objective.size)), np.array([[0.0]]), outputs=True
    )
    mean = float((outputs - data[1]).abs().mean())
    assert found.values["mae"][0] == pytest.approx(mean, rel=1e-5)


def test_near_the_trained_weights_losses_are_taken_in_double_precision_all_the_same():
    model, data, given, loss = make("penalty")
    objective = Objective(model, data, loss=given, metrics=[])
    direction = torch.ones(objective.size)
    rows = np.array([[-1e-5], [1e-5]])
    found = objective.evaluate(DenseBasis(direction[None]), rows).losses
    wide = [tuple(part.double() for part in batch) for batch in data]
    model = model.double()
    ends = [
        plain(model, wide, loss, objective.layout.names, objective.anchor.double() + c * direction)
        for c in (-1e-5, 1e-5)
    ]
    assert found[1] - found[0] == pytest.approx(ends[1][0] - ends[0][0], rel=1e-4)


def test_a_worker_calls_model_and_loss_in_the_same_way():
    model, data, given, _ = make("of outputs")
    objective = Objective(model, data, loss=given, metrics=[])
    sent = pickle.loads(pickle.dumps(objective))
    theta = objective.anchor * 1.1
    assert sent.loss(theta) == objective.loss(theta)


def test_an_ordinary_model_is_called_without_recording_anything():
    seen = []

    class Watching(nn.Linear):
        def forward(self, x):
            seen.append(torch.is_grad_enabled())
            return super().forward(x)

    x, y = torch.randn(20, 3), torch.randn(20, 2)
    objective = Objective(Watching(3, 2), (x, y), metrics=[], strategy="inplace")
    seen.clear()
    objective.evaluate(DenseBasis(torch.ones(1, objective.size)), np.linspace(0, 1, 5)[:, None])
    assert seen == [False] * len(seen)


class LooksAtGradients(nn.Module):
    """Computes something else while gradients are recorded."""

    def __init__(self, how: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.how = nn.Linear(3, 2), how

    def forward(self, x: Tensor) -> Tensor:
        out = self.inner(x)
        recorded = torch.is_grad_enabled() if self.how == "enabled" else out.requires_grad
        return out if recorded else 2 * out


@pytest.mark.parametrize("how", ["enabled", "requires"])
def test_losses_are_those_of_a_loop_without_gradients_and_it_is_said(how):
    x, y = torch.randn(20, 3), torch.randn(20, 2)
    model = LooksAtGradients(how)
    objective = Objective(model, (x, y), metrics=[])
    with torch.no_grad():
        expected = float(nn.functional.mse_loss(model(x), y))
    assert objective.anchor_loss == pytest.approx(expected, rel=1e-5)
    assert any("gradients are recorded" in said for said in objective.assumptions)
    assert not any(
        "gradients are recorded" in said
        for said in Objective(nn.Linear(3, 2), (x, y), metrics=[]).assumptions
    )
