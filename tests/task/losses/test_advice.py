"""What a refusal advises is done, and then works."""

import re

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from landscape_widgets.objective.objective import Objective
from tests.models import digits

X = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
CLASSES = torch.arange(40) % 4
LABELS = (torch.rand(40, 4, generator=torch.Generator().manual_seed(1)) < 0.3).long()


def linear(outputs: int) -> nn.Module:
    torch.manual_seed(2)
    return nn.Linear(3, outputs)


class Several(nn.Module):
    """Returns as many tensors as it gets, or means and variances."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if len(inputs) == 1:
            means, variances = self.inner(inputs[0]).chunk(2, dim=1)
            return means, F.softplus(variances)
        return tuple(map(self.inner, inputs))


@pytest.mark.parametrize(
    ("loss", "outputs", "targets"),
    [
        (nn.BCEWithLogitsLoss(), 4, LABELS),
        (nn.BCEWithLogitsLoss(), 1, CLASSES[:, None] == 0),
        (nn.BCEWithLogitsLoss(), 1, (CLASSES == 0).float()),
        (F.binary_cross_entropy_with_logits, 1, CLASSES == 0),
        (nn.CrossEntropyLoss(), 4, CLASSES.float()),
        (nn.CrossEntropyLoss(), 4, CLASSES.int()),
        (nn.CrossEntropyLoss(), 4, CLASSES[:, None]),
        (nn.CrossEntropyLoss(), 4, CLASSES[:, None].float()),
        (nn.CrossEntropyLoss(), 4, F.one_hot(CLASSES, 4)),
        (nn.MultiMarginLoss(), 4, CLASSES[:, None]),
    ],
)
def test_targets_of_another_type_or_shape_are_taken_as_the_refusal_says(loss, outputs, targets):
    model = linear(outputs)
    with pytest.raises(ValueError, match="Give the targets as targets") as refused:
        Objective(model, (X, targets), loss=loss)
    advice = re.search(r"Give the targets as (.*)\.$", str(refused.value)).group(1)
    converted = eval(advice, {"targets": targets})
    expected = float(loss(model(X), converted).detach())
    assert Objective(model, (X, converted), loss=loss).anchor_loss == pytest.approx(expected)


TARGETS = torch.randn(40, 2, generator=torch.Generator().manual_seed(3))
SIGNS = torch.where(CLASSES < 2, 1.0, -1.0)


@pytest.mark.parametrize(
    ("criterion", "model", "data", "expected"),
    [
        (
            nn.GaussianNLLLoss(full=True),
            Several(linear(4)),
            (X, TARGETS),
            lambda m: F.gaussian_nll_loss(m(X)[0], TARGETS, m(X)[1], full=True),
        ),
        (
            nn.CosineEmbeddingLoss(margin=0.1),
            Several(linear(4)),
            ((X, X.flip(0)), SIGNS),
            lambda m: F.cosine_embedding_loss(*m(X, X.flip(0)), SIGNS, margin=0.1),
        ),
        (
            nn.TripletMarginLoss(margin=2.0),
            linear(4),
            [(X, X.flip(0), X.roll(1, 0))],
            lambda m: F.triplet_margin_loss(m(X), m(X.flip(0)), m(X.roll(1, 0)), margin=2.0),
        ),
        (
            F.triplet_margin_loss,
            linear(4),
            [(X, X.flip(0), X.roll(1, 0))],
            lambda m: F.triplet_margin_loss(m(X), m(X.flip(0)), m(X.roll(1, 0))),
        ),
    ],
)
def test_losses_of_three_tensors_are_handed_over_as_the_refusal_says(
    criterion, model, data, expected
):
    with pytest.raises(TypeError, match=r"3 arguments|10 arguments") as refused:
        Objective(model, data, loss=criterion)
    advice = re.search(r"give loss=(lambda.*)\.$", str(refused.value)).group(1)
    loss = eval(advice, {"criterion": criterion})
    found = Objective(model, data, loss=loss).anchor_loss
    assert found == pytest.approx(float(expected(model).detach()), rel=1e-5)


def test_integer_targets_of_one_hot_rows_are_no_labels_for_sure():
    targets = F.one_hot(CLASSES, 4)
    with pytest.raises(ValueError, match=r"targets.argmax\(1\), for cross-entropy"):
        Objective(linear(4), (X, targets))
    assert Objective(linear(4), (X, targets.argmax(1))).task == "classification"
    found = Objective(linear(4), (X, targets.float()), loss=nn.BCEWithLogitsLoss()).anchor_loss
    expected = F.binary_cross_entropy_with_logits(linear(4)(X), targets.float())
    assert found == pytest.approx(float(expected.detach()))


def test_shares_that_sum_to_one_are_not_squared_unasked():
    shares = torch.randn(40, 4, generator=torch.Generator().manual_seed(4)).softmax(1)
    with pytest.raises(ValueError, match="shares that sum to 1"):
        Objective(linear(4), (X, shares))
    found = Objective(linear(4), (X, shares), loss=nn.CrossEntropyLoss()).anchor_loss
    assert found == pytest.approx(float(F.cross_entropy(linear(4)(X), shares).detach()))


def test_whole_numbers_that_a_model_does_not_take_are_refused_with_the_cure():
    pixels = torch.randint(0, 256, (40, 3), dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"give inputs\.float\(\)"):
        Objective(linear(4), (pixels, CLASSES))
    assert Objective(linear(4), (pixels.float(), CLASSES)).anchor_loss > 0


def test_complex_outputs_go_to_the_users_own_loss_and_are_inferred_from_by_none():
    class Complex(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = linear(8)

        def forward(self, x):
            return torch.view_as_complex(self.inner(x).reshape(-1, 4, 2))

    def loss(outputs, targets):
        return (outputs - targets).abs().square().mean()

    model, targets = Complex(), torch.complex(X, X.flip(0))[:, [0, 1, 2, 0]]
    found = Objective(model, (X, targets), loss=loss).anchor_loss
    assert found == pytest.approx(float(loss(model(X), targets).detach()), rel=1e-5)
    with pytest.raises(ValueError, match="complex numbers"):
        Objective(model, (X, targets))


def test_one_negative_label_is_refused_with_what_makes_it_count_for_nothing():
    (x, y), model = digits(40), nn.Linear(64, 10)
    y[3] = -1
    for loss in (None, nn.CrossEntropyLoss()):
        with pytest.raises(ValueError, match=r"ignore_index=-1"):
            Objective(model, (x, y), loss=loss)
    followed = Objective(model, (x, y), loss=nn.CrossEntropyLoss(ignore_index=-1))
    kept = y >= 0
    expected = nn.functional.cross_entropy(model(x[kept]), y[kept])
    assert followed.anchor_loss == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("loss", [None, nn.CrossEntropyLoss(), lambda out, y: out.sum()])
def test_inputs_of_a_wrong_width_are_told_in_one_sentence_and_one_cause(loss):
    x, y = digits(40)
    with pytest.raises(ValueError, match="mat1 and mat2 shapes") as refused:
        Objective(nn.Linear(20, 10), (x, y), loss=loss)
    cause = refused.value.__cause__
    assert isinstance(cause, RuntimeError)
    assert cause.__cause__ is None
    assert cause.__context__ is None


def test_pairs_of_one_shape_are_put_together_as_the_refusal_says():
    data = [(torch.randn(5), torch.randn(5)) for _ in range(30)]
    with pytest.raises(ValueError, match="each pair is one example") as refused:
        Objective(nn.Linear(5, 5), data)
    advice = str(refused.value).split("pair of tensors, ")[1].rstrip(".")
    assert Objective(nn.Linear(5, 5), eval(advice)).n_examples == 30


@pytest.mark.parametrize("layout", ["to_sparse", "to_sparse_csr"])
def test_sparse_inputs_given_whole_are_evaluated(layout):
    class Sparse(nn.Linear):
        def forward(self, x):
            return torch.sparse.mm(x, self.weight.T) + self.bias

    (x, y), model = digits(40), Sparse(64, 10)
    objective = Objective(model, (getattr(x, layout)(), y))
    expected = nn.functional.cross_entropy(nn.functional.linear(x, model.weight, model.bias), y)
    assert objective.anchor_loss == pytest.approx(float(expected), rel=1e-5)
