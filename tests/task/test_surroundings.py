"""What models write to outside themselves is the user's, and stays as it is."""

import bz2
import collections
import csv
import functools
import io
import itertools
import sqlite3
import types
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call

from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.objective.objective import Objective
from tests.models import digits

calls = 0
history: list[int] = []


class Meter:
    """Cannot be copied."""

    total = 0

    def __init__(self):
        self.n = 0

    def __deepcopy__(self, memo):
        raise TypeError("there is only one")

    def update(self):
        self.n += 1
        Meter.total += 1


meter = Meter()


def count():
    global calls
    calls += 1
    return calls


class Counts(nn.Module):
    """Scales by how often it was called, and keeps that number somewhere outside."""

    calls = 0
    cache: dict[int, int] = {}  # noqa: RUF012
    table = torch.zeros(1)

    def __init__(self, where):
        super().__init__()
        torch.manual_seed(0)
        self.inner = nn.Linear(64, 10)
        self.where, self.meter = where, Meter()

    def forward(self, x):
        return self.inner(x) * (1 + 0.1 * getattr(self, f"_{self.where}")())

    def _attribute_of_the_class(self):
        type(self).calls += 1
        return self.calls

    def _new_attribute_of_the_class(self):
        Counts.more = getattr(Counts, "more", 0) + 1
        return Counts.more

    def _dictionary_of_the_class(self):
        Counts.cache[len(self.cache)] = 0
        return len(self.cache)

    def _tensor_of_the_class(self):
        self.table += 1
        return float(self.table)

    def _variable_of_the_module(self):
        return count()

    def _list_of_the_module(self):
        history.append(1)
        return len(history)

    def _object_of_the_module(self):
        meter.update()
        return meter.n

    def _object_that_cannot_be_copied(self):
        self.meter.update()
        return self.meter.n


def outside(model):
    """All that such a model may write to."""
    mine = Counts.calls, dict(Counts.cache), float(Counts.table), hasattr(Counts, "more")
    return (*mine, calls, list(history), meter.n, Meter.total, model.meter.n)


WHERE = [name.lstrip("_") for name in vars(Counts) if name.startswith("_") and "_of_" in name]


@pytest.mark.parametrize("where", [*WHERE, "object_that_cannot_be_copied"])
def test_what_is_counted_outside_begins_anew_at_each_vector_and_stays_the_users(where):
    x, y = digits(40)
    model = Counts(where)
    before = outside(model)
    objective = Objective(model, (x, y), loss=nn.CrossEntropyLoss(), probe_examples=4)

    def expected(theta):
        weights = objective.layout.unflatten(theta)
        outputs = functional_call(model.inner, {k[6:]: v for k, v in weights.items()}, (x,))
        return float(nn.functional.cross_entropy(outputs * 1.1, y))  # called for the first time

    for scale in (1.0, 1.3, 1.0, 0.5):
        theta = objective.anchor * scale
        assert objective.loss(theta) == pytest.approx(expected(theta), rel=1e-5)
    assert objective.loss_and_gradient(theta)[0] == pytest.approx(expected(theta), rel=1e-5)
    rows = np.array([[0.0], [0.3], [-0.5]])
    found = objective.evaluate(DenseBasis(objective.anchor[None]), rows).losses
    wanted = [expected(objective.anchor * (1 + c)) for c in rows[:, 0]]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert outside(model) == before
    assert any("outside model and loss" in said for said in objective.assumptions)


def test_what_the_user_changes_outside_meanwhile_is_kept():
    model = Counts("attribute_of_the_class")
    objective = Objective(model, digits(20), loss=nn.CrossEntropyLoss())
    Counts.calls = 7
    try:
        assert objective.loss(objective.anchor) == objective.anchor_loss
        assert Counts.calls == 7
    finally:
        Counts.calls = 0


class Logs(nn.Module):
    def __init__(self, file):
        super().__init__()
        self.inner, self.file = nn.Linear(64, 10), file

    def forward(self, x):
        self.file.write("called\n")
        return self.inner(x)


def test_an_open_file_of_the_users_gets_nothing_written(tmp_path):
    with open(tmp_path / "log", "w") as file:
        objective = Objective(Logs(file), digits(20))
        objective.gradient(objective.anchor)
    assert (tmp_path / "log").read_text() == ""


class Takes(nn.Module):
    def __init__(self, numbers):
        super().__init__()
        self.inner, self.numbers = nn.Linear(64, 10), numbers

    def forward(self, x):
        return self.inner(x) * next(_iterator_in(self.numbers))


def _iterator_in(numbers):
    """Where it is kept in a list, the first."""
    return numbers[0] if isinstance(numbers, list) else numbers


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ((n for n in range(1, 9)), "something from numbers"),
        ([(n for n in range(1, 9))], r"something from numbers\[0\]"),
        (map(int, (n for n in range(1, 9))), "something from numbers"),
    ],
)
def test_iterators_that_cannot_be_put_back_are_refused_with_nothing_taken(numbers, said):
    model = Takes(numbers)
    with pytest.raises(ValueError, match=said):
        Objective(model, digits(20))
    assert next(_iterator_in(numbers)) == 1


