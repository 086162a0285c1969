"""The loss between the samples of a map, against smooth functions that are known everywhere."""

import numpy as np
import pytest
from torch import nn

import landscape_widgets as lw
from landscape_widgets.trust import scores
from landscape_widgets.trust.terrain import terrain
from tests.models import digits

OFF = -np.ones(600, dtype=np.int64)


def hills(places: np.ndarray) -> np.ndarray:
    """Log losses of two valleys of unlike depth, over places (..., 2)."""
    x, y = places[..., 0], places[..., 1]
    deep = 2.0 * np.exp(-((x - 0.3) ** 2 + (y - 0.4) ** 2) / 0.05)
    return -deep - 1.2 * np.exp(-((x - 0.75) ** 2 + (y - 0.6) ** 2) / 0.03)


@pytest.fixture(scope="module")
def places() -> np.ndarray:
    return np.random.default_rng(0).uniform(size=(600, 2))


def grid(found) -> np.ndarray:
    return np.stack(np.meshgrid(found.x, found.y, indexing="ij"), axis=-1)


def test_a_smooth_loss_is_told_between_the_samples(places):
    found = terrain(places, 10 ** hills(places), OFF)
    at = grid(found)
    inner = ((at > 0.05) & (at < 0.95)).all(axis=-1)
    wrong = np.log10(found.losses) - hills(at)
    assert np.abs(wrong[inner]).max() < 0.35  # of two decades, ten neighbours reaching over 0.07
    assert np.sqrt((wrong[inner] ** 2).mean()) < 0.08
    assert found.certainty[inner].mean() > 0.85
    assert found.carries
    assert found.score == scores.readable(places, 10 ** hills(places), OFF) > 0.9
    assert "held-out R² 0.9" in repr(found)
    row = found.to_frame().iloc[80 * 3 + 5]
    assert row.tolist() == [found.x[3], found.y[5], found.losses[3, 5], found.certainty[3, 5]]


def test_it_is_certain_where_held_out_samples_are_told_and_nowhere_else(places):
    noise = np.random.default_rng(1).normal(size=len(places))
    rough = places[:, 0] > 0.6
    found = terrain(places, 10 ** np.where(rough, noise, hills(places)), OFF)
    at = grid(found)
    inner = ((at > 0.1) & (at < 0.9)).all(axis=-1)
    told = found.certainty[inner & (at[..., 0] < 0.45)].mean()
    untold = found.certainty[inner & (at[..., 0] > 0.75)].mean()
    assert told > 0.7
    assert untold < 0.25


def test_it_fades_where_no_sample_is_near(places):
    hole = np.linalg.norm(places - 0.5, axis=1) > 0.25
    found = terrain(places[hole], 10 ** hills(places[hole]), OFF[hole])
    away = np.linalg.norm(grid(found) - 0.5, axis=-1)
    assert found.certainty[away < 0.08].max() == 0
    assert found.certainty[0, 0] == found.certainty[-1, -1] == 0  # beyond the corners
    assert found.certainty[(away > 0.3) & (away < 0.4)].mean() > 0.7


def test_nothing_is_told_around_losses_that_are_not_finite(places):
    losses = 10 ** hills(places)
    losses[np.linalg.norm(places - [0.8, 0.2], axis=1) < 0.2] = np.nan
    found = terrain(places, losses, OFF)
    from_there = np.linalg.norm(grid(found) - [0.8, 0.2], axis=-1)
    assert found.certainty[from_there < 0.08].max() < 0.05
    assert np.isfinite(found.losses).all()


def test_a_map_that_does_not_carry_the_loss_says_so(places):
    shuffled = np.random.default_rng(2).permutation(10 ** hills(places))
    found = terrain(places, shuffled, OFF)
    assert not found.carries
    assert found.certainty.mean() < 0.2
    assert "does not carry the loss" in repr(found)


def test_the_picture_has_no_steps(places):
    found = terrain(places, 10 ** hills(places), OFF, size=400)
    heights = np.log10(found.losses)
    steps = np.abs(np.diff(heights, axis=0))
    # Nowhere does it change by more from one place to the next than its slope, some five times.
    assert steps.max() < 5 * 12 * (found.x[1] - found.x[0])


def test_bad_maps_are_refused_in_words(places):
    with pytest.raises(ValueError, match="two dimensions; this one has 3"):
        terrain(np.zeros((600, 3)), np.ones(600), OFF)
    with pytest.raises(ValueError, match=r"There are 19 samples .* takes 20"):
        terrain(places[:19], np.ones(19), OFF[:19])


def test_a_landscape_has_a_terrain_of_its_map():
    land = lw.Landscape(nn.Linear(64, 10), digits(50))
    with pytest.raises(RuntimeError, match="embed"):
        land.terrain()
    land.sample(lw.samplers.Subspace(k=2, n=80)).embed("pca")
    found = land.terrain(size=20)
    assert found.losses.shape == (20, 20)
    assert found.score == pytest.approx(land.faithfulness(seeds=1).scores.honest)
