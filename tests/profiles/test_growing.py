from dataclasses import replace

import numpy as np
import pytest
from torch import nn

from landscape_widgets.objective.objective import Objective
from landscape_widgets.profiles.estimated import StratifiedMeans, strata_at_anchor
from landscape_widgets.profiles.growing import FIRST, SHARES, GrowingSlices
from landscape_widgets.profiles.line import slice_along
from tests.models import train
from tests.profiles.test_estimate import around, blobs, network

ALPHAS = np.array([-0.5, 0.0, 0.25, 1.0])
VAL = tuple(t[3000:] for t in blobs(4000))
DATA = tuple(t[:3000] for t in blobs(4000))


@pytest.fixture(scope="module")
def model():
    return train(network(), blobs(4000), 60)


@pytest.fixture(scope="module")
def setting(model):
    objective = Objective(model, DATA, val_data=VAL, metrics=[], strategy="stacked")
    return objective, around(objective)


@pytest.fixture
def looked_at(setting, monkeypatch):
    """Which examples were looked at, in each call."""
    calls = {"train": [], "val": []}
    own = setting[0].example_losses

    def spied(basis, rows, examples=None, **keywords):
        if examples is not None:
            calls[keywords["split"]].extend(examples.tolist())
        return own(basis, rows, examples, **keywords)

    monkeypatch.setattr(setting[0], "example_losses", spied)
    return calls


def test_all_samples_see_the_same_examples_and_a_larger_part_holds_the_smaller(setting, looked_at):
    growing, seen = GrowingSlices(*setting, ALPHAS), {}
    for index in (1, 3):
        parts, taken = [], {"train": set(), "val": set()}
        while growing.parts[index] < len(SHARES) - 1:
            found = growing.grow(index)
            for split, calls in looked_at.items():
                assert not taken[split] & set(calls)  # none is evaluated twice
                taken[split] |= set(calls)
                calls.clear()
            assert found.examples == len(taken["train"])
            parts.append({split: frozenset(values) for split, values in taken.items()})
        seen[index] = parts
    assert seen[1] == seen[3]
    assert len(seen[1]) == len(SHARES) - FIRST
    assert seen[1][-1] == {"train": frozenset(range(3000)), "val": frozenset(range(1000))}


def test_ninety_five_percent_of_full_losses_lie_in_the_band(setting, monkeypatch):
    objective, cloud = setting
    truth = slice_along(objective, cloud, [1, 2, 3, 4], ALPHAS)
    moving, off = np.flatnonzero(ALPHAS), []
    for seed in range(25):
        drawn = replace(objective.options, seed=seed)  # which draws the parts
        monkeypatch.setattr(objective, "options", drawn)
        growing = GrowingSlices(objective, cloud, ALPHAS)
        for row, index in enumerate([1, 2, 3, 4]):
            found = growing.grow(index)
            for values, errors, full in (
                (found.losses, found.errors["loss"], truth.losses),
                (found.values["val_loss"], found.errors["val_loss"], truth.values["val_loss"]),
            ):
                off.extend((values[0] - full[row])[moving] / errors[0, moving])
    assert 0.9 < np.mean(np.abs(off) <= 2) <= 0.99
    assert np.std(off) == pytest.approx(1.0, abs=0.2)


def test_the_last_part_is_all_of_the_data(setting):
    objective, cloud = setting
    growing = GrowingSlices(objective, cloud, ALPHAS, first=len(SHARES) - 1)
    found, truth = growing.grow(2), slice_along(objective, cloud, [2], ALPHAS)
    assert found.examples == found.n_examples == 3000
    assert growing.converged(2)
    assert (found.errors["loss"] == 0).all()
    assert (found.errors["val_loss"] == 0).all()
    np.testing.assert_allclose(found.losses, truth.losses, rtol=1e-5)
    np.testing.assert_allclose(found.values["val_loss"], truth.values["val_loss"], rtol=1e-5)


