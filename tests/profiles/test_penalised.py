"""Penalised losses against a plain loop that adds the norms of each model's own parameters."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from landscape_widgets import Landscape
from landscape_widgets.geometry import norms
from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.geometry.norms import Norms
from landscape_widgets.geometry.seeded import SeededBasis
from landscape_widgets.objective.objective import Objective
from landscape_widgets.profiles.penalised import lowest_along, lowest_over
from landscape_widgets.progress import Cancelled
from landscape_widgets.samplers import Rays, Subspace
from tests.models import digits, mlp, train
from tests.samplers.test_every_sampler import SAMPLERS

pytestmark = pytest.mark.filterwarnings("ignore::landscape_widgets.curvature.chains.ChainWarning")
DATA = digits(80)
VAL = tuple(part[80:] for part in digits(120))
STRENGTHS = {"l1": 3e-3, "l2": 2e-2}
MORE = {
    "seeded": lambda _: Rays(4, 10, basis="seeded"),
    "combined": lambda _: Subspace(n=20) + Rays(2, 5),
}


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    layers = {"first": nn.Linear(64, 8), "norm": nn.BatchNorm1d(8), "bend": nn.ReLU()}
    return train(nn.Sequential(OrderedDict(layers | {"head": nn.Linear(8, 10)})), DATA, 40)


@pytest.fixture
def land(model) -> Landscape:
    return Landscape(model, DATA, val_data=VAL)


def by_hand(model: nn.Module, counts=lambda name: name in ("first.weight", "head.weight")) -> float:
    """What a plain loop over a model's parameters adds up to, with its own loss."""
    penalty = 0.0
    for name, parameter in model.named_parameters():
        if counts(name):
            penalty += STRENGTHS["l1"] * parameter.abs().sum().item()
            penalty += STRENGTHS["l2"] * parameter.square().sum().item()
    with torch.no_grad():
        return nn.functional.cross_entropy(model(DATA[0]), DATA[1]).item() + penalty


def at(land: Landscape, vector: torch.Tensor) -> nn.Module:
    return land.objective.model_at(vector.to(land.objective.anchor)).eval()


@pytest.mark.parametrize("name", [*SAMPLERS, *MORE])
def test_samples_and_slices_of_every_sampler_have_the_loss_of_a_plain_penalised_loop(name, land):
    land.sample({**SAMPLERS, **MORE}[name](land.objective))
    found = land.penalised(**STRENGTHS)
    rows = np.unique(np.linspace(0, len(land.cloud) - 1, 6).astype(int))
    expected = [by_hand(land.model_at(int(i)).eval()) for i in rows]
    np.testing.assert_allclose(found.losses[rows], expected, rtol=2e-5)

    chosen, alphas = rows[[1, -1]], np.array([-0.5, 0.0, 0.3, 1.0])
    along = found.along(land.slice(chosen, alphas))
    for i, losses in zip(chosen, along.losses, strict=True):
        for alpha, loss in zip(alphas, losses, strict=True):
            theta = land.objective.anchor + alpha * land.cloud.displacement(int(i))
            buffers = land.cloud.basis.buffers
            moved = {} if buffers is None else buffers.at(alpha * land.cloud.coefficients[i])
            other = land.objective.model_at(theta, moved).eval()
            assert loss == pytest.approx(by_hand(other), rel=2e-5)
    assert along.losses[0, 1] == pytest.approx(found.losses[0], rel=1e-6)


def test_no_loss_is_evaluated_and_norms_are_taken_once_for_all_strengths(land, monkeypatch):
    land.sample(Subspace(n=30))
    slices, plane = land.slice([1, 2]), land.plane(1, 2)

    def refuse(*_, **__):
        raise AssertionError("the model was evaluated")

    for method in ("evaluate", "loss", "gradient"):
        monkeypatch.setattr(Objective, method, refuse)
    first = land.penalised(l2=0.1)
    assert land.penalised(l1=0.1).weighed is first.weighed
    first.along(slices)
    first.over(plane)
    assert land.penalised(l2=0.1, tensors="all").weighed is not first.weighed


