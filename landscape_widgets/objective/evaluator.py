"""What takes losses at many parameter vectors: an objective, or a cluster of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from landscape_widgets.evaluation.quantities import Evaluation
from landscape_widgets.geometry.basis import Basis, FloatArray
from landscape_widgets.progress import CancelCallback, ProgressCallback, ignore, never


class Evaluator(Protocol):
    """Evaluates rows of coefficients, here or elsewhere; the same numbers but for rounding."""

    @property
    def n_val_examples(self) -> int:
        """Validation examples, 0 where none were given."""

    @property
    def strategy(self) -> str:
        """How the latest parameter vectors were evaluated, in words."""

    def evaluate(
        self,
        basis: Basis,
        coefficients: FloatArray,
        *,
        splits: Sequence[Literal["train", "val"]] = ("train", "val"),
        metrics: bool = True,
        outputs: bool = False,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
        on_chunk: Callable[[int, Evaluation], None] | None = None,
    ) -> Evaluation:
        """Losses at θ* + Σ_j c_j b_j for each row of `coefficients`; see `Objective.evaluate`."""