def test_the_loss_at_the_trained_weights_is_known_and_the_error_goes_to_nothing_towards_it(setting):
    objective, cloud = setting
    alphas = np.array([0.0, 1e-3, 1e-2, 1e-1])
    found = GrowingSlices(objective, cloud, alphas).grow(1)
    assert found.losses[0, 0] == objective.anchor_loss
    assert found.values["val_loss"][0, 0] == objective.at_anchor["val_loss"]
    assert found.errors["loss"][0, 0] == found.errors["val_loss"][0, 0] == 0.0
    strata = strata_at_anchor(objective)
    picked = strata.between(np.zeros(len(strata), dtype=np.int64), strata.counts(SHARES[FIRST]))
    plain = StratifiedMeans(4, strata.sizes)
    rows = alphas[:, None] * cloud.coefficients[1]
    plain.add(objective.example_losses(cloud.basis, rows, picked), strata.labels[picked])
    ratios = found.errors["loss"][0, 1:] / plain.finish()[1][1:]
    assert (ratios < [0.01, 0.1, 1.0]).all()
    assert (np.diff(found.errors["loss"][0]) > 0).all()


def test_a_slice_grows_until_its_error_is_within_the_tolerance(setting):
    growing = GrowingSlices(*setting, ALPHAS, tolerance=0.02)
    errors, examples = [], []
    while not growing.converged(1):
        found = growing.grow(1)
        errors.append(
            max((found.errors["loss"] / found.losses).max(), found.errors["val_loss"].max())
        )
        examples.append(found.examples)
    assert (found.errors["loss"] <= 0.02 * found.losses).all()
    assert (found.errors["val_loss"] <= 0.02 * found.values["val_loss"]).all()
    assert len(examples) > 1
    assert (np.diff(examples) > 0).all()
    assert (np.diff(errors) < 0).all()


def test_what_was_interrupted_goes_on_from_there(setting, looked_at, monkeypatch):
    monkeypatch.setattr("landscape_widgets.profiles.growing.SECONDS", 0.0)  # few examples at a time
    growing = GrowingSlices(*setting, ALPHAS)
    growing._examples = 64
    whole = GrowingSlices(*setting, ALPHAS).grow(1)
    for calls in looked_at.values():
        calls.clear()
    looks = []

    def after_three() -> bool:
        looks.append(1)
        return len(looks) > 3

    assert growing.grow(1, interrupted=after_three) is None
    assert growing.parts[1] == -1
    before = len(looked_at["train"])
    assert 0 < before < whole.examples
    found = growing.grow(1)
    assert len(looked_at["train"]) == len(set(looked_at["train"])) == whole.examples
    np.testing.assert_allclose(found.losses, whole.losses, rtol=1e-6)
    np.testing.assert_allclose(found.errors["loss"], whole.errors["loss"], rtol=1e-5)


def test_samples_that_are_compared_come_to_the_same_examples(setting):
    growing = GrowingSlices(*setting, ALPHAS, tolerance=0.05)
    growing.grow(1)
    growing.grow(1)
    growing.grow(2)
    while waiting := growing.doubtful([1, 2, 4]):
        for index in waiting:
            growing.grow(index)
    assert len(set(growing.parts[[1, 2, 4]])) == 1
    assert all(growing.converged(i) for i in (1, 2, 4))
    assert growing.parts[3] == -1


def test_samples_that_come_later_join_in(setting):
    objective, cloud = setting
    growing = GrowingSlices(objective, cloud, ALPHAS)
    growing.grow(1)
    more = cloud.__class__(
        cloud.anchor,
        cloud.basis,
        np.vstack([cloud.coefficients, [0.5] * cloud.basis.k]),
        cloud.table.iloc[[*range(len(cloud)), 1]].reset_index(drop=True),
    )
    growing.follow(more)
    assert growing.parts.tolist() == [-1, FIRST, -1, -1, -1, -1]
    assert growing.grow(5).examples == growing.grow(2).examples


def test_a_loss_of_the_user_s_own_is_refused_with_the_reason(model):
    own = Objective(
        model, DATA, loss=lambda outputs, targets: nn.functional.cross_entropy(outputs, targets)
    )
    with pytest.raises(ValueError, match="one number for a batch"):
        GrowingSlices(own, around(own), ALPHAS)
