"""Objects that answer to any name, among what a loss uses."""

import torch

from landscape_widgets.objective.objective import Objective
from tests.models import digits, mlp


class Library:
    """Makes a function of every attribute that is asked for, as bindings of C libraries do."""

    @property
    def __dict__(self):
        return lambda *arguments: None

    def __getattr__(self, name):
        return lambda *arguments: None


library = Library()


def loss(model, batch):
    assert library is not None
    inputs, targets = batch
    return torch.nn.functional.cross_entropy(model(inputs), targets)


def test_a_loss_may_use_an_object_whose_attributes_are_made_as_they_are_asked_for():
    model, data = mlp(8), digits(60)
    objective = Objective(model, data, loss=loss)
    with torch.no_grad():
        truth = float(loss(model, data))
    assert abs(objective.anchor_loss - truth) < 1e-6
