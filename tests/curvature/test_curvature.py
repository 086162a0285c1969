"""Everything of one sample's Hessian, against the dense one of the user's own loop in float64."""

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import nn

from landscape_widgets import Landscape
from landscape_widgets.progress import Cancelled
from landscape_widgets.samplers import Interpolation, Rays, Subspace
from tests.models import ConvNet, OnceDifferentiable, digits, mlp, train

F = nn.functional


def loss_of(model: nn.Module, names, data):
    """The mean loss as a function of a vector in float64, and the model's own weights as one."""
    model = model.double().eval()
    tensors = dict(model.named_parameters())
    shapes = [tensors[name].shape for name in names]

    def loss_at(vector):
        parts = torch.split(vector, [shape.numel() for shape in shapes])
        named = {n: p.view(s) for n, p, s in zip(names, parts, shapes, strict=True)}
        return F.cross_entropy(
            torch.func.functional_call(model, named, (data[0].double(),)), data[1]
        )

    return loss_at, torch.cat([tensors[name].detach().reshape(-1) for name in names])


def dense_at(model: nn.Module, names, data) -> torch.Tensor:
    return torch.autograd.functional.hessian(*loss_of(model, names, data))


def largest(model: nn.Module, names, data) -> float:
    """The Hessian's largest eigenvalue, by ARPACK."""
    loss_at, at = loss_of(model, names, data)

    def product(v):
        return torch.autograd.functional.vhp(loss_at, at, torch.as_tensor(v).view(-1))[1].numpy()

    operator = LinearOperator((len(at), len(at)), matvec=product, dtype=np.float64)
    return float(eigsh(operator, k=1, which="LA", tol=1e-6)[0][0])


@pytest.mark.parametrize("width", [3, 20])
def test_eigenvalues_trace_and_density_are_those_of_the_dense_hessian(width):
    torch.manual_seed(0)
    data = digits(150)[0][:, ::4].contiguous(), digits(150)[1]
    model = nn.Sequential(nn.Linear(16, width), nn.Tanh(), nn.Linear(width, 10))
    train(model, data, 60)
    land = Landscape(model, data, metrics=[]).sample(Rays(2))
    for i in (0, 5):
        found = land.curvature(i)
        matrix = dense_at(land.model_at(i), land.objective.layout.names, data)
        expected = np.linalg.eigvalsh(matrix)
        values = found.eigenpairs.values
        np.testing.assert_allclose(values[:5], expected[-5:][::-1], rtol=1e-4)
        np.testing.assert_allclose(values[5:], expected[1::-1], rtol=0.02, atol=1e-5)
        assert found.sharpness == values[0]
        off = abs(found.trace.value - float(matrix.trace()))
        assert off <= 5 * found.trace.error + 1e-5 * abs(float(matrix.trace()))
        assert (found.trace.error == 0) == (land.objective.size <= 256)
        low = float(values[4] + expected[-6]) / 2
        above, error = found.density.counts(np.array([low, 1e6]))
        assert above[0] == pytest.approx(5.0, abs=4 * error[0] + 1e-6)
        assert found.loss == pytest.approx(land.losses[i], rel=1e-4)
        frame = found.to_frame()
        assert list(frame["quantity"][:5]) == [f"eigenvalue {n}" for n in (1, 2, 3, 4, 5)]
        assert frame["quantity"][6] == f"eigenvalue {land.objective.size}"
        assert (frame["quantity"] == "trace").sum() == 3
        assert "top eigenvalue" in repr(found)
        assert ("θ*" in repr(found)) == (i == 0)


def test_models_of_one_and_of_two_parameters_have_all_of_it():
    class Product(nn.Module):
        def __init__(self, *values: float) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.tensor(values))

        def forward(self, x):
            return x * self.w.prod()

    x = torch.ones(4, 1)
    # ½(1 − w₁w₂)² on its valley: eigenvalues 0 and w₁² + w₂²; here with mean squares, twice that.
    found = Landscape(Product(2.0, 0.5), (x, x), metrics=[]).curvature()
    np.testing.assert_allclose(found.eigenpairs.values, [2 * 4.25, 0.0], atol=1e-6)
    assert found.trace.value == pytest.approx(8.5)
    assert found.trace.layers == ("w",)
    one = Landscape(Product(2.0), (x, x), metrics=[]).curvature()
    np.testing.assert_allclose(one.eigenpairs.values, [2.0], rtol=1e-6)
    assert one.trace.value == pytest.approx(2.0)
    np.testing.assert_allclose(one.density.places[0], [2.0], rtol=1e-6)


def test_a_parameter_that_the_loss_never_reaches_is_flat():
    class Spare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.spare = nn.Linear(3, 2), nn.Linear(3, 200)

        def forward(self, x):
            return self.used(x)

    torch.manual_seed(0)
    data = torch.randn(20, 3), torch.randint(0, 2, (20,))
    found = Landscape(Spare(), data, metrics=[]).curvature()
    assert found.parameters == 808
    assert found.trace.layers == ("used", "spare")
    assert found.trace.of_layers[1] == pytest.approx(0.0, abs=1e-6)
    assert found.eigenpairs.values[-1] == pytest.approx(0.0, abs=1e-6)


def test_a_checkpoint_with_its_own_batch_statistics_is_curved_as_they_say():
    data = digits(60)
    one, other = (train(ConvNet(seed), data, 20) for seed in (0, 1))
    with torch.no_grad():
        other.norm.running_var *= 3.0
    land = Landscape(one, data, metrics=[]).sample(Interpolation([other], points=4, align=False))
    names = land.objective.layout.names
    (index,) = np.flatnonzero(land.cloud.table["kind"] == "model")[:1]
    for i, model in ((int(index), other), (0, one)):
        found = land.sharpness([i])
        expected = largest(model, names, data)
        np.testing.assert_allclose(found.values, [expected], rtol=1e-3)
        assert abs(found.values[0] - expected) <= found.errors[0]


def test_where_the_loss_is_not_finite_there_is_no_curvature():
    land = Landscape(mlp(4), digits(40), metrics=[]).sample(Subspace(k=2, n=4))
    land.cloud.coefficients[3] = np.nan
    with pytest.raises(ValueError, match="loss at sample 3 is nan"):
        land.curvature(3)
    with pytest.raises(ValueError, match="at least 1 largest"):
        land.curvature(top=0)
    with pytest.raises(IndexError, match="Sample 99"):
        land.curvature(99)


def test_it_needs_no_samples_tells_more_and_more_and_keeps_what_it_has_when_it_is_stopped():
    land = Landscape(mlp(8), digits(60), metrics=[])
    parts, phases = [], []

    def cancelled():
        return bool(parts) and parts[-1].trace is not None

    found = land.curvature(
        progress=lambda at: phases.append(at.phase), cancelled=cancelled, on_part=parts.append
    )
    assert parts[0].trace is None
    assert parts[-1] is found
    assert found.trace is not None
    assert found.density is None
    assert set(phases) == {"eigenvalues", "trace"}
    with pytest.raises(Cancelled):
        land.curvature(cancelled=lambda: True)


def test_a_loss_without_a_second_derivative_says_so_and_has_a_critical_sharpness():
    torch.manual_seed(0)
    land = Landscape(OnceDifferentiable(), (torch.randn(20, 3), torch.ones(20, 1)), metrics=[])
    with pytest.raises(ValueError, match="second derivative"):
        land.curvature()
    assert land.critical_sharpness().value > 0
