"""A page that puts rows together has the table that the kernel has, and gets no row twice."""

import numpy as np
import pytest
from torch import nn

import landscape_widgets as lw
from landscape_widgets.samplers import Subspace
from landscape_widgets.widget import channel
from landscape_widgets.widget.tables import NEAR, Table
from tests.models import digits, mlp, train
from tests.widget.page import floats, say, sent_slices, state

DATA, VAL = digits(60), tuple(t[60:] for t in digits(120))


class Page:
    """Puts rows together as they come."""

    def __init__(self) -> None:
        self.values, self.version, self.rows, self.largest = {}, -1, 0, 0

    def take(self, message, buffers) -> None:
        assert (message["type"], message["table"]) == ("rows", "profiles")
        shape = message["of"], message["width"]
        if message["version"] != self.version:
            self.version = message["version"]
            self.values = {name: np.full(shape, np.nan, np.float32) for name in message["names"]}
        start, stop = message["start"], message["start"] + message["count"]
        for name, buffer in zip(message["names"], buffers, strict=True):
            self.values[name][start:stop] = floats(buffer).reshape(-1, message["width"])
        self.rows += message["count"]
        self.largest = max(self.largest, sum(map(len, buffers)))

    def take_all(self, messages) -> None:
        for message, buffers in messages:
            self.take(message, buffers)


@pytest.fixture
def table():
    table = Table("profiles")
    rng = np.random.default_rng(0)
    empty = np.full((5000, 41), np.nan, dtype=np.float32)
    table.take({"loss": empty, "val_loss": empty.copy()})
    return table, rng


def test_only_rows_that_changed_are_sent_and_near_ones_in_one_message(table):
    table, rng = table
    page = Page()
    page.take_all(table.changed())
    assert page.rows == 0  # empty ones are not told
    for rows in ([7], [8, 9, 10], [4000, 20], [8]):
        table.values["loss"][rows] = rng.random((len(rows), 41))
        page.take_all(table.changed())
    assert page.rows == 1 + 3 + 2 + 1
    np.testing.assert_array_equal(page.values["loss"], table.values["loss"])
    assert np.isnan(page.values["val_loss"]).all()
    assert list(table.changed()) == []
    table.values["val_loss"][[100, 100 + NEAR]] = 1.0
    table.values["loss"][100 + 3 * NEAR] = 1.0
    assert [message["count"] for message, _ in table.changed()] == [NEAR + 1, 1]


def test_a_row_that_is_forgotten_is_sent_too(table):
    table, _ = table
    page = Page()
    table.values["loss"][3] = 1.0
    page.take_all(table.changed())
    table.values["loss"][3] = np.nan
    page.take_all(table.changed())
    assert np.isnan(page.values["loss"][3]).all()


def test_a_snapshot_comes_in_parts_and_is_all_that_a_new_page_needs(table):
    table, rng = table
    old, new = Page(), Page()
    for values in table.values.values():
        values[:] = rng.random(values.shape)
    old.take_all(table.changed())
    messages = list(table.snapshot())
    assert len(messages) == 2
    for page in (old, new):
        page.take_all(messages)
        for name, values in table.values.items():
            np.testing.assert_array_equal(page.values[name], values)
    assert new.largest <= 1_000_000
    assert list(table.changed()) == []


def test_more_rows_are_another_version(table):
    table, rng = table
    page = Page()
    table.values["loss"][:10] = rng.random((10, 41))
    page.take_all(table.changed())
    table.take(
        {n: np.pad(v, ((0, 5), (0, 0)), constant_values=3.0) for n, v in table.values.items()}
    )
    page.take_all(table.changed())
    for name, values in table.values.items():
        np.testing.assert_array_equal(page.values[name], values)
    assert page.version == 2


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return train(mlp(8), DATA, 60)


@pytest.fixture
def watched(model, monkeypatch):
    """A widget that sends rows, not started, and its page."""
    monkeypatch.setattr(channel, "SMALL", 1000)
    monkeypatch.setattr("landscape_widgets.widget.slices.AT_ONCE", 1e9)
    options = {"sampler": Subspace(n=40, radius=1.0), "reducer": "pca"}
    widget = lw.LandscapeWidget(model, DATA, val_data=VAL, start=False, **options)
    page = Page()

    def hear(data, buffers=None) -> None:
        if data["method"] == "custom" and data["content"]["type"] == "rows":
            page.take(data["content"], buffers)

    widget.comm.send = hear
    yield widget, page
    widget.close()


def test_a_page_that_asked_for_rows_has_the_slices_that_are_in_the_trait_in_the_end(watched):
    widget, page = watched
    seen = []
    widget.observe(lambda change: seen.append(sum(map(len, change["new"].values()))), "_profiles")
    say(widget, "snapshot")
    widget.start()
    widget.wait(60)
    truth = widget.landscape.slice(range(41))
    for name, losses in (("loss", truth.losses), ("val_loss", truth.values["val_loss"])):
        np.testing.assert_allclose(page.values[name], losses, rtol=1e-5)
    np.testing.assert_array_equal(page.values["loss"], sent_slices(widget).reshape(41, -1))
    # As a whole once, both losses; besides, while there was no more than the trained weights.
    assert seen.count(2 * truth.losses.astype(np.float32).nbytes) == 1
    assert all(size <= channel.SMALL for size in seen[:-1])
    assert page.rows < 2 * 41


def test_a_page_that_comes_later_gets_all_and_then_what_changes(watched, monkeypatch):
    monkeypatch.setattr("landscape_widgets.widget.slices.PROFILE_SECONDS", 0.0)
    widget, page = watched
    widget.start()
    widget.wait(60)
    say(widget, "slices", indices=[4, 30])
    widget.wait(60)
    assert page.values == {}  # nobody asked for rows: it is all in the trait
    before = state(widget, "profiles")
    say(widget, "snapshot")
    np.testing.assert_array_equal(page.values["loss"], floats(before["loss"]).reshape(41, -1))
    page.rows = 0
    say(widget, "slices", indices=[9])
    widget.wait(60)
    assert page.rows == 1
    assert np.isfinite(page.values["loss"][[4, 9, 30]]).all()
    assert np.isnan(page.values["loss"][5]).all()
    assert state(widget, "profiles") == before


def test_other_samples_are_told_before_their_rows(watched):
    widget, page = watched
    say(widget, "snapshot")
    widget.start()
    widget.wait(60)
    told, own = [], widget.comm.send

    def order(data, buffers=None) -> None:
        if data["method"] == "custom":
            told.append((data["content"]["type"], data["content"].get("of")))
        elif "_samples" in data.get("state", {}):
            told.append(("samples", len(data["state"]["_samples"]["kind"])))
        own(data, buffers)

    widget.comm.send = order
    widget.sampler = Subspace(n=50, radius=1.0)
    widget.wait(60)
    assert told[0] == ("samples", 51)
    assert {of for kind, of in told if kind == "rows"} == {51}
    np.testing.assert_allclose(
        page.values["loss"], widget.landscape.slice(range(51)).losses, rtol=1e-5
    )