class Trembles(nn.Module):
    def __init__(self, by):
        super().__init__()
        self.inner, self.by = nn.Linear(64, 10), by

    def forward(self, x):
        return self.inner(x) * (1 + self.by * np.random.default_rng().random())


def test_small_noise_that_cannot_be_put_back_is_told_in_digits_that_differ():
    small = Objective(Trembles(1e-9).double(), digits(20))
    (said,) = (said for said in small.assumptions if "not the same each time" in said)
    one, other = said.split("weights ")[1].split(", on a few")[0].split(", and then ")
    assert float(one) != float(other)


def test_large_noise_that_cannot_be_put_back_is_refused():
    with pytest.raises(ValueError, match="default_rng in forward"):
        Objective(Trembles(10.0), digits(20))


class Reads(nn.Module):
    def __init__(self, file):
        super().__init__()
        self.inner, self.file = nn.Linear(64, 10), file

    def forward(self, x):
        return self.inner(x) * len(self.file.readline())


def test_a_file_that_is_read_is_refused_with_nothing_read(tmp_path):
    (tmp_path / "scales").write_text("1\n22\n333\n")
    with open(tmp_path / "scales") as file:
        with pytest.raises(ValueError, match="something from file"):
            Objective(Reads(file), digits(20))
        assert file.readline() == "1\n"


def test_what_is_neither_copied_nor_put_back_is_named():
    model = nn.Linear(64, 10)
    model.pack = bz2.BZ2Compressor()
    said = Objective(model, digits(20)).assumptions
    assert any("pack, of type BZ2Compressor" in sentence for sentence in said)


class WritesRows(nn.Module):
    def __init__(self, rows):
        super().__init__()
        self.inner, self.rows = nn.Linear(64, 10), rows

    def forward(self, x):
        self.rows.writerow(["called"])
        return self.inner(x)


def test_a_table_of_the_users_gets_no_rows(tmp_path):
    with open(tmp_path / "rows", "w") as file:
        assert Objective(WritesRows(csv.writer(file)), digits(20)).assumptions
    assert (tmp_path / "rows").read_text() == ""


class Questions(nn.Module):
    def __init__(self, base):
        super().__init__()
        self.inner, self.base = nn.Linear(64, 10), base

    def forward(self, x):
        return self.inner(x) * self.base.execute("select 1").fetchone()[0]


def test_a_data_base_is_not_asked():
    with pytest.raises(ValueError, match="something from base, of type Connection"):
        Objective(Questions(sqlite3.connect(":memory:")), digits(20))


class TakesOfItsClass(nn.Module):
    """Scales by what an iterator of its class, or outside, gives next."""

    numbers: Iterator[int] = iter(())

    def __init__(self, where):
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.where = nn.Linear(64, 10), where

    def forward(self, x):
        return self.inner(x) * next(self.numbers if self.where == "class" else supply)


supply: Iterator[int] = iter(())


@pytest.mark.parametrize(
    "make",
    [
        lambda: itertools.count(3),
        lambda: iter([3, 5, 7]),
        lambda: itertools.cycle([3, 4]),
        lambda: itertools.chain([3], iter([4, 5])),
        lambda: map(int, "34"),
    ],
    ids=["count", "list", "cycle", "chain", "map"],
)
@pytest.mark.parametrize("where", ["class", "global"])
def test_iterators_outside_begin_anew_at_each_vector_and_nothing_of_the_users_is_taken(
    where, make, monkeypatch
):
    theirs = make()
    if where == "class":
        monkeypatch.setattr(TakesOfItsClass, "numbers", theirs)
    else:
        monkeypatch.setitem(globals(), "supply", theirs)
    model, data = TakesOfItsClass(where), digits(20)
    objective = Objective(model, data)
    vectors = objective.anchor + 0.1 * torch.arange(3.0)[:, None]
    for theta in (*vectors, *vectors):
        weights = dict(zip(["weight", "bias"], theta.split([640, 10]), strict=True))
        weights["weight"] = weights["weight"].view(10, 64)
        z = functional_call(model.inner, weights, (data[0],))
        plain = nn.functional.cross_entropy(3 * z, data[1])
        assert objective.loss(theta) == pytest.approx(float(plain), rel=1e-5)
    assert (TakesOfItsClass.numbers if where == "class" else supply) is theirs
    assert next(theirs) == 3
    assert not any("numbers" in said or "supply" in said for said in objective.assumptions)


