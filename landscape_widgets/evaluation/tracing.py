"""A model's forward pass as a graph, where torch.fx can read it."""

from __future__ import annotations

import torch
from torch import fx, nn


def trace(model: nn.Module) -> fx.Graph | None:
    """The graph of a model; None where Python code, hooks or TorchScript hide it."""
    if isinstance(model, torch.jit.ScriptModule):
        return None
    if any(m._forward_hooks or m._forward_pre_hooks for m in model.modules()):
        return None
    try:
        return fx.Tracer().trace(model)
    except Exception:
        # A forward method may do anything with a tracer's stand-in for a tensor, and fail in any
        # way; then it has control flow, or Python code, that no graph holds.
        return None
