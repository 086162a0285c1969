"""Batches of any structure: the loss is the one of a plain loop over the user's own batches."""

import collections
import dataclasses

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_sequence, pad_sequence
from torch.utils.data import DataLoader, TensorDataset

from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.objective.objective import Objective
from landscape_widgets.task.structure import tensors

SIZES = (8, 8, 3)


def contrast(outputs, targets):
    """A loss of whole batches: each example is told from the others of its batch."""
    z = F.normalize(outputs, dim=1)
    return F.cross_entropy(z @ z.roll(1, 0).T / 0.1, torch.arange(len(z)))


def loop(model, loss, batches, size):
    """The user's own loop: the mean over batches, each as much as it has examples."""
    with torch.no_grad():
        found = [(float(loss(model, batch)), size(batch)) for batch in batches]
    return sum(value * n for value, n in found) / sum(n for _, n in found)


def check(objective, model, loss, batches, size):
    """The loss at θ* and at another vector is the loop's; each tensor is on the way in float32."""
    assert objective.anchor_loss == pytest.approx(loop(model, loss, batches, size), rel=1e-5)
    assert objective.n_examples == sum(map(size, batches))
    direction = torch.linspace(-1, 1, objective.size)
    found = objective.evaluate(DenseBasis(direction[None]), np.full((1, 1), 0.3)).losses[0]
    moved = objective.model_at(objective.anchor + 0.3 * direction)
    assert found == pytest.approx(loop(moved, loss, batches, size), rel=1e-5)
    assert objective.gradient(objective.anchor).isfinite().all()


def test_a_loss_of_whole_batches_is_asked_on_the_loaders_own_batches():
    torch.manual_seed(0)
    model = nn.Linear(5, 4)
    loader = DataLoader(TensorDataset(torch.randn(70, 5), torch.randn(70, 1)), batch_size=16)
    objective = Objective(model, loader, loss=contrast)
    check(objective, model, lambda m, b: contrast(m(b[0]), b[1]), list(loader), lambda b: len(b[0]))
    assert [batch.size for batch in objective.train.batches] == [16, 16, 16, 16, 6]


def test_examples_taken_in_tiles_lie_in_memory_once():
    x, y = torch.randn(50, 3), torch.randint(0, 3, (50,))
    objective = Objective(nn.Linear(3, 3), DataLoader(TensorDataset(x, y), batch_size=20))
    whole = objective.train.joined
    assert torch.equal(whole.inputs, x)
    assert [len(batch.inputs) for batch in objective.train.batches] == [20, 20, 10]
    assert all(
        batch.inputs.untyped_storage().data_ptr() == whole.inputs.untyped_storage().data_ptr()
        for batch in objective.train.batches
    )


@dataclasses.dataclass(frozen=True)
class Record:
    x: torch.Tensor
    y: torch.Tensor


class Slotted:
    __slots__ = ("x", "y")

    def __init__(self, x, y):
        self.x, self.y = x, y


class Nested(dict):
    """A mapping of a package's own, whose batches hold a tuple and another object."""

    def __init__(self, x, y):
        super().__init__(features=(x, None), target=Slotted(x, y))

    @property
    def x(self):
        return self["features"][0]

    @property
    def y(self):
        return self["target"].y


Named = collections.namedtuple("Named", "x weight y")


class Encoding(collections.UserDict):
    """Like what a tokeniser gives."""

    def __getattr__(self, name):
        try:
            return self.data[name]
        except KeyError:
            raise AttributeError(name) from None

    def __getstate__(self):
        return {"data": self.data}

    def __setstate__(self, state):
        self.data = state["data"]


@pytest.mark.parametrize(
    "made",
    [
        lambda x, y: Encoding(x=x, y=y),
        Record,
        Slotted,
        Nested,
        lambda x, y: Named(x, torch.rand(len(x)), y),
        lambda x, y: collections.OrderedDict(x=x, y=y),
    ],
    ids=["UserDict", "dataclass", "slots", "nested", "namedtuple", "OrderedDict"],
)
def test_a_batch_of_any_container_is_counted_cast_and_cut_like_a_dictionary(made):
    torch.manual_seed(0)
    model = nn.Linear(5, 3)
    batches = [
        made(torch.randn(n, 5, dtype=torch.float64), torch.randint(0, 3, (n,))) for n in SIZES
    ]
    before = [leaf.clone() for batch in batches for leaf in tensors(batch)]

    def part(batch, name):
        return batch[name] if type(batch) is collections.OrderedDict else getattr(batch, name)

    def loss(model, batch):
        return F.cross_entropy(model(part(batch, "x").float()), part(batch, "y"))

    objective = Objective(model, batches, loss=loss)
    check(objective, model, loss, batches, lambda b: len(part(b, "y")))
    kinds = {leaf.dtype for batch in objective.train.batches for leaf in tensors(batch.raw)}
    assert kinds == {torch.float32, torch.int64}
    assert [type(b.raw) for b in objective.train.batches] == [type(b) for b in batches]
    assert [batch.size for batch in objective.train.batches] == list(SIZES)
    after = [leaf for batch in batches for leaf in tensors(batch)]
    assert all(torch.equal(*pair) for pair in zip(before, after, strict=True))


