"""Whether tensors were written to, so that what is made of them is made once."""

from __future__ import annotations

from torch import Tensor


class Versions:
    """Of tensors, to see whether they were written to; of some none is kept."""

    def __init__(self) -> None:
        self._seen: tuple[int, ...] | None = None

    def have_changed(self, *tensors: Tensor | None) -> bool:
        """Whether they have since this was asked last."""
        known = [tensor for tensor in tensors if tensor is not None]
        before, self._seen = self._seen, None
        if not any(tensor.is_inference() for tensor in known):
            self._seen = tuple(tensor._version for tensor in known)
        return self._seen is None or self._seen != before