def test_the_validation_loss_and_metrics_have_no_penalty(land):
    land.sample(Subspace(n=10))
    sliced = land.slice([1], metrics=True)
    along = land.penalised(**STRENGTHS).along(sliced)
    for name in ("val_loss", "val_accuracy"):
        np.testing.assert_array_equal(along.values[name], sliced.values[name])
    np.testing.assert_array_equal(along.values["unpenalised_loss"], sliced.losses)
    assert (along.losses > sliced.losses).all()


def test_a_plane_has_the_penalty_of_a_plain_loop_at_every_point(land):
    land.sample(Subspace(n=10))
    plane = land.plane(2, 5, resolution=9)
    over = land.penalised(**STRENGTHS).over(plane)
    for i, j in ((0, 0), (2, 7), (8, 3)):
        a, b = plane.axes[0][i], plane.axes[1][j]
        theta = land.objective.anchor + a * land.cloud.displacement(2)
        expected = by_hand(at(land, theta + b * land.cloud.displacement(5)))
        assert over.losses[i, j] == pytest.approx(expected, rel=2e-5)
    a, b = over.points[7]
    theta = land.objective.anchor + a * land.cloud.displacement(2) + b * land.cloud.displacement(5)
    assert over.point_values["loss"][7] == pytest.approx(by_hand(at(land, theta)), rel=2e-5)


def test_planes_of_other_directions_and_ways_have_the_penalty_too(land):
    land.sample(Subspace(n=30))
    plane = land.plane(directions="random", resolution=7)
    over = land.penalised(**STRENGTHS).over(plane)
    first, second = (plane.directions.row(j) for j in (0, 1))
    theta = land.objective.anchor + plane.axes[0][1] * first + plane.axes[1][5] * second
    assert over.losses[1, 5] == pytest.approx(by_hand(at(land, theta)), rel=2e-5)
    easiest = land.way(3).easiest
    along = land.penalised(**STRENGTHS).along(easiest)
    theta = land.objective.anchor + land.cloud.basis.combine(easiest.coefficients[2])
    assert along.losses[2] == pytest.approx(by_hand(at(land, theta)), rel=2e-5)
    assert along.height == along.losses.max()


def test_which_tensors_count_is_chosen_and_said(land):
    land.sample(Subspace(n=10))
    everything = land.penalised(**STRENGTHS, tensors="all")
    assert everything.losses[3] == pytest.approx(
        by_hand(land.model_at(3).eval(), lambda _: True), rel=2e-5
    )
    head = land.penalised(**STRENGTHS, tensors="head.*")
    assert head.losses[3] == pytest.approx(
        by_hand(land.model_at(3).eval(), lambda name: name.startswith("head")), rel=2e-5
    )
    assert "first.weight, head.weight (592 parameters), without first.bias" in repr(
        land.penalised(l1=0.1)
    )
    frame = everything.to_frame()
    assert list(frame.columns) == ["loss", "unpenalised_loss", "l1", "l2"]
    assert everything.lowest == frame["loss"].idxmin()


def test_weight_decay_is_said_kept_in_files_and_taken_where_no_strength_is_given(model, tmp_path):
    land = Landscape(model, DATA, weight_decay=0.04).sample(Subspace(n=6))
    assert any("weight_decay=0.04" in said and "0.02·‖θ‖₂²" in said for said in land.assumptions)
    taken = land.penalised()
    assert (taken.l1, taken.l2, taken.counted.left_out) == (0.0, 0.02, ())
    norm = sum(p.square().sum().item() for p in model.parameters())
    assert taken.losses[0] == pytest.approx(land.losses[0] + 0.02 * norm, rel=1e-5)
    land.save(tmp_path / "land.safetensors")
    assert Landscape.load(tmp_path / "land.safetensors", model, DATA).weight_decay == 0.04


