"""Named metrics against scikit-learn, on training and validation data, at θ* and beside it."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn
from torch import Tensor, nn

from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.objective.objective import Objective

OF_CLASSES, OF_NUMBERS = ["accuracy", "precision", "recall", "f1"], ["r2", "mae"]
RNG = torch.Generator().manual_seed(0)
X, XV = torch.randn(90, 5, generator=RNG), torch.randn(40, 5, generator=RNG)


def draw(shape, high):
    return torch.randint(0, high, shape, generator=RNG)


def of_classes(targets: Tensor, predicted: Tensor) -> dict[str, float]:
    options = {"average": "macro", "zero_division": 0}
    return {
        "accuracy": sklearn.accuracy_score(targets, predicted),
        "precision": sklearn.precision_score(targets, predicted, **options),
        "recall": sklearn.recall_score(targets, predicted, **options),
        "f1": sklearn.f1_score(targets, predicted, **options),
    }


def of_labels(targets: Tensor, predicted: Tensor) -> dict[str, float]:
    found = of_classes(targets.long(), predicted)
    return {**found, "accuracy": 1 - sklearn.hamming_loss(targets.long(), predicted)}


def of_numbers(targets: Tensor, outputs: Tensor) -> dict[str, float]:
    return {
        "r2": sklearn.r2_score(targets, outputs),
        "mae": sklearn.mean_absolute_error(targets, outputs),
    }


class Tokens(nn.Module):
    """Class scores (n, C, T) of tokens (n, T)."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.read = nn.Embedding(12, 8), nn.Linear(8, 7)

    def forward(self, x: Tensor) -> Tensor:
        return self.read(self.embed(x)).transpose(1, 2)


