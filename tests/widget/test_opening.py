"""What the slice shows before anything is selected."""

import numpy as np
import pytest

from landscape_widgets import Landscape, samplers
from landscape_widgets.samplers import Recorder
from landscape_widgets.widget import wire
from landscape_widgets.widget.opening import opening
from tests.models import digits, mlp, train

DATA = digits(150)


@pytest.fixture(scope="module")
def model():
    return train(mlp(), DATA, 60)


def opened(model, sampler) -> tuple[Landscape, list[int]]:
    land = Landscape(model, DATA, metrics=[]).sample(sampler)
    return land, opening(land)


def test_the_first_three_minima_are_shown_in_the_order_of_their_names(model):
    land, found = opened(model, samplers.Minima(k=4, n=20))
    kinds = land.cloud.table["kind"]
    assert found == kinds.index[kinds.eq("minimum")].tolist()[:3]
    assert wire.info(land, False)["opening"] == found


def test_descents_that_still_fall_are_shown_by_the_names_of_their_ends(model):
    land, found = opened(model, samplers.Minima(k=3, n=20, steps=5, finish=1))
    assert land.cloud.table["kind"][found].tolist() == ["end"] * 3


def test_other_models_are_shown_where_there_are_some(model):
    other = train(mlp(seed=1), DATA, 60)
    land, found = opened(model, samplers.Interpolation([other], points=4, curve=False))
    assert land.cloud.table["kind"][found].tolist() == ["model", "model"]


def test_of_a_training_the_last_checkpoint_and_the_first_are_shown():
    model = mlp()
    recorder = Recorder(model)
    for _ in range(4):
        train(model, DATA, 5)
        recorder.step()
    land, found = opened(model, samplers.Trajectory(recorder))
    steps = land.cloud.table["step"][found].tolist()
    others = land.cloud.table["step"][1:]
    assert steps == [others.max(), others.min()]


def test_of_mere_samples_those_with_the_lowest_losses_are_shown(model):
    land, found = opened(model, samplers.Subspace(n=30))
    assert found == sorted(np.argsort(land.losses[1:])[:3] + 1)


def test_nothing_is_shown_of_samples_that_are_not_evaluated(model):
    land = Landscape(model, DATA, metrics=[])
    assert opening(land) == []
    land.sample(samplers.Minima(n=20), cancelled=lambda: land.cloud is not None)
    assert set(opening(land)) <= set(np.flatnonzero(land.evaluated))
