import pickle

import numpy as np
import pytest
import torch
from torch import nn

from landscape_widgets.geometry.basis import ConcatenatedBasis, DenseBasis
from landscape_widgets.geometry.seeded import PIECE, SeededBasis
from landscape_widgets.objective.objective import Objective
from landscape_widgets.samplers import Grid, Rays, Subspace
from landscape_widgets.samplers.calibration import filters_length
from landscape_widgets.task.parameters import ParameterLayout
from tests.evaluation.networks import make
from tests.models import ConvNet, digits, train


class Net(nn.Module):
    """A tensor of several pieces, one whose filters are longer than a piece, and small ones."""

    def __init__(self) -> None:
        super().__init__()
        self.many, self.norm = nn.Linear(300, 500), nn.LayerNorm(500)
        self.long = nn.Linear(PIECE + 100, 2, bias=False)
        self.last = nn.Conv2d(3, 4, 3)


@pytest.fixture(scope="module")
def net() -> tuple[nn.Module, torch.Tensor, ParameterLayout]:
    torch.manual_seed(0)
    model = Net()
    layout = ParameterLayout.of(model)
    return model, layout.flatten(dict(model.named_parameters())), layout


def stacked(basis: SeededBasis) -> np.ndarray:
    """The directions, one by one, in float64."""
    return np.stack([basis.row(j).double().numpy() for j in range(basis.k)])


def test_every_filter_has_the_norm_of_the_trained_weights_own(net):
    model, anchor, layout = net
    named = layout.unflatten(SeededBasis(2, 7, anchor, layout).row(1))
    for name, parameter in model.named_parameters():
        for ours, theirs in zip(named[name], parameter.detach(), strict=True):
            wanted = np.linalg.norm(theirs.numpy()) if parameter.ndim > 1 else 0.0
            assert np.linalg.norm(ours.numpy()) == pytest.approx(wanted, rel=1e-5)


def test_a_model_of_vectors_alone_has_each_scaled_as_one_filter():
    model = nn.LayerNorm(50)
    layout = ParameterLayout.of(model)
    anchor = torch.randn(100, generator=torch.Generator().manual_seed(0))
    moved = SeededBasis(1, 0, anchor, layout).row(0)
    for place in (slice(0, 50), slice(50, 100)):
        assert float(moved[place].norm()) == pytest.approx(float(anchor[place].norm()), rel=1e-5)


def test_plain_directions_are_standard_normal(net):
    _, anchor, layout = net
    values = SeededBasis(1, 3, anchor, layout, filter_normalised=False).row(0).numpy()
    # P = 282,000: five standard errors of mean, variance and fourth moment.
    few = 5 / np.sqrt(len(values))
    assert abs(values.mean()) < few
    assert abs(values.var() - 1) < few * np.sqrt(2)
    assert abs((values**4).mean() - 3) < few * np.sqrt(96)


def test_directions_tensors_and_seeds_are_independent_of_each_other(net):
    _, anchor, layout = net
    first, other = (SeededBasis(3, seed, anchor, layout, False) for seed in (0, 1))
    rows = np.vstack([stacked(first), stacked(other)])
    assert np.abs(np.corrcoef(rows) - np.eye(6)).max() < 5 / np.sqrt(rows.shape[1])
    halves = [place for name, place, _ in layout.slices() if name in ("norm.weight", "norm.bias")]
    a, b = (rows[0, place] for place in halves)
    assert abs(np.corrcoef(a, b)[0, 1]) < 5 / np.sqrt(500)


