"""What is found at parameter vectors, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.progress import Progress, ProgressCallback


@dataclass
class Evaluation:
    """What was found at n parameter vectors.

    Attributes
    ----------
    losses : array (n,), float64
        Mean loss on the training data.
    val_losses : array (n,) or None
    metrics : dict of arrays (n,)
        On the validation data where there are any, else on the training data.
    outputs : array (n, m, ...) float32, or None
        Predictions on the probe batch.
    """

    losses: FloatArray
    val_losses: FloatArray | None = None
    metrics: dict[str, FloatArray] = field(default_factory=dict)
    outputs: np.ndarray[Any, np.dtype[np.float32]] | None = None

    def __len__(self) -> int:
        return len(self.losses)

    @classmethod
    def concatenate(cls, parts: Sequence[Evaluation]) -> Evaluation:
        """Evaluations of consecutive parameter vectors in one."""
        if not parts:
            return cls(np.empty(0))
        first = parts[0]
        return cls(
            np.concatenate([part.losses for part in parts]),
            None
            if first.val_losses is None
            else np.concatenate([part.val_losses for part in parts if part.val_losses is not None]),
            {
                name: np.concatenate([part.metrics[name] for part in parts])
                for name in first.metrics
            },
            None
            if first.outputs is None
            else np.concatenate([part.outputs for part in parts if part.outputs is not None]),
        )


def collected(
    chunks: Iterable[tuple[int, Evaluation]],
    n: int,
    progress: ProgressCallback,
    on_chunk: Callable[[int, Evaluation], None] | None,
) -> Evaluation:
    """Results of n rows in one, told as they come: (first row, part), in whatever order.

    Of what was stopped, those of the leading rows.
    """
    parts: dict[int, Evaluation] = {}
    done = 0
    for start, part in chunks:
        parts[start] = part
        done += len(part)
        if on_chunk is not None:
            on_chunk(start, part)
        progress(Progress("losses", done, n))
    leading: list[Evaluation] = []
    position = 0
    while position in parts:  # there may be gaps, where several work at it
        leading.append(parts[position])
        position += len(parts[position])
    return Evaluation.concatenate(leading)
