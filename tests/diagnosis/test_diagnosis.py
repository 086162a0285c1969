"""What a diagnosis is made of, and what it says where something is missing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import landscape_widgets as lw
from landscape_widgets.diagnosis import diagnose, references
from landscape_widgets.objective.objective import Objective
from landscape_widgets.progress import Cancelled
from tests.diagnosis.known import adam, digits, waves
from tests.models import ConvNet, mlp


@pytest.fixture(scope="module")
def land() -> lw.Landscape:
    data, val = digits(0)
    model = adam(mlp(), data, F.cross_entropy, 100)
    return lw.Landscape(model, data, val_data=val)


def test_the_trained_weights_need_no_samples_and_samples_are_told_by_name(land):
    phases = set()
    found = land.diagnosis(progress=lambda told: phases.add(told.phase))
    assert found.name == "θ*"
    assert phases == {"untrained", "gradient", "curvature", "descending"}
    with pytest.raises(IndexError, match=r"Sample 1 was asked for; there is θ\* alone"):
        land.diagnosis(1)
    land.sample(lw.samplers.Subspace(k=2, n=3))
    again = set()
    other = land.diagnosis(2, progress=lambda told: again.add(told.phase))
    assert other.name == "Sample 2"
    assert "untrained" not in again  # they are known by now
    assert other.evidence.loss == pytest.approx(land.losses[2], rel=1e-4)
    with pytest.raises(IndexError, match="there are 0 to 3"):
        land.diagnosis(4)
    with pytest.raises(Cancelled):
        land.diagnosis(3, cancelled=lambda: True)
    assert land.diagnosis() is found  # what was found is kept


def test_the_evidence_is_what_plain_torch_finds(land):
    found = land.diagnosis()
    table = found.to_frame()
    data, val = digits(0)
    model = adam(mlp(), data, F.cross_entropy, 100)
    model.zero_grad()
    F.cross_entropy(model(data[0]), data[1]).backward()
    slope = torch.cat([p.grad.flatten() for p in model.parameters()]).norm()
    assert table.value["gradient norm"] == pytest.approx(float(slope), rel=1e-4)
    with torch.no_grad():
        each = F.cross_entropy(model(val[0]), val[1], reduction="none").double()
    error = float(each.std() / len(each) ** 0.5)
    assert table.value["validation loss"] == pytest.approx(float(each.mean()), rel=1e-5)
    assert table.error["validation loss"] == pytest.approx(error, rel=1e-4)
    for said in (found.place, found.fit):
        assert said.words in repr(found)
        assert said.why in repr(found)
        assert said.change in repr(found)


def test_what_a_descent_takes_off_is_no_more_than_the_loss(land):
    e = land.diagnosis().evidence
    assert 0 < e.best_step <= e.loss
    assert e.best_step < e.descent <= e.loss


def test_a_large_model_is_looked_at_in_little_time_with_the_same_verdict(land):
    objective = land.objective
    counted = {"loss": 0, "loss_and_gradient": 0, "hessian": 0}

    class Counting:
        def __getattr__(self, name):
            if name in counted:
                counted[name] += 1
            return getattr(objective, name)

    quick = diagnose(Counting(), thorough=False)
    assert counted["loss"] + 3 * counted["loss_and_gradient"] <= 60
    assert counted["hessian"] == 0
    thorough = land.diagnosis()
    assert (quick.place.kind, quick.fit.kind) == (thorough.place.kind, thorough.fit.kind)
    assert quick.evidence.top == pytest.approx(thorough.evidence.top, rel=0.1)


def test_without_validation_data_nothing_is_said_of_overfitting():
    data = waves(0)
    model = adam(
        nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1)), data, F.mse_loss, 500
    )
    found = diagnose(Objective(model, data))
    assert found.fit.kind == "learned"
    assert "Without validation data" in found.fit.words


def test_of_a_loss_of_ones_own_untrained_networks_are_all_there_is_to_compare_with():
    def shifted(outputs, targets):  # below zero once it is trained
        return F.mse_loss(outputs, targets) - 1

    data = waves(0)
    model = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1))
    found = diagnose(Objective(model, data, loss=shifted))
    assert found.fit.kind == "not trained"
    assert "of untrained networks" in found.fit.words
    adam(model, data, F.mse_loss, 500)
    found = diagnose(Objective(model, data, val_data=waves(1), loss=shifted))
    assert found.evidence.loss < 0
    assert found.fit.kind == "fits"
    assert found.evidence.gap_error is None  # examples have no loss of their own
    assert "chance" not in found.fit.words


def test_untrained_copies_of_batch_normalisation_are_of_their_own_statistics():
    data, _ = digits(0, 200)
    model = adam(ConvNet().train(), data, F.cross_entropy, 30).eval()
    objective = Objective(model, data)
    assert np.median(references(objective).untrained) == pytest.approx(np.log(10), rel=0.15)
    for how in ("trained", "reestimate"):
        found = diagnose(Objective(model, data, batchnorm=how))
        assert found.place.kind == "still falling"


def test_a_checkpoint_is_judged_with_its_own_batch_statistics():
    data, _ = digits(0, 200)
    model = ConvNet().train()
    states = []
    for _ in range(3):
        adam(model, data, F.cross_entropy, 10)
        states.append({name: value.clone() for name, value in model.state_dict().items()})
    land = lw.Landscape(model.eval(), data).sample(lw.samplers.Trajectory(states))
    found = land.diagnosis(1)
    assert found.evidence.loss == pytest.approx(land.losses[1], rel=1e-4)
    other = ConvNet()
    other.load_state_dict(states[0])
    expected = F.cross_entropy(other.eval()(data[0]), data[1]).item()
    assert found.evidence.loss == pytest.approx(expected, rel=1e-4)


def test_the_model_is_as_it_was_and_the_same_seed_says_the_same(land):
    before = land.objective.anchor.clone()
    first, second = diagnose(land.objective), diagnose(land.objective)
    assert repr(first) == repr(second)
    assert torch.equal(land.objective.anchor, before)


def test_a_second_derivative_that_is_not_finite_leaves_the_rest_to_be_told():
    """|θ|^1.5 has no finite curvature where one of the weights is zero."""

    class Power(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.theta = nn.Parameter(torch.tensor([0.0, 1.0], dtype=torch.float64))

        def forward(self, x):
            return (self.theta[0] ** 2 + 1e-300).pow(0.75) + (self.theta[1] - 3).square()

    data = (torch.zeros(1, 1), torch.zeros(1, 1))
    objective = Objective(Power(), data, loss=lambda outputs, targets: outputs)
    found = diagnose(objective)
    assert found.place.kind == "still falling"
