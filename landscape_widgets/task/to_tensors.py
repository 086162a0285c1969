"""Arrays, numbers, lists and single examples as tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Number
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

from landscape_widgets.errors import brief
from landscape_widgets.task.structure import describe

_WIDE_UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)


def as_tensor(leaf: Any, dtype: torch.dtype) -> Tensor:
    """Arrays and tensors as tensors; floating ones in the precision to work in."""
    if hasattr(leaf, "to_numpy"):
        leaf = leaf.to_numpy()
    check_nested(leaf)
    if not isinstance(leaf, Tensor):
        leaf = np.ascontiguousarray(leaf) if np.ndim(leaf) else np.asarray(leaf)
        if leaf.dtype.kind not in "biufc":
            raise TypeError(
                f"The data holds an array of {leaf.dtype.name} (Python objects or text). "
                f"Numbers are expected: {as_numbers(leaf)}."
            )
        writable = leaf if leaf.flags.writeable else leaf.copy()
        leaf = torch.from_numpy(writable.astype(writable.dtype.newbyteorder("="), copy=False))
    tensor: Tensor = leaf.clone() if leaf.is_inference() else leaf.detach()
    if tensor.dtype in _WIDE_UNSIGNED:  # which torch holds, and does little with
        tensor = tensor.long()
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def check_nested(leaf: Any) -> None:
    """Raise a TypeError for a nested tensor that does not tell its sizes."""
    if isinstance(leaf, Tensor) and leaf.is_nested and leaf.layout == torch.strided:
        raise TypeError(
            "A batch holds a nested tensor of the strided layout, whose sizes torch does not tell. "
            "Make it with layout=torch.jagged, or give a list of tensors or a padded one."
        )


def as_numbers(array: np.ndarray[Any, Any]) -> str:
    """How to make numbers of an array of Python objects or text."""
    try:
        array.astype(np.float32)
    except (TypeError, ValueError):
        if array.ndim == 1:
            return "of names of classes take numpy.unique(targets, return_inverse=True)[1]"
        return "leave out the columns that hold text, or encode them as the model was trained on"
    return "convert it with .astype(numpy.float32) first"


def numbers_of(part: Any) -> Any:
    """A list of numbers, or of such lists of one length, as an array; anything else as it is."""
    if not isinstance(part, (list, tuple)) or not part:
        return part
    first = part
    while isinstance(first, (list, tuple)) and first:
        first = first[0]
    if not isinstance(first, (Number, np.generic)):
        return part
    try:
        array = np.asarray(part)
    except ValueError:
        array = np.empty(0, dtype=object)
    if array.dtype.kind not in "biufc":
        raise ValueError(
            f"The data holds a list of {len(part):,} lists that are not of one length, or not of "
            f"numbers alone ({describe(part)}). Pad them to one length, or give a DataLoader "
            "whose collate_fn puts them into tensors."
        )
    return array


def collate(items: Sequence[Any]) -> Any:
    """Put single examples together, one row each.

    Raises
    ------
    ValueError
        If they are of different shapes.
    """
    try:
        return default_collate([_tensors_of_lists(item) for item in items])
    except (RuntimeError, TypeError, KeyError) as error:
        raise ValueError(
            f"Examples such as {describe(items[0])} could not be put together "
            f"({type(error).__name__}: {brief(str(error))}). Give a DataLoader whose collate_fn "
            "makes batches of them."
        ) from error


def _tensors_of_lists(item: Any) -> Any:
    if isinstance(item, Mapping):
        return {key: _tensors_of_lists(value) for key, value in item.items()}
    if isinstance(item, list):
        converted = numbers_of(item)
        return item if converted is item else torch.as_tensor(converted)
    if isinstance(item, tuple) and type(item) is tuple:
        return tuple(map(_tensors_of_lists, item))
    if hasattr(item, "to_numpy"):
        return torch.as_tensor(item.to_numpy())
    return item
