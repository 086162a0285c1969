import numpy as np
import pytest
from scipy.stats import spearmanr

from landscape_widgets.trust.loss_scale import FLOOR, LossScale


def test_losses_of_zero_and_above_are_drawn_by_their_logarithm():
    scale = LossScale.of([0.0, 0.01, 1.0, 100.0, np.inf, np.nan])
    assert (scale.kind, scale.unit) == ("log", FLOOR)
    np.testing.assert_allclose(scale.heights([0.0, 0.01, 100.0]), [-8, -2, 2])
    assert np.isnan(scale.heights(np.nan))


def test_small_losses_are_told_from_each_other():
    scale = LossScale.of([1e-14, 1e-12, 1e-10])
    np.testing.assert_allclose(scale.heights([1e-14, 1e-10]), [-14, -10])


@pytest.mark.parametrize("shift", [-10.0, -2e-3, -1e6])
def test_where_a_loss_is_below_zero_its_zero_means_nothing(shift):
    losses = np.geomspace(1e-3, 1e3, 50)
    shifted = losses + shift
    scale = LossScale.of(shifted)
    assert scale.kind == "symlog"
    heights = scale.heights(shifted)
    assert spearmanr(heights, losses).statistic == pytest.approx(1)
    # Far above the lowest it is the logarithm.
    top = np.diff(heights[-10:]) / np.diff(np.log10(losses[-10:]))
    np.testing.assert_allclose(top, 1, rtol=1e-2)
    np.testing.assert_allclose(scale.losses(heights), shifted, rtol=1e-6, atol=1e-6 * abs(shift))


def test_the_scale_of_a_shifted_loss_does_not_hang_on_the_shift():
    losses = np.geomspace(1e-3, 1e3, 50)
    first, second = (LossScale.of(losses - shift).heights(losses - shift) for shift in (5, 500))
    np.testing.assert_allclose(first, second, rtol=1e-6)


@pytest.mark.parametrize("losses", [[], [np.nan, np.inf], [0.0, 0.0], [-3.0, -3.0], [1e30, 1e38]])
def test_there_is_a_scale_for_whatever_losses(losses):
    heights = LossScale.of(losses).heights([x for x in losses if np.isfinite(x)])
    assert np.isfinite(heights).all()
