"""Inputs that a model writes over stay as they are: it gets copies of them.

A layer with ``inplace=True`` right at the front, or ``x += 1``, changes the batch itself. In a loop
over a loader that is a new batch each time; here every parameter vector sees the same one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map


@contextmanager
def inputs_untouched(model: nn.Module) -> Iterator[None]:
    """Within it, a model gets copies of its inputs; afterwards only if it wrote over one.

    Whoever looks for hooks then finds one, and knows that there is more to a call than its graph.
    """
    if isinstance(model, torch.jit.ScriptModule):
        yield
        return
    given: list[tuple[Tensor, int]] = []
    writes = False

    def before(module: nn.Module, arguments: Any, keywords: Any) -> Any:
        arguments, keywords = _copied(module, arguments, keywords)
        leaves = tree_leaves((arguments, keywords))
        given[:] = [
            (leaf, leaf._version)
            for leaf in leaves
            if isinstance(leaf, Tensor) and not leaf.is_inference()
        ]
        return arguments, keywords

    def after(module: nn.Module, arguments: Any, output: Any) -> None:
        nonlocal writes
        writes |= any(leaf._version != version for leaf, version in given)
        given.clear()

    handles = [
        model.register_forward_pre_hook(before, with_kwargs=True),
        model.register_forward_hook(after),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
    if writes and _copied not in model._forward_pre_hooks.values():
        model.register_forward_pre_hook(_copied, with_kwargs=True)


def _copied(module: nn.Module, arguments: Any, keywords: Any) -> Any:
    def copy(leaf: Any) -> Any:
        return leaf.clone() if isinstance(leaf, Tensor) else leaf

    return tree_map(copy, (arguments, keywords))
