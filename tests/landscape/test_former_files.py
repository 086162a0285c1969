"""Files of the first format, one of which is beside this file, are read and gone on with."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from landscape_widgets import Landscape
from landscape_widgets.samplers import Subspace

FORMER = Path(__file__).parent / "format_1.safetensors"  # version 0.1.0: two of seven not evaluated
SAMPLER = Subspace(k=2, n=6, radius=1.0)


def data(n):
    x = torch.arange(2.0 * n).remainder(7).reshape(n, 2) - 3
    return x, torch.arange(n) % 2


@pytest.fixture
def model():
    model = nn.Linear(2, 2)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, -0.5], [0.25, 0.75]]))
        model.bias.zero_()
    return model


def test_a_file_of_the_first_format_is_read_with_its_map(model):
    land = Landscape.load(FORMER, model, data(12), val_data=data(9))
    assert land.evaluated.tolist() == [True] * 5 + [False] * 2
    truth = land.objective.evaluate(land.cloud.basis, land.cloud.coefficients[:5])
    assert list(truth.values) == ["loss", "val_loss", "val_accuracy"]
    for name, values in truth.values.items():
        np.testing.assert_allclose(land.values[name][:5], values, rtol=1e-5)
    assert land.to_frame()["val_accuracy"].tolist() == [3 / 9, 3 / 9, 3 / 9, 4 / 9, 3 / 9]
    assert np.isfinite(land.coordinates).all()
    assert land.reducer.name == "PCA"


def test_a_run_of_the_first_format_is_taken_up_where_it_ended(model, tmp_path):
    path = shutil.copy(FORMER, tmp_path / "run")
    asked = []
    land = Landscape(model, data(12), val_data=data(9))
    land.sample(SAMPLER, path=path, on_chunk=lambda rows: asked.extend(rows))
    assert asked == [5, 6]
    again = Landscape.load(path, model, data(12), val_data=data(9))
    assert again.evaluated.all()
    whole = Landscape(model, data(12), val_data=data(9)).sample(SAMPLER)
    for name in ("loss", "val_loss", "val_accuracy"):
        np.testing.assert_allclose(again.values[name], whole.values[name], rtol=1e-5)


def test_metrics_that_the_first_format_did_not_know_are_missing_in_it(model, tmp_path):
    given = {"val_data": data(9), "metrics": ["accuracy"]}  # on training data, too
    land = Landscape.load(FORMER, model, data(12), **given)
    assert np.isnan(land.values["accuracy"]).all()
    land.evaluate_rest()
    assert np.isfinite(land.values["accuracy"][5:]).all()
    land.save(tmp_path / "now")
    again = Landscape.load(tmp_path / "now", model, data(12), **given)
    np.testing.assert_array_equal(again.values["accuracy"], land.values["accuracy"])
    Landscape(model, data(12), val_data=data(9)).sample(SAMPLER).save(tmp_path / "fewer")
    with pytest.raises(ValueError, match=r"holds no 'accuracy'\. Give the metrics that it was"):
        Landscape.load(tmp_path / "fewer", model, data(12), **given)
