"""Ways from θ* to other trained models."""

import numpy as np
import pytest
import torch

from landscape_widgets import Landscape
from landscape_widgets.objective.objective import Objective
from landscape_widgets.samplers import Interpolation, Rays
from landscape_widgets.samplers.matching import apply, symmetries
from tests.models import ConvNet, digits, mlp, train

DATA = digits(600)


@pytest.fixture(scope="module")
def others():
    return [train(mlp(seed=seed), DATA, 200) for seed in (1, 2)]


def test_the_ways_end_at_the_other_models(objective, others):
    cloud = Interpolation(others, points=6, steps=5).draw(objective, seed=0)
    table = cloud.table
    assert len(cloud) == 1 + 2 * 3 * 6
    for number, model in enumerate(others):
        rows = (table["model"] == number) & (table["t"] == 1.0)
        ends = {table["route"][i]: cloud.vector(i) for i in np.flatnonzero(rows)}
        weights = torch.cat([p.detach().flatten() for p in model.parameters()])
        torch.testing.assert_close(ends["linear"], weights)
        torch.testing.assert_close(ends["curve"], ends["aligned"])
        # The same units in another order: another place, the very same loss.
        assert float((ends["aligned"] - weights).norm()) > 1
        assert objective.loss(ends["aligned"]) == pytest.approx(objective.loss(weights), rel=1e-5)


def test_half_way_is_the_mean_of_the_weights(objective, others):
    cloud = Interpolation(others[0], points=4, curve=False, align=False).draw(objective, seed=0)
    weights = torch.cat([p.detach().flatten() for p in others[0].parameters()])
    torch.testing.assert_close(cloud.vector(2), (objective.anchor + weights) / 2)


def test_alignment_lowers_the_barrier_and_the_curve_goes_round_it(others):
    model = train(mlp(), DATA, 200)
    land = Landscape(model, DATA).sample(Interpolation(others, points=20))
    barriers = Interpolation.barriers(land.to_frame())
    assert list(barriers.columns) == ["linear", "aligned", "curve"]
    assert list(barriers.index) == [0, 1]
    assert (barriers["aligned"] < 0.8 * barriers["linear"]).all()
    assert (barriers["curve"] < 0.25 * barriers["aligned"] + 1e-3).all()
    # The linear barrier by hand.
    t = np.linspace(0, 1, 21)
    end = torch.cat([p.detach().flatten() for p in others[0].parameters()])
    anchor = land.objective.anchor
    losses = np.array([land.objective.loss(anchor + a * (end - anchor)) for a in t])
    expected = (losses - (losses[0] + t * (losses[-1] - losses[0]))).max()
    assert barriers["linear"][0] == pytest.approx(expected, rel=1e-4)


def test_a_shuffled_copy_is_no_way_off_after_alignment(objective):
    model = objective.model_at(objective.anchor)
    groups = symmetries(model)
    order = [np.random.default_rng(0).permutation(group.size) for group in groups]
    state = {**model.state_dict(), **apply(dict(model.named_parameters()), groups, order)}
    cloud = Interpolation(state, points=3, curve=False).draw(objective, seed=0)
    radius = cloud.table.set_index("route")["radius"]
    assert radius["linear"].max() > 5
    assert radius["aligned"].max() < 1e-4 * radius["linear"].max()


def test_convolutions_are_aligned_too():
    data = digits(300)
    model, other = train(ConvNet(0), data, 60), train(ConvNet(1), data, 60)
    objective = Objective(model, data)
    sampler = Interpolation(other, points=3, curve=False)
    radius = sampler.draw(objective, seed=0).table.set_index("route")["radius"]
    assert radius["aligned"].max() < radius["linear"].max()


def test_ways_are_saved_and_read_back(objective, others, tmp_path):
    model = objective.model_at(objective.anchor)
    land = Landscape(model, DATA).sample(Interpolation(others[0], points=4, steps=3))
    land.save(tmp_path / "ways.safetensors")
    again = Landscape.load(tmp_path / "ways.safetensors", model, DATA)
    before, after = (Interpolation.barriers(each.to_frame()) for each in (land, again))
    assert before.equals(after)


def test_what_cannot_work_is_refused_before_any_work(objective, others):
    with pytest.raises(TypeError, match="Interpolation was given int"):
        Interpolation(3)
    with pytest.raises(ValueError, match="Model 0 is of another model"):
        Interpolation(mlp(8)).draw(objective, seed=0)
    with pytest.raises(ValueError, match="there is no way to go"):
        Interpolation(objective.model_at(objective.anchor)).draw(objective, seed=0)
    with pytest.raises(ValueError, match="no column 'route'"):
        Interpolation.barriers(Landscape(others[0], DATA).sample(Rays(2, 3)).to_frame())
    line = torch.nn.Linear(64, 10)
    with pytest.raises(ValueError, match="Give align=False"):
        Interpolation(torch.nn.Linear(64, 10)).draw(Objective(line, DATA), seed=0)
