"""Losses of one's own: the order of their arguments, and what they write over."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from landscape_widgets.objective.objective import Objective
from tests.models import digits


def model(outputs=10):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, outputs))


def over(y_true, y_pred):
    error = y_pred - y_true
    return torch.where(error > 0, 3 * error, -error).mean()


def under(targets, logits):
    return over(logits, targets)


class AsKeras:
    def __call__(self, y_true, y_pred, sample_weight=None):
        return over(y_true, y_pred)


@pytest.mark.parametrize("loss", [over, under, AsKeras()])
def test_a_loss_whose_first_argument_is_named_as_the_targets_gets_them_first(loss):
    x, _ = digits(40)
    y, net = torch.randn(40, 1), model(1)
    objective = Objective(net, (x, y), loss=loss)
    assert objective.anchor_loss == pytest.approx(float(loss(y, net(x))), rel=1e-5)
    assert any("loss(targets, outputs), as its" in said for said in objective.assumptions)


def test_the_order_of_arguments_that_say_nothing_is_found_by_trying():
    (x, y), net = digits(40), model()
    expected = float(F.cross_entropy(net(x), y))
    turned = Objective(net, (x, y), loss=lambda a, b: F.cross_entropy(b, a))
    assert turned.anchor_loss == pytest.approx(expected, rel=1e-5)
    assert "loss(targets, outputs), since" in turned.assumptions[0]
    of_batch = Objective(net, (x, y), loss=lambda a, b: F.cross_entropy(b(a[0]), a[1]))
    assert of_batch.anchor_loss == pytest.approx(expected, rel=1e-5)
    assert "loss(batch, model), since" in of_batch.assumptions[0]
    assert Objective(net, (x, y), loss=F.cross_entropy).assumptions == ()


def marks(outputs, targets):
    targets[targets > 7] = 0
    return F.cross_entropy(outputs, targets)


def clamps(outputs, targets):
    outputs.clamp_(-0.1, 0.1)
    return F.cross_entropy(outputs, targets)


def scales(model, batch):
    x, y = batch
    x.mul_(2)
    y -= y
    return F.cross_entropy(model(x), y)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("loss", [marks, clamps, scales])
def test_a_loss_that_writes_over_what_it_gets_sees_the_same_each_time(loss, whole):
    (x, y), net = digits(60), model()
    before = x.clone(), y.clone()
    parts = [(x, y)] if whole else list(DataLoader(TensorDataset(x, y), batch_size=20))
    data = (x, y) if whole else DataLoader(TensorDataset(x, y), batch_size=20)

    def expected():
        total = 0.0
        for part in parts:
            inputs, targets = (leaf.clone() for leaf in part)
            with torch.no_grad():
                if loss is scales:
                    total += float(loss(net, (inputs, targets)))
                else:
                    total += float(loss(net(inputs), targets))
        return total / len(parts)

    metrics = {"mean": lambda outputs, targets: float(outputs.mean())}
    objective = Objective(net, data, loss=loss, metrics=metrics)
    for _ in range(3):
        assert objective.loss(objective.anchor) == pytest.approx(expected(), rel=1e-5)
    assert objective.loss_and_gradient(objective.anchor)[0] == pytest.approx(expected(), rel=1e-5)
    assert torch.equal(x, before[0])
    assert torch.equal(y, before[1])


def test_a_loss_that_gives_a_number_is_refused_with_what_has_a_gradient():
    import sklearn.metrics

    (x, _), net = digits(20), model(1)
    with pytest.raises(ValueError, match="a number, as NumPy and scikit-learn give it"):
        Objective(net, (x, torch.randn(20, 1)), loss=sklearn.metrics.mean_squared_error)


class ReturnsLoss(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = model()

    def forward(self, x, labels):
        z = self.inner(x)
        return F.cross_entropy(z, labels), z


def test_the_first_part_of_what_a_model_with_labels_returns_is_its_loss():
    (x, y), net = digits(40), ReturnsLoss()
    objective = Objective(net, {"x": x, "labels": y})
    assert objective.anchor_loss == pytest.approx(float(net(x, y)[0]), rel=1e-5)
    assert any("the model's own" in said for said in objective.assumptions)