def test_strengths_that_make_no_sense_are_refused(model, land):
    with pytest.raises(RuntimeError, match="no samples yet"):
        land.penalised(l2=1)
    land.sample(Subspace(n=6))
    with pytest.raises(ValueError, match=r"weight_decay= where the landscape is made"):
        land.penalised()
    for wrong in ({"l1": -1e-3}, {"l2": float("nan")}, {"l2": float("inf")}):
        with pytest.raises(ValueError, match="0 or more is expected"):
            land.penalised(**wrong)
    with pytest.raises(ValueError, match="weight_decay=-1"):
        Landscape(model, DATA, weight_decay=-1)
    with pytest.raises(Cancelled):
        land.penalised(l1=0.1, cancelled=lambda: True)


def dense_norms(anchor, vectors, rows, place):
    thetas = (anchor.double() + torch.tensor(rows) @ vectors.double())[:, place]
    return thetas.abs().sum(dim=1).numpy(), thetas.square().sum(dim=1).numpy()


@pytest.mark.parametrize("k", [1, 5, 40, 300])
def test_norms_agree_with_the_vectors_themselves_whether_dense_or_each_on_its_own(k, monkeypatch):
    monkeypatch.setattr(norms, "PIECE", 64)
    generator = torch.Generator().manual_seed(0)
    anchor, vectors = (
        torch.randn(700, generator=generator),
        torch.randn(k, 700, generator=generator),
    )
    place, rng = slice(100, 613), np.random.default_rng(0)
    for rows in (rng.normal(size=(50, k)), np.eye(k), np.zeros((2, k))):
        found = Norms(anchor, DenseBasis(vectors), [place])
        l1, l2 = dense_norms(anchor, vectors, rows, place)
        np.testing.assert_allclose(found.l1(rows), l1, rtol=2e-6)
        np.testing.assert_allclose(found.l2(rows), l2, rtol=2e-6)


def test_directions_drawn_from_seeds_have_the_norms_of_those_that_are_held():
    objective = Objective(train(mlp(), DATA, 20), DATA)
    basis = SeededBasis(3, 0, objective.anchor, objective.layout)
    rows, places = np.random.default_rng(0).normal(size=(9, 3)), [slice(0, 1024), slice(1040, 1200)]
    seeded, held = (Norms(objective.anchor, one, places) for one in (basis, basis.dense()))
    for rows_ in (rows, rows[:2] * [1, 0, 0]):
        np.testing.assert_allclose(seeded.l1(rows_), held.l1(rows_), rtol=1e-6)
        np.testing.assert_allclose(seeded.l2(rows_), held.l2(rows_), rtol=1e-6)


@pytest.mark.parametrize("most", [0, 256])
def test_a_direction_that_is_not_finite_spoils_only_what_moves_along_it(most, monkeypatch):
    monkeypatch.setattr(norms, "MOST_QUADRATIC", most)
    vectors = torch.ones(2, 6)
    vectors[1, 4] = torch.inf
    rows = np.array([[1.0, 0.0], [1.0, 0.5], [0.0, 0.0]])
    found = Norms(torch.ones(6), DenseBasis(vectors), [slice(0, 6)])
    np.testing.assert_array_equal(found.l1(rows), [12, np.nan, 6])
    np.testing.assert_array_equal(found.l2(rows), [24, np.nan, 6])


def test_the_minimum_of_a_penalised_slice_is_where_algebra_has_it():
    # ½ (α − 1)² and λ (2 + α)², from θ = 2 + α: the derivative is zero at (1 − 4 λ)/(1 + 2 λ).
    alphas, strength = np.linspace(-0.5, 1.5, 41), 0.13
    losses = 0.5 * (alphas - 1) ** 2 + strength * (2 + alphas) ** 2
    at, low = lowest_along(alphas, np.stack([losses, np.full(41, np.nan), -alphas]))
    expected = (1 - 4 * strength) / (1 + 2 * strength)
    assert at[0] == pytest.approx(expected)
    assert low[0] == pytest.approx(0.5 * (expected - 1) ** 2 + strength * (2 + expected) ** 2)
    assert np.isnan([at[1], low[1]]).all()
    assert (at[2], low[2]) == (1.5, -1.5)  # at the end nothing is beyond it
    b = np.linspace(-1, 1, 21)
    a, found, _ = lowest_over((alphas, b), losses[:, None] + (b - 0.37)[None] ** 2)
    assert (a, found) == (pytest.approx(expected), pytest.approx(0.37))
