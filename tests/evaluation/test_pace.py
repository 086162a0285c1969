import pytest

from landscape_widgets.evaluation import pace
from landscape_widgets.evaluation.pace import Pace


def pace_of(seconds: float, monkeypatch) -> Pace:
    """What has seen one row take so long."""
    clock = iter([0.0, seconds])
    monkeypatch.setattr(pace.time, "perf_counter", lambda: next(clock))
    found = Pace()
    with found.of(1):
        pass
    return found


def test_quick_rows_that_nobody_watches_are_evaluated_in_one_go(monkeypatch):
    assert 51 <= pace_of(1e-4, monkeypatch).rows(51, 16, watched=False) < 51 + 16


def test_a_call_is_parted_where_someone_watches_or_nothing_is_known_yet(monkeypatch):
    assert pace_of(1e-6, monkeypatch).rows(1000, 16) == 240
    assert Pace().rows(1000, 16, watched=False) == 240


@pytest.mark.parametrize("watched", [True, False])
@pytest.mark.parametrize(("seconds", "rows"), [(1e-3, 80), (1e-2, 8), (1.0, 1)])
def test_slow_rows_are_parted_by_time(seconds, rows, watched, monkeypatch):
    assert pace_of(seconds, monkeypatch).rows(1000, 1, watched=watched) == rows
