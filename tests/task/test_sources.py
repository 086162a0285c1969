"""Where data come from: each form is read into the batches that the user's own loop would see."""

import collections
import itertools
import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    SequentialSampler,
    TensorDataset,
    WeightedRandomSampler,
)

import landscape_widgets as lw
from landscape_widgets.objective.objective import Objective
from landscape_widgets.task.data import Form
from landscape_widgets.task.sources import Source
from landscape_widgets.task.structure import tensors
from tests.models import digits

torch.manual_seed(0)
X, Y = torch.randn(40, 5), torch.randint(0, 3, (40,))
PARTS = [(X[:16], Y[:16]), (X[16:32], Y[16:32]), (X[32:], Y[32:])]


def read(data, **keywords):
    options = {"max_examples": 10_000, "seed": 0, "dtype": torch.float32, **keywords}
    return Source(data, **options).read(Form())


class HuggingFaceLike:
    """Of another package: a length, items that are dictionaries, columns of lists."""

    column_names = ("x", "y")

    def __len__(self):
        return len(X)

    def __getitem__(self, i):
        return {"x": X[i].tolist(), "y": int(Y[i])}


class Loader:
    """Anything that can be iterated over again and again."""

    def __iter__(self):
        return iter(PARTS)


class Batches:
    """Anything with a length and batches by number."""

    def __len__(self):
        return len(PARTS)

    def __getitem__(self, i):
        return PARTS[i]


class Stream(IterableDataset):
    def __iter__(self):
        return iter(zip(X, Y, strict=True))


