"""A model's forward pass as a graph, where torch.fx can read it."""

from __future__ import annotations

import torch
from numba.core.compiler_lock import global_compiler_lock
from torch import fx, nn

from landscape_widgets.evaluation.encoder import Encoder


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, Encoder) or super().is_leaf_module(m, module_qualified_name)


def trace(model: nn.Module) -> fx.Graph | None:
    """The graph of a model; None where Python code, hooks or TorchScript hide it."""
    if isinstance(model, torch.jit.ScriptModule):
        return None
    if any(m._forward_hooks or m._forward_pre_hooks for m in model.modules()):
        return None
    try:
        # Meanwhile functions of the module `math` are not themselves, everywhere. What numba
        # learnt of them in another thread would be wrong for as long as the process lives.
        with global_compiler_lock:
            return _Tracer().trace(model)
    except Exception:
        # A forward method may do anything with a tracer's stand-in for a tensor, and fail in any
        # way; then it has control flow, or Python code, that no graph holds.
        return None