def test_a_loss_may_take_its_batch_apart():
    torch.manual_seed(0)
    model = nn.Linear(5, 3)
    batches = [{"x": torch.randn(n, 5), "y": torch.randint(0, 3, (n,))} for n in SIZES]
    batches.append({"x": torch.randn(2, 5), "y": torch.tensor([0, 1]), "note": "of another kind"})

    def loss(model, batch):
        return F.cross_entropy(model(batch["x"]), batch.pop("y"))

    objective = Objective(model, batches, loss=loss)
    assert objective.loss(objective.anchor) == pytest.approx(objective.anchor_loss, rel=1e-6)
    copies = [dict(batch) for batch in batches]
    assert objective.anchor_loss == pytest.approx(
        loop(model, loss, copies, lambda b: len(b["x"])), rel=1e-5
    )


class Packed(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(4, 6)
        self.head = nn.Linear(6, 3)

    def forward(self, packed):
        return self.head(self.gru(packed)[1][-1])


def test_packed_sequences_are_one_argument_and_count_by_their_sequences():
    torch.manual_seed(0)
    model = Packed()
    batches = []
    for lengths in ((5, 4, 2), (6, 1)):
        packed = pack_sequence([torch.randn(n, 4) for n in lengths])
        batches.append((packed, torch.randint(0, 3, (len(lengths),))))
    objective = Objective(model, batches)
    check(
        objective,
        model,
        lambda m, b: F.cross_entropy(m(b[0]), b[1]),
        batches,
        lambda b: len(b[1]),
    )


def test_sequences_padded_to_each_batchs_length_have_outputs_for_each_token():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(11, 4), nn.Linear(4, 3))
    batches = []
    for lengths in ((5, 3, 4), (7, 2), (6, 6, 6, 1)):
        tokens = [torch.randint(1, 11, (n,)) for n in lengths]
        aims = [torch.randint(0, 3, (n,)) for n in lengths]
        padded = pad_sequence(aims, batch_first=True, padding_value=-100)
        batches.append((pad_sequence(tokens, batch_first=True), padded))

    def loss(outputs, targets):
        return F.cross_entropy(outputs.flatten(0, 1), targets.flatten())

    objective = Objective(model, batches, loss=loss)
    check(objective, model, lambda m, b: loss(m(b[0]), b[1]), batches, lambda b: len(b[0]))
    assert objective.outputs_shape == (4, 6, 3)  # the most examples of one length


def test_images_of_two_sizes_have_outputs_for_each_pixel():
    torch.manual_seed(0)
    model = nn.Conv2d(3, 2, 3, padding=1)
    batches = [(torch.randn(3, 3, n, n), torch.randn(3, 2, n, n)) for n in (8, 6)]
    objective = Objective(
        model, batches, loss=lambda outputs, targets: (outputs - targets).abs().mean()
    )
    check(
        objective, model, lambda m, b: (m(b[0]) - b[1]).abs().mean(), batches, lambda b: len(b[0])
    )


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(3, 4, 3)

    def forward(self, images, targets=None):
        features = [self.body(image).mean((1, 2)) for image in images]
        if targets is None:
            return torch.stack(features)
        each = [
            (f - target["boxes"]).square().mean()
            for f, target in zip(features, targets, strict=True)
        ]
        return {"boxes": torch.stack(each).mean()}


@pytest.mark.parametrize("kind", [tuple, list])
@pytest.mark.parametrize("same_size", [True, False])
def test_a_tuple_of_images_beside_a_tuple_of_dictionaries_has_a_member_an_example(kind, same_size):
    torch.manual_seed(0)
    model = Detector()
    batches = []
    for count in (2, 3, 4):
        images = [torch.randn(3, 9, 9 if same_size else 9 + i) for i in range(count)]
        boxes = [{"boxes": torch.rand(3 if same_size else 1 + i, 4)} for i in range(count)]
        batches.append((kind(images), kind(boxes)))

    def loss(model, batch):
        return model(*batch)["boxes"]

    objective = Objective(model, batches, loss=loss)
    check(objective, model, loss, batches, lambda b: len(b[0]))
    assert all(type(batch.raw[0]) is kind for batch in objective.train.batches)


class Graphs:
    """Like a batch of PyTorch Geometric: tensors with a row a node, which says its graphs."""

    def __init__(self, counts):
        self.x = torch.randn(sum(counts), 4)
        self.batch = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
        self.y = torch.randint(0, 3, (len(counts),))
        self.num_graphs = len(counts)

    def to(self, device):
        raise AssertionError("a batch is copied with tensors of its own")


class OfGraphs(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, data):
        pooled = torch.zeros(data.num_graphs, 4).index_add(0, data.batch, data.x)
        return self.layer(pooled)


def test_batches_of_graphs_count_by_their_graphs_and_are_never_cut():
    torch.manual_seed(0)
    model = OfGraphs()
    batches = [Graphs([3, 4, 2]), Graphs([5, 4])]
    objective = Objective(model, batches)
    check(
        objective,
        model,
        lambda m, b: F.cross_entropy(m(b), b.y),
        batches,
        lambda b: b.num_graphs,
    )
    assert objective.train.joined is None