@pytest.mark.parametrize("where", ["class", "global"])
def test_generators_outside_are_refused_with_nothing_taken(where, monkeypatch):
    theirs = (n for n in range(3, 9))
    monkeypatch.setattr(TakesOfItsClass, "numbers", theirs)
    monkeypatch.setitem(globals(), "supply", theirs)
    with pytest.raises(ValueError, match=r"takes something from .*(numbers|supply), of type gener"):
        Objective(TakesOfItsClass(where), digits(20))
    assert next(theirs) == 3


class Shelf:
    __slots__ = ("numbers",)

    def __init__(self, numbers):
        self.numbers = numbers


HOLDERS = {
    "list": (lambda it: [0, it], lambda held: next(held[1])),
    "deque": (lambda it: collections.deque([it]), lambda held: next(held[0])),
    "dict": (lambda it: {"a": it}, lambda held: next(held["a"])),
    "dict of lists": (lambda it: {"a": [it]}, lambda held: next(held["a"][0])),
    "tuple": (lambda it: (0, it), lambda held: next(held[1])),
    "list of tuples": (lambda it: [(0, it)], lambda held: next(held[0][1])),
    "object": (lambda it: types.SimpleNamespace(numbers=it), lambda held: next(held.numbers)),
    "slots": (lambda it: Shelf(it), lambda held: next(held.numbers)),
    "partial": (lambda it: functools.partial(next, it), lambda held: held()),
    "method": (lambda it: it.__next__, lambda held: held()),
    "pairs": (lambda it: zip(it, it, strict=False), lambda held: sum(next(held))),
}


class TakesOfWhatHolds(nn.Module):
    """Scales by what an iterator gives that is held by an attribute, its class, or a global."""

    held = None

    def __init__(self, where, take, own=None):
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.where, self.take = nn.Linear(64, 10), where, take
        if where == "attribute":
            self.held = own

    def forward(self, x):
        return self.inner(x) * self.take(store if self.where == "global" else self.held)


store = None


@pytest.mark.parametrize("kind", HOLDERS)
@pytest.mark.parametrize("where", ["attribute", "class", "global", "loss"])
def test_iterators_begin_anew_wherever_they_are_held(where, kind, monkeypatch):
    hold, take = HOLDERS[kind]
    theirs = iter([3, 5, 7, 11, 13])
    held = hold(theirs)
    first = 8 if kind == "pairs" else 3
    if where == "class":
        of_class = staticmethod(held) if callable(held) else held
        monkeypatch.setattr(TakesOfWhatHolds, "held", of_class)
    if where in ("global", "loss"):
        monkeypatch.setitem(globals(), "store", held)
    data, plainly = digits(20), nn.functional.cross_entropy
    if where == "loss":
        torch.manual_seed(0)
        model = inner = nn.Linear(64, 10)
        loss = lambda outputs, targets: take(store) * plainly(outputs, targets)  # noqa: E731
    else:
        model, loss = TakesOfWhatHolds(where, take, held), plainly
        inner = model.inner
    objective = Objective(model, data, loss=loss)
    vectors = objective.anchor + 0.1 * torch.arange(3.0)[:, None]
    for theta in (*vectors, *vectors):
        weights = dict(zip(["weight", "bias"], theta.split([640, 10]), strict=True))
        weights["weight"] = weights["weight"].view(10, 64)
        z = functional_call(inner, weights, (data[0],))
        plain = first * plainly(z, data[1]) if where == "loss" else plainly(first * z, data[1])
        assert objective.loss(theta) == pytest.approx(float(plain), rel=1e-5)
    assert next(theirs) == 3
    assert not any("held" in said or "store" in said for said in objective.assumptions)


class WritesOfItsClass(nn.Module):
    log = None
    rows = None

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(64, 10)

    def forward(self, x):
        if self.log is not None:
            self.log[0].write("called\n")
        return self.inner(x) * (1 if self.rows is None else len(next(self.rows)[1]))


def test_files_of_a_class_get_nothing_written_and_nothing_is_read_from_them(tmp_path, monkeypatch):
    with open(tmp_path / "log", "w") as file:
        monkeypatch.setattr(WritesOfItsClass, "log", [file])
        Objective(WritesOfItsClass(), digits(20))
        assert WritesOfItsClass.log[0] is file
    assert (tmp_path / "log").read_text() == ""
    (tmp_path / "rows").write_text("1\n22\n333\n")
    with open(tmp_path / "rows") as file:
        monkeypatch.setattr(WritesOfItsClass, "log", None)
        monkeypatch.setattr(WritesOfItsClass, "rows", enumerate(file))
        with pytest.raises(ValueError, match=r"something from .*rows, of type enumerate"):
            Objective(WritesOfItsClass(), digits(20))
        assert file.readline() == "1\n"
    monkeypatch.setattr(WritesOfItsClass, "rows", enumerate(io.StringIO("1\n22\n333\n")))
    objective = Objective(WritesOfItsClass(), digits(20))
    assert objective.loss(objective.anchor) == objective.loss(objective.anchor)
    assert next(WritesOfItsClass.rows) == (0, "1\n")
