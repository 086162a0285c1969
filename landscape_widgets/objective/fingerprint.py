"""Fingerprints of a model and its data: whether a saved landscape is of these very ones."""

from __future__ import annotations

import hashlib
import json
import pickle
from enum import Enum
from numbers import Number
from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape_widgets.objective.objective import Objective
from landscape_widgets.task.structure import named_leaves


def of_model(objective: Objective) -> dict[str, str]:
    """SHA-256 of the architecture's parameter names and shapes, and of the trained weights θ*."""
    shapes = [
        [name, list(shape)]
        for name, shape in zip(objective.layout.names, objective.layout.shapes, strict=True)
    ]
    return {
        "parameters": hashlib.sha256(json.dumps(shapes).encode()).hexdigest(),
        "weights": _digest([objective.anchor]),
    }


def of_data(objective: Objective) -> dict[str, str]:
    """SHA-256 of the examples used, and the name of the loss."""
    splits = {"train": objective.train, "val": objective.val}
    found = {"loss": objective.loss_function.name, "batchnorm": objective.batchnorm}
    for split, examples in splits.items():
        found[split] = _digest([] if examples is None else [b.raw for b in examples.batches])
    return found


def _digest(batches: list[Any]) -> str:
    """SHA-256 of all leaves, and of where they are in which batch."""
    digest = hashlib.sha256()
    for batch in batches:
        digest.update(b"batch")
        for path, leaf in named_leaves(batch):
            digest.update(path.encode())
            if isinstance(leaf, Tensor):
                _add(digest, leaf)
            else:
                digest.update(_written(leaf))
    return digest.hexdigest()


def _add(digest: Any, leaf: Tensor) -> None:
    """Add a tensor's type, shape and numbers."""
    digest.update(f"{leaf.dtype}{tuple(leaf.shape)}{leaf.layout}".encode())
    plain = leaf.detach().cpu()
    if plain.is_nested:
        for part in plain.unbind():
            _add(digest, part)
    elif plain.layout == torch.sparse_coo:
        plain = plain.coalesce()
        _add(digest, plain.indices())
        _add(digest, plain.values())
    elif plain.layout != torch.strided:
        _add(digest, plain.to_dense())
    else:
        plain = plain.as_subclass(Tensor).resolve_conj().resolve_neg().contiguous()
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().data)


def _written(leaf: Any) -> bytes:
    """What is no tensor, the same in every process: without addresses in memory."""
    if isinstance(leaf, (set, frozenset)):
        return repr(sorted(map(repr, leaf))).encode()
    if isinstance(leaf, (str, bytes, Number, type(None), Enum, range, slice, np.generic)):
        return repr(leaf).encode()
    try:
        return pickle.dumps(leaf, protocol=4)
    except Exception:  # whatever it is, nothing of it can be read but what kind it is
        return type(leaf).__qualname__.encode()
