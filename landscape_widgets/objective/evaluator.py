"""What takes losses at many parameter vectors: an objective, or a cluster of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from landscape_widgets.evaluation.quantities import SPLITS, Evaluation, Names, Split
from landscape_widgets.geometry.basis import Basis, FloatArray
from landscape_widgets.progress import CancelCallback, ProgressCallback, ignore, never


class Evaluator(Protocol):
    """Evaluates rows of coefficients, here or elsewhere; the same numbers but for rounding."""

    @property
    def strategy(self) -> str:
        """How the latest parameter vectors were evaluated, in words."""

    def quantities(self, splits: Sequence[Split] = SPLITS, *, metrics: bool = True) -> Names:
        """Names of what `evaluate` finds, losses first."""

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
        """Losses at θ* + Σ_j c_j b_j for each row of `coefficients`; see `Objective.evaluate`."""
