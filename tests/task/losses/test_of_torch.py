"""torch's own losses against torch itself, on all data at once."""

import copy
import functools

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.objective.objective import Objective
from landscape_widgets.task.losses import MeanLoss
from landscape_widgets.task.losses.of_torch import KINDS, loss_of_torch, recognise

M = 600  # more than two tiles


def rand(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(len(shape)))


def classes(*shape: int, ignored: int | None = None) -> torch.Tensor:
    """Sorted: tiles hold one or two classes, and the first one nothing that counts."""
    y = (rand(*shape) ** 2 * 4).long().flatten().sort().values.reshape(shape)
    if ignored is not None:
        y[: shape[0] // 2] = ignored
        y[-3:] = ignored
    return y


def ones(*shape: int) -> torch.Tensor:
    return (rand(*shape) > 0.8).float().sort(dim=0).values


class Net(nn.Module):
    """Two layers, and whatever the loss wants of the last one's outputs."""

    def __init__(self, outputs: int, end=lambda z: z) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.layers = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, outputs))
        self.end = end

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.end(self.layers(x))


def logs(z):
    return z.log_softmax(1)


def tokens(z):
    return z.view(len(z), 4, 5)  # (m, classes, positions)


def last(z):
    return tokens(z).transpose(1, 2)


def one(z):
    return z[:, 0]


def frames(z):
    return z.view(len(z), 6, 4).log_softmax(-1).transpose(0, 1)  # (T, m, C)


WEIGHT = torch.tensor([0.2, 3.0, 1.0, 7.0])
LENGTHS = (
    torch.randint(1, 4, (M, 3), generator=torch.Generator().manual_seed(0)),
    torch.full((M,), 6),
    torch.arange(M) % 4,
)

CASES = {
    "weights of classes": (nn.CrossEntropyLoss(WEIGHT), Net(4), classes(M)),
    "ignored": (nn.CrossEntropyLoss(ignore_index=255), Net(20, tokens), classes(M, 5, ignored=255)),
    "ignored and weights": (
        nn.CrossEntropyLoss(WEIGHT, ignore_index=-1), Net(20, tokens), classes(M, 5, ignored=-1),
    ),
    "smoothing": (
        nn.CrossEntropyLoss(WEIGHT, ignore_index=-1, label_smoothing=0.2), Net(4),
        classes(M, ignored=-1),
    ),
    "an ignored class": (nn.CrossEntropyLoss(ignore_index=0), Net(4), classes(M)),
    "probabilities": (nn.CrossEntropyLoss(WEIGHT), Net(4), rand(M, 4)),
    "sum": (nn.CrossEntropyLoss(reduction="sum"), Net(4), classes(M)),
    "sum of squares": (nn.MSELoss(reduction="sum"), Net(2), rand(M, 2)),
    "function": (F.cross_entropy, Net(4), classes(M)),
    "partial": (functools.partial(F.cross_entropy, weight=WEIGHT), Net(4), classes(M)),
    "nll": (nn.NLLLoss(WEIGHT, ignore_index=1), Net(4, logs), classes(M)),
    "nll function": (F.nll_loss, Net(4, logs), classes(M)),
    "bce": (nn.BCELoss(weight=torch.tensor([1.0, 4.0])), Net(2, torch.sigmoid), ones(M, 2)),
    "bce with logits": (
        nn.BCEWithLogitsLoss(pos_weight=torch.tensor([9.0, 2.0])), Net(2), ones(M, 2),
    ),
    "bce of one logit": (nn.BCEWithLogitsLoss(), Net(1, one), ones(M)),
    "soft bce": (nn.BCEWithLogitsLoss(), Net(1), rand(M, 1)),
    "mse": (nn.MSELoss(), Net(2), rand(M, 2)),
    "l1": (nn.L1Loss(), Net(2), rand(M, 2)),
    "smooth l1": (nn.SmoothL1Loss(beta=0.1), Net(2), rand(M, 2)),
    "huber": (nn.HuberLoss(delta=0.1), Net(2), rand(M, 2)),
    "huber function": (functools.partial(F.huber_loss, delta=0.2), Net(2), rand(M, 2)),
    "kl of batches": (nn.KLDivLoss(reduction="batchmean"), Net(4, logs), rand(M, 4)),
    "kl": (nn.KLDivLoss(log_target=True), Net(4, logs), rand(M, 4).log()),
    "poisson": (nn.PoissonNLLLoss(full=True), Net(2), rand(M, 2).mul(5).round()),
    "hinge embedding": (nn.HingeEmbeddingLoss(margin=2.0), Net(1), 2 * ones(M, 1) - 1),
    "soft margin": (nn.SoftMarginLoss(), Net(2), 2 * ones(M, 2) - 1),
    "multi-label soft margin": (nn.MultiLabelSoftMarginLoss(WEIGHT), Net(4), ones(M, 4)),
    "multi-label margin": (
        nn.MultiLabelMarginLoss(), Net(4), torch.tensor([[1, 3, -1, 0]]).repeat(M, 1),
    ),
    "margin": (nn.MultiMarginLoss(p=2, weight=WEIGHT), Net(4), classes(M)),
    "ctc": (nn.CTCLoss(), Net(24, frames), LENGTHS),
    "sum of ctc": (nn.CTCLoss(reduction="sum", zero_infinity=True), Net(24, frames), LENGTHS),
}  # fmt: skip


