"""Fingerprints of a model and its data: whether a saved landscape is of these very ones."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from landscape_widgets.objective import Objective


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
        leaves = [] if examples is None else [tree_leaves(b.raw) for b in examples.batches]
        found[split] = _digest([leaf for part in leaves for leaf in part])
    return found


def _digest(leaves: list[Any]) -> str:
    digest = hashlib.sha256()
    for leaf in leaves:
        if isinstance(leaf, Tensor):
            flat = leaf.detach().cpu().contiguous()
            digest.update(f"{flat.dtype}{tuple(flat.shape)}".encode())
            digest.update(flat.reshape(-1).view(torch.uint8).numpy().data)
        else:
            digest.update(repr(leaf).encode())
    return digest.hexdigest()
