"""Rows of coefficients evaluated by the workers of a Dask cluster.

Model and data go to each worker once; rows are futures, whose results are taken as they finish.
A worker that dies costs its unfinished rows some time, and nothing else: Dask runs them again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from landscape_widgets.basis import Basis, FloatArray

if TYPE_CHECKING:
    from landscape_widgets.objective import Evaluation, Objective

# Fewer rows are evaluated here: sending them would take longer.
WORTH_SENDING = 64
# Blocks a worker gets over one call: enough to even out their speeds and to show progress.
BLOCKS_PER_WORKER = 16


class Cluster:
    """Evaluates an objective's rows on the workers of a `dask.distributed.Client`.

    Parameters
    ----------
    client : dask.distributed.Client

    Raises
    ------
    TypeError
        If it is no such client.
    """

    def __init__(self, client: Any) -> None:
        if not all(hasattr(client, name) for name in ("scatter", "submit", "scheduler_info")):
            raise TypeError(
                f"client is {type(client).__name__}; a dask.distributed.Client is expected. "
                'Install it with: pip install "landscape-widgets[cluster]"'
            )
        self.client = client
        self._sent: dict[int, tuple[object, Any]] = {}

    def _send(self, thing: object) -> Any:
        """A future of `thing`, on every worker, sent once as long as it lives here."""
        held = self._sent.get(id(thing))
        if held is None:
            (future,) = self.client.scatter([thing], broadcast=True, hash=False)
            if len(self._sent) > 4:  # an objective and a few clouds: let go of the oldest cloud
                self._sent.pop(next(key for key in list(self._sent)[1:]))
            self._sent[id(thing)] = held = (thing, future)
        return held[1]

    def evaluate(
        self,
        objective: Objective,
        basis: Basis,
        coefficients: FloatArray,
        options: dict[str, Any],
        cancelled: Callable[[], bool],
    ) -> Iterator[tuple[int, Evaluation]]:
        """Yield (first row, results) of blocks of rows, in the order in which they finish.

        When `cancelled` says yes, what has not begun is withdrawn.
        """
        from distributed import as_completed

        workers = max(1, len(self.client.scheduler_info()["workers"]))
        size = max(1, -(-len(coefficients) // (workers * BLOCKS_PER_WORKER)))
        there, directions = self._send(objective), self._send(basis)
        starts = range(0, len(coefficients), size)
        futures = {
            self.client.submit(
                _evaluate_block,
                there,
                directions,
                np.ascontiguousarray(coefficients[start : start + size]),
                options,
                pure=False,
            ): start
            for start in starts
        }
        try:
            for future, result in as_completed(  # type: ignore[no-untyped-call]
                list(futures), with_results=True
            ):
                yield futures.pop(future), result
                if cancelled():
                    return
        finally:
            self.client.cancel(list(futures))


def _evaluate_block(
    objective: Objective, basis: Basis, coefficients: FloatArray, options: dict[str, Any]
) -> Evaluation:
    return objective.evaluate(basis, coefficients, **options)
