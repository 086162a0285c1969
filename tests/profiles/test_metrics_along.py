"""Metrics along slices and planes, against a plain loop over the same weights."""

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from torch import nn

from landscape_widgets import Landscape
from landscape_widgets.samplers import Subspace
from tests.models import digits, mlp, train

DATA, VAL = digits(150), tuple(t[150:] for t in digits(250))
ALPHAS = [0.0, 0.4, 1.0]


def confidence(outputs, targets):
    return outputs.softmax(-1).max(-1).values.mean()


def sampled(model=None, data=DATA, val=VAL, **options):
    model = train(mlp(), data, 30) if model is None else model
    return Landscape(model, data, val_data=val, **options).sample(Subspace(k=2, n=6, radius=1.5))


@torch.no_grad()
def outputs_at(land, theta, data):
    return land.objective.model_at(theta)(data[0])


def test_a_slice_has_the_metrics_that_were_asked_for_on_both_splits():
    land = sampled(metrics=["accuracy", "f1", confidence])
    names = ["accuracy", "f1", "confidence"]
    line = land.slice([3], ALPHAS, metrics=True)
    assert set(line.values) == {"loss", "val_loss", *names, *(f"val_{name}" for name in names)}
    for column, alpha in enumerate(ALPHAS):
        theta = land.objective.anchor + alpha * land.cloud.displacement(3)
        for prefix, data in (("", DATA), ("val_", VAL)):
            logits = outputs_at(land, theta, data)
            predicted = logits.argmax(1)
            truth = {
                "loss": nn.functional.cross_entropy(logits, data[1]).item(),
                "accuracy": (predicted == data[1]).float().mean().item(),
                "f1": f1_score(data[1], predicted, average="macro", zero_division=0),
                "confidence": confidence(logits, data[1]).item(),
            }
            for name, value in truth.items():
                assert line.values[prefix + name][0, column] == pytest.approx(value, rel=1e-5)


def test_a_metric_that_nobody_asked_for_is_of_the_validation_data_alone():
    land = sampled()
    assert land.quantities == ("loss", "val_loss", "val_accuracy")
    assert set(land.slice([3], metrics=True).values) == set(land.quantities)
    assert sampled(val=None).quantities == ("loss", "accuracy")


def test_slices_and_planes_have_no_metrics_unless_they_are_asked_for():
    land = sampled()
    assert set(land.slice([3]).values) == {"loss", "val_loss"}
    assert set(land.plane(1, 2).values) == {"loss", "val_loss"}


def test_what_a_slice_says_of_a_sample_is_what_the_table_says_of_it():
    land = sampled(metrics=["accuracy"])
    line = land.slice(range(7), ALPHAS, metrics=True)
    for name in land.quantities:
        np.testing.assert_allclose(line.values[name][:, 2], land.values[name], rtol=1e-5)
        assert (line.values[name][:, 0] == land.objective.at_anchor[name]).all()


def test_a_plane_s_metric_has_an_error_of_its_own_and_lies_within_what_was_evaluated():
    land = sampled(metrics=["accuracy"])
    plane = land.plane(1, 2, metrics=True)
    rows = np.stack(np.meshgrid(*plane.axes, indexing="ij"), axis=-1).reshape(-1, 2)
    basis = torch.stack([land.cloud.displacement(1), land.cloud.displacement(2)])
    for name, data in (("accuracy", DATA), ("val_accuracy", VAL)):
        found = plane.values[name]
        assert found.min() >= plane.point_values[name].min() >= 0
        assert found.max() <= plane.point_values[name].max() <= 1
        chosen = np.random.default_rng(0).choice(len(rows), 200, replace=False)
        truth = [
            (outputs_at(land, land.objective.anchor + torch.tensor(row).float() @ basis, data))
            .argmax(1)
            .eq(data[1])
            .float()
            .mean()
            .item()
            for row in rows[chosen]
        ]
        off = np.abs(found.ravel()[chosen] - truth) / np.maximum(truth, np.median(truth))
        assert np.median(off) <= 1.5 * plane.errors[name].median + 1e-9
        assert np.quantile(off, 0.9) <= 1.5 * plane.errors[name].p95
    assert plane.converged  # which is said of losses


def test_the_shape_of_a_plane_is_the_loss_s_with_and_without_metrics():
    land = sampled(metrics=["accuracy"])
    without, along = land.plane(1, 2), land.plane(1, 2, metrics=True)
    np.testing.assert_array_equal(without.points, along.points)
    np.testing.assert_allclose(without.losses, along.losses, rtol=1e-4)


def test_r2_is_followed_over_orders_of_magnitude():
    x = torch.linspace(-1, 1, 40)[:, None]
    model = nn.Linear(1, 1)
    with torch.no_grad():
        model.weight.fill_(1.0)
        model.bias.fill_(0.0)
    noise = 0.05 * torch.sin(37 * x)
    land = sampled(model, (x, x + noise), None, metrics=["r2"])
    plane = land.plane(1, 2, extent=(-8, 8), metrics=True)
    below = 1 - plane.values["r2"]
    assert below.max() / below.min() > 1e3
    # 1 − R² is the mean squared error in units of the targets' variance.
    np.testing.assert_allclose(
        below, plane.losses / float((x + noise).var(correction=0)), rtol=0.05
    )


@pytest.mark.parametrize(
    "name", ["loss", "radius", "path", "step", "l1", "l2", "val_accuracy", "x"]
)
def test_a_metric_with_the_name_of_something_else_is_refused(name):
    with pytest.raises(ValueError, match=f"A metric is called '{name}'.*another name"):
        sampled(metrics={name: confidence})

    def metric(outputs, targets):
        return 0.0

    metric.__name__ = name
    with pytest.raises(ValueError, match=f"A metric is called '{name}'"):
        sampled(metrics=[metric])


def undefined(outputs, targets):
    return outputs.sum() * torch.nan


def test_a_metric_that_is_no_number_anywhere_costs_a_plane_no_further_points():
    model = train(mlp(), DATA, 30)
    plain, beside = (
        sampled(model, val=None, metrics=metrics).plane(1, 2, resolution=41, metrics=True)
        for metrics in (["accuracy"], ["accuracy", undefined])
    )
    assert len(beside.points) == len(plain.points) < 41**2
    assert np.isnan(beside.values["undefined"]).all()
    np.testing.assert_allclose(beside.losses, plain.losses, rtol=1e-5)
    np.testing.assert_allclose(beside.values["accuracy"], plain.values["accuracy"], rtol=1e-5)
