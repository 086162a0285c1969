"""How a batch goes to a model, and along which axis its examples lie: found by trying."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from landscape_widgets.objective.objective import Objective
from tests.task.test_data import check


class OfPair(nn.Module):
    """Takes one tuple, as many encoders and graph networks do."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(5, 3), nn.Linear(2, 3)

    def forward(self, pair):
        a, b = pair
        return self.first(a) + self.second(b)


class OfPairOrMore(OfPair):
    """The signature does not tell: only the call does."""

    def forward(self, pair, scale=1.0):
        return scale * super().forward(pair)


class OfAnything(OfPair):
    def forward(self, *arguments, **keywords):
        (pair,) = arguments
        return super().forward(pair)


class Apart(OfPair):
    def forward(self, a, b=None):
        return super().forward((a, b))


class OfMapping(OfPair):
    def forward(self, batch):
        return super().forward((batch["a"], batch["b"]))


def batches_of(made, sizes=(8, 8, 3)):
    torch.manual_seed(0)
    return [(made(torch.randn(n, 5), torch.randn(n, 2)), torch.randint(0, 3, (n,))) for n in sizes]


@pytest.mark.parametrize("kind", [OfPair, OfPairOrMore, OfAnything, Apart, OfMapping])
@pytest.mark.parametrize("given", ["batches", "whole"])
def test_a_model_gets_its_inputs_as_one_argument_or_as_several(kind, given):
    model = kind()
    if kind is OfMapping:
        batches = batches_of(lambda a, b: {"a": a, "b": b})
    else:
        batches = batches_of(lambda a, b: (a, b))
    if given == "whole":
        batches = batches[:1]
    objective = Objective(model, batches[0] if given == "whole" else batches)

    def loss(model, batch):
        inputs, targets = batch
        return F.cross_entropy(model(*inputs) if kind is Apart else model(inputs), targets)

    check(objective, model, loss, batches, lambda b: len(b[1]))
    assert objective.outputs_shape == (sum(len(b[1]) for b in batches), 3)


class WithNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.norm = nn.Linear(5, 3), nn.BatchNorm1d(3)

    def forward(self, a, b):
        return self.norm(self.layer(a) + b)


def triples():
    torch.manual_seed(0)
    return [(torch.randn(n, 5), torch.randn(n, 3), torch.randint(0, 3, (n,))) for n in (16, 16, 9)]


def of_triple(model, batch):
    return F.cross_entropy(model(batch[0], batch[1]), batch[2])


@pytest.mark.parametrize("loss", [None, of_triple, F.cross_entropy])
def test_of_three_parts_the_model_takes_all_but_the_last(loss):
    model, batches = WithNorm().eval(), triples()
    objective = Objective(model, batches, loss=loss)
    check(objective, model, of_triple, batches, lambda b: len(b[0]))


@pytest.mark.parametrize("loss", [None, of_triple])
def test_statistics_are_reestimated_by_what_the_loss_itself_calls(loss):
    model, batches = WithNorm().eval(), triples()
    objective = Objective(model, batches, loss=loss, batchnorm="reestimate")
    theta = objective.anchor + 0.2 * torch.linspace(-1, 1, objective.size)
    moved = objective.model_at(theta)
    moved.norm.reset_running_stats()
    moved.norm.momentum = None
    with torch.no_grad():
        moved.norm.train()
        for a, b, _ in batches:
            moved(a, b)
        moved.norm.eval()
        expected = sum(float(of_triple(moved, batch)) * len(batch[0]) for batch in batches)
    assert objective.loss(theta) == pytest.approx(expected / 41, rel=1e-5)


class Recurrent(nn.Module):
    """Sequences first: (time, batch, features)."""

    def __init__(self, pooled, flat=False):
        super().__init__()
        self.gru, self.head = nn.GRU(4, 6), nn.Linear(6, 3)
        self.pooled, self.flat = pooled, flat

    def forward(self, x):
        hidden = self.gru(x)[0]
        outputs = self.head(hidden[-1] if self.pooled else hidden)
        return outputs.reshape(-1, 3) if self.flat else outputs


@pytest.mark.parametrize("axis", [None, 1, (1, 0)])
def test_sequences_that_come_time_first_are_counted_by_their_second_axis(axis):
    torch.manual_seed(0)
    model = Recurrent(pooled=True)
    batches = [(torch.randn(7, n, 4), torch.randint(0, 3, (n,))) for n in (5, 5, 2)]
    objective = Objective(model, batches, loss=nn.CrossEntropyLoss(), batch_axis=axis)
    check(
        objective, model, lambda m, b: F.cross_entropy(m(b[0]), b[1]), batches, lambda b: len(b[1])
    )
    said = [sentence for sentence in objective.assumptions if "second axis" in sentence]
    assert len(said) == (axis is None)


