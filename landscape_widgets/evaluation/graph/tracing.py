"""A model's forward pass as a graph, where torch.fx can read it."""

from __future__ import annotations

import copy
import inspect
import operator
import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn
from torch.nn.modules import module as torch_module

from landscape_widgets.evaluation.strategy import Unsuited

# A tracer stands in for functions of nn.Module; two at once would put back each other's.
_lock = threading.Lock()

_WRITING = {
    operator.iadd, operator.isub, operator.imul, operator.imatmul, operator.itruediv,
    operator.ifloordiv, operator.imod, operator.ipow, operator.iand, operator.ior, operator.ixor,
    operator.setitem,
}  # fmt: skip
# What gives back memory of its own, which no other value lies in.
_FRESH_FUNCTIONS = {
    operator.add, operator.sub, operator.mul, operator.truediv, operator.matmul, torch.add,
    torch.sub, torch.mul, torch.div, torch.matmul, torch.cat, nn.functional.linear,
    nn.functional.conv1d, nn.functional.conv2d, nn.functional.conv3d,
}  # fmt: skip
_FRESH_MODULES = (
    nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d,
    nn.ConvTranspose3d, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.LayerNorm,
    nn.GroupNorm, nn.Embedding, nn.MaxPool1d, nn.MaxPool2d,
)  # fmt: skip


class _Tracer(fx.Tracer):
    """Sees its own thread alone: what others run meanwhile runs as ever."""

    def __init__(self) -> None:
        # Not the functions of `math` either, which would be other ones everywhere; what a compiler
        # in another thread learnt of them would be wrong for as long as the process lives.
        super().__init__(autowrap_modules=())  # type: ignore[arg-type]
        self._thread = threading.get_ident()

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if threading.get_ident() != self._thread:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        if threading.get_ident() != self._thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)


def trace(model: nn.Module) -> fx.Graph:
    """The graph of a model.

    Raises
    ------
    Unsuited
        Where Python code, hooks or TorchScript hide it, where it computes with numbers that hang
        on nothing that is given (which may be made of weights, and of how often it was called), or
        writes over what is read elsewhere.
    """
    name = type(model).__name__
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        raise Unsuited("TorchScript keeps its graph to itself")
    if any(_has_hooks(module) for module in model.modules()) or _global_hooks():
        raise Unsuited("its hooks are seen by no graph")
    try:
        # Of a copy, which may keep stand-ins for tensors afterwards; weights are only looked at.
        weights = {id(parameter): parameter for parameter in model.parameters()}
        with _lock, torch.no_grad():  # as it is evaluated
            graph = _Tracer().trace(copy.deepcopy(model, dict(weights)))
    except Exception as error:
        # A forward method may do anything with a tracer's stand-in for a tensor, and fail in any
        # way; then it has control flow, or Python code, that no graph holds.
        raise Unsuited(
            f"torch.fx cannot read {name} as a graph ({type(error).__name__}: {str(error)[:200]})"
        ) from error
    modules = dict(model.named_modules(remove_duplicate=False))
    for node in graph.nodes:
        if node.op == "get_attr" and str(node.target).startswith("_tensor_constant"):
            raise Unsuited(f"{name} computes with tensors that it makes itself")
        if _writes(node, modules) and not _is_its_own(node, modules):
            raise Unsuited(f"in {name}, {node.target} writes over a value that is read elsewhere")
    return graph


def is_own(module: nn.Module | None, kind: type[nn.Module]) -> bool:
    """Whether a module is of this kind and does what this kind does: nothing was put over it."""
    return type(module) is kind and "forward" not in vars(module)


def _has_hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _global_hooks() -> bool:
    return bool(torch_module._global_forward_hooks or torch_module._global_forward_pre_hooks)


def _writes(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Whether a node may write over the first value that it is given."""
    if node.op == "call_module":
        return bool(getattr(modules[str(node.target)], "inplace", False))
    if node.op == "call_method":
        return str(node.target).endswith("_") and not str(node.target).endswith("__")
    if node.op != "call_function":
        return False
    if node.target in _WRITING or "out" in node.kwargs:
        return True
    name = getattr(node.target, "__name__", "")
    return (name.endswith("_") and not name.endswith("__")) or _is_told_to_write(node)


def _is_told_to_write(node: fx.Node) -> bool:
    if "inplace" in node.kwargs:
        return node.kwargs["inplace"] is not False
    try:
        bound = inspect.signature(node.target).bind(*node.args, **node.kwargs)  # type: ignore[arg-type]
    except (TypeError, ValueError):  # a function of C++, which takes no such argument
        return False
    return bound.arguments.get("inplace", False) is not False


def _is_its_own(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Whether what a node writes over is memory of its own that nothing else reads."""
    given = node.all_input_nodes[0] if node.all_input_nodes else None
    if given is None or not node.args or node.args[0] is not given or len(given.users) > 1:
        return False
    if given.op == "call_module":
        module = modules[str(given.target)]
        if type(module) in _FRESH_MODULES:
            return True
    elif given.op == "call_function" and given.target in _FRESH_FUNCTIONS:
        return True
    return _writes(given, modules) and _is_its_own(given, modules)
