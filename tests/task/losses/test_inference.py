"""What is inferred without being told, and which metrics are shown without being asked for."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from landscape_widgets.objective.objective import Objective
from landscape_widgets.task.losses import main_output

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(300, 5, generator=GENERATOR)
CLASSES = (X @ torch.randn(5, 3, generator=GENERATOR)).argmax(1)
BITS = (CLASSES == 0).float()[:, None]


def net(outputs: int, *end: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, outputs), *end)


def fitted(model: nn.Module, loss, targets, steps: int = 150) -> nn.Module:
    optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(steps):
        optimiser.zero_grad()
        loss(model(X), targets).backward()
        optimiser.step()
    return model


def metrics(objective: Objective) -> dict[str, float]:
    from landscape_widgets.geometry.basis import DenseBasis

    still = DenseBasis(objective.anchor[None] * 0)
    found = objective.evaluate(still, np.zeros((1, 1))).values
    return {name: float(values[0]) for name, values in found.items() if name != "loss"}


@torch.no_grad()
def plain(model, loss, targets) -> float:
    return float(loss(model(X), targets))


def test_zeros_and_ones_that_logits_were_trained_on_are_binary_cross_entropy():
    model = fitted(net(1), F.binary_cross_entropy_with_logits, BITS)
    objective = Objective(model, (X, BITS))
    expected = plain(model, F.binary_cross_entropy_with_logits, BITS)
    assert objective.anchor_loss == pytest.approx(expected, rel=1e-5)
    assert metrics(objective) == {"accuracy": 1.0}
    assert "binary cross-entropy of logits" in objective.assumptions[0]


def test_zeros_and_ones_that_are_met_are_squared_errors():
    model = fitted(net(1), F.mse_loss, BITS)
    objective = Objective(model, (X, BITS))
    assert objective.anchor_loss == pytest.approx(plain(model, F.mse_loss, BITS), rel=1e-5)
    assert "0 and 1" in objective.assumptions[0]


def test_zeros_and_ones_of_a_model_that_was_not_trained_are_asked_for():
    with pytest.raises(ValueError, match=r"Give it: loss=nn\.BCEWithLogitsLoss"):
        Objective(net(1), (X, BITS))
    with pytest.raises(ValueError, match=r"Give it: loss=nn\.CrossEntropyLoss"):
        Objective(net(3), (X, F.one_hot(CLASSES).float()))


@pytest.mark.parametrize("targets", [BITS, BITS.long(), BITS[:, 0].long()])
def test_the_outputs_of_a_sigmoid_are_probabilities(targets):
    model = fitted(net(1, nn.Sigmoid()), F.binary_cross_entropy, BITS)
    objective = Objective(model, (X, targets))
    assert objective.anchor_loss == pytest.approx(
        plain(model, F.binary_cross_entropy, BITS), rel=1e-5
    )
    assert metrics(objective) == {"accuracy": 1.0}
    assert "sigmoid" in objective.assumptions[0]


@pytest.mark.parametrize("loss", [nn.BCELoss(), nn.BCEWithLogitsLoss()])
def test_a_sigmoid_says_1_above_a_half_whatever_loss_was_given(loss):
    model = fitted(net(1, nn.Sigmoid()), F.binary_cross_entropy, BITS)
    objective = Objective(model, (X, BITS), loss=loss)
    assert objective.anchor_loss == pytest.approx(plain(model, loss, BITS), rel=1e-5)
    assert metrics(objective) == {"accuracy": 1.0}
    assert any("sigmoid" in said for said in objective.assumptions) == (
        type(loss) is nn.BCEWithLogitsLoss
    )


def test_the_outputs_of_a_softmax_are_probabilities():
    model = nn.Sequential(fitted(net(3), F.cross_entropy, CLASSES), nn.Softmax(1))
    objective = Objective(model, (X, CLASSES))
    with torch.no_grad():
        expected = F.nll_loss(model(X).log(), CLASSES).item()
    assert objective.anchor_loss == pytest.approx(expected, rel=1e-5)
    assert "softmax" in objective.assumptions[0]
    given = Objective(model, (X, CLASSES), loss=nn.CrossEntropyLoss())
    assert given.anchor_loss == pytest.approx(plain(model, F.cross_entropy, CLASSES), rel=1e-5)
    assert "softmax" in given.assumptions[0]
    np.testing.assert_allclose(
        objective.output_features(objective.outputs(objective.anchor)[None].numpy()),
        objective.outputs(objective.anchor).sqrt().reshape(1, -1) / 10,
        rtol=1e-5,
    )


def test_log_probabilities_are_logits_too():
    model = nn.Sequential(fitted(net(3), F.cross_entropy, CLASSES), nn.LogSoftmax(1))
    for loss in (None, nn.NLLLoss()):
        objective = Objective(model, (X, CLASSES), loss=loss)
        assert objective.anchor_loss == pytest.approx(plain(model, F.nll_loss, CLASSES), rel=1e-5)
        assert not any("softmax" in said.lower() for said in objective.assumptions)
    odd = Objective(net(3), (X, CLASSES), loss=nn.NLLLoss())
    assert "logarithms of probabilities" in odd.assumptions[0]


def test_embeddings_have_no_accuracy():
    objective = Objective(net(40), (X, CLASSES))
    assert objective.quantities() == ("loss",)
    assert "40 outputs for the 3 classes" in objective.assumptions[0]

    class OnASphere(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net(8)

        def forward(self, x):
            return F.normalize(self.net(x), dim=1)

    with pytest.raises(ValueError, match="as embeddings have"):
        Objective(OnASphere(), (X, CLASSES))


def test_logits_of_more_classes_than_the_data_hold_have_an_accuracy():
    model = fitted(net(40), F.cross_entropy, CLASSES)
    objective = Objective(model, (X, CLASSES))
    right = (model(X).argmax(1) == CLASSES).float().mean().item()
    assert metrics(objective) == {"accuracy": pytest.approx(right)}


@pytest.mark.parametrize(
    ("model", "targets", "loss"),
    [
        (net(3), CLASSES, lambda z, y: F.cross_entropy(z, y)),
        (net(4), torch.randn(300, 4), lambda z, y: F.smooth_l1_loss(z, y)),
        (net(1), BITS, lambda z, y: F.binary_cross_entropy_with_logits(z, y)),
        (net(2), X[:, :2].exp(), nn.PoissonNLLLoss()),
        (net(3), X[:, :3].softmax(1), nn.CrossEntropyLoss()),
        (net(3), (X[:, :3] > 0).float(), nn.BCEWithLogitsLoss()),
    ],
)
def test_no_metric_is_shown_whose_meaning_is_not_known(model, targets, loss):
    assert Objective(model, (X, targets), loss=loss).quantities() == ("loss",)


def test_a_metric_that_is_asked_for_is_shown_with_any_loss():
    model = net(3)
    objective = Objective(
        model, (X, CLASSES), loss=lambda z, y: F.cross_entropy(z, y), metrics=["accuracy"]
    )
    right = (model(X).argmax(1) == CLASSES).float().mean().item()
    assert metrics(objective) == {"accuracy": pytest.approx(right)}


def test_accuracy_leaves_out_what_the_loss_ignores():
    targets = CLASSES.clone()
    targets[::2] = 7
    model = net(3)
    objective = Objective(model, (X, targets), loss=nn.CrossEntropyLoss(ignore_index=7))
    right = (model(X).argmax(1) == CLASSES)[1::2].float().mean().item()
    assert metrics(objective) == {"accuracy": pytest.approx(right)}


def test_whole_numbers_are_pointed_at():
    objective = Objective(net(1), (X, CLASSES.float()[:, None]))
    assert "the whole numbers 0, 1, 2" in objective.assumptions[0]
    assert objective.quantities() == ("loss",)
    with pytest.raises(ValueError, match=r"give them as integers \(targets\.long\(\)\)"):
        Objective(net(3), (X, CLASSES.float()))


class TestOutputsOfSeveralParts:
    def test_the_name_tells_the_predictions(self):
        a, b = torch.zeros(2), torch.ones(2)
        assert main_output({"features": a, "out": b}) is b
        assert main_output({"hidden": a, "logits": b, "out": a}) is b
        assert main_output((b, a)) is b
        assert main_output({"whatever": b, "attentions": None}) is b

    def test_parts_of_unknown_names_are_refused_by_name(self):
        with pytest.raises(TypeError, match="returned 'features', 'head'; which of them"):
            main_output({"features": torch.zeros(2), "head": torch.ones(2)})

    def test_of_a_tuple_it_is_said_that_the_first_is_taken(self):
        class WithState(nn.Module):
            def __init__(self):
                super().__init__()
                self.net = fitted(net(3), F.cross_entropy, CLASSES)

            def forward(self, x):
                z = self.net(x)
                return z, z.tanh()

        objective = Objective(WithState(), (X, CLASSES))
        assert "the first tensor is taken" in objective.assumptions[1]


def test_targets_that_count_for_nothing_are_said_to():
    targets = torch.where(torch.arange(300) % 3 == 0, -100, CLASSES)
    model = fitted(net(3), F.cross_entropy, targets)
    objective = Objective(model, (X, targets))
    assert objective.anchor_loss == pytest.approx(plain(model, F.cross_entropy, targets), rel=1e-5)
    assert "Targets of -100 count for nothing" in objective.assumptions[0]
    assert not [said for said in Objective(model, (X, CLASSES)).assumptions if "-100" in said]


def test_targets_of_another_shape_are_told_by_their_kind_whatever_precision_they_came_in():
    for targets in (torch.randn(300, 2), torch.randn(300, 2, dtype=torch.float64)):
        with pytest.raises(ValueError, match=r"the targets \(m, 2\) \(floating numbers\)"):
            Objective(net(4), (X, targets))