TWICE_NOT_IN_TORCH = (nn.CTCLoss, nn.MultiMarginLoss, nn.MultiLabelMarginLoss)


def flat(tensors) -> torch.Tensor:
    return torch.cat([t.reshape(-1) for t in tensors])


def plain(model, criterion, x, y, theta):
    """Loss, gradient and Hessian times θ, as torch takes them of all data at once, float64."""
    model = copy.deepcopy(model).double()
    if isinstance(criterion, nn.Module):
        criterion = copy.deepcopy(criterion).double()
    elif isinstance(criterion, functools.partial):
        keywords = {
            k: v.double() if isinstance(v, torch.Tensor) else v
            for k, v in criterion.keywords.items()
        }
        criterion = functools.partial(criterion.func, **keywords)
    sizes = [p.numel() for p in model.parameters()]
    names = [name for name, _ in model.named_parameters()]
    pieces = [
        piece.reshape(p.shape).requires_grad_()
        for piece, p in zip(theta.double().split(sizes), model.parameters(), strict=True)
    ]
    outputs = functional_call(model, dict(zip(names, pieces, strict=True)), (x.double(),))
    targets = y if isinstance(y, tuple) else (y.double() if y.is_floating_point() else y,)
    loss = criterion(outputs, *targets)
    gradient = torch.autograd.grad(loss, pieces, create_graph=True)
    along = sum(
        (g * p.detach()).sum() for g, p in zip(gradient, pieces, strict=True) if g.requires_grad
    )
    product = None
    if not isinstance(criterion, TWICE_NOT_IN_TORCH):
        product = flat(torch.autograd.grad(along, pieces, materialize_grads=True))
    return loss.item(), flat(g.detach() for g in gradient), product


def batched(x, y, size: int):
    if size == M and not isinstance(y, tuple):
        return x, y
    if isinstance(y, tuple):
        parts = range(0, len(x), size)
        return [(x[i : i + size], tuple(t[i : i + size] for t in y)) for i in parts]
    return DataLoader(TensorDataset(x, y), batch_size=size)


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("whole", [True, False], ids=["tensors", "batches of 70"])
def test_loss_and_derivatives_are_those_of_torch_on_all_data_at_once(case, whole):
    criterion, model, y = CASES[case]
    x = torch.randn(M, 3, generator=torch.Generator().manual_seed(0))
    x[:, 0] += torch.arange(M) / M
    objective = Objective(model, batched(x, y, M if whole else 70), loss=criterion)
    assert isinstance(objective.loss_function, MeanLoss)
    moved = objective.anchor * 1.5 + 0.1
    loss, gradient, product = plain(model, criterion, x, y, moved)
    assert objective.loss(moved) == pytest.approx(loss, rel=2e-5)
    found, slope = objective.loss_and_gradient(moved)
    assert found == pytest.approx(loss, rel=2e-5)
    size = gradient.abs().max().item()
    torch.testing.assert_close(slope.double(), gradient, rtol=1e-4, atol=1e-5 * size)
    if product is not None:
        size = max(product.abs().max().item(), 1e-6)
        found = objective.hvp(moved, moved).double()
        torch.testing.assert_close(found, product, rtol=1e-3, atol=1e-4 * size)
    rows = objective.evaluate(DenseBasis((moved - objective.anchor)[None]), np.ones((3, 1)))
    np.testing.assert_allclose(rows.losses, loss, rtol=2e-5)


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
@pytest.mark.parametrize("case", CASES)
def test_losses_of_examples_have_the_loss_as_their_mean(case):
    criterion, model, y = CASES[case]
    x = torch.randn(M, 3, generator=torch.Generator().manual_seed(0))
    objective = Objective(model, batched(x, y, M), loss=criterion)
    nowhere = DenseBasis(objective.anchor[None] * 0)
    ((_, each),) = objective.example_losses(nowhere, np.zeros((1, 1)))
    assert each.shape == (1, M)
    assert each.mean() == pytest.approx(objective.anchor_loss, rel=1e-5)


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
@pytest.mark.parametrize("case", CASES)
def test_parts_of_any_size_add_up_for_many_parameter_vectors(case):
    criterion, model, y = CASES[case]
    loss = loss_of_torch(*recognise(criterion), *_outputs(model, y), torch.device("cpu"))
    outputs, _ = _outputs(model, y)
    axis = 0 if loss.examples_first else 1
    rng = np.random.default_rng(0)
    rows = torch.stack([outputs, outputs * 0.5])
    expected = []
    for row in rows:
        targets = y if isinstance(y, tuple) else (y,)
        expected.append(criterion(row, *targets).item())
    for _ in range(5):
        cuts = np.sort(rng.choice(np.arange(1, M), size=rng.integers(1, 20), replace=False))
        total, count = torch.zeros(2, dtype=torch.float64), 0.0
        for index in np.split(rng.permutation(M), cuts):
            index = torch.as_tensor(index)
            some = tuple(t[index] for t in y) if isinstance(y, tuple) else y[index]
            part = rows.index_select(axis + 1, index)
            total += loss.total(part, some)
            count += loss.count(some)
            each = loss.each(part, some)
            torch.testing.assert_close(each.sum(-1), loss.total(part, some), rtol=1e-5, atol=1e-6)
        found = total / loss.denominator(count)
        np.testing.assert_allclose(found, expected, rtol=2e-5)


