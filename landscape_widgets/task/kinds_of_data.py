"""What kind of data were given: all at once, in batches, or as single examples."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from numbers import Number
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torch.utils.data import DataLoader, Dataset

from landscape_widgets.errors import brief
from landscape_widgets.task.data import is_sequence
from landscape_widgets.task.structure import attribute, is_array, leaves
from landscape_widgets.task.to_tensors import check_nested, numbers_of

_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.uint8, torch.int8, torch.bool)


def brings_batches(part: Any) -> bool:
    """Whether this is data of its own, and no part of a batch."""
    return isinstance(part, (Dataset, DataLoader)) or attribute(part, "column_names") is not None


def is_read(data: Any) -> bool:
    """Whether data can be iterated over, or looked up by number."""
    return isinstance(data, Iterable) or (hasattr(data, "__getitem__") and hasattr(data, "__len__"))


def advice(data: Any) -> str:
    """What to do, for a form that is nearly right."""
    if isinstance(data, Mapping) and data:
        names = brief(", ".join(map(repr, data)), 100)
        return f" It holds {names}: choose one of them, data[{next(iter(data))!r}]."
    return ""


def all_at_once(data: Any) -> Any:
    """Data whose tensors are there all at once, as one batch; None where it is of another kind."""
    if is_array(data) or isinstance(data, PackedSequence):
        return data
    if isinstance(data, Mapping):
        if any(map(brings_batches, data.values())):
            return None
        parts = {key: numbers_of(value) for key, value in data.items()}
        if any(value is not data[key] for key, value in parts.items()):
            return parts
        return data if _holds_arrays(data) else None
    if isinstance(data, (tuple, list)):
        if len(data) == 2:
            return _pair(data)
        return tuple(data) if _are_columns(data) else None
    if callable(attribute(data, "to")) or dataclasses.is_dataclass(data):
        return data if _holds_arrays(data) and not isinstance(data, type) else None
    return None


def _holds_arrays(tree: Any) -> bool:
    """Whether there is any tensor or array in it."""
    return any(is_array(leaf) for leaf in leaves(tree))


def _pair(data: Any) -> Any:
    """(inputs, targets), if two parts are that and not two batches."""
    inputs, targets = (numbers_of(part) for part in data)
    if is_array(targets):
        return (inputs, targets)
    if is_sequence(inputs) and is_sequence(targets) and len(inputs) == len(targets):
        # A member an example: images of several sizes beside what is seen in each.
        if all(map(is_array, inputs)) and all(isinstance(one, Mapping) for one in targets):
            return (inputs, targets)
        return None
    if isinstance(targets, Mapping) and isinstance(inputs, Mapping):
        return None if isinstance(data, list) or inputs.keys() == targets.keys() else data
    if is_array(inputs) and isinstance(targets, (tuple, list, Mapping)):
        values = list(targets.values()) if isinstance(targets, Mapping) else targets
        same = all(is_array(part) and np.shape(part)[:1] == np.shape(inputs)[:1] for part in values)
        return (inputs, targets) if same and values else None
    return None


def _are_columns(data: Sequence[Any]) -> bool:
    """Whether three arrays or more are parts of one batch, all of one length.

    In a list they may as well be batches of inputs, unless they are of several kinds.
    """
    if len(data) < 3 or not all(is_array(part) and np.ndim(part) > 0 for part in data):
        return False
    kinds = {(np.ndim(part), getattr(part, "dtype", None)) for part in data}
    return len({len(part) for part in data}) == 1 and (isinstance(data, tuple) or len(kinds) > 1)


def are_single(items: Sequence[Any]) -> bool:
    """Whether these are examples one by one, and not batches of them.

    They are where a target is a single number, or where a part is a list of numbers, or where
    inputs and targets are of different lengths, each the same in all of them, that fit no batch.
    """
    first = items[0]
    values = list(first.values()) if isinstance(first, Mapping) else first
    if isinstance(first, Mapping):
        values = [value for name, value in first.items() if not _is_flag(name, items)]
    if not isinstance(values, (tuple, list)):
        return _is_number(first)
    scalars = [v for v in (values if isinstance(first, Mapping) else values[1:]) if _is_number(v)]
    if scalars:
        return not _have_rows(values)
    if isinstance(first, Mapping):
        return any(_is_numbers(value) for value in values)
    for part in values:
        check_nested(part)
    if len(values) != 2 or not all(isinstance(part, (Tensor, np.ndarray)) for part in values):
        return False
    shapes = {tuple(tuple(np.shape(part)) for part in item) for item in items}
    if len(shapes) > 1 or len(items) < 2:
        return False
    x, y = shapes.pop()
    if x == y == (1,):  # a line through points: (x, y) each
        return True
    return len(y) == 1 and x[0] != y[0] and (y[0] % x[0] != 0 or len(x) == 1) and x[1:2] != y


def _have_rows(values: Sequence[Any]) -> bool:
    """Whether what stands beside a number is a batch: of examples and a class for each of them."""
    arrays = [v for v in values if isinstance(v, (Tensor, np.ndarray)) and np.ndim(v) > 0]
    if len({len(array) for array in arrays}) != 1:
        return False
    integers = [torch.as_tensor(a[:0]).dtype in _INTEGERS for a in arrays if np.ndim(a) == 1]
    return any(np.ndim(array) > 1 for array in arrays) and any(integers)


def _is_flag(name: Any, items: Sequence[Any]) -> bool:
    """Whether this is True in all items, or False: no target, but how the model is called.

    Of one item alone, where it stands beside arrays of several shapes and one length.
    """
    first = items[0][name]
    if not isinstance(first, bool):
        return False
    if len(items) > 1:
        return all(isinstance(item, Mapping) and item.get(name) is first for item in items)
    shapes = {np.shape(value) for value in items[0].values() if is_array(value)}
    return len(shapes) > 1 and len({shape[:1] for shape in shapes}) == 1


def _is_number(value: Any) -> bool:
    return isinstance(value, (Number, np.generic)) or (
        isinstance(value, (Tensor, np.ndarray)) and np.ndim(value) == 0
    )


def _is_numbers(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and _is_number(value[0])
