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


def sent(land, sampler):
    return wire.samples(sampler.draw(land.objective, seed=0))


def kinds(land, sampler):
    return sent(land, sampler)["kind"]


def test_an_end_that_still_falls_is_called_so(land):
    found = sent(land, samplers.Minima(n=3, steps=5, finish=1))
    assert found["kind"] == ["trained", *["end of a descent, still falling"] * 3, *["sample"] * 3]
    assert found["names"] == {"0": "θ*", "1": "E1", "2": "E2", "3": "E3"}


def test_the_ends_of_ways_are_the_users_models(land):
    other = train(mlp(seed=1), DATA, 60)
    found = sent(land, samplers.Interpolation([other, other], points=2, curve=False))
    assert found["kind"][1:] == ["sample", "model"] * 4
    names = ["model 0", "model 0, units matched", "model 1", "model 1, units matched"]
    assert found["names"] == {"0": "θ*", **dict(zip("2468", names, strict=True))}


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


def lines(land, sampler):
    """What the progress line says while a sampler draws, and what share of its bar is filled."""
    told = []
    sampler.draw(land.objective, seed=0, progress=lambda at: told.append(wire.progress("", at)))
    return [(line["phase"], line["done"] / line["total"], line["total"]) for line in told]


def test_the_line_says_which_descent_is_underway_and_its_bar_moves_within_it(land):
    told = lines(land, samplers.Minima(n=3, k=2, steps=5, finish=4))
    for number in (1, 2):
        shares = [
            share for text, share, _ in told if text == f"descending to minima, {number} of 2"
        ]
        assert len(set(shares)) > 5
        assert shares == sorted(shares)
        assert (number - 1) / 2 == shares[0] < shares[-1] < number / 2
    assert told[0][0] == "taking losses of untrained networks, 1 of 8"


@pytest.mark.parametrize(
    "sampler",
    [
        samplers.Minima(n=3, steps=2, finish=1),
        samplers.Descent(runs=2, steps=2),
        samplers.JumpAndRetrain(jumps=2, steps=2),
        samplers.Neighbourhood(arms=2),
        samplers.HessianSubspace(n=2),
        samplers.Langevin(chains=2, draws=2),
    ],
    ids=lambda sampler: sampler.name,
)
def test_no_line_of_a_sampler_is_none_of_many_nor_a_name_in_the_code(land, sampler):
    told = lines(land, sampler)
    assert told
    assert not [line for line in told if line[1] == 0 and line[2] > 1]
    assert {text.rsplit(", ", 1)[0] for text, _, _ in told} <= set(wire.PHASES.values())
