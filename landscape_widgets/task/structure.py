"""What a batch is made of: tensors in tuples, mappings, dataclasses and objects of any package.

A *leaf* is a tensor or array, or whatever holds neither. Everything that walks over a batch walks
over it here, so that no container is known to one function and unknown to another.
"""

from __future__ import annotations

import copy
import dataclasses
import enum
import numbers
import reprlib
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from landscape_widgets.errors import brief

_PLAIN = (
    *(str, bytes, numbers.Number, type(None), enum.Enum, set, frozenset, range, slice),
    *(type, types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.ModuleType),
    *(nn.Module, torch.device, torch.dtype, torch.Generator, np.dtype),
)
DESCRIBED = 6  # parts of a container that an error message names


def is_array(value: Any) -> bool:
    """Whether a value is a tensor, or an array that can be made one."""
    if isinstance(value, (Tensor, np.ndarray)):
        return True
    kind = type(value)  # whatever an object answers that has a __getattr__ of its own
    if isinstance(value, (type, np.generic)):
        return False
    return hasattr(kind, "to_numpy") or hasattr(kind, "__array__")


def parts(node: Any) -> list[tuple[str, Any]] | None:
    """Names and values of what a node is made of; None of a leaf.

    Of a mapping its items, of a sequence its members, of a dataclass or any other object its
    attributes.
    """
    if is_array(node) or isinstance(node, _PLAIN):
        return None
    if isinstance(node, Mapping):
        return [(str(key), node[key]) for key in node]
    if isinstance(node, (tuple, list)):
        return [(str(number), value) for number, value in enumerate(node)]
    if dataclasses.is_dataclass(node):
        names = [field.name for field in dataclasses.fields(node)]
        return [(name, getattr(node, name)) for name in names if hasattr(node, name)]
    return list(attributes(node).items()) or None


def attributes(node: Any) -> dict[str, Any]:
    """What an object keeps in its attributes, those in slots as well."""
    found = dict(in_dict(node) or {})
    for kind in type(node).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(node, name):
                found[name] = getattr(node, name)
    return found


def in_dict(node: Any) -> dict[str, Any] | None:
    """The dictionary of an object's attributes itself; None where it has none.

    Those that make attributes as they are asked for may make one of this name, too.
    """
    kept = attribute(node, "__dict__")
    return kept if isinstance(kept, dict) else None


def attribute(node: Any, name: str) -> Any:
    """An attribute of an object of any package; None where asking for it raises."""
    try:
        return getattr(node, name, None)
    except Exception:  # a `__getattr__` that looks a name up in a mapping, say
        return None


def leaves(tree: Any) -> Iterator[Any]:
    """All leaves, in an order that hangs on nothing but the structure."""
    for _, leaf in named_leaves(tree):
        yield leaf


def named_leaves(tree: Any) -> Iterator[tuple[str, Any]]:
    """All leaves with the path that leads to each: keys, numbers and types on the way."""
    yield from _walk(tree, "", set())


def _walk(node: Any, path: str, above: set[int]) -> Iterator[tuple[str, Any]]:
    found = parts(node)
    if found is None:
        yield path, node
    elif id(node) not in above:  # an object may refer to one that holds it
        path = f"{path}/{type(node).__name__}"
        for name, part in found:
            yield from _walk(part, f"{path}.{name}", {*above, id(node)})


def tensors(tree: Any) -> list[Tensor]:
    """The tensors among the leaves."""
    return [leaf for leaf in leaves(tree) if isinstance(leaf, Tensor)]


def map_arrays(function: Callable[[Any], Any], tree: Any) -> Any:
    """The same structure with each tensor or array replaced by what `function` makes of it.

    Containers are new ones, so that whoever writes into one writes into no other. The lengths in
    a `PackedSequence` stay as they are: torch wants them on the CPU.

    Raises
    ------
    TypeError
        If an object that holds tensors cannot be copied.
    """
    if is_array(tree):
        return function(tree)
    if isinstance(tree, _PLAIN):
        return tree
    kind = type(tree)
    if kind is dict:
        return {key: map_arrays(function, value) for key, value in tree.items()}
    if kind in (tuple, list):
        return kind(map_arrays(function, value) for value in tree)
    if kind is PackedSequence:
        data, lengths, *indices = tree
        moved = [None if index is None else function(index) for index in indices]
        return PackedSequence(function(data), lengths, *moved)
    if isinstance(tree, tuple) and hasattr(tree, "_make"):
        return tree._make(map_arrays(function, value) for value in tree)
    # Any other object knows how to copy itself: with the new tensors in place of the old ones.
    arrays = [leaf for leaf in leaves(tree) if is_array(leaf)]
    try:
        return copy.deepcopy(tree, {id(leaf): function(leaf) for leaf in arrays})
    except Exception as error:
        raise TypeError(
            f"A batch holds an object of type {kind.__name__} that cannot be copied "
            f"({type(error).__name__}: {brief(str(error))}). Give batches as tuples or "
            "dictionaries of tensors."
        ) from error


def fresh(tree: Any) -> Any:
    """The same tensors in containers of their own."""
    return map_arrays(lambda leaf: leaf, tree)


def describe(tree: Any) -> str:
    """Shapes and types, for an error message; of bounded length."""
    return brief(_described(tree, 0), 400)


def _described(tree: Any, depth: int) -> str:
    if isinstance(tree, (Tensor, np.ndarray)):
        return f"{tuple(tree.shape)} {str(tree.dtype).removeprefix('torch.')}"
    if isinstance(tree, (Mapping, tuple, list)) and depth < 3:
        named = isinstance(tree, Mapping)
        if not named and tree and all(isinstance(x, numbers.Number) for x in tree[:DESCRIBED]):
            return f"a {type(tree).__name__} of {len(tree):,} numbers"
        shown = []
        for number, key in enumerate(tree):
            if number == DESCRIBED:
                shown.append(f"... {len(tree):,} in all")
                break
            value = _described(tree[key] if named else key, depth + 1)
            shown.append(f"{brief(str(key), 30)}: {value}" if named else value)
        opening, closing = "{}" if named else "()"
        return opening + ", ".join(shown) + closing
    if isinstance(tree, _PLAIN):
        return reprlib.repr(tree)
    return type(tree).__name__
