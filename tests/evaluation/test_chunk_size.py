import pytest

from landscape_widgets.evaluation import chunk_size
from landscape_widgets.evaluation.chunk_size import ChunkSize


def after_rows_of(seconds: float, monkeypatch) -> ChunkSize:
    """One that has seen a row take so long."""
    clock = iter([0.0, seconds])
    monkeypatch.setattr(chunk_size.time, "perf_counter", lambda: next(clock))
    found = ChunkSize()
    with found.timed(1):
        pass
    return found


def test_quick_rows_that_nobody_watches_are_evaluated_in_one_go(monkeypatch):
    assert 51 <= after_rows_of(1e-4, monkeypatch).rows(51, 16, watched=False) < 51 + 16


def test_a_call_is_parted_where_someone_watches_or_nothing_is_known_yet(monkeypatch):
    assert after_rows_of(1e-6, monkeypatch).rows(1000, 16) == 240
    assert ChunkSize().rows(1000, 16, watched=False) == 240


@pytest.mark.parametrize("watched", [True, False])
@pytest.mark.parametrize(("seconds", "rows"), [(1e-3, 80), (1e-2, 8), (1.0, 1)])
def test_slow_rows_are_parted_by_time(seconds, rows, watched, monkeypatch):
    assert after_rows_of(seconds, monkeypatch).rows(1000, 1, watched=watched) == rows
