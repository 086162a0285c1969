"""The model is tried once: how often model and loss are called until an objective is there."""

import os

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import _get_current_dispatch_mode

from landscape_widgets.objective.objective import Objective
from landscape_widgets.objective.options import Options

X = torch.randn(600, 20, generator=torch.Generator().manual_seed(0))
Y = torch.randint(0, 5, (600,), generator=torch.Generator().manual_seed(1))
IMAGES = torch.randn(600, 1, 6, 6, generator=torch.Generator().manual_seed(2))


class Calls:
    """Counts where nothing of the working copy's can reach: in a file."""

    def __init__(self, path) -> None:
        self.path = path
        self.number = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def of(self, mark: bytes) -> int:
        return self.path.read_bytes().count(mark)


@pytest.fixture
def calls(tmp_path):
    found = Calls(tmp_path / "calls")
    yield found
    os.close(found.number)


class Dense(nn.Sequential):
    def __init__(self, number: int) -> None:
        super().__init__(nn.Linear(20, 8), nn.ReLU(), nn.Linear(8, 5))
        self.number = number

    def forward(self, x):
        os.write(self.number, b"m")
        return super().forward(x)


class Normed(nn.Module):
    def __init__(self, number: int) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 5)
        self.number = number

    def forward(self, x):
        os.write(self.number, b"m")
        return self.head(torch.relu(self.norm(self.conv(x))).mean((2, 3)))


class WithLoss(Dense):
    def forward(self, x, labels):
        logits = super().forward(x)
        return {"logits": logits, "loss": nn.functional.cross_entropy(logits, labels)}


def test_a_model_with_one_of_torchs_losses_is_called_fifteen_times_at_most(calls):
    Objective(Dense(calls.number), (X, Y), loss=nn.CrossEntropyLoss())
    assert 0 < calls.of(b"m") <= 15


def test_a_convolutional_one_with_batch_norm_too(calls):
    Objective(Normed(calls.number), (IMAGES, Y))
    assert 0 < calls.of(b"m") <= 15


def test_a_model_that_returns_its_loss_is_called_twenty_five_times_at_most(calls):
    Objective(WithLoss(calls.number), {"x": X, "labels": Y})
    assert 0 < calls.of(b"m") <= 25


def test_a_loss_of_ones_own_is_called_thirty_times_at_most(calls):
    number = calls.number

    def loss(outputs, targets):
        os.write(number, b"l")
        return nn.functional.cross_entropy(outputs, targets)

    objective = Objective(Dense(number), (X, Y), loss=loss)
    assert objective._many.split("train").separable
    assert 0 < calls.of(b"l") <= 30


def test_a_loss_that_does_not_hang_on_examples_is_called_fifteen_times_at_most(calls):
    number = calls.number

    def loss(model, batch):
        os.write(number, b"l")
        return sum(p.square().sum() for p in model.parameters())

    objective = Objective(Dense(number), (X, Y), loss=loss)
    assert 0 < calls.of(b"l") <= 15
    expected = float(objective.anchor.double().square().sum())
    assert objective.anchor_loss == pytest.approx(expected, rel=1e-6)


def test_a_loss_that_joins_its_examples_is_known_for_it_after_a_few_calls(calls):
    number = calls.number

    def contrast(outputs, targets):
        os.write(number, b"l")
        return (outputs @ outputs.T).logsumexp(1).mean()

    objective = Objective(Dense(number), (X, Y), loss=contrast)
    assert not objective._many.split("train").separable
    assert 0 < calls.of(b"l") <= 10


class Unwatched(Dense):
    """As operations that torch lets nobody watch."""

    def forward(self, x):
        if _get_current_dispatch_mode() is not None:
            raise NotImplementedError("no rule for this mode")
        return super().forward(x)


@pytest.mark.parametrize("loss", [None, nn.functional.cross_entropy])
def test_a_model_whose_operations_cannot_be_watched_is_set_up_all_the_same(calls, loss):
    model = Unwatched(calls.number)
    objective = Objective(model, [(X[:64], Y[:64]), (X[64:], Y[64:])], loss=loss)
    expected = nn.functional.cross_entropy(model(X), Y)
    assert objective.anchor_loss == pytest.approx(float(expected), rel=1e-5)


def test_an_option_that_there_is_not_is_refused_with_the_near_ones():
    with pytest.raises(TypeError, match=r"'max_example'.*Did you mean 'max_examples'"):
        Objective(nn.Linear(20, 5), (X, Y), max_example=3)


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"strategy": "fusd"}, "Did you mean 'fused'"),
        ({"batchnorm": "train"}, "'trained' or 'reestimate'"),
        ({"max_examples": 0}, "whole number of 1 or more"),
        ({"probe_examples": True}, "whole number of 1 or more"),
        ({"batch_axis": (0, -1)}, "0 or more"),
    ],
)
def test_options_are_checked_where_they_are_made(keywords, said):
    with pytest.raises(ValueError, match=said):
        Options(**keywords)


def test_the_losses_at_the_trained_weights_are_those_of_a_plain_loop():
    """Whatever of the first run is used again, the numbers are the model's own."""
    model = nn.Sequential(nn.Linear(20, 8), nn.Tanh(), nn.Linear(8, 5))
    plain = float(nn.functional.cross_entropy(model(X), Y))
    for loss in (None, nn.CrossEntropyLoss(), nn.functional.cross_entropy):
        assert Objective(model, (X, Y), loss=loss).anchor_loss == pytest.approx(plain, rel=1e-6)
    assert np.isfinite(plain)
