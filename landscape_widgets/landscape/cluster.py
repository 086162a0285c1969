"""Rows of coefficients evaluated by the workers of a Dask cluster.

Model and data go to each worker once; rows are futures, whose results are taken as they finish.
A worker that dies costs its unfinished rows some time, and nothing else: Dask runs them again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch

from landscape_widgets.evaluation.quantities import SPLITS, Evaluation, Names, Split, collected
from landscape_widgets.geometry.basis import Basis, DenseBasis, FloatArray
from landscape_widgets.objective.objective import Objective
from landscape_widgets.progress import CancelCallback, ProgressCallback, ignore, never
from landscape_widgets.resources import keep_freed_memory

# Fewer rows are evaluated here: sending them would take longer.
WORTH_SENDING = 64
# Blocks a worker gets over one call: enough to even out their speeds and to show progress.
BLOCKS_PER_WORKER = 16
# Directions that take more are not sent to every worker: each block of rows gets its own.
SENT_WHOLE = 1 << 30
SENT_AT_ONCE = 64 << 20  # bytes of directions with a block
WAITING = 2  # such blocks for each worker: no more of them are in anybody's memory


class Cluster:
    """Evaluates an objective's rows on the workers of a `dask.distributed.Client`.

    An `Evaluator`, as the objective is. Few rows it leaves to the objective.

    Parameters
    ----------
    objective : Objective
    client : dask.distributed.Client

    Raises
    ------
    TypeError
        If it is no such client.
    """

    def __init__(self, objective: Objective, client: Any) -> None:
        check_client(client)
        self.objective, self.client = objective, client
        self._sent: dict[int, tuple[object, Any]] = {}
        self._here = True  # whether the latest vectors were evaluated by the objective itself

    @property
    def strategy(self) -> str:
        """How the latest parameter vectors were evaluated, in words."""
        return self.objective.strategy if self._here else "by the workers of a cluster"

    def quantities(self, splits: Sequence[Split] = SPLITS, *, metrics: bool = True) -> Names:
        """Names of what `evaluate` finds, losses first."""
        return self.objective.quantities(splits, metrics=metrics)

    def evaluate(
        self,
        basis: Basis,
        coefficients: FloatArray,
        *,
        splits: Sequence[Split] = SPLITS,
        metrics: bool = True,
        outputs: bool = False,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
        on_chunk: Callable[[int, Evaluation], None] | None = None,
    ) -> Evaluation:
        """Losses at θ* + Σ_j c_j b_j for each row of `coefficients`; see `Objective.evaluate`.

        Parts come in the order in which workers finish them.
        """
        rows = np.atleast_2d(np.asarray(coefficients, dtype=np.float64))
        options: dict[str, Any] = {"splits": splits, "metrics": metrics, "outputs": outputs}
        self._here = len(rows) < WORTH_SENDING
        if self._here:
            return self.objective.evaluate(
                basis, rows, progress=progress, cancelled=cancelled, on_chunk=on_chunk, **options
            )
        chunks = self._chunks(basis, rows, options, cancelled)
        names = self.quantities(splits, metrics=metrics)
        return collected(chunks, len(rows), names, progress, on_chunk)

    def _send(self, thing: object) -> Any:
        """A future of `thing`, on every worker, sent once as long as it lives here."""
        held = self._sent.get(id(thing))
        if held is None:
            (future,) = self.client.scatter([thing], broadcast=True, hash=False)
            if len(self._sent) > 4:  # an objective and a few clouds: let go of the oldest cloud
                self._sent.pop(next(key for key in list(self._sent)[1:]))
            self._sent[id(thing)] = held = (thing, future)
        return held[1]

    def _chunks(
        self,
        basis: Basis,
        coefficients: FloatArray,
        options: dict[str, Any],
        cancelled: CancelCallback,
    ) -> Iterator[tuple[int, Evaluation]]:
        """Yield (first row, results) of blocks of rows, in the order in which they finish.

        When `cancelled` says yes, what has not begun is withdrawn.
        """
        import dask
        from distributed import as_completed

        workers = max(1, len(self.client.scheduler_info()["workers"]))
        size = max(1, -(-len(coefficients) // (workers * BLOCKS_PER_WORKER)))
        whole = basis.nbytes <= SENT_WHOLE
        if not whole:
            size = max(1, min(size, SENT_AT_ONCE // (basis.nbytes // basis.k)))
        there = self._send(self.objective)
        directions = self._send(basis) if whole else None
        starts = iter(range(0, len(coefficients), size))
        futures: dict[Any, int] = {}

        def submit(start: int) -> Any:
            rows = coefficients[start : start + size]
            own: Any = directions
            if directions is None:
                own, rows = _narrowed(basis, rows)
            rows = np.ascontiguousarray(rows)
            future = self.client.submit(_evaluate_block, there, own, rows, options, pure=False)
            futures[future] = start
            return future

        # Part of the task itself, so that a worker that dies takes no directions along.
        large = {"distributed.admin.large-graph-warning-threshold": "1 GiB"}
        try:
            with dask.config.set(large):
                first = starts if whole else islice(starts, WAITING * workers)
                waiting = as_completed(  # type: ignore[no-untyped-call]
                    list(map(submit, first)), with_results=True
                )
                for future, result in waiting:
                    yield futures.pop(future), result
                    if cancelled():
                        return
                    for start in islice(starts, 1):
                        waiting.add(submit(start))  # type: ignore[no-untyped-call]
        finally:
            self.client.cancel(list(futures))


def check_client(client: Any) -> None:
    """Raise a TypeError, which says what to install, unless it is a client of Dask's."""
    if not all(hasattr(client, name) for name in ("scatter", "submit", "scheduler_info")):
        raise TypeError(
            f"client is {type(client).__name__}; a dask.distributed.Client is expected. "
            'Install it with: pip install "landscape-widgets[cluster]"'
        )


def _narrowed(basis: Basis, rows: FloatArray) -> tuple[Basis, FloatArray]:
    """The directions that some of `rows` move along, in memory, and the rows on them."""
    used = np.flatnonzero((rows != 0).any(axis=0))
    if not len(used):
        used = np.zeros(1, dtype=np.int64)
    vectors = torch.stack([basis.row(int(j)) for j in used])
    narrowed = DenseBasis(vectors)
    if basis.buffers is not None:
        narrowed.buffers = basis.buffers.taken(np.eye(basis.k)[used])
    return narrowed, rows[:, used]


def _evaluate_block(
    objective: Objective, basis: Basis, coefficients: FloatArray, options: dict[str, Any]
) -> Evaluation:
    keep_freed_memory()
    return objective.evaluate(basis, coefficients, **options)
