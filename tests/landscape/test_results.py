"""Whoever reads what is known of the samples reads the whole of one moment."""

import threading
import time

import numpy as np
import pytest

from landscape_widgets import Landscape
from landscape_widgets.evaluation.quantities import Evaluation
from landscape_widgets.landscape.results import Results
from landscape_widgets.samplers import Subspace
from tests.models import digits, mlp

NAMES = ["loss", "val_loss", "accuracy"]


class OfLength:
    """All that `Results` asks of a cloud."""

    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n


def empty(n, outputs=None):
    columns = {f"quantity:{name}": np.full(n, np.nan) for name in NAMES}
    columns["error:loss"] = np.full(n, np.nan)
    if outputs is not None:
        columns["outputs"] = np.full((n, outputs), np.nan, dtype=np.float32)
    return Results(OfLength(n), columns)


def found(rows, value=1.0, outputs=None):
    n = len(rows)
    values = {name: np.full(n, value) for name in NAMES}
    predicted = None if outputs is None else np.full((n, outputs), value, dtype=np.float32)
    return Evaluation(n, values, {"loss": np.full(n, value)}, predicted)


def is_whole(results) -> bool:
    """Whether all columns know the rows that are evaluated, and no others."""
    columns = [*results.values.values(), *results.errors.values()]
    if results.outputs is not None:
        columns += list(results.outputs.T)
    return all((np.isfinite(column) == results.evaluated).all() for column in columns)


class Slow(np.ndarray):
    """A column whose writer lets readers in behind each write."""

    between = staticmethod(lambda: None)

    def __setitem__(self, key, value):
        super().__setitem__(key, value)
        if threading.current_thread() is threading.main_thread():
            Slow.between()


def test_a_reader_beside_a_writer_sees_the_whole_of_one_moment(monkeypatch):
    columns = {name: column.view(Slow) for name, column in empty(40, outputs=2).columns.items()}
    held = [Results(OfLength(40), columns)]
    may_read, has_read, seen, done = threading.Semaphore(0), threading.Semaphore(0), [], []

    def between():
        may_read.release()
        assert has_read.acquire(timeout=10)

    def read():
        while may_read.acquire(timeout=10) and not done:
            seen.append((is_whole(held[0]), int(held[0].evaluated.sum())))
            has_read.release()

    monkeypatch.setattr(Slow, "between", staticmethod(between))
    reader = threading.Thread(target=read)
    reader.start()
    for start in range(0, 40, 10):
        rows = np.arange(start, start + 10)
        held[0] = held[0].with_rows(rows, found(rows, outputs=2))
    done.append(True)
    may_read.release()
    reader.join(timeout=10)
    assert [n for _, n in seen] == sorted([0, 10, 20, 30] * len(columns))
    assert all(whole for whole, _ in seen)
    assert held[0].evaluated.all()
    assert is_whole(held[0])


def test_who_reads_a_landscape_while_it_is_sampled_and_refined_never_sees_a_half():
    data = digits(60)
    land = Landscape(mlp(8), data, val_data=data, strategy="inplace")
    seen, done = [], threading.Event()

    def read():
        while not done.is_set():
            now = land.results
            lengths = {len(now), len(now.cloud or ()), *map(len, now.values.values())}
            seen.append((len(lengths) == 1 and is_whole(now), int(now.evaluated.sum())))
            frame = land.to_frame() if now.cloud is not None else None
            if frame is not None:
                assert not frame[["loss", "val_loss", "val_accuracy"]].isna().any(axis=None)

    reader = threading.Thread(target=read)
    reader.start()
    wait = lambda rows: time.sleep(0.002)  # noqa: E731
    land.sample(Subspace(k=2, n=60, radius=0.5), on_chunk=wait).embed("pca")
    land.refine([3], n=40, on_chunk=wait)
    done.set()
    reader.join(timeout=10)
    assert all(whole for whole, _ in seen)
    assert len({n for _, n in seen}) > 2
    assert land.evaluated.sum() == 101


def test_a_snapshot_stays_as_it_was_and_cannot_be_written_to():
    first = empty(6, outputs=2).with_rows(np.array([1, 4]), found([1, 4], 2.0, outputs=2))
    before = {name: values.copy() for name, values in first.values.items()}
    second = first.with_rows(np.array([0, 2, 3, 5]), found(range(4), 3.0, outputs=2))
    for name, values in before.items():
        np.testing.assert_array_equal(first.values[name], values)
    assert np.isnan(first.outputs[0]).all()
    assert second.outputs[0].tolist() == [3.0, 3.0]
    for results in (first, second):
        for array in (*results.values.values(), results.outputs, results.evaluated):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 1
    with pytest.raises(TypeError):
        first.values["loss"] = before["loss"]


def test_two_that_go_on_from_the_same_snapshot_do_not_see_each_other():
    start = empty(4).with_rows(np.array([0]), found([0]))
    one = start.with_rows(np.array([1, 2]), found([1, 2], 5.0))
    other = start.with_rows(np.array([2, 3]), found([2, 3], 7.0))
    np.testing.assert_array_equal(one.values["loss"], [1, 5, 5, np.nan])
    np.testing.assert_array_equal(other.values["loss"], [1, np.nan, 7, 7])


def test_a_row_is_written_once():
    results = empty(4).with_rows(np.array([1]), found([1]))
    with pytest.raises(ValueError, match="Of 2 samples 1 are evaluated already"):
        results.with_rows(np.array([1, 2]), found([1, 2]))


def test_chunks_cost_no_copy_of_all_rows():
    results = empty(1000, outputs=3)
    columns = results.columns
    for start in range(0, 1000, 10):
        rows = np.arange(start, start + 10)
        results = results.with_rows(rows, found(rows, outputs=3))
        for name, column in results.columns.items():
            assert column is columns[name]
    assert np.shares_memory(results.outputs, columns["outputs"])  # of complete ones neither


def test_more_samples_leave_what_is_known_of_the_others():
    few = empty(3, outputs=2).with_rows(np.array([0, 2]), found([0, 2], outputs=2))
    more = few.grown(OfLength(5), outputs=True)
    assert len(more) == len(more.cloud) == 5
    np.testing.assert_array_equal(more.values["loss"], [1, np.nan, 1, np.nan, np.nan])
    assert more.evaluated.tolist() == [True, False, True, False, False]
    assert few.grown(OfLength(5), outputs=False).outputs is None
    assert len(few) == 3


def test_dealt_out_anew_losses_are_those_of_other_samples_and_outputs_stay():
    rows = np.arange(4)
    part = found(rows, outputs=2)
    part.values["loss"], part.outputs = rows + 1.0, np.stack([rows, rows], axis=1)
    results = empty(4, outputs=2).with_rows(rows, part)
    mixed = results.dealt(np.array([0, 3, 1, 2]))
    assert mixed.values["loss"].tolist() == [1, 4, 2, 3]
    np.testing.assert_array_equal(mixed.outputs, results.outputs)
    assert results.values["loss"].tolist() == [1, 2, 3, 4]
