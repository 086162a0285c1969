"""The inverse Hessian as the steps of a descent have shown it."""

from __future__ import annotations

from collections import deque

from torch import Tensor

# Pairs that are remembered, as long as they take no more than this.
HISTORY = 10
HISTORY_BYTES = 256 << 20


class Memory:
    """Pairs of steps and changes of the gradient that stand for the inverse Hessian.

    The two-loop recursion of L-BFGS (Nocedal & Wright 2006, "Numerical optimization", section 7.2).
    """

    def __init__(self, size: int) -> None:
        most = max(1, min(HISTORY, HISTORY_BYTES // (8 * max(1, size))))
        self._pairs: deque[tuple[Tensor, Tensor, float]] = deque(maxlen=most)

    def add(self, step: Tensor, change: Tensor) -> None:
        """Take in a pair (P,), unless the loss curves downwards along it."""
        curved = float(step @ change)
        if curved > 1e-10 * float(step.norm() * change.norm()):
            self._pairs.append((step, change, curved))

    def clear(self) -> None:
        """Begin again with the gradient itself."""
        self._pairs.clear()

    def __len__(self) -> int:
        return len(self._pairs)

    def direction(self, gradient: Tensor) -> Tensor:
        """Downhill from where the gradient is this, (P,)."""
        found = gradient.clone()
        shares = []
        for step, change, curved in reversed(self._pairs):
            share = float(step @ found) / curved
            shares.append(share)
            found.sub_(change, alpha=share)
        if self._pairs:
            step, change, curved = self._pairs[-1]
            found.mul_(curved / float(change @ change))
        for (step, change, curved), share in zip(self._pairs, reversed(shares), strict=True):
            found.add_(step, alpha=share - float(change @ found) / curved)
        return found.neg_()