FORMS = {
    "pair": lambda: (X, Y),
    "lists": lambda: (X.tolist(), Y.tolist()),
    "pandas": lambda: (pd.DataFrame(X.numpy()), pd.Series(Y.numpy())),
    "read-only arrays": lambda: (
        np.frombuffer(X.numpy().tobytes(), "f4").reshape(40, 5),
        Y.numpy(),
    ),
    "big-endian": lambda: (X.numpy().astype(">f8"), Y.numpy().astype(">i8")),
    "single examples": lambda: [(x, int(y)) for x, y in zip(X, Y, strict=True)],
    "single arrays": lambda: list(zip(X.numpy(), Y.numpy(), strict=True)),
    "zip": lambda: zip(X, Y, strict=True),
    "dataset": lambda: TensorDataset(X, Y),
    "stream": Stream,
    "stream in a loader": lambda: DataLoader(Stream(), batch_size=16),
    "loader of batches": lambda: DataLoader(PARTS, batch_size=None),
    "batch sampler": lambda: DataLoader(
        TensorDataset(X, Y), batch_sampler=BatchSampler(SequentialSampler(X), 16, False)
    ),
    "workers": lambda: DataLoader(
        TensorDataset(X, Y), batch_size=16, num_workers=1, worker_init_fn=lambda number: None
    ),
    "generator": lambda: (part for part in PARTS),
    "loader-like": Loader,
    "by number": Batches,
    "deque": lambda: collections.deque(PARTS),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_holds_the_same_examples(form):
    examples = read(FORMS[form]())
    whole = examples.joined
    assert not examples.capped
    torch.testing.assert_close(whole.inputs, X, rtol=0, atol=0)
    assert torch.equal(whole.targets, Y)
    brings = form in ("generator", "loader-like", "by number", "deque", "workers", "batch sampler")
    if brings or form in ("stream in a loader", "loader of batches"):
        assert [batch.size for batch in examples.batches] == [16, 16, 8]
        with pytest.raises(ValueError, match="brings its own batches"):
            read(FORMS[form](), batch_size=4)
    else:
        cut = read(FORMS[form](), batch_size=15)
        assert [batch.size for batch in cut.batches] == [15, 15, 10]
    assert examples.given_whole == (
        form in ("pair", "lists", "pandas", "read-only arrays", "big-endian")
    )


def test_columns_of_lists_are_put_together_row_by_row():
    whole = read(HuggingFaceLike()).joined
    torch.testing.assert_close(whole.raw["x"], X)
    assert torch.equal(whole.raw["y"], Y)


def test_single_examples_with_targets_of_several_numbers_are_no_batches():
    y = torch.randn(40, 2)
    whole = read(list(zip(X, y, strict=True))).joined
    assert torch.equal(whole.inputs, X)
    assert torch.equal(whole.targets, y)


def test_a_loader_that_shuffles_is_read_in_shuffled_batches_and_stays_as_it_is():
    generator = torch.Generator().manual_seed(3)
    loader = DataLoader(TensorDataset(X, Y), batch_size=16, shuffle=True, generator=generator)
    before, torchs = generator.get_state(), torch.get_rng_state()
    first, again = read(loader), read(loader)
    other = read(loader, seed=1)
    assert torch.equal(generator.get_state(), before)
    assert torch.equal(torch.get_rng_state(), torchs)
    assert [batch.size for batch in first.batches] == [16, 16, 8]
    assert torch.equal(first.joined.inputs, again.joined.inputs)
    assert not torch.equal(first.joined.inputs, X)
    assert not torch.equal(first.joined.inputs, other.joined.inputs)
    assert torch.equal(first.joined.inputs.sort(0).values, X.sort(0).values)


def test_a_sampler_and_a_last_batch_that_is_dropped_are_respected():
    sampler = WeightedRandomSampler([0.0] * 20 + [1.0] * 20, 30)
    loader = DataLoader(TensorDataset(X, Y), batch_size=8, sampler=sampler, drop_last=True)
    examples = read(loader)
    assert [batch.size for batch in examples.batches] == [8, 8, 8]
    late = {tuple(row) for row in X[20:].tolist()}
    assert {tuple(row) for row in examples.joined.inputs.tolist()} <= late


@pytest.mark.parametrize(
    ("form", "sizes"),
    [
        ("pair", [20]),
        ("dataset", [20]),
        ("single examples", [20]),
        ("deque", [16]),
        ("batch sampler", [16]),
        ("generator", [16]),
        ("stream in a loader", [16]),
    ],
)
def test_too_many_examples_are_drawn_and_batches_stay_whole(form, sizes):
    examples = read(FORMS[form](), max_examples=20)
    assert examples.capped
    assert sum(batch.size for batch in examples.batches) <= 20
    assert [batch.size for batch in examples.batches] in (sizes, [8], [8, 16], [16, 8][:1])
    known = {tuple(row) for row in X.tolist()}
    assert {tuple(row) for row in examples.joined.inputs.tolist()} <= known


def test_one_batch_of_too_many_examples_is_drawn_from():
    examples = read([(X, Y)], max_examples=12)
    assert examples.capped
    assert [batch.size for batch in examples.batches] == [12]


def test_an_endless_stream_ends_at_the_number_of_examples():
    def batches():
        while True:
            yield PARTS[0]

    class Endless(IterableDataset):
        def __iter__(self):
            return ((X[0], 1) for _ in itertools.count())

    assert read(batches(), max_examples=50).size == 48
    assert read(Endless(), max_examples=50).size == 50
    assert read(DataLoader(Endless(), batch_size=8), max_examples=50).size == 48


def test_data_that_would_fill_the_memory_are_left_out_and_that_is_said(monkeypatch):
    size = sum(leaf.nbytes for leaf in tensors(PARTS[0]))
    monkeypatch.setattr("landscape_widgets.task.sources.free_memory", lambda device: 4 * size)
    examples = read(iter([PARTS[0]] * 5))
    assert examples.size == 16
    assert examples.capped
    (said,) = examples.assumptions
    assert "Only the first 16 examples are used" in said


class Augmented(Dataset):
    """Draws from every generator there is, its own besides."""

    def __init__(self):
        self.own = np.random.default_rng(5)
        self.state = np.random.RandomState(6)
        self.torchs = torch.Generator().manual_seed(7)
        self.pythons = random.Random(8)

    def __len__(self):
        return len(X)

    def __getitem__(self, i):
        drawn = [
            torch.randn(()).item(),
            np.random.rand(),  # noqa: NPY002
            random.random(),
            self.own.normal(),
            self.state.randn(),
            torch.randn((), generator=self.torchs).item(),
            self.pythons.gauss(0, 1),
            GLOBAL.normal(),
        ]
        return X[i] + sum(drawn), Y[i], torch.tensor(drawn)

    def states(self):
        own = [self.own, GLOBAL]
        return [
            torch.get_rng_state().tolist(),
            random.getstate(),
            repr(np.random.get_state()),  # noqa: NPY002
            *(repr(generator.bit_generator.state) for generator in own),
            repr(self.state.get_state()),
            self.torchs.get_state().tolist(),
            self.pythons.getstate(),
        ]


GLOBAL = np.random.default_rng(9)


@pytest.mark.parametrize("workers", [0, 1])
def test_reading_draws_from_the_seed_and_leaves_every_generator_as_it_was(workers):
    data = Augmented()
    init = (lambda number: None) if workers else None
    loader = DataLoader(data, batch_size=8, shuffle=True, num_workers=workers, worker_init_fn=init)
    before = data.states()
    first = read(loader)
    assert data.states() == before
    [generator.normal() for generator in (data.own, GLOBAL)]  # somebody goes on with them
    torch.rand(3), random.random(), data.state.rand(), data.pythons.random()
    torch.rand(2, generator=data.torchs), np.random.rand()  # noqa: NPY002
    again, other = read(loader), read(loader, seed=1)
    drawn = [examples.joined.raw[2] for examples in (first, again, other)]
    assert torch.equal(drawn[0], drawn[1])
    assert all((drawn[0][:, k] != drawn[2][:, k]).any() for k in range(drawn[0].shape[1]))
    assert all(len(drawn[0][:, k].unique()) > 30 for k in range(drawn[0].shape[1]))


def test_a_landscape_on_data_that_are_augmented_can_be_loaded(tmp_path):
    model, path = nn.Linear(5, 3), tmp_path / "land.safetensors"

    def loss(model, batch):
        return F.cross_entropy(model(batch[0]), batch[1])

    data = Augmented()
    land = lw.Landscape(model, data, loss=loss)
    land.sample(lw.samplers.Subspace(k=2, n=9)).save(path)
    assert lw.Landscape.load(path, model, data, loss=loss).evaluated.all()
    with pytest.raises(ValueError, match="training data"):
        lw.Landscape.load(path, model, data, loss=loss, seed=1)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("digits.csv", "Data of type str"),
        (nn.Sequential(nn.Linear(5, 3)), "Data of type Sequential"),
        (len, "Data of type builtin_function_or_method"),
        (
            {"train": TensorDataset(X, Y), "test": TensorDataset(X, Y)},
            r"choose one .*data\['train'\]",
        ),
        ((TensorDataset(X, Y), TensorDataset(X, Y)), "A batch of type TensorDataset"),
        ([], "data is empty"),
        (iter(()), "data is empty"),
        ((X[:0], Y[:0]), "data is empty"),
        ((X, Y[:30]), "inputs of length 40 and targets of length 30"),
        (([[1.0, 2.0], [1.0]], [0, 1]), "not of one length"),
        ([(np.array(["a", "b"], dtype=object), Y[:2])], "Python objects or text"),
        ([([torch.ones(3)], 0), ([torch.ones(2)], 1)], "could not be put together"),
        ([object()], "A batch of type object"),
        (([[1.0] * 1000] * 500 + [[2.0]], [0] * 501), "not of one length"),
    ],
)
def test_what_is_no_data_is_refused_in_a_few_words(data, said):
    with pytest.raises((TypeError, ValueError), match=said) as refused:
        Objective(nn.Linear(5, 3), data)
    assert len(str(refused.value)) < 1000


