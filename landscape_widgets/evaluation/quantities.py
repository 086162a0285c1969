"""Quantities: what is found at parameter vectors, by name.

"loss" and the metrics are of the training data; the same on the validation data are called
"val_loss", "val_accuracy" and so on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.progress import Progress, ProgressCallback

Names = tuple[str, ...]
Split = Literal["train", "val"]
SPLITS: tuple[Split, ...] = ("train", "val")
VALIDATION = "val_"
LOSSES = ("loss", "val_loss")


def on_split(quantity: str, split: str) -> str:
    """The name of a loss or metric on one split.

    >>> on_split("loss", "train"), on_split("loss", "val")
    ('loss', 'val_loss')
    """
    return VALIDATION + quantity if split == "val" else quantity


def split_of(quantity: str) -> Split:
    """The split that a quantity is of."""
    return "val" if quantity.startswith(VALIDATION) else "train"


@dataclass
class Evaluation:
    """What was found at n parameter vectors.

    Attributes
    ----------
    n : int
    values : dict of arrays (n,), float64
        By quantity, of those that were asked for.
    errors : dict of arrays (n,)
        Standard errors of those that are estimated.
    outputs : array (n, m, ...) float32, or None
        Predictions on the probe batch.
    """

    n: int
    values: dict[str, FloatArray]
    errors: dict[str, FloatArray] = field(default_factory=dict)
    outputs: np.ndarray[Any, np.dtype[np.float32]] | None = None

    def __len__(self) -> int:
        return self.n

    @property
    def losses(self) -> FloatArray:
        """Mean loss on the training data, (n,)."""
        return self.values["loss"]

    @classmethod
    def concatenate(cls, parts: Sequence[Evaluation], quantities: Iterable[str]) -> Evaluation:
        """Evaluations of consecutive parameter vectors in one; of none, if there are no parts."""
        outputs = [part.outputs for part in parts if part.outputs is not None]
        return cls(
            sum(map(len, parts)),
            {name: _joined([part.values[name] for part in parts]) for name in quantities},
            {
                name: _joined([part.errors[name] for part in parts])
                for name in (parts[0].errors if parts else ())
            },
            np.concatenate(outputs) if outputs else None,
        )


def _joined(arrays: Sequence[FloatArray]) -> FloatArray:
    return np.concatenate(arrays) if arrays else np.empty(0)


def collected(
    chunks: Iterable[tuple[int, Evaluation]],
    n: int,
    quantities: Sequence[str],
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
    return Evaluation.concatenate(leading, quantities)
