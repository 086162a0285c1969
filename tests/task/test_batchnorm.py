"""Batch statistics: of checkpoints and other models their own, and re-estimated ones."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from landscape_widgets.landscape.landscape import Landscape
from landscape_widgets.objective.objective import Objective
from landscape_widgets.samplers import Grid, Interpolation, Recorder, Trajectory
from tests.models import digits


def network(seed):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(64, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 10), nn.BatchNorm1d(10)
    )


def trained(seed, steps=30, recorder=None):
    x, y = digits(160)
    model = network(seed)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.3)
    history = []
    recorder = None if recorder is None else Recorder(model, every=10)
    for step in range(steps):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimiser.step()
        if recorder is not None:
            recorder.step()
        if step % 10 == 9:
            history.append(copy.deepcopy(model.state_dict()))
    return model.eval(), history, recorder


def plain_loss(state):
    x, y = digits(160)
    model = network(0).eval()
    model.load_state_dict(state)
    with torch.no_grad():
        return float(nn.functional.cross_entropy(model(x), y))


def test_a_checkpoint_has_the_loss_of_its_own_statistics_and_so_has_the_end_of_its_slice(tmp_path):
    model, history, _ = trained(0)
    land = Landscape(model, digits(160)).sample(Trajectory(history))
    expected = [plain_loss(state) for state in history]
    found = dict(zip(land.cloud.table["step"], land.losses, strict=True))
    assert [found[step] for step in range(3)] == pytest.approx(expected, rel=1e-5)
    sliced = land.slice([1, 2], [0.0, 0.5, 1.0, 1.5])
    assert sliced.losses[:, 2] == pytest.approx(land.losses[[1, 2]], rel=1e-6)
    assert sliced.losses[:, 0] == pytest.approx(land.objective.anchor_loss)
    assert np.isfinite(sliced.losses).all()
    plane = land.plane(1, 2, resolution=5)
    assert plane.losses[0].size > 0
    for index in (1, 2):
        assert plain_loss(land.model_at(index).state_dict()) == pytest.approx(
            land.losses[index], rel=1e-5
        )
    assert any(
        "batch statistics are its own" in s or "are their own" in s for s in land.assumptions
    )
    land.save(tmp_path / "land.safetensors")
    loaded = Landscape.load(tmp_path / "land.safetensors", model, digits(160))
    assert loaded.slice([1], [1.0]).losses[0, 0] == pytest.approx(land.losses[1], rel=1e-6)


def test_a_recorder_keeps_statistics_too():
    model, history, recorder = trained(0, recorder=True)
    land = Landscape(model, digits(160)).sample(Trajectory(recorder))
    found = dict(zip(land.cloud.table["step"], land.losses, strict=True))
    assert found[10] == pytest.approx(plain_loss(history[0]), rel=1e-5)
    assert found[20] == pytest.approx(plain_loss(history[1]), rel=1e-5)


def test_the_ends_of_all_ways_are_the_other_model():
    (model, _, _), (other, _, _) = trained(0), trained(1)
    land = Landscape(model, digits(160)).sample(Interpolation(other, points=4, steps=3))
    frame = land.to_frame()
    ends = frame[frame["t"] == 1.0]["loss"].to_numpy()
    assert ends == pytest.approx([plain_loss(other.state_dict())] * 3, rel=1e-4)
    frame = (
        Landscape(model, digits(160))
        .sample(Grid(through=[other, network(2)], points=3, extent=(0, 1)))
        .to_frame()
    )
    at = frame[(frame["column"] == 2) & (frame["row"] == 0)]["loss"]
    assert float(at.iloc[0]) == pytest.approx(plain_loss(other.state_dict()), rel=1e-4)


@pytest.mark.parametrize("by", ["interpolation", "trajectory"])
def test_half_way_trained_statistics_are_warned_of_with_the_losses_that_both_give(by):
    x, y = digits(160)
    (model, _, _), (other, _, _) = trained(0), trained(1)
    checkpoints = Trajectory([other.state_dict(), model.state_dict()])
    between = Interpolation(other, points=2, steps=1, align=False)
    sampler = between if by == "interpolation" else checkpoints
    land = Landscape(model, (x, y)).sample(sampler)
    (said,) = [sentence for sentence in land.assumptions if "reestimate" in sentence]
    middle = network(0)
    pairs = zip(model.state_dict().items(), other.state_dict().values(), strict=True)
    middle.load_state_dict({n: (a + b) / 2 if a.ndim else a for (n, a), b in pairs})
    with torch.no_grad():
        interpolated = float(nn.functional.cross_entropy(middle.eval()(x), y))
        estimated = float(nn.functional.cross_entropy(middle.train()(x), y))
    assert f"{interpolated:.3g} with the trained" in said
    found = float(said.split(", and ")[1].split(" with")[0])
    assert found == pytest.approx(estimated, rel=0.05)


def test_nothing_is_said_half_way_to_where_statistics_hardly_differ():
    x, y = digits(160)
    model, _, _ = trained(0)
    with torch.no_grad():
        for _ in range(100):  # until the running statistics are those of the data
            model.train()(x)
    land = Landscape(model.eval(), (x, y)).sample(Trajectory([copy.deepcopy(model), model]))
    assert not any("reestimate" in sentence for sentence in land.assumptions)


@pytest.mark.parametrize("batches", ["whole", "several"])
def test_the_gradient_knows_of_the_re_estimation(batches):
    x, y = (part.double() if part.is_floating_point() else part for part in digits(90))
    model, _, _ = trained(0)
    data = (x, y) if batches == "whole" else [(x[:40], y[:40]), (x[40:], y[40:])]
    objective = Objective(model.double(), data, batchnorm="reestimate")
    theta = objective.anchor * 1.1
    loss, gradient = objective.loss_and_gradient(theta)
    assert loss == pytest.approx(objective.loss(theta), rel=1e-9)
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        v = torch.randn(objective.size, generator=generator, dtype=torch.float64) * 1e-5
        slope = (objective.loss(theta + v) - objective.loss(theta - v)) / 2
        assert slope == pytest.approx(float(gradient @ v), rel=1e-5)


def test_a_minibatch_gradient_differentiates_the_statistics_of_the_minibatch():
    x, y = (part.double() if part.is_floating_point() else part for part in digits(90))
    model, _, _ = trained(0)
    objective = Objective(model.double(), (x, y), batchnorm="reestimate")
    theta = objective.anchor * 1.1

    def at(vector):
        generator = torch.Generator().manual_seed(3)
        return objective.minibatch_gradient(vector, generator, 32)

    _, gradient = at(theta)
    v = torch.randn(objective.size, generator=torch.Generator().manual_seed(1)).double() * 1e-5
    slope = (at(theta + v)[0] - at(theta - v)[0]) / 2
    assert slope == pytest.approx(float(gradient @ v), rel=1e-5)


def test_a_curve_bent_with_re_estimated_statistics_lies_below_the_straight_line():
    (model, _, _), (other, _, _) = trained(0, 60), trained(1, 60)
    land = Landscape(model, digits(160), batchnorm="reestimate").sample(
        Interpolation(other, points=8, steps=80, align=False)
    )
    barriers = Interpolation.barriers(land.to_frame()).iloc[0]
    assert barriers["curve"] < 0.5 * barriers["linear"]


class WithActivation(nn.BatchNorm2d):
    """Normalises and activates in one, as timm's layers do."""

    def forward(self, x):
        return super().forward(x).tanh()


