import copy

import pytest
import torch
from torch import nn

from landscape_widgets.objective.objective import Objective
from landscape_widgets.samplers import Recorder, Trajectory
from tests.models import ConvNet, digits, mlp


def trained_with_recorder(steps=20, **keywords):
    data = digits(200)
    model = mlp(8)
    recorder = Recorder(model, **keywords)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    history = [copy.deepcopy(model.state_dict())]
    for _ in range(steps):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(data[0]), data[1]).backward()
        optimiser.step()
        recorder.step()
        history.append(copy.deepcopy(model.state_dict()))
    return Objective(model, data), recorder, history


def test_a_recorder_keeps_the_weights_before_and_after_each_step():
    objective, recorder, history = trained_with_recorder()
    assert recorder.steps == list(range(21))
    cloud = Trajectory(recorder).draw(objective, seed=0)
    # The last checkpoint is θ* itself: sample 0 stands for it, as the end of the path.
    assert len(cloud) == 21
    assert cloud.table.loc[0, ["path", "step"]].tolist() == [0, 20]
    assert cloud.table["step"].tolist() == [20, *range(20)]
    for row in (1, 10, 20):
        expected = objective.layout.flatten(history[row - 1])
        torch.testing.assert_close(cloud.vector(row), expected, rtol=0, atol=1e-6)


def test_state_dicts_give_the_same_cloud_as_the_recorder():
    objective, recorder, history = trained_with_recorder()
    recorded = Trajectory(recorder).draw(objective, seed=0)
    listed = Trajectory(history).draw(objective, seed=0)
    assert torch.equal(recorded.basis.columns(slice(None)), listed.basis.columns(slice(None)))
    assert recorded.table.equals(listed.table)


def test_a_full_recorder_thins_out_and_stays_equally_spaced():
    _, recorder, _ = trained_with_recorder(steps=50, at_most=8)
    assert len(recorder) <= 8
    gaps = {b - a for a, b in zip(recorder.steps, recorder.steps[1:], strict=False)}
    assert gaps == {recorder.every}
    assert recorder.steps[0] == 0


def test_several_runs_are_several_paths():
    objective, _, history = trained_with_recorder()
    other = [objective.model_at(objective.anchor * share).state_dict() for share in (0.5, 0.9)]
    cloud = Trajectory([history, other]).draw(objective, seed=0)
    assert set(cloud.table["path"]) == {0, 1}
    assert cloud.table["kind"].tolist()[-1] == "end"


def test_two_neighbouring_checkpoints_keep_their_distance():
    # θ* and a checkpoint that differ in the seventh digit.
    objective, _, _ = trained_with_recorder(steps=5)
    moved = objective.anchor.double()
    moved[7] += 1e-6
    near = dict(objective.layout.unflatten(moved))
    cloud = Trajectory([near]).draw(objective, seed=0)
    assert float(cloud.table["radius"][1]) == pytest.approx(1e-6, rel=1e-4)


def test_buffers_and_wrappers_names_do_not_matter():
    data = digits(50)
    model = ConvNet()
    objective = Objective(model, data)
    moved = {f"module.{name}": t.clone() for name, t in model.state_dict().items()}
    moved["module.head.bias"] += 1
    cloud = Trajectory([moved]).draw(objective, seed=0)
    assert float(cloud.table["radius"][1]) == pytest.approx(10**0.5, rel=1e-5)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (mlp(9), r"Checkpoint 0 .*0\.weight has shape \(9, 64\) for \(8, 64\)"),
        (nn.Sequential(nn.Linear(64, 8)), r"2\.weight is missing; 2\.bias is missing"),
        (
            nn.Sequential(*mlp(8), nn.ReLU(), nn.Linear(10, 10)),
            r"4\.weight is unknown .*Did you mean",
        ),
    ],
)
def test_checkpoints_of_another_model_are_named_key_by_key(other, message):
    objective, _, _ = trained_with_recorder(steps=1)
    with pytest.raises(ValueError, match=message):
        Trajectory([other.state_dict()]).draw(objective, seed=0)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ([], ValueError, "no checkpoints"),
        ("run1.pt", FileNotFoundError, "there is no file 'run1.pt'"),
        (["run1.pt"], FileNotFoundError, "there is no file 'run1.pt'"),
        ([5], TypeError, "weights of type int"),
        (3, TypeError, "int"),
    ],
)
def test_what_is_no_checkpoint_is_refused(given, error, message):
    with pytest.raises(error, match=message):
        Trajectory(given)


def test_a_path_of_the_trained_weights_alone_is_refused():
    objective, _, history = trained_with_recorder(steps=2)
    with pytest.raises(ValueError, match="there is no path"):
        Trajectory([history[-1]]).draw(objective, seed=0)
