"""Tensors and arrays that a call may write to: their numbers, and putting them back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from landscape_widgets.task.places import Place


class OfTensor(Place):
    """The numbers in a tensor: a copy of them, or the tensor of the user's that it is a copy of."""

    def __init__(self, path: str, tensor: Tensor, original: Tensor | None = None) -> None:
        super().__init__(path)
        self.tensor, self.original = tensor, original
        self.of_original = None if original is None else _version(original)
        self.take()

    def take(self) -> None:
        self._saved = self.tensor.detach().clone() if self.original is None else None
        self.version = self.tensor._version

    @property
    def saved(self) -> Tensor:
        if self._saved is not None:
            return self._saved
        assert self.original is not None
        if _version(self.original) != self.of_original:
            raise RuntimeError(
                f"{self.path} was written to by the model, and in the meantime by others in the "
                "model that was handed over: what it was is not known any more. Make the landscape "
                "anew, and let the model write to none of its frozen weights."
            )
        self._saved = self.original.detach().to(self.tensor, copy=True)
        return self._saved

    def moved(self) -> bool:
        return self.tensor._version != self.version

    def differs(self) -> bool:
        if self._saved is not None or self.original is None:
            return not _same_bits(self.tensor, self.saved)
        if _version(self.original) != self.of_original:
            return self.moved()  # there is nothing to compare with any more
        return not _same_bits(self.tensor, self.original.detach().to(self.tensor))

    def put_back(self) -> None:
        with torch.no_grad():
            if self.tensor.shape != self.saved.shape:
                self.tensor.data = self.saved.clone()
            else:
                self.tensor.detach().copy_(self.saved)
        self.version = self.tensor._version


class OfArray(Place):
    def __init__(self, path: str, array: Any) -> None:
        super().__init__(path)
        self.array = array
        self.take()

    def take(self) -> None:
        self.saved = self.array.copy()

    def differs(self) -> bool:
        equal = self.array.dtype == object or np.array_equal(
            self.array.view(np.uint8), self.saved.view(np.uint8)
        )
        return not equal if self.array.flags.c_contiguous else True

    def put_back(self) -> None:
        self.array[...] = self.saved


def is_odd(tensor: Tensor) -> bool:
    """Whether its bits cannot be compared and copied (sparse, nested, lazy)."""
    return (
        tensor.layout != torch.strided
        or tensor.is_nested
        or isinstance(tensor, (nn.UninitializedParameter, nn.UninitializedBuffer))
    )


def _version(tensor: Tensor) -> int:
    return -1 if tensor.is_inference() else tensor._version


def _same_bits(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape:
        return False
    if torch.equal(one, other):
        return True
    if not (one.is_floating_point() or one.is_complex()):
        return False
    return torch.equal(one.isnan(), other.isnan()) and torch.equal(
        one.nan_to_num(), other.nan_to_num()
    )