NORMS = {
    "instance": lambda: nn.InstanceNorm2d(4, affine=True, track_running_stats=True),
    "instance, used twice": lambda: nn.InstanceNorm2d(4, affine=True, track_running_stats=True),
    "synchronised": lambda: nn.SyncBatchNorm(4),
    "with an activation": lambda: WithActivation(4),
    "without a scale": lambda: nn.BatchNorm2d(4, affine=False),
}


@pytest.mark.parametrize("kind", NORMS)
def test_every_layer_with_running_statistics_is_re_estimated_and_differentiated(kind):
    torch.manual_seed(0)
    norm = NORMS[kind]()
    twice = [norm, nn.Conv2d(4, 4, 1)] if kind.endswith("twice") else []
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), *twice, norm, nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(16, 3),
    ).double()  # fmt: skip
    batches = [
        (torch.randn(size, 1, 6, 6, dtype=torch.float64), torch.randint(0, 3, (size,)))
        for size in (12, 12)
    ]
    objective = Objective(model.eval(), batches, batchnorm="reestimate", metrics=[])
    theta = objective.anchor * 1.2
    # The same in torch's own words: one momentum for a plain average over all calls.
    expected = objective.model_at(theta)
    layers = [m for m in expected.modules() if isinstance(m, type(norm))]
    assert len(layers) == 1
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def note(module, arguments):
        x = arguments[0]
        if isinstance(module, nn.InstanceNorm2d):
            seen.append((x.mean((2, 3)).mean(0), x.var((2, 3)).mean(0)))
        else:
            seen.append((x.mean((0, 2, 3)), x.var((0, 2, 3))))

    handle = layers[0].register_forward_pre_hook(note)
    layers[0].train()
    with torch.no_grad():
        for x, _ in batches:
            expected(x)
        handle.remove()
        layers[0].eval()
        layers[0].running_mean.copy_(torch.stack([mean for mean, _ in seen]).mean(0))
        layers[0].running_var.copy_(torch.stack([variance for _, variance in seen]).mean(0))
        losses = [float(nn.functional.cross_entropy(expected(x), y)) for x, y in batches]
    assert objective.loss(theta) == pytest.approx(sum(losses) / 2, rel=1e-9)
    loss, gradient = objective.loss_and_gradient(theta)
    assert loss == pytest.approx(objective.loss(theta), rel=1e-9)
    v = torch.randn(objective.size, generator=torch.Generator().manual_seed(1)).double() * 1e-6
    slope = (objective.loss(theta + v) - objective.loss(theta - v)) / 2
    assert slope == pytest.approx(float(gradient @ v), rel=1e-5)


def test_a_loss_that_trains_says_that_norms_use_the_batch_at_hand():
    def loss(model, batch):
        model.train()
        return nn.functional.mse_loss(model(batch[0]), batch[1])

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)).eval()
    data = (torch.randn(20, 3), torch.randn(20, 1))
    said = " ".join(Objective(model, data, loss=loss).assumptions)
    assert "the statistics of the batch at hand" in said
    assert "uses the trained statistics" not in said
    said = " ".join(Objective(model, data).assumptions)
    assert "uses the trained statistics" in said
