import pytest
import torch

from landscape_widgets.objective.objective import Objective
from tests.models import ConvNet, digits, mlp, train


@pytest.fixture(scope="session")
def objective() -> Objective:
    """A small perceptron that has learned the digits (P = 1,210)."""
    data = digits(600)
    return Objective(train(mlp(), data, 200), data)


@pytest.fixture(scope="session")
def convolutional() -> Objective:
    """A convolutional network with batch normalisation."""
    data = digits(300)
    return Objective(train(ConvNet(), data, 100), data)


@pytest.fixture
def linear() -> Objective:
    """Linear regression, whose loss is a paraboloid (P = 3)."""
    x = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    y = x @ torch.tensor([[1.0], [-2.0]]) + 0.5
    model = torch.nn.Linear(2, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.9, -1.9]]))
        model.bias.fill_(0.4)
    return Objective(model, (x, y))