@pytest.mark.parametrize("flat", [False, True])
def test_a_target_for_each_step_is_told_from_one_for_each_example_by_trying(flat):
    torch.manual_seed(0)
    model = Recurrent(pooled=False, flat=flat)
    batches = []
    for n in (5, 5, 2):
        aims = torch.randint(0, 3, (7, n))
        batches.append((torch.randn(7, n, 4), aims.flatten() if flat else aims))

    def loss(outputs, targets):
        return F.cross_entropy(outputs.reshape(-1, 3), targets.reshape(-1)) ** 2

    objective = Objective(model, batches, loss=loss)
    check(objective, model, lambda m, b: loss(m(b[0]), b[1]), batches, lambda b: b[0].shape[1])
    assert any("second axis" in sentence for sentence in objective.assumptions)
    first = Objective(model, batches, loss=loss, batch_axis=0)
    assert first.n_examples == 21
    assert not any("second axis" in sentence for sentence in first.assumptions)


def test_examples_are_drawn_and_cut_along_the_axis_that_was_given():
    torch.manual_seed(0)
    model = Recurrent(pooled=True)
    x, y = torch.randn(7, 30, 4), torch.randint(0, 3, (30,))
    objective = Objective(model, (x, y), batch_axis=1, max_examples=12, batch_size=5)
    assert objective.capped
    assert [tuple(b.inputs.shape) for b in objective.train.batches] == [
        (7, 5, 4),
        (7, 5, 4),
        (7, 2, 4),
    ]
    whole = objective.train.joined
    assert whole.inputs.shape == (7, 12, 4)
    expected = F.cross_entropy(model(whole.inputs), whole.targets)
    assert objective.anchor_loss == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Conv1d(3, 4, 3), nn.Flatten(), nn.LazyLinear(3)),
        nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.LazyLinear(3)),
    ],
    ids=["signals", "tokens"],
)
def test_batches_that_come_first_stay_so(model):
    torch.manual_seed(0)
    embeds = isinstance(model[0], nn.Embedding)
    x = torch.randint(0, 9, (8, 8)) if embeds else torch.randn(8, 3, 8)
    model(x)
    loader = DataLoader(TensorDataset(x, torch.randint(0, 3, (8,))), batch_size=4)
    objective = Objective(model, loader)
    assert objective.n_examples == 8
    assert not any("axis" in sentence for sentence in objective.assumptions)


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"batch_axis": 2}, "batch_axis=2 was given; the inputs have shape"),
        ({"batch_axis": -1}, "batch_axis=-1; expected is the axis"),
        ({"batch_axis": "time"}, "batch_axis='time'; expected is the axis"),
        ({"batch_size": 0}, "batch_size=0; a whole number of 1 or more"),
        ({"batch_size": 2.5}, "batch_size=2.5; a whole number of 1 or more"),
    ],
)
def test_what_is_no_axis_or_size_is_refused(keywords, said):
    with pytest.raises(ValueError, match=said):
        Objective(nn.Linear(5, 3), (torch.randn(8, 5), torch.randint(0, 3, (8,))), **keywords)


@pytest.mark.parametrize("loss", [None, nn.MSELoss(), F.mse_loss])
def test_errors_of_time_first_sequences_are_weighed_by_sequences(loss):
    torch.manual_seed(0)
    model = Recurrent(pooled=False)
    batches = [(torch.randn(7, n, 4), torch.randn(7, n, 3)) for n in (6, 6, 1)]
    objective = Objective(model, batches, loss=loss)
    check(
        objective, model, lambda m, b: F.mse_loss(m(b[0]), b[1]), batches, lambda b: b[0].shape[1]
    )
    whole = Objective(model, batches[0], loss=loss)
    assert any("Give batch_size=" in sentence for sentence in whole.assumptions)


class Language(nn.Module):
    """Tokens (time, batch), as `nn.TransformerEncoder` has them by default."""

    def __init__(self, batch_first):
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=batch_first)
        self.head = nn.Linear(8, 11)

    def forward(self, tokens):
        return self.head(self.encoder(self.embed(tokens)))


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize(("rows", "columns"), [(6, 6), (2, 7), (7, 2)])
def test_the_axis_of_examples_of_tokens_is_the_models(batch_first, rows, columns):
    torch.manual_seed(0)
    model = Language(batch_first).eval()
    tokens = torch.randint(0, 11, (rows, columns))
    objective = Objective(model, [(tokens, tokens)] * 2)
    assert objective.n_examples == 2 * (rows if batch_first else columns)
    expected = F.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten()).item()
    assert objective.anchor_loss == pytest.approx(expected, rel=1e-5)


def test_a_mapping_given_whole_goes_in_tiles_to_a_loss_of_the_model():
    x, y = torch.randn(300, 6), torch.randint(0, 3, (300,))
    model = torch.nn.Linear(6, 3)

    def loss(net, batch):
        return torch.nn.functional.cross_entropy(net(batch["x"]), batch["y"])

    objective = Objective(model, {"x": x, "y": y}, loss=loss)
    moved = objective.anchor * 1.5
    weight, bias = moved[:18].view(3, 6), moved[18:]
    expected = torch.nn.functional.cross_entropy(x @ weight.T + bias, y)
    assert objective.loss(moved) == pytest.approx(float(expected), rel=1e-5)
