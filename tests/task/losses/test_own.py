"""The user's own losses against the loop that anyone would write over their batches."""

import functools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.objective.objective import Objective
from landscape_widgets.task.losses import BatchLoss, ModelLoss
from tests.models import train

M = 600
WEIGHT = torch.tensor([0.1, 1.0, 9.0])


def data() -> tuple[torch.Tensor, torch.Tensor]:
    """Sorted by class, as files often are."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(M, 5, generator=generator)
    y = (x @ torch.randn(5, 3, generator=generator)).argmax(1)
    order = y.argsort(stable=True)
    return x[order], y[order]


def net(outputs: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, outputs))


def weighted(outputs, targets):
    return F.cross_entropy(outputs, targets, weight=WEIGHT)


def focal(outputs, targets):
    loss = F.cross_entropy(outputs, targets, reduction="none")
    return (WEIGHT[targets] * (1 - torch.exp(-loss)) ** 2 * loss).mean()


def contrastive(outputs, targets):
    z = F.normalize(outputs, dim=1)
    alike = (targets[:, None] == targets) & ~torch.eye(len(z), dtype=torch.bool)
    likeness = (z @ z.T).masked_fill(torch.eye(len(z), dtype=torch.bool), -1e9)
    return -(likeness.log_softmax(1) * alike).sum(1).div(alike.sum(1).clamp(min=1)).mean()


def dice(outputs, targets):
    p, t = outputs[:, 0].sigmoid(), (targets == 0).float()
    return 1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)


def root(outputs, targets):
    return (outputs[:, 0] - targets).square().mean().sqrt()


def roughness(outputs, targets):
    return outputs.diff(dim=0).square().mean() + F.cross_entropy(outputs, targets)


def total(outputs, targets):
    return F.cross_entropy(outputs, targets, reduction="sum")


@torch.no_grad()
def loop(model, batches, loss) -> float:
    values = [(float(loss(model(x), y)), len(y)) for x, y in batches]
    return sum(value * n for value, n in values) / sum(n for _, n in values)


def check(objective: Objective, batches, loss) -> None:
    moved = objective.anchor * 1.3 + 0.1
    rows = objective.evaluate(DenseBasis((moved - objective.anchor)[None]), np.ones((2, 1)))
    for theta, found in (
        (objective.anchor, [objective.anchor_loss]),
        (moved, [objective.loss(moved), objective.loss_and_gradient(moved)[0], *rows.losses]),
    ):
        expected = loop(objective.model_at(theta), batches, loss)
        np.testing.assert_allclose(found, expected, rtol=2e-5)


@pytest.mark.parametrize("loss", [weighted, contrastive, dice, root, roughness, total])
def test_of_tensors_given_whole_a_loss_that_does_not_add_up_is_taken_whole_and_it_is_said(loss):
    x, y = data()
    objective = Objective(train(net(3), (x, y), 20), (x, y), loss=loss)
    check(objective, [(x, y)], loss)
    assert any(f"All {M} examples" in said for said in objective.assumptions)
    assert any("batch_size=" in said for said in objective.assumptions)


@pytest.mark.parametrize("loss", [focal, nn.MultiMarginLoss(), lambda z, y: z.square().mean()])
def test_of_tensors_given_whole_a_loss_that_adds_up_goes_in_tiles(loss):
    x, y = data()
    objective = Objective(train(net(3), (x, y), 20), (x, y), loss=loss)
    check(objective, [(x, y)], loss)
    assert objective._many.split("train").separable


@pytest.mark.parametrize("of_model", [False, True])
def test_a_weight_that_few_examples_have_is_found(of_model):
    x, _ = data()
    x = x.repeat(8, 1)
    y = (x[:, 0] > 0).long()
    y[[1234, 4567]] = 2
    loss = functools.partial(F.cross_entropy, weight=torch.tensor([1.0, 1.0, 1000.0]))

    def of_outputs(outputs, targets):
        return loss(outputs, targets)

    def of_both(model, batch):
        return loss(model(batch[0]), batch[1])

    objective = Objective(net(3), (x, y), loss=of_both if of_model else of_outputs)
    check(objective, [(x, y)], of_outputs)


def test_a_term_that_only_one_example_has_is_found_where_all_are_asked():
    x, y = data()
    x, y = x.repeat(8, 1), y.repeat(8)
    x[3000] = 1000.0

    def peak(outputs, targets):
        return F.cross_entropy(outputs, targets) + F.relu(outputs.abs().max() - 100)

    torch.manual_seed(0)
    check(Objective(nn.Linear(5, 3), (x, y), loss=peak), [(x, y)], peak)


@pytest.mark.parametrize("loss", [weighted, focal, contrastive, dice, root])
def test_batches_of_a_loader_stay_whole(loss):
    x, y = data()
    loader = DataLoader(TensorDataset(x, y), batch_size=64)
    objective = Objective(net(3), loader, loss=loss)
    check(objective, list(loader), loss)
    assert any("10 batches" in said for said in objective.assumptions)


def test_token_means_are_those_of_each_batch():
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, 7, (90, 9), generator=generator)
    labels = tokens.roll(-1, 1)
    for row, length in enumerate(torch.randint(1, 9, (90,), generator=generator).sort().values):
        labels[row, length:] = -100

    def of_tokens(outputs, targets):
        return F.cross_entropy(outputs.flatten(0, 1), targets.flatten())

    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(7, 6), nn.Linear(6, 7))
    check(Objective(model, (tokens, labels), loss=of_tokens), [(tokens, labels)], of_tokens)
    loader = DataLoader(TensorDataset(tokens, labels), batch_size=16)
    check(Objective(model, loader, loss=of_tokens), list(loader), of_tokens)
    # The inferred loss adds up whatever the batches are.
    check(Objective(model, loader), [(tokens, labels)], of_tokens)


class OfModel:
    def __call__(self, a, b):
        return weighted(a(b[0]), b[1])

    def step(self, one, two):
        return weighted(one(two[0]), two[1])


def with_more(a, b, scale=1.0):
    return scale * weighted(a(b[0]), b[1])


@pytest.mark.parametrize(
    "loss",
    [
        lambda m, b: weighted(m(b[0]), b[1]),
        lambda a, b: weighted(a(b[0]), b[1]),
        lambda outputs, targets: weighted(outputs(targets[0]), targets[1]),
        OfModel(),
        OfModel().step,
        functools.partial(with_more, scale=1.0),
    ],
)
def test_a_loss_of_model_and_batch_is_known_by_trying_not_by_its_names(loss):
    x, y = data()
    objective = Objective(net(3), (x, y), loss=loss)
    assert isinstance(objective.loss_function, ModelLoss)
    check(objective, [(x, y)], weighted)


@pytest.mark.parametrize(
    "loss",
    [
        lambda model, batch: weighted(model, batch),
        lambda m, b: weighted(m, b),
        functools.partial(lambda z, y, w: F.cross_entropy(z, y, weight=w), w=WEIGHT),
    ],
)
def test_so_is_one_of_outputs_and_targets(loss):
    x, y = data()
    objective = Objective(net(3), (x, y), loss=loss)
    assert isinstance(objective.loss_function, BatchLoss)
    check(objective, [(x, y)], weighted)


def test_a_model_whose_outputs_hang_on_the_batch_keeps_its_batches():
    class Centred(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = net(3)

        def forward(self, x):
            z = self.layer(x)
            return z - z.mean(0)

    x, y = data()
    check(Objective(Centred(), (x, y)), [(x, y)], F.cross_entropy)
    loader = DataLoader(TensorDataset(x, y), batch_size=64)
    objective = Objective(Centred(), loader, loss=nn.CrossEntropyLoss())
    check(objective, list(loader), F.cross_entropy)


def test_a_loss_with_parts_of_its_own_is_left_as_it_is():
    class Centres(nn.Module):
        def __init__(self):
            super().__init__()
            self.centres = nn.Parameter(torch.ones(3, 3))
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, outputs, targets):
            self.calls += 1
            return (outputs - self.centres[targets]).square().sum(1).mean()

    x, y = data()
    loss = Centres()
    check(Objective(net(3), (x, y), loss=loss), [(x, y)], lambda z, t: Centres()(z, t))
    assert loss.calls == 0


class TestErrors:
    def test_that_no_way_of_calling_works_tells_of_both(self):
        with pytest.raises(
            ValueError, match=r"As loss\(outputs, targets\): .*not callable.* As loss"
        ):
            Objective(net(3), data(), loss=lambda a, b: a(b[0]).no_such_thing())

    def test_a_class_instead_of_an_instance(self):
        with pytest.raises(TypeError, match=r"give one of its instances: loss=MSELoss\(\)"):
            Objective(net(3), data(), loss=nn.MSELoss)

    def test_a_torch_loss_of_three_arguments(self):
        with pytest.raises(TypeError, match=r"3 arguments \(input, target, var\)"):
            Objective(net(3), data(), loss=nn.GaussianNLLLoss())

    def test_several_things_returned(self):
        with pytest.raises(ValueError, match=r"returned tuple.*from among these"):
            Objective(net(3), data(), loss=lambda z, y: (F.cross_entropy(z, y), {}))

    def test_messages_are_bounded(self):
        def loss(outputs, targets):
            raise RuntimeError("z" * 100_000)

        with pytest.raises(ValueError, match="zzz") as caught:
            Objective(net(3), data(), loss=loss)
        assert len(str(caught.value)) < 3000
