"""Counts the bytes of tensors, operation by operation, on whatever device."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within it, what operations allocate is counted, until it is given up.

    Attributes
    ----------
    live, peak : int
        Bytes now, and at most so far.
    largest : int
        Of the largest single allocation.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = self.largest = 0
        self._known: dict[int, weakref.ref[Any]] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled within it; to say so to torch's compiler would import that first."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = {_place(leaf) for leaf in tree_leaves((args, kwargs)) if _dense(leaf)}
        result = func(*args, **kwargs)
        for leaf in tree_leaves(result):
            if _dense(leaf) and _place(leaf) not in given:
                self._add(leaf.untyped_storage())
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        place, size = storage._cdata, storage.nbytes()
        if place in self._known or size == 0:
            return

        def give_up(_: Any) -> None:
            self.live -= size
            self._known.pop(place, None)

        self._known[place] = weakref.ref(storage, give_up)
        self.live += size
        self.peak = max(self.peak, self.live)
        self.largest = max(self.largest, size)


def _dense(leaf: Any) -> bool:
    return isinstance(leaf, torch.Tensor) and leaf.layout == torch.strided


def _place(leaf: torch.Tensor) -> int:
    place: int = leaf.untyped_storage()._cdata
    return place