def test_own_metrics_of_images_of_two_sizes_are_means_over_batches():
    torch.manual_seed(0)
    model = nn.Conv2d(3, 2, 3, padding=1)
    batches = [(torch.randn(n, 3, s, s), torch.randn(n, 2, s, s)) for n, s in ((3, 8), (1, 6))]

    def error(outputs, targets):
        return float((outputs - targets).abs().mean())

    objective = Objective(model, batches, metrics=[error])
    nowhere = DenseBasis(objective.anchor[None] * 0)
    found = objective.evaluate(nowhere, np.zeros((1, 1))).values["error"][0]
    expected = loop(model, lambda m, b: error(m(b[0]), b[1]), batches, lambda b: len(b[0]))
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("extra", [torch.tensor(2.0), 2.0, "a name", ["a"] * 6, None])
def test_what_stands_beside_the_tensors_of_a_batch_goes_to_the_loss_as_it_is(extra):
    torch.manual_seed(0)
    model, seen = nn.Linear(5, 3), []
    batches = [
        {"x": torch.randn(6, 5), "y": torch.randint(0, 3, (6,)), "extra": extra} for _ in range(2)
    ]

    def loss(model, batch):
        seen.append(batch["extra"])
        return F.cross_entropy(model(batch["x"]), batch["y"])

    objective = Objective(model, batches, loss=loss)
    check(objective, model, loss, batches, lambda b: len(b["x"]))
    assert all(type(one) is type(extra) and one == extra for one in seen)


def test_rows_of_several_lengths_may_be_nested_tensors():
    torch.manual_seed(0)
    model = nn.Linear(5, 3)

    def made(*lengths):
        parts = [torch.randn(n, 5) for n in lengths]
        return torch.nested.nested_tensor(parts, layout=torch.jagged), torch.randn(len(lengths))

    batches = [made(3, 4), made(2, 6, 1)]

    def loss(model, batch):
        return model(batch[0]).values().square().mean()

    objective = Objective(model, batches, loss=loss)
    assert objective.anchor_loss == pytest.approx(
        loop(model, loss, batches, lambda b: len(b[1])), rel=1e-5
    )
    assert objective.outputs_shape is None


def test_nobody_is_asked_for_the_size_of_batches_of_one_graph():
    torch.manual_seed(0)
    graph = Graphs([3, 4, 2])

    def loss(model, batch):
        return F.cross_entropy(model(batch), batch.y) ** 2

    objective = Objective(OfGraphs(), graph, loss=loss)
    assert objective.train.given_whole
    assert not any("batch_size" in sentence for sentence in objective.assumptions)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("kind", [list, iter])
def test_a_flag_beside_the_arrays_of_a_batch_is_no_example(count, kind):
    class Pairs(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.pictures = nn.Embedding(20, 6), nn.Linear(48, 6)

        def forward(self, input_ids, pixel_values, return_loss):
            assert return_loss is True
            texts = self.words(input_ids).mean(1)
            scores = texts @ self.pictures(pixel_values.flatten(1)).T
            return {"loss": nn.functional.cross_entropy(scores, torch.arange(len(scores)))}

    torch.manual_seed(0)
    model = Pairs()
    batches = [
        {
            "input_ids": torch.randint(0, 20, (4, 9)),
            "pixel_values": torch.randn(4, 3, 4, 4),
            "return_loss": True,
        }
        for _ in range(count)
    ]
    plain = np.mean([model(**batch)["loss"].item() for batch in batches])
    objective = Objective(model, kind(batches), loss=lambda m, batch: m(**batch)["loss"])
    assert objective.anchor_loss == pytest.approx(plain, rel=1e-6)


class Pooled(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.inner = nn.Linear(4, 3)

    def forward(self, x):
        return torch.stack([part.mean(0) for part in self.inner(x).unbind()])


@pytest.mark.parametrize("named", [False, True])
def test_nested_tensors_are_batches_where_they_tell_their_sizes(named):
    sequences = [torch.randn(n, 4) for n in (2, 5, 3, 4, 6, 2)]
    targets = torch.randint(0, 3, (6,))

    def batches(layout):
        parts = [torch.nested.nested_tensor(sequences[i : i + 3], layout=layout) for i in (0, 3)]
        pairs = zip(parts, targets.split(3), strict=True)
        return [{"x": x, "labels": y} if named else (x, y) for x, y in pairs]

    model = Pooled()
    plain = nn.functional.cross_entropy(model(sequences_of(sequences)), targets).item()
    objective = Objective(model, batches(torch.jagged), loss=None if not named else by_name)
    assert objective.anchor_loss == pytest.approx(plain, rel=1e-6)
    with pytest.raises(TypeError, match="strided layout"):
        Objective(model, batches(torch.strided), loss=None if not named else by_name)


def sequences_of(tensors):
    return torch.nested.nested_tensor(tensors, layout=torch.jagged)


def by_name(model, batch):
    return nn.functional.cross_entropy(model(batch["x"]), batch["labels"])