@pytest.mark.parametrize("filter_normalised", [True, False])
def test_all_ways_of_asking_agree_with_the_directions_one_by_one(net, filter_normalised):
    _, anchor, layout = net
    basis = SeededBasis(4, 5, anchor, layout, filter_normalised).scaled([1.0, -0.5, 2.0, 0.1])
    rows = stacked(basis)
    np.testing.assert_allclose(basis.gram(), rows @ rows.T, rtol=1e-9, atol=1e-9)
    weights = torch.rand(layout.size, generator=torch.Generator().manual_seed(1))
    weighted = rows * weights.double().numpy() @ rows.T
    np.testing.assert_allclose(basis.gram(weights), weighted, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(basis.dense().vectors.double().numpy(), rows)
    c = np.random.default_rng(0).normal(size=(3, 4))
    for found, row in zip(basis.displacements(c), c, strict=True):
        np.testing.assert_allclose(found.numpy(), row @ rows, rtol=1e-4, atol=1e-6)
        assert torch.equal(found, basis.combine(row))
    places = [slice(0, 10), slice(150_000, 151_600), slice(99_999, layout.size), slice(7, 7)]
    for place in [*places, slice(150_200, 160_000), slice(150_200, 150_300)]:  # among biases
        np.testing.assert_array_equal(basis.columns(place).double().numpy(), rows[:, place])
        np.testing.assert_array_equal(
            basis.columns(place, [3, 1]).double().numpy(), rows[[3, 1], place]
        )


def test_a_row_made_with_others_is_rounded_as_if_it_were_made_alone(net):
    _, anchor, layout = net
    basis = SeededBasis(3, 0, anchor, layout)
    rows = np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0], [0.0, -1.0, np.inf], [0.3, 0.0, 0.0]])
    for number, found in enumerate(basis.displacements(rows)):
        assert torch.equal(found.nan_to_num(), basis.combine(rows[number]).nan_to_num())
    assert not basis.combine(rows[1]).any()


def test_the_same_rows_asked_for_again_after_others_are_the_same(net):
    _, anchor, layout = net
    basis = SeededBasis(2, 0, anchor, layout)
    first, second = np.ones((1, 2)), np.full((1, 2), 2.0)
    once = next(basis.displacements(first)).clone()
    doubled = next(basis.displacements(second)).clone()
    assert torch.equal(next(basis.displacements(first)), once)
    torch.testing.assert_close(doubled, 2 * once)


def test_double_models_have_the_directions_of_single_ones(net):
    _, anchor, layout = net
    single, double = (SeededBasis(1, 0, a, layout).row(0) for a in (anchor, anchor.double()))
    assert double.dtype == torch.float64
    torch.testing.assert_close(double, single.double(), rtol=1e-5, atol=1e-7)


def test_a_pickled_basis_is_small_and_draws_the_same(net):
    _, anchor, layout = net
    basis = SeededBasis(50, 0, anchor, layout)
    next(basis.displacements(np.ones((1, 50))))
    packed = pickle.dumps(basis)
    assert len(packed) < 0.1 * anchor.nbytes
    assert torch.equal(pickle.loads(packed).row(49), basis.row(49))


def test_scales_that_do_not_fit_are_refused(net):
    _, anchor, layout = net
    with pytest.raises(ValueError, match=r"scales has shape \(2,\).*3 directions"):
        SeededBasis(3, 0, anchor, layout, scales=[1.0, 2.0])


