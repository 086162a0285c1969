"""What the browser is told of samples, in words, and of the scale of losses."""

import numpy as np
import pytest
import torch
from torch import nn

from landscape_widgets import Landscape, samplers
from landscape_widgets.widget import wire
from tests.models import ConvNet, digits, mlp, train

DATA = digits(200)


@pytest.fixture(scope="module")
def land():
    return Landscape(train(mlp(), DATA, 60), DATA, metrics=[])


def kinds(land, sampler):
    return wire.samples(sampler.draw(land.objective, seed=0))["kind"]


def test_an_end_that_still_falls_is_called_so(land):
    found = kinds(land, samplers.Minima(n=3, steps=5, finish=1))
    assert found == ["trained", *["end of a descent, still falling"] * 3, *["sample"] * 3]


def test_the_ends_of_ways_are_the_users_models(land):
    other = train(mlp(seed=1), DATA, 60)
    found = kinds(land, samplers.Interpolation([other, other], points=2, curve=False))
    assert found[1:] == [
        "sample", "model 0", "sample", "model 0, units matched",
        "sample", "model 1", "sample", "model 1, units matched",
    ]  # fmt: skip


def test_the_last_sample_of_a_path_is_its_end_and_no_minimum(land):
    assert kinds(land, samplers.Descent(runs=1, steps=2))[-1] == "end of a path"


def test_the_browser_is_told_the_scale_of_losses_below_zero():
    model = nn.Linear(3, 1)
    x = torch.randn(30, 3)
    land = Landscape(model, (x, x[:, :1]), loss=lambda z, t: (z - t).square().mean() - 5)
    land.sample(samplers.Subspace(n=20)).embed("pca")
    scale = wire.info(land, False)["scale"]
    assert scale["kind"] == "symlog"
    assert scale["lowest"] == land.losses.min()
    assert 0 < scale["unit"] < np.ptp(land.losses)


@pytest.mark.parametrize("batchnorm", ["trained", "reestimate"])
def test_which_batch_statistics_are_used_is_said_once(batchnorm):
    land = Landscape(train(ConvNet(), DATA, 5), DATA, batchnorm=batchnorm)
    info = wire.info(land, False)
    said = [text for text in (*info["caption"], *info["assumptions"]) if "statistics" in text]
    assert len(said) == 1
