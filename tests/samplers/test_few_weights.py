"""Models of one, two or three weights: the whole of weight space is shown."""

import numpy as np
import pytest
import torch
from torch import nn

from landscape_widgets import Landscape, samplers
from landscape_widgets.reducers import PCA

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(40, 1, generator=GENERATOR)
Y = 2 * X + 1 + 0.1 * torch.randn(40, 1, generator=GENERATOR)


class Scalar(nn.Module):
    """y = a, or y = ax."""

    def __init__(self, a: float, slope: bool) -> None:
        super().__init__()
        self.a, self.slope = nn.Parameter(torch.tensor(a)), slope

    def forward(self, x):
        return self.a * x if self.slope else self.a + 0 * x


def line(a: float = 1.5, b: float = 0.2) -> nn.Linear:
    model = nn.Linear(1, 1)
    with torch.no_grad():
        model.weight.fill_(a)
        model.bias.fill_(b)
    return model


MODELS = {
    "y = a": lambda: Scalar(0.5, False),
    "y = ax": lambda: Scalar(1.0, True),
    "y = 0x": lambda: Scalar(0.0, True),
    "y = ax + b": line,
    "y = 0x + 0": lambda: line(0.0, 0.0),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_default_shows_the_least_squares_of_a_lecture(name):
    model = MODELS[name]()
    land = Landscape(model, (X, Y)).sample(samplers.Minima(n=100)).embed()
    size = land.objective.size
    assert np.isfinite(land.coordinates).all()
    assert isinstance(land.reducer, PCA)
    assert land.faithfulness().scores.exact
    assert any(f"{size} trainable number" in said for said in land.assumptions)
    # Every loss is that of the weights themselves.
    for index in (1, len(land.losses) // 2, len(land.losses) - 1):
        predicted = land.model_at(index)(X).detach()
        assert float((predicted - Y).square().mean()) == pytest.approx(land.losses[index], rel=1e-4)
    frame = land.to_frame()
    assert set(frame["kind"][1:]) <= {"minimum", "sample"}
    if size == 2:
        weights = np.stack([land.cloud.vector(i).numpy() for i in frame.index])
        best = np.polyfit(X[:, 0].numpy(), Y[:, 0].numpy(), 1)
        found = weights[(frame["kind"] == "minimum").to_numpy()]
        np.testing.assert_allclose(found, [best], atol=1e-2)
        assert land.losses.argmin() == frame.index[frame["kind"] == "minimum"][0]
        # A grid in the weights.
        grid = weights[(frame["kind"] == "sample").to_numpy()]
        assert [len(np.unique(grid[:, j].round(4))) for j in (0, 1)] == [10, 10]


@pytest.mark.parametrize("name", samplers.BY_NAME)
@pytest.mark.parametrize("size", [1, 2])
def test_every_sampler_by_name_serves_a_model_of_one_or_two_weights(name, size):
    if name == "langevin":
        pytest.skip("its chains, and their warnings, are tested in test_chains_and_grids")
    model = Scalar(1.0, True) if size == 1 else line()
    sampler = samplers.Rays(rays=size, points=10) if name == "rays" else samplers.resolve(name)
    cloud = sampler.draw(Landscape(model, (X, Y)).objective, seed=0)
    assert len(cloud) > 10
    assert np.isfinite(cloud.coefficients).all()


def test_three_weights_fill_a_box():
    torch.manual_seed(0)
    x = torch.randn(50, 2)
    model = nn.Linear(2, 1)
    land = Landscape(model, (x, x @ torch.tensor([[1.0], [-2.0]]) + 0.5))
    land.sample(samplers.Minima(n=200)).embed()
    inner = land.cloud.coefficients[land.cloud.table["kind"] == "sample"]
    assert inner.shape == (200, 3)
    assert np.linalg.matrix_rank(inner - inner.mean(axis=0)) == 3
    best = land.cloud.vector(int(land.losses.argmin()))
    torch.testing.assert_close(best, torch.tensor([1.0, -2.0, 0.5]), atol=1e-2, rtol=0)


def test_a_plane_of_two_weights_may_be_a_grid_of_any_size():
    cloud = samplers.Grid(points=7, radius=1.0).draw(Landscape(line(), (X, Y)).objective, seed=0)
    np.testing.assert_allclose(np.unique(cloud.coefficients), np.linspace(-1, 1, 7), atol=1e-12)
    assert len(cloud) == 49


def test_a_loss_that_only_falls_has_a_landscape_and_a_constant_one_has_none():
    data = torch.zeros(4, 1), torch.zeros(4, 1)
    falling = Landscape(Scalar(0.5, False), data, loss=lambda z, t: -(z**2).mean())
    falling.sample(samplers.Minima(n=20, finish=5)).embed()
    assert np.ptp(falling.losses) > 0
    assert "minimum" not in set(falling.cloud.table["kind"])
    constant = Landscape(Scalar(0.5, False), data, loss=lambda z, t: z.sum() * 0 + 1)
    with pytest.raises(ValueError, match=r"nowhere higher.*depends on the trainable weights"):
        constant.sample()
