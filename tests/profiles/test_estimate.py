import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.geometry.cloud import Cloud
from landscape_widgets.landscape.landscape import Landscape
from landscape_widgets.objective.objective import Objective
from landscape_widgets.profiles.estimated import (
    Strata,
    StratifiedMeans,
    estimated_slice,
    strata_at_anchor,
)
from landscape_widgets.profiles.line import slice_along
from landscape_widgets.progress import Cancelled
from landscape_widgets.samplers import Minima
from landscape_widgets.task.losses import infer_loss
from landscape_widgets.task.parameters import random_directions
from tests.models import digits, mlp, train


def blobs(n: int):
    """Three classes that overlap, so that the losses of examples differ much."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(0, 3, (n,), generator=generator)
    inputs = torch.randn(n, 8, generator=generator)
    inputs[:, :3] += 2.0 * nn.functional.one_hot(targets, 3)
    return inputs, targets


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 3))


def around(objective, n=4):
    generator = torch.Generator().manual_seed(0)
    vectors = random_directions(n, objective.anchor, objective.layout, generator)
    coefficients = np.concatenate([np.zeros((1, n)), np.eye(n)])
    table = pd.DataFrame(
        {"sampler": "test", "kind": ["trained", *["sample"] * n], "path": -1, "step": 0}
    )
    return Cloud(objective.anchor, DenseBasis(vectors), coefficients, table)


@pytest.fixture(scope="module")
def model():
    return train(network(), blobs(4000), 60)


@pytest.fixture(scope="module")
def setting(model):
    objective = Objective(model, blobs(4000), metrics=[])
    return objective, around(objective)


def parts(rows):
    return iter([(0, np.asarray(rows, dtype=np.float64))])


def test_the_standard_error_is_that_of_all_possible_parts():
    from itertools import combinations, product

    values = np.array([1.0, 4.0, 2.0, 8.0, 30.0, 50.0, 40.0])
    labels = np.array([0, 0, 0, 0, 1, 1, 1])
    estimates, variances = [], []
    for left, right in product(combinations(range(4), 2), combinations(range(4, 7), 2)):
        picked = [*left, *right]
        means = StratifiedMeans(1, np.bincount(labels))
        means.add(parts(values[None, picked]), labels[picked])
        mean, error = means.finish()
        estimates.append(mean[0])
        variances.append(error[0] ** 2)
    # Over all parts, the estimate and its variance are unbiased (Cochran 1977, theorems 5.1, 5.5).
    assert np.mean(estimates) == pytest.approx(values.mean())
    assert np.mean(variances) == pytest.approx(np.var(estimates))


def test_examples_that_come_bit_by_bit_give_what_they_give_at_once():
    rng = np.random.default_rng(0)
    strata = Strata(rng.integers(0, 5, 200), seed=1)
    values = rng.lognormal(size=(3, 200))
    at_once, by_bits = (StratifiedMeans(3, strata.sizes) for _ in range(2))
    half = strata.counts(0.5)
    chosen = strata.between(np.zeros(5, dtype=np.int64), half)
    at_once.add(parts(values[:, chosen]), strata.labels[chosen])
    before = np.zeros(5, dtype=np.int64)
    for after in (strata.counts(0.1), np.array([half[0], *strata.counts(0.1)[1:]]), half):
        added = strata.between(before, after)
        by_bits.add(parts(values[:, added]), strata.labels[added])
        before = after
    np.testing.assert_allclose(by_bits.finish(), at_once.finish(), rtol=1e-12)


def test_of_two_parts_the_larger_holds_the_smaller():
    strata = Strata(np.arange(300) % 7)
    nothing = np.zeros(7, dtype=np.int64)
    small, large = (
        set(strata.between(nothing, strata.counts(share)).tolist()) for share in (0.1, 0.4)
    )
    assert small < large
    assert len(set(strata.between(nothing, strata.counts(1.0)).tolist())) == 300


@pytest.mark.parametrize(
    ("outputs", "targets"),
    [
        (torch.randn(2, 6, 4), torch.tensor([0, 3, -100, 1, 2, 2])),
        (torch.randn(2, 6, 4, 5), torch.randint(0, 4, (6, 5))),
        (torch.randn(2, 6, 5, 4), torch.randint(0, 4, (6, 5))),
        (torch.randn(2, 6, 1), torch.tensor([0, 1, 1, 0, 0, 1])),
        (torch.randn(2, 6, 3), torch.randn(6, 3)),
        (torch.randn(2, 6, 1), torch.randn(6)),
    ],
)
def test_the_losses_of_single_examples_add_up_to_that_of_all(outputs, targets):
    loss = infer_loss(outputs[0], targets)
    found = loss.each(outputs, targets)
    assert found.shape == (2, 6)
    rounding = {"rtol": 1e-6, "atol": 1e-6}
    torch.testing.assert_close(found.sum(-1), loss.total(outputs, targets), **rounding)
    alone = loss.total(outputs[:, 4:5], targets[4:5])
    torch.testing.assert_close(found[:, 4], alone, **rounding)


@pytest.mark.parametrize("strategy", ["inplace", "stacked", "shared", "compiled"])
def test_every_strategy_finds_the_losses_of_single_examples(model, strategy):
    inputs, targets = blobs(600)
    objective = Objective(model, (inputs, targets), metrics=[], strategy=strategy)
    cloud = around(objective, 2)
    rows = np.random.default_rng(0).uniform(-1, 1, (40, 2))
    picked = np.array([5, 17, 3, 400, 401, 599])
    found = np.concatenate(
        [part for _, part in objective.example_losses(cloud.basis, rows, picked)]
    )
    for row in (0, 39):
        theta = objective.anchor + cloud.basis.combine(rows[row])
        weights = objective.layout.unflatten(theta)
        outputs = torch.func.functional_call(model, weights, (inputs[picked],))
        truth = nn.functional.cross_entropy(outputs, targets[picked], reduction="none")
        np.testing.assert_allclose(found[row], truth.detach(), rtol=1e-4, atol=1e-6)


def test_ninety_five_percent_of_full_losses_lie_within_two_errors_of_the_estimate(model):
    inside, errors, shares = [], [], []
    for seed in range(25):
        objective = Objective(model, blobs(4000), metrics=[], seed=seed, strategy="stacked")
        cloud = around(objective)
        line = estimated_slice(objective, cloud, [1, 2, 3, 4], [-0.5, 0.5, 1.0], 0.03)
        truth = slice_along(objective, cloud, [1, 2, 3, 4], [-0.5, 0.5, 1.0]).losses
        assert line.converged
        assert (line.errors["loss"] <= 0.03 * line.losses).all()
        inside.append(np.abs(line.losses - truth) <= 2 * line.errors["loss"])
        errors.append(((line.losses - truth) / line.errors["loss"]).ravel())
        shares.append(line.examples / line.n_examples)
    assert max(shares) < 0.6
    assert 0.9 < np.mean(inside) <= 0.99
    assert np.std(np.concatenate(errors)) == pytest.approx(1.0, abs=0.2)


def test_strata_make_the_error_smaller_than_that_of_any_examples(setting):
    objective, cloud = setting
    rows = cloud.coefficients[1:] / 2  # nearer to θ*, whose losses the strata are cut by
    strata = strata_at_anchor(objective)
    assert len(strata) == 12
    counts = strata.counts(0.1)
    picked = strata.between(np.zeros(12, dtype=np.int64), counts)
    means = StratifiedMeans(len(rows), strata.sizes)
    means.add(objective.example_losses(cloud.basis, rows, picked), strata.labels[picked])
    every = np.concatenate([part for _, part in objective.example_losses(cloud.basis, rows)])
    n = counts.sum()
    plain = np.sqrt(every.var(axis=1, ddof=1) / n * (1 - n / every.shape[1]))
    assert (means.finish()[1] < 0.9 * plain).all()


def test_all_of_the_data_leaves_no_error(setting):
    objective, cloud = setting
    line = estimated_slice(objective, cloud, [1, 2], tolerance=0)
    assert line.examples == line.n_examples == 4000
    assert (line.errors["loss"] == 0.0).all()
    assert line.converged
    truth = slice_along(objective, cloud, [1, 2])
    np.testing.assert_allclose(line.losses, truth.losses, rtol=1e-5)


def test_the_loss_at_the_trained_weights_is_known(setting):
    objective, cloud = setting
    line = estimated_slice(objective, cloud, [0, 1], [0.0, 1.0], 0.1)
    assert line.losses[0].tolist() == [objective.anchor_loss] * 2
    assert line.errors["loss"][0].tolist() == [0.0, 0.0]
    assert line.errors["loss"][1, 1] > 0


def test_numbers_as_targets_are_estimated_too():
    inputs = blobs(3000)[0]
    torch.manual_seed(1)
    model = nn.Linear(8, 2)
    objective = Objective(model, (inputs, inputs[:, :2] ** 3))
    line = estimated_slice(objective, around(objective), [1, 2], tolerance=0.05)
    truth = slice_along(objective, around(objective), [1, 2]).losses
    assert line.examples < 3000
    assert (np.abs(line.losses - truth) <= 4 * line.errors["loss"] + 1e-9).all()


def test_losses_that_are_not_finite_ask_for_no_more_data(setting):
    objective, cloud = setting
    line = estimated_slice(objective, cloud, [1], [0.5, 1e39], 0.1)
    assert not np.isfinite(line.losses[0, 1])
    assert line.examples < 4000
    assert line.converged


def test_a_cancelled_estimate_keeps_what_all_samples_have_seen(setting):
    objective, cloud = setting
    told = []
    line = estimated_slice(
        objective, cloud, [1], tolerance=1e-4, progress=told.append, cancelled=lambda: bool(told)
    )
    assert line.examples == told[0].done < 4000
    assert not line.converged
    with pytest.raises(Cancelled):
        estimated_slice(objective, cloud, [1], cancelled=lambda: True)


@pytest.mark.parametrize(
    "own",
    [
        lambda outputs, targets: nn.functional.cross_entropy(outputs, targets),
        lambda model, batch: nn.functional.cross_entropy(model(batch[0]), batch[1]),
    ],
)
def test_a_loss_of_the_user_s_own_is_refused_with_the_reason(model, own):
    objective = Objective(model, blobs(300), loss=own)
    with pytest.raises(ValueError, match="one number for a batch; the loss of each example"):
        estimated_slice(objective, around(objective), [1])


def test_a_model_that_needs_whole_batches_is_refused_with_the_reason():
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(8, track_running_stats=False)
    objective = Objective(nn.Sequential(norm, nn.Linear(8, 3)), blobs(300))
    with pytest.raises(ValueError, match="must see its batches whole"):
        estimated_slice(objective, around(objective), [1])


def test_a_landscape_estimates_slices():
    data = digits(400)
    land = Landscape(train(mlp(), data, 60), data).sample(Minima(n=10))
    line = land.estimated_slice([1, 5], tolerance=0.2)
    assert line.losses.shape == line.errors["loss"].shape == (2, 41)
    assert line.indices.tolist() == [1, 5]
    with pytest.raises(IndexError, match="Sample 99"):
        land.estimated_slice([99])
    with pytest.raises(ValueError, match="relative error of 0 or more"):
        land.estimated_slice([1], tolerance=-1)
