"""The spectral density against dense spectra and curvlinops."""

import numpy as np
import pytest
import torch
from curvlinops import lanczos_approximate_spectrum
from scipy.sparse.linalg import aslinearoperator
from torch import nn

from landscape_widgets.curvature.dense import dense
from landscape_widgets.curvature.density import exact_density, quadrature
from landscape_widgets.curvature.eigenpairs import hessian_eigenpairs
from landscape_widgets.objective.objective import Objective
from tests.models import digits, train


def network() -> tuple[nn.Module, tuple[torch.Tensor, torch.Tensor]]:
    torch.manual_seed(0)
    x, y = digits(200)
    data = x[:, ::4].contiguous(), y
    net = nn.Sequential(nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 10))
    return train(net, data, 100), data


class Known:
    """A matrix as curvlinops takes one."""

    def __init__(self, matrix: torch.Tensor) -> None:
        self.matrix = matrix
        self.device, self.dtype, self.shape = matrix.device, matrix.dtype, matrix.shape

    def __matmul__(self, other: torch.Tensor) -> torch.Tensor:
        return self.matrix @ other

    def to_scipy(self):
        return aslinearoperator(self.matrix.numpy())


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_counts_are_those_of_the_dense_hessian_as_far_as_their_errors_say():
    model, data = network()
    objective = Objective(model, data, metrics=[])
    product = objective.hessian(objective.anchor)
    truth = exact_density(dense(product, objective.anchor))
    found = quadrature(product, objective.anchor, generator=generator(), starts=8, steps=60)
    edges = np.array([-1.0, -1e-2, 1e-2, 0.1, 0.5, 2.0, 100.0])
    expected, zeros = truth.counts(edges)
    counts, errors = found.counts(edges)
    assert truth.is_exact
    assert expected.sum() == objective.size
    assert not zeros.any()
    assert counts.sum() == pytest.approx(objective.size)
    # Half an eigenvalue for what lies beside an edge.
    assert (np.abs(counts - expected) <= 4 * errors + 0.5).all()
    np.testing.assert_allclose(found.range, truth.range, rtol=1e-4, atol=1e-4)


def test_eigenvalues_that_are_known_count_as_what_they_are():
    model, data = network()
    objective = Objective(model, data, metrics=[])
    product = objective.hessian(objective.anchor)
    truth = exact_density(dense(product, objective.anchor))
    known = hessian_eigenpairs(objective, top=6, bottom=1)
    found = quadrature(product, objective.anchor, generator=generator(), known=known)
    low = (known.values[5] + truth.places[0][-7]) / 2
    above, error = found.counts(np.array([low, 1e3]))
    assert above[0] == pytest.approx(6.0, abs=1e-9)
    assert error[0] == pytest.approx(0.0, abs=1e-9)
    assert found.counts(np.array([-1e3, 1e3]))[0][0] == pytest.approx(objective.size)
    below, error = found.below(0.05)
    assert abs(below - (truth.places[0] < 0.05).sum()) <= 4 * error + 0.5


def test_moments_are_those_of_the_matrix():
    torch.manual_seed(1)  # others than the starts are drawn by
    a = torch.randn(400, 400, dtype=torch.float64)
    a = (a + a.T) / 40
    found = quadrature(lambda v: a @ v, a[0], generator=generator(), starts=20, steps=30)
    for power in (1, 2, 4):
        each = [(m * x**power).sum() for x, m in zip(found.places, found.masses, strict=True)]
        expected = float(torch.linalg.matrix_power(a, power).trace())
        assert abs(np.mean(each) - expected) < 4 * np.std(each, ddof=1) / np.sqrt(20)


def test_the_smoothed_spectrum_is_that_of_curvlinops():
    model, data = network()
    objective = Objective(model, data, metrics=[])
    matrix = dense(objective.hessian(objective.anchor), objective.anchor)
    found = quadrature(lambda v: matrix @ v, matrix[0], generator=generator(), starts=30)
    torch.manual_seed(0)
    grid, density = map(np.asarray, lanczos_approximate_spectrum(Known(matrix), 60, num_repeats=30))
    theirs = np.cumsum(density) * (grid[1] - grid[0])
    for value in (0.05, 0.3, 1.0):
        ours, error = found.below(value)
        at = np.interp(value, grid, theirs)
        assert abs(ours / objective.size - at) < 4 * error / objective.size + 0.03


def test_one_and_two_parameters_and_a_matrix_of_zeros():
    for values in ([2.0], [3.0, -1.0], [0.0, 0.0, 0.0]):
        matrix = torch.diag(torch.tensor(values))
        found = quadrature(lambda v, m=matrix: m @ v, matrix[0], generator=generator())
        exact = exact_density(matrix.double())
        assert found.range == pytest.approx((min(values), max(values)), abs=1e-5)
        np.testing.assert_allclose(exact.places[0], sorted(values))
        edges = found.edges()
        assert found.counts(edges)[0].sum() == pytest.approx(len(values))
        assert (np.diff(edges) > 0).all()
        assert "0" in repr(found)


def test_bins_hold_all_eigenvalues_and_one_of_them_is_around_zero():
    matrix = torch.diag(torch.linspace(-0.3, 7.1, 100, dtype=torch.float64))
    found = exact_density(matrix)
    frame = found.to_frame(20)
    assert frame["count"].sum() == 100
    (middle,) = frame.index[(frame["low"] < 0) & (frame["high"] > 0)]
    assert frame["low"][middle] == pytest.approx(-frame["high"][middle])
    np.testing.assert_allclose(np.diff(frame["low"]), frame["high"][0] - frame["low"][0])
    assert list(frame) == ["low", "high", "count", "error", "log10_count"]
    np.testing.assert_allclose(frame["log10_count"], np.log10(frame["count"]))


def test_the_starts_that_are_done_are_told_and_what_is_not_finite_is_refused():
    values = torch.linspace(0, 1, 50)
    seen = []
    quadrature(
        lambda v: values * v, values, generator=generator(), starts=3, steps=10,
        on_product=lambda done, total, found: seen.append((done, total, found)),
    )  # fmt: skip
    assert [done for done, _, _ in seen] == list(range(1, 31))
    assert seen[8][2] is None
    assert len(seen[9][2].places) == 1
    with pytest.raises(ValueError, match="not finite"):
        quadrature(lambda v: v * torch.nan, values, generator=generator())
