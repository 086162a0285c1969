"""Several models on one map, by their names."""

import numpy as np
import pytest
import torch
from torch import nn

from landscape_widgets import Landscape, LandscapeWidget
from landscape_widgets.samplers import Interpolation, Minima, Models
from landscape_widgets.samplers.matching import apply, symmetries
from tests.models import ConvNet, digits, mlp, train
from tests.widget.page import state

DATA = digits(300)


def loss_of(model: nn.Module) -> float:
    """By a plain loop."""
    model = model.eval()
    with torch.no_grad():
        return float(nn.functional.cross_entropy(model(DATA[0]), DATA[1]))


@pytest.fixture(scope="module")
def models():
    return {f"seed {seed}": train(mlp(8, seed=seed), DATA, 150) for seed in (0, 1)}


def test_models_are_called_by_their_names_and_have_their_own_losses(models):
    frame = Landscape(models, DATA).sample().to_frame()
    named = frame[frame["name"] != ""]
    assert dict(zip(named["name"], named["kind"], strict=True)) == {
        "seed 0": "trained",
        "seed 1": "model",
    }
    for name, model in models.items():
        assert named.set_index("name").loc[name, "loss"] == pytest.approx(loss_of(model), rel=1e-5)
    assert (frame["kind"] == "sample").sum() == 1000


def test_a_copy_with_its_units_in_another_order_is_matched_and_the_gain_is_said(models):
    model = models["seed 0"]
    groups = symmetries(model)
    orders = [np.random.default_rng(0).permutation(group.size) for group in groups]
    shuffled = apply(dict(model.named_parameters()), groups, orders)
    moved = mlp(8)
    moved.load_state_dict({name: value.detach() for name, value in shuffled.items()})
    nudged = {name: value + 1e-3 for name, value in moved.state_dict().items()}
    land = Landscape({"one": model, "other": nudged}, DATA).sample(None)
    (said,) = [text for text in land.assumptions if text.startswith("The hidden units of other")]
    numbers = [float(word.strip(".,")) for word in said.split() if word[0].isdigit()]
    after, before, near, far = numbers
    theta, end = (torch.cat([p.detach().flatten() for p in m.parameters()]) for m in (model, moved))
    end = end + 1e-3
    # Along the straight way as it was, by a plain loop.
    losses = []
    for t in np.linspace(0, 1, 11):
        nn.utils.vector_to_parameters(theta + t * (end - theta), moved.parameters())
        losses.append(loss_of(moved))
    barrier = max(np.array(losses) - np.linspace(losses[0], losses[-1], 11))
    assert before == pytest.approx(barrier, rel=0.01)
    assert before > 0.1
    assert abs(after) < 1e-3
    assert far == pytest.approx(float((end - theta).norm()), rel=0.01)
    assert near < 0.1 < far


def test_each_model_has_its_own_batch_statistics():
    models = {f"seed {seed}": train(ConvNet(seed=seed), DATA, 40) for seed in (0, 1, 2)}
    frame = Landscape(models, DATA).sample(None).to_frame().set_index("name")
    for name, model in models.items():
        assert frame.loc[name, "loss"] == pytest.approx(loss_of(model), rel=1e-4)


def test_names_and_samples_come_back_from_a_file(models, tmp_path):
    land = Landscape(models, DATA).sample(Models(models["seed 1"], names=["other"], n=10))
    land.embed("pca").save(tmp_path / "models.safetensors")
    again = Landscape.load(tmp_path / "models.safetensors", models, DATA)
    assert again.cloud.names == land.cloud.names == {0: "θ*", 1: "other"}
    np.testing.assert_array_equal(again.losses, land.losses)


def test_ways_end_at_models_by_name(models):
    sampler = Interpolation(models["seed 1"], points=3, curve=False, names=["decay"])
    land = Landscape(models["seed 0"], DATA).sample(sampler)
    assert list(land.cloud.names.values()) == ["θ*", "decay", "decay, units matched"]
    barriers = Interpolation.barriers(land.to_frame())
    assert list(barriers.index) == ["decay"]


def test_a_widget_of_several_models_shows_them_and_can_sample_anew(models):
    widget = LandscapeWidget(models, DATA, reducer="pca")
    widget.wait(120)
    assert state(widget, "samples")["names"] == {"0": "seed 0", "1": "seed 1"}
    assert state(widget, "chosen")["sampler"] == "models"
    widget.sampler = Minima(n=10, steps=5, finish=1)
    widget.wait(120)
    assert state(widget, "samples")["names"]["0"] == "θ*"
    offered = [choice["key"] for choice in state(widget, "choices")["sampler"]]
    assert "models" in offered
    widget.close()


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({}, TypeError, "The mapping of models is empty"),
        ({"a": {"0.weight": torch.zeros(2)}}, TypeError, "The first of the models by name, 'a'"),
        ({"a": mlp(8), "b": 3}, TypeError, "weights of type int"),
        ({"a": mlp(8), "b": mlp(9)}, ValueError, "The model 'b' is of another model"),
        ({"a": mlp(8), "b": mlp(8)}, ValueError, "'b' has the trained weights θ\\* themselves"),
    ],
)
def test_what_are_no_models_of_one_kind_is_refused_by_name(given, error, message):
    with pytest.raises(error, match=message):
        Landscape(given, DATA).sample()


def test_names_are_one_for_each_model(models):
    with pytest.raises(ValueError, match="was given 1 models and the names"):
        Models(models["seed 1"], names=["a", "b"])
