"""A race between strategies on a few rows and a part of the data."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import torch

from landscape_widgets.evaluation.accumulate import Accumulator
from landscape_widgets.evaluation.in_place import InPlace
from landscape_widgets.evaluation.request import Request
from landscape_widgets.evaluation.strategy import Strategy
from landscape_widgets.evaluation.tiled_examples import TiledExamples
from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.task.losses import Loss

GOES = 3  # of each strategy, interleaved, if there is time; the fastest counts
BEHIND = 2.5  # times the fastest's time, from which one that is first tried goes no further
SHARE = 0.08  # of the work ahead that the race may cost
LEAST, MOST = 0.02, 1.0  # seconds that it may cost in any case, and at most
FEWEST = 512  # examples: with fewer, strategies that like many would be misjudged
FEW = 64  # but so many will do where they take long enough
LONG = 0.1  # seconds: it is then enough to have seen each once


class Failed(Exception):
    """The strategy `name` raised `error`."""

    def __init__(self, name: str, error: Exception) -> None:
        super().__init__(name, error)
        self.name, self.error = name, error


def race(
    entrants: Mapping[str, Strategy],
    request: Request,
    split: TiledExamples,
    loss: Loss,
) -> dict[str, float]:
    """Seconds a parameter vector over the whole split, by strategy; "inplace" must be there.

    Raises
    ------
    Failed
        If one of them does.
    """
    rows = request.first
    least = _fewest(entrants["inplace"], split)
    few = split.part(least)
    clock = _clock(split)
    # What is made once, is made.
    _time(entrants["inplace"], request, rows[:1], split.part(2), loss, clock)
    second = _time(entrants["inplace"], request, rows[:1], few, loss, clock) * split.size / few.size
    groups = {name: rows[: strategy.trial] for name, strategy in entrants.items()}
    whole = GOES * second * sum(map(len, groups.values()))
    budget = min(MOST, max(LEAST, SHARE * request.n * second))
    enough = max(least, min(FEWEST, int(split.size * LONG / max(second, 1e-9))))
    part = split.part(max(enough, int(split.size * min(1.0, budget / max(whole, 1e-9)))))
    for name, strategy in entrants.items():
        if not strategy.ready(request, part):  # what samples share is not to be counted for one
            _time(strategy, request, groups[name], part, loss, clock)
    best = dict.fromkeys(entrants, float("inf"))
    start = clock()
    running = list(entrants)
    for go in range(GOES):
        # Once is not enough: what a library makes for each new shape is made then.
        seen = go > 1 or min(best.values()) * part.size > LONG * split.size
        if go > 0 and seen and clock() - start > budget:
            break
        for name in running:
            taken = _time(entrants[name], request, groups[name], part, loss, clock)
            best[name] = min(best[name], taken * split.size / part.size)
        running = [name for name in running if best[name] <= BEHIND * min(best.values())]
    return best


def _fewest(inplace: Strategy, split: TiledExamples) -> int:
    """Examples that show what tiles and batches of their sizes are worth, but of small ones."""
    batches = [0] if split.examples.given_whole else [b.size for b in split.examples.batches]
    tile = inplace.tile if isinstance(inplace, InPlace) else FEW
    return min(FEW, max(tile, *batches))


def _time(
    strategy: Strategy,
    request: Request,
    rows: FloatArray,
    split: TiledExamples,
    loss: Loss,
    clock: Callable[[], float],
) -> float:
    start = clock()
    try:
        losses_at(strategy, request, rows, split, loss)  # on the CPU: whatever device has finished
    except Exception as error:
        raise Failed(strategy.name, error) from error
    return (clock() - start) / len(rows)


def _clock(split: TiledExamples) -> Callable[[], float]:
    # This thread's own time does not count what other programs take of the machine.
    return time.thread_time if split.device.type == "cpu" else time.perf_counter


def losses_at(
    strategy: Strategy, request: Request, rows: FloatArray, split: TiledExamples, loss: Loss
) -> torch.Tensor:
    """Losses at each of `rows`, (r,)."""
    accumulator = Accumulator(loss, {}, None, len(rows))
    strategy.run(request, rows, split, accumulator)
    return accumulator.finish()["loss"]