def test_concatenated_with_others_it_is_the_one_behind_the_other(net):
    _, anchor, layout = net
    seeded = SeededBasis(2, 0, anchor, layout)
    dense = DenseBasis(torch.randn(3, layout.size, generator=torch.Generator().manual_seed(0)))
    both = ConcatenatedBasis([seeded, dense])
    rows = np.vstack([stacked(seeded), dense.vectors.double().numpy()])
    np.testing.assert_allclose(both.gram(), rows @ rows.T, rtol=1e-6, atol=1e-6)
    place = slice(1000, 1100)
    np.testing.assert_array_equal(both.columns(place, [4, 0]).double().numpy(), rows[[4, 0], place])
    assert both.columns(place, []).shape == (0, 100)
    for c in ([1.0, 2.0, 0.0, 0.0, 3.0], [0.0, 0.0, 1.0, 0.0, 0.0], [0.0] * 5):
        np.testing.assert_allclose(
            both.combine(c).numpy(), np.array(c) @ rows, rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize(
    "make_sampler",
    [
        lambda basis: Subspace(k=4, n=20, radius=0.7, basis=basis),
        lambda basis: Subspace(k=2, n=9, filter_normalised=False, basis=basis),
        lambda basis: Rays(rays=3, points=4, basis=basis),
        lambda basis: Grid(points=4, basis=basis),
    ],
)
def test_samplers_draw_the_same_cloud_from_seeds_as_from_memory(make_sampler):
    data = digits(100)
    objective = Objective(train(ConvNet(), data, 30), data)
    seeded, dense = (make_sampler(b).draw(objective, seed=2) for b in ("seeded", "dense"))
    assert isinstance(seeded.basis, SeededBasis)
    assert isinstance(dense.basis, DenseBasis)
    np.testing.assert_allclose(seeded.coefficients, dense.coefficients, rtol=1e-9, atol=1e-15)
    length = filters_length(objective)
    np.testing.assert_allclose(np.diag(seeded.gram()), length**2, rtol=1e-5)
    np.testing.assert_allclose(seeded.distances(), dense.distances(), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(
        seeded.isometric(standardise=True) @ seeded.isometric(standardise=True).T,
        dense.isometric(standardise=True) @ dense.isometric(standardise=True).T,
        rtol=1e-4,
        atol=1e-6,
    )
    for i in (0, 1, len(seeded) - 1):
        torch.testing.assert_close(seeded.vector(i), dense.vector(i), rtol=1e-5, atol=1e-7)


def test_directions_are_seeded_by_themselves_only_where_they_are_large(monkeypatch):
    data = digits(50)
    objective = Objective(ConvNet(), data)
    sampler = Subspace(k=3, n=5, radius=1.0)
    assert isinstance(sampler.draw(objective, seed=0).basis, DenseBasis)
    limit = 3 * objective.anchor.nbytes - 1
    monkeypatch.setattr("landscape_widgets.samplers.random_directions.LARGE", limit)
    assert isinstance(sampler.draw(objective, seed=0).basis, SeededBasis)


def test_weights_that_are_zero_in_every_filter_are_moved_all_the_same():
    model = nn.Linear(4, 2)
    nn.init.zeros_(model.weight)
    objective = Objective(model, (torch.randn(9, 4), torch.randn(9, 2)))
    cloud = Subspace(k=2, n=5, radius=1.0, basis="seeded").draw(objective, seed=0)
    assert np.isfinite(cloud.coefficients).all()
    assert (cloud.table["radius"][1:] > 0).all()


def test_directions_that_do_not_fit_into_memory_are_refused_and_may_be_seeded(monkeypatch):
    objective = Objective(ConvNet(), digits(50))
    room = "landscape_widgets.samplers.vector_storage.free_memory"
    monkeypatch.setattr(room, lambda device: 2 * objective.anchor.nbytes)
    with pytest.raises(ValueError, match=r'Subspace would hold 3 vectors of 2,\d+ .*"seeded"'):
        Subspace(k=3, basis="dense").draw(objective, seed=0)
    Subspace(k=3, n=4, radius=1.0, basis="seeded").draw(objective, seed=0)


def test_another_word_for_a_basis_is_refused():
    with pytest.raises(ValueError, match="Did you mean 'seeded'"):
        Subspace(basis="seedd")


def test_coefficients_that_are_no_numbers_spoil_only_their_own_rows():
    case = make("relu mlp")
    objective = Objective(case.model, (case.inputs, case.targets))
    basis = SeededBasis(2, 0, objective.anchor, objective.layout)
    rows = np.array([[np.nan, 0.0], [0.0, 1.0], [1.0, np.inf]] * 20)
    found = objective.evaluate(basis, rows).losses
    assert np.isnan(found[0::3]).all()
    expected = objective.evaluate(basis.dense(), rows).losses
    np.testing.assert_allclose(found[1::3], expected[1::3], rtol=2e-5)
    assert not np.isfinite(found[2::3]).any()
