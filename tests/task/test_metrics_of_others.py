"""Metrics that come from other packages, or that data have nothing for."""

from functools import partial

import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn
from torch import nn
from torch.nn import functional as F

from landscape_widgets.landscape.landscape import Landscape
from landscape_widgets.objective.objective import Objective
from landscape_widgets.samplers import Subspace

X = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
CLASSES = torch.arange(60) % 4
NUMBERS = X.sum(1, keepdim=True)


def linear(outputs):
    torch.manual_seed(2)
    return nn.Linear(3, outputs)


def measured(model, targets, metric):
    land = Landscape(model, (X, targets), metrics=[metric]).sample(Subspace(k=2, n=3))
    (name,) = land.quantities[1:]
    return land.values[name][0]


def test_metrics_of_scikit_learn_get_targets_first_and_then_classes_numbers_or_probabilities():
    of_classes, of_numbers, of_two = linear(4), linear(1), linear(1)
    with torch.no_grad():
        z, predicted, p = of_classes(X), of_numbers(X), of_two(X).sigmoid()[:, 0]
    found = measured(of_classes, CLASSES, sklearn.accuracy_score)
    assert found == pytest.approx(float((z.argmax(1) == CLASSES).float().mean()))
    found = measured(of_classes, CLASSES, partial(sklearn.f1_score, average="macro"))
    assert found == pytest.approx(sklearn.f1_score(CLASSES, z.argmax(1), average="macro"))
    found = measured(of_classes, CLASSES, sklearn.log_loss)
    assert found == pytest.approx(float(F.cross_entropy(z, CLASSES)), rel=1e-5)
    found = measured(of_numbers, NUMBERS, sklearn.r2_score)
    expected = 1 - (predicted - NUMBERS).square().sum() / (NUMBERS - NUMBERS.mean()).square().sum()
    assert found == pytest.approx(float(expected), rel=1e-4)
    two = (CLASSES < 2).long()
    found = measured(of_two, two, sklearn.roc_auc_score)
    pairs = p[two == 1][:, None] > p[two == 0]
    assert found == pytest.approx(float(pairs.double().mean()))


def test_a_metric_that_raises_is_named_before_work_starts():
    def broken(outputs, targets):
        raise KeyError("nothing here")

    with pytest.raises(
        ValueError, match=r"The metric broken, called as metric\(outputs, targets\)"
    ):
        Objective(linear(4), (X, CLASSES), metrics=[broken])


@pytest.mark.parametrize("metric", ["accuracy", lambda outputs, targets: 0.5])
def test_metrics_of_batches_without_targets_of_their_own_are_refused(metric):
    def loss(model, batch):
        return F.cross_entropy(model(batch["x"]), batch["y"])

    with pytest.raises(ValueError, match="metrics are taken of outputs and targets"):
        Objective(linear(4), [{"x": X, "y": CLASSES}], loss=loss, metrics=[metric])


def test_a_metric_that_nobody_asked_for_gives_way_to_estimated_losses():
    land = Landscape(linear(4), (X, CLASSES), tolerance=0.05).sample(Subspace(k=2, n=4))
    assert land.quantities == ("loss",)
    assert any("No metric is shown" in said for said in land.objective.assumptions)
    exact = Landscape(linear(4), (X, CLASSES)).sample(Subspace(k=2, n=4))
    assert (np.abs(land.losses - exact.losses) <= 6 * land.errors["loss"] + 1e-6).all()
    with pytest.raises(ValueError, match="the metrics"):
        Landscape(linear(4), (X, CLASSES), tolerance=0.05, metrics=["accuracy"])
