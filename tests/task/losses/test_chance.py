"""What losses are at chance, against scikit-learn's dummies and plain searches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.metrics import log_loss, mean_squared_error
from torch import nn

from landscape_widgets.diagnosis import references
from landscape_widgets.objective.objective import Objective
from tests.models import digits, mlp


def chance_of(model, data, loss=None):
    return references(Objective(model, data, loss=loss)).chance


def lowest(loss, targets, size, logits=lambda c: c):
    """The lowest loss of one output for all, by searching for it."""

    def of(c):
        outputs = logits(torch.tensor(c)).expand(len(targets), size)
        return float(loss(outputs, targets))

    best = minimize(of, np.zeros(size), method="Powell", options={"xtol": 1e-8, "ftol": 1e-12})
    return best.fun


def test_of_classes_it_is_the_entropy_of_their_frequencies():
    x, y = digits(90)
    dummy = DummyClassifier(strategy="prior").fit(x, y)
    expected = log_loss(y, dummy.predict_proba(x))
    assert chance_of(mlp(), (x, y)) == pytest.approx(expected)


def test_of_numbers_it_is_their_variance():
    y = torch.randn(60, 3) * torch.tensor([1.0, 2.0, 0.1]) + 5
    x = torch.randn(60, 2)
    expected = mean_squared_error(y, DummyRegressor().fit(x, y).predict(x))
    assert chance_of(nn.Linear(2, 3), (x, y)) == pytest.approx(expected, rel=1e-5)
    summed = chance_of(nn.Linear(2, 3), (x, y), nn.MSELoss(reduction="sum"))
    assert summed == pytest.approx(expected * y.numel(), rel=1e-5)


CLASSES = torch.tensor([0, 0, 0, 1, 2, 2, 1, 0, 2, 2, 2, 2])
LOSSES = [
    nn.CrossEntropyLoss(weight=torch.tensor([1.0, 5.0, 0.5])),
    nn.CrossEntropyLoss(label_smoothing=0.2),
    nn.CrossEntropyLoss(ignore_index=1),
]


@pytest.mark.parametrize("loss", LOSSES, ids=["weights", "smoothing", "ignored"])
def test_of_torchs_cross_entropy_it_is_the_best_that_a_search_finds(loss):
    expected = lowest(loss.double(), CLASSES, 3)
    data = (torch.randn(12, 2), CLASSES)
    assert chance_of(nn.Linear(2, 3), data, loss.float()) == pytest.approx(expected, rel=1e-4)


def test_of_log_likelihoods_and_of_probabilities_too():
    data, model = (torch.randn(12, 2), CLASSES), nn.Sequential(nn.Linear(2, 3), nn.LogSoftmax(1))
    expected = lowest(nn.NLLLoss(), CLASSES, 3, lambda c: c.log_softmax(0))
    assert chance_of(model, data, nn.NLLLoss()) == pytest.approx(expected, rel=1e-4)
    ones = (CLASSES > 0).float()[:, None]
    model = nn.Sequential(nn.Linear(2, 1), nn.Sigmoid())
    expected = log_loss(ones, np.full(12, float(ones.mean())))
    assert chance_of(model, (data[0], ones), nn.BCELoss()) == pytest.approx(expected)
    weighted = nn.BCEWithLogitsLoss(pos_weight=torch.tensor([3.0]))
    expected = lowest(weighted.double(), ones.double(), 1)
    found = chance_of(nn.Linear(2, 1), (data[0], ones), weighted.float())
    assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("loss", [nn.L1Loss(), nn.HuberLoss(delta=0.5)])
def test_of_losses_of_residuals_it_is_the_best_within_two_per_cent(loss):
    y = torch.randn(201, 1, generator=torch.Generator().manual_seed(0)).exp()
    expected = lowest(loss, y.double(), 1)
    assert chance_of(nn.Linear(2, 1), (torch.randn(201, 2), y), loss) == pytest.approx(
        expected, rel=0.02
    )


def test_of_a_loss_of_ones_own_nobody_knows_it():
    data = (torch.randn(12, 2), CLASSES)
    own = chance_of(nn.Linear(2, 3), data, lambda z, y: nn.functional.cross_entropy(z, y) * 2)
    assert own is None