def test_messages_about_lists_of_many_numbers_are_short():
    rows = [[float(i)] * 7 for i in range(5_000)]
    with pytest.raises(ValueError, match="could not be run") as refused:
        Objective(nn.Linear(5, 3), [(rows, [0] * 5_000)])
    assert len(str(refused.value)) < 1500


def test_what_is_read_beside_the_main_thread_is_the_same():
    def loader():
        return DataLoader(Augmented(), batch_size=8, shuffle=True)

    data = loader()
    before = data.dataset.states()
    with ThreadPoolExecutor(1) as pool:
        beside = pool.submit(read, data).result()
    assert data.dataset.states() == before
    here = read(loader())
    assert torch.equal(beside.joined.raw[0], here.joined.raw[0])
    assert torch.equal(beside.joined.raw[2], here.joined.raw[2])


def test_points_of_a_line_one_by_one_are_examples():
    points = [(torch.tensor([i / 10]), torch.tensor([i / 5])) for i in range(20)]
    inputs, targets = (torch.stack(column) for column in zip(*points, strict=True))
    torch.manual_seed(0)
    model = nn.Linear(1, 1)
    objective = Objective(model, points)
    assert objective.n_examples == 20
    expected = (model(inputs) - targets).square().mean()
    assert objective.anchor_loss == pytest.approx(float(expected.detach()), rel=1e-6)