class Flat(nn.Module):
    """One number an example, (n,)."""

    def __init__(self) -> None:
        super().__init__()
        self.read = nn.Linear(5, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.read(x).squeeze(-1)


class Case(NamedTuple):
    model: Callable[[], nn.Module]
    data: tuple[Tensor, Tensor]
    val: tuple[Tensor, Tensor]
    names: list[str]
    truth: Callable[[Tensor, Tensor], dict[str, float]]  # of targets and outputs
    loss: Callable | None = None


def masked(ignored: int):
    def truth(targets, outputs):
        kept = targets != ignored
        return of_classes(targets[kept], outputs.argmax(1)[kept])

    return truth


def tokens(n: int, high: int, ignored: int) -> tuple[Tensor, Tensor]:
    targets = draw((n, 9), high)
    targets[torch.rand(n, 9, generator=RNG) < 0.3] = ignored
    return draw((n, 9), 12), targets


SHARES = torch.tensor([0.5, 0.2, 0.9])
LABELS = [(torch.rand(n, 3, generator=RNG) < SHARES).float() for n in (90, 40)]
LABELS[1][:, 1] = 0  # never there in the validation data
ONES = [(torch.rand(n, 1, generator=RNG) < 0.3).float() for n in (90, 40)]
SCALES = torch.tensor([1.0, 10.0, 100.0])
WAY = torch.randn(5, 3, generator=RNG)
NUMBERS = [x @ WAY * SCALES + torch.tensor([0.0, 5.0, -3.0]) for x in (X, XV)]
CONSTANT = NUMBERS[0].clone()
CONSTANT[:, 1] = 2.0
BCE = nn.BCEWithLogitsLoss()

CASES = {
    # Four classes of six occur, and three in the validation data.
    "absent classes": Case(
        lambda: nn.Linear(5, 6), (X, draw((90,), 4)), (XV, draw((40,), 3)), OF_CLASSES,
        lambda t, z: of_classes(t, z.argmax(1)),
    ),
    "two outputs": Case(
        lambda: nn.Linear(5, 2), (X, ONES[0][:, 0].long()), (XV, ONES[1][:, 0].long()), OF_CLASSES,
        lambda t, z: of_classes(t, z.argmax(1)),
    ),
    "one logit": Case(
        lambda: nn.Linear(5, 1), (X, ONES[0]), (XV, ONES[1]), OF_CLASSES,
        lambda t, z: of_classes(t[:, 0].long(), z[:, 0] > 0), BCE,
    ),
    "one logit without an axis": Case(
        Flat, (X, ONES[0][:, 0]), (XV, ONES[1][:, 0]), OF_CLASSES,
        lambda t, z: of_classes(t.long(), z > 0), BCE,
    ),
    "one probability": Case(
        lambda: nn.Sequential(nn.Linear(5, 1), nn.Sigmoid()), (X, ONES[0]), (XV, ONES[1]),
        OF_CLASSES, lambda t, p: of_classes(t[:, 0].long(), p[:, 0] > 0.5), nn.BCELoss(),
    ),
    "several labels": Case(
        lambda: nn.Linear(5, 3), (X, LABELS[0]), (XV, LABELS[1]), OF_CLASSES,
        lambda t, z: of_labels(t, z > 0), BCE,
    ),
    "tokens": Case(
        Tokens, tokens(30, 6, -100), tokens(11, 3, -100), OF_CLASSES, masked(-100)
    ),
    "tokens, 0 ignored": Case(
        Tokens, tokens(30, 6, 0), tokens(11, 3, 0), OF_CLASSES, masked(0),
        nn.CrossEntropyLoss(ignore_index=0),
    ),
    "one number": Case(
        lambda: nn.Linear(5, 1), (X, NUMBERS[0][:, :1]), (XV, NUMBERS[1][:, :1]), OF_NUMBERS,
        of_numbers,
    ),
    "flat targets": Case(
        lambda: nn.Linear(5, 1), (X, NUMBERS[0][:, 2]), (XV, NUMBERS[1][:, 2]), OF_NUMBERS,
        lambda t, z: of_numbers(t, z[:, 0]),
    ),
    "several numbers": Case(
        lambda: nn.Linear(5, 3), (X, NUMBERS[0]), (XV, NUMBERS[1]), OF_NUMBERS, of_numbers,
        nn.HuberLoss(),
    ),
    "numbers of which one is constant": Case(
        lambda: nn.Linear(5, 3), (X, CONSTANT), (XV, NUMBERS[1]), OF_NUMBERS, of_numbers,
    ),
    "targets that are all the same": Case(
        lambda: nn.Linear(5, 1), (X, torch.full((90, 1), 0.25)), (XV, torch.full((40, 1), 0.25)),
        OF_NUMBERS, of_numbers,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_named_metrics_are_those_of_scikit_learn(name):
    case = CASES[name]
    torch.manual_seed(1)
    model = case.model()
    objective = Objective(model, case.data, val_data=case.val, metrics=case.names, loss=case.loss)
    step = torch.randn(objective.size, generator=torch.Generator().manual_seed(3))
    found = objective.evaluate(DenseBasis(step[None].to(objective.anchor)), np.eye(1))
    for theta, values in (
        (objective.anchor, objective.at_anchor),
        (objective.anchor + step, found.values),
    ):
        moved = objective.model_at(theta)
        for prefix, (x, targets) in (("", case.data), ("val_", case.val)):
            with torch.no_grad():
                truth = case.truth(targets, moved(x))
            for metric in case.names:
                value = float(np.squeeze(values[prefix + metric]))
                assert value == pytest.approx(truth[metric], rel=1e-5), prefix + metric


def test_batches_of_sequences_that_are_not_equally_long_have_metrics_of_all_numbers_together():
    batches = []
    for n, length in ((6, 4), (5, 7)):
        x = torch.randn(n, length, 2, generator=RNG)
        batches.append((x, x.sum(-1) + 0.3 * torch.randn(n, length, generator=RNG)))

    class Each(Flat):
        def __init__(self) -> None:
            super().__init__()
            self.read = nn.Linear(2, 1)

    torch.manual_seed(0)
    model = Each()
    objective = Objective(model, batches, metrics=OF_NUMBERS)
    with torch.no_grad():
        outputs = torch.cat([model(x).flatten() for x, _ in batches])
    truth = of_numbers(torch.cat([y.flatten() for _, y in batches]), outputs)
    for metric in OF_NUMBERS:
        assert objective.at_anchor[metric] == pytest.approx(truth[metric], rel=1e-5)


def test_a_perfect_fit_of_equal_targets_has_an_r2_of_one():
    model = nn.Linear(5, 1)
    with torch.no_grad():
        model.weight.zero_()
        model.bias.fill_(0.5)
    objective = Objective(model, (X, torch.full((90, 1), 0.5)), metrics=["r2"])
    assert objective.at_anchor["r2"] == 1.0
