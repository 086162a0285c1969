"""A gradient that is not the derivative of its loss is said to be none; kinks are no reason."""

import pytest
import torch
from torch import nn

from landscape_widgets import Landscape
from landscape_widgets.objective.objective import Objective
from landscape_widgets.samplers import Minima
from tests.models import train

F = nn.functional
X = torch.randn(200, 20, generator=torch.Generator().manual_seed(0))
Y = torch.randint(0, 5, (200,), generator=torch.Generator().manual_seed(1))
IMAGES = torch.randn(100, 1, 8, 8, generator=torch.Generator().manual_seed(2))


def said(objective: Objective) -> list[str]:
    objective.check_gradient()
    return [one for one in objective.assumptions if "not the derivative of the loss" in one]


def dense(*, width: int = 16, function: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(20, width), function(), nn.Linear(width, 5))


def clipped_by_data(outputs, targets):
    outputs = outputs * 1.0
    outputs.data = outputs.data.clamp(-0.3, 0.3)
    return F.cross_entropy(outputs, targets)


def penalty_detached(outputs, targets):
    return F.cross_entropy(outputs, targets) + outputs.detach().square().mean()


def half_without_gradient(model, batch):
    inputs, targets = batch
    with torch.no_grad():
        hidden = model[1](model[0](inputs))
    return F.cross_entropy(model[2](hidden), targets)


class Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return -gradient


def gradient_reversed(model, batch):
    inputs, targets = batch
    return F.cross_entropy(model[2](Reversed.apply(model[1](model[0](inputs)))), targets)


@pytest.mark.parametrize(
    "loss", [clipped_by_data, penalty_detached, half_without_gradient, gradient_reversed]
)
def test_what_a_loss_detaches_is_said_where_its_gradient_is_used(loss):
    objective = Objective(train(dense(function=nn.Tanh), (X, Y), 200), (X, Y), loss=loss)
    assert not any("not the derivative" in one for one in objective.assumptions)
    (sentence,) = said(objective)
    assert loss.__name__ in sentence
    assert said(objective) == [sentence]  # once


def test_a_landscape_says_so_after_it_was_sampled_downhill():
    land = Landscape(dense(), (X, Y), loss=half_without_gradient)
    land.sample(Minima(k=2, n=5, steps=3))
    assert any("not the derivative of the loss" in one for one in land.assumptions)


MODELS = {
    "narrow": lambda: dense(width=3),
    "smooth": lambda: dense(function=nn.Tanh),
    "deep": lambda: nn.Sequential(
        *(part for _ in range(6) for part in (nn.Linear(20, 20), nn.ReLU())), nn.Linear(20, 5)
    ),
    "normed": lambda: nn.Sequential(
        nn.Linear(20, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 5)
    ),
}
LOSSES = {
    "cross-entropy": nn.CrossEntropyLoss(),
    "hinge": nn.MultiMarginLoss(),
    "absolute": lambda outputs, targets: (outputs - F.one_hot(targets, 5)).abs().mean(),
}


@pytest.mark.parametrize("steps", [0, 300])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("model", MODELS)
def test_kinks_raise_no_doubt(model, loss, steps):
    torch.manual_seed(0)
    given = train(MODELS[model](), (X, Y), steps) if steps else MODELS[model]()
    assert said(Objective(given, (X, Y), loss=LOSSES[loss])) == []


@pytest.mark.parametrize("batchnorm", ["trained", "reestimate"])
def test_convolutions_pooling_and_batch_statistics_raise_none(batchnorm):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(54, 5),
    )  # fmt: skip
    assert said(Objective(model, (IMAGES, Y[:100]), batchnorm=batchnorm)) == []


def test_noise_that_is_drawn_raises_none():
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(20, 5)

        def forward(self, x):
            return self.head(x + 0.3 * torch.randn_like(x))

    torch.manual_seed(0)
    assert said(Objective(Noisy(), (X, Y))) == []