def test_two_batches_in_a_list_are_told_how_they_are_no_pair():
    torch.manual_seed(0)
    model, batches = nn.Linear(3, 3), [torch.randn(8, 3), torch.randn(8, 3)]

    def loss(model, batch):
        return (model(batch) - batch).square().mean()

    with pytest.raises(ValueError, match=r"give an iterator over them, iter\(\[first, second\]\)"):
        Objective(model, batches, loss=loss)
    expected = sum(float(loss(model, batch).detach()) for batch in batches) / 2
    found = Objective(model, iter(batches), loss=loss).anchor_loss
    assert found == pytest.approx(expected, rel=1e-6)


def test_unsigned_integers_of_sixteen_bits_are_classes():
    torch.manual_seed(0)
    model, inputs, classes = nn.Linear(3, 4), torch.randn(12, 3), np.arange(12) % 4
    found = Objective(model, (inputs, classes.astype("uint16"))).anchor_loss
    assert found == Objective(model, (inputs, classes)).anchor_loss


def test_a_sampler_that_draws_with_replacement_is_named():
    data = TensorDataset(torch.randn(12, 3), torch.arange(12) % 4)
    sampler = WeightedRandomSampler(torch.ones(12), 12)
    objective = Objective(nn.Linear(3, 4), DataLoader(data, 4, sampler=sampler))
    assert any("WeightedRandomSampler draws" in said for said in objective.assumptions)
    objective = Objective(nn.Linear(3, 4), DataLoader(data, 4, shuffle=True))
    assert not any("draws" in said for said in objective.assumptions)


def test_validation_data_of_another_form_than_the_loss_takes_are_refused_by_name():
    inputs, classes = torch.randn(12, 3), torch.arange(12) % 4

    def loss(model, batch):
        return nn.functional.cross_entropy(model(batch["x"]), batch["y"])

    with pytest.raises(ValueError, match=r"^val_data: .*Give val_data that come as data do"):
        Objective(
            nn.Linear(3, 4), [{"x": inputs, "y": classes}], loss=loss, val_data=(inputs, classes)
        )


@pytest.mark.parametrize("kind", [tuple, list])
def test_three_arrays_of_one_length_and_several_kinds_are_one_batch(kind):
    x, y = digits(30)
    weights = torch.rand(30)

    def loss(model, batch):
        inputs, targets, weight = batch
        each = nn.functional.cross_entropy(model(inputs), targets, reduction="none")
        return (weight * each).mean()

    model = nn.Linear(64, 10)
    objective = Objective(model, kind([x, y, weights]), loss=loss)
    assert objective.n_examples == 30
    assert objective.anchor_loss == pytest.approx(float(loss(model, (x, y, weights))), rel=1e-5)


def test_a_triple_of_anchors_positives_and_negatives_is_one_batch():
    parts = tuple(torch.randn(3, 20, 5))

    def loss(model, batch):
        return nn.functional.triplet_margin_loss(*map(model, batch))

    model = nn.Linear(5, 2)
    objective = Objective(model, parts, loss=loss)
    assert objective.n_examples == 20
    assert objective.anchor_loss == pytest.approx(float(loss(model, parts)), rel=1e-5)


def test_three_batches_of_inputs_padded_to_their_own_lengths_stay_three():
    batches = [torch.randint(0, 9, (4, length)) for length in (5, 7, 6)]
    model = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 9))

    def loss(model, batch):
        return nn.functional.cross_entropy(model(batch).flatten(0, 1), batch.flatten())

    objective = Objective(model, batches, loss=loss)
    expected = sum(float(loss(model, batch)) for batch in batches) / 3
    assert objective.anchor_loss == pytest.approx(expected, rel=1e-5)


def test_names_of_classes_are_turned_into_numbers_as_the_refusal_says():
    x, targets = torch.randn(30, 4), np.array(["a", "b", "c"] * 10)
    with pytest.raises(TypeError, match="names of classes") as refused:
        Objective(nn.Linear(4, 3), (x, targets))
    advice = str(refused.value).split("take ")[1].rstrip(".")
    numbers = eval(advice, {"numpy": np, "targets": targets})
    assert Objective(nn.Linear(4, 3), (x, numbers)).n_examples == 30