def _outputs(model, y):
    x = torch.randn(M, 3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return model(x), y


def test_every_kind_has_a_case():
    tested = {recognise(criterion)[0].name for criterion, _, _ in CASES.values()}
    assert tested == {kind.name for kind in KINDS}


def test_a_tile_without_a_target_that_counts_adds_nothing():
    x, y = torch.randn(512, 3), classes(512)
    y[:256] = -100
    model = Net(4)
    objective = Objective(model, (x, y))
    expected = plain(model, nn.CrossEntropyLoss(), x, y, objective.anchor)
    loss, gradient = objective.loss_and_gradient(objective.anchor)
    assert loss == pytest.approx(expected[0], rel=1e-5)
    torch.testing.assert_close(gradient.double(), expected[1], rtol=1e-4, atol=1e-6)


def test_minibatch_gradients_average_to_the_gradient_with_weights_of_classes():
    x, y = torch.randn(M, 3), classes(M)
    objective = Objective(Net(4), (x, y), loss=nn.CrossEntropyLoss(WEIGHT))
    generator = torch.Generator().manual_seed(0)
    found = [objective.minibatch_gradient(objective.anchor, generator, 60) for _ in range(400)]
    gradient = objective.gradient(objective.anchor)
    mean = torch.stack([g for _, g in found]).mean(0)
    assert (mean - gradient).norm() < 0.05 * gradient.norm()
    assert np.mean([value for value, _ in found]) == pytest.approx(objective.anchor_loss, rel=0.02)


def test_minibatches_of_a_sum_are_of_the_size_of_the_sum():
    x, y = torch.randn(M, 3), classes(M)
    objective = Objective(Net(4), (x, y), loss=nn.CrossEntropyLoss(reduction="sum"))
    value, _ = objective.minibatch_gradient(objective.anchor, torch.Generator().manual_seed(0), 60)
    assert value == pytest.approx(objective.anchor_loss, rel=0.3)
    assert "sum" in objective.assumptions[0]


class TestNotTorchsOwn:
    def test_a_subclass_that_computes_something_else(self):
        class Half(nn.CrossEntropyLoss):
            def forward(self, outputs, targets):
                return super().forward(outputs, targets) / 2

        x, y = torch.randn(100, 3), classes(100)
        assert recognise(Half()) is None
        model = Net(4)
        expected = F.cross_entropy(model(x), y).item() / 2
        assert Objective(model, (x, y), loss=Half()).anchor_loss == pytest.approx(
            expected, rel=1e-5
        )

    def test_a_subclass_with_options_only_is_torchs_own(self):
        class Ours(nn.CrossEntropyLoss):
            def __init__(self):
                super().__init__(weight=WEIGHT)

        assert recognise(Ours())[0].module is nn.CrossEntropyLoss

    def test_a_method_of_a_loss_is_the_loss(self):
        assert recognise(nn.L1Loss().forward)[0].module is nn.L1Loss

    def test_weights_by_place_in_the_batch_are_taken_whole(self):
        x, y = torch.randn(50, 3), ones(50, 2)
        criterion = nn.BCEWithLogitsLoss(weight=rand(50, 1))
        model = Net(2)
        objective = Objective(model, (x, y), loss=criterion)
        assert objective.anchor_loss == pytest.approx(criterion(model(x), y).item(), rel=1e-5)
        assert any("at once" in sentence for sentence in objective.assumptions)

    @pytest.mark.filterwarnings("ignore:Using a target size")
    def test_shapes_that_are_broadcast_are_computed_as_torch_does_and_said(self):
        x, y = torch.randn(50, 3), rand(50)
        model = Net(1)
        expected = F.mse_loss(model(x), y).item()
        objective = Objective(model, (x, y), loss=nn.MSELoss())
        assert objective.anchor_loss == pytest.approx(expected, rel=1e-5)
        assert any("broadcast" in sentence for sentence in objective.assumptions)


def test_the_loss_that_is_handed_over_is_not_written_to():
    criterion = nn.CrossEntropyLoss(WEIGHT.double().clone())
    before = criterion.weight.clone()
    objective = Objective(Net(4), (torch.randn(90, 3), classes(90)), loss=criterion)
    criterion.weight.zero_()
    assert objective.loss(objective.anchor) == pytest.approx(objective.anchor_loss)
    assert before.dtype == criterion.weight.dtype
