"""Models and losses that differentiate by themselves: physics, gradient penalties, forces.

Losses are evaluated without recording what gradients would need. A model or a loss that takes
derivatives inside (`torch.autograd.grad`, `backward`) wants it recorded: found by a trial, it gets
that, for as long as it is called, and inputs of its own that it may ask gradients of. What comes
out is detached, so that nothing recorded outlives the call.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from landscape_widgets.task.structure import map_arrays

_calls = threading.local()
_known: WeakKeyDictionary[nn.Module, Recorded] = WeakKeyDictionary()


@dataclass(frozen=True)
class Recorded:
    """How a model and its loss are called that differentiate by themselves.

    Attributes
    ----------
    inputs : bool
        Their floating-point inputs require gradients from the beginning.
    weights : tuple of str
        Names of the weights that do.
    copies : bool
        They write to their inputs, and get copies.
    keep : bool
        What was recorded is handed out with the outputs, for a loss that differentiates these.
    """

    inputs: bool = False
    weights: tuple[str, ...] = ()
    copies: bool = False
    keep: bool = False

    def call(self, function: Callable[[Any], Any], model: nn.Module, argument: Any) -> Any:
        """Call `function`, which uses the model's weights, with tensors of its own."""
        if getattr(_calls, "recorded", False):  # a loss that calls its model
            return function(argument)
        differentiated = torch.is_grad_enabled()
        _calls.recorded = True
        try:
            with torch.enable_grad(), self._requiring(model):
                result = function(map_arrays(self._leaves(), argument))
        finally:
            _calls.recorded = False
        return result if differentiated or self.keep else detached(result)

    def _leaves(self) -> Callable[[Any], Any]:
        known: dict[Any, Tensor] = {}

        def leaf(tensor: Any) -> Any:
            if not isinstance(tensor, Tensor) or tensor.layout != torch.strided:
                return tensor
            # What is handed over twice is one thing to differentiate by.
            key = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
            if key not in known:
                made = tensor.detach()
                made = made.clone() if self.copies else made
                known[key] = made.requires_grad_(self.inputs and made.is_floating_point())
            return known[key]

        return leaf

    @contextmanager
    def _requiring(self, model: nn.Module) -> Iterator[None]:
        named = dict(model.named_parameters()) if self.weights else {}
        changed = [named[name] for name in self.weights if not named[name].requires_grad]
        for weight in changed:
            weight.requires_grad_(True)
        try:
            yield
        finally:
            for weight in changed:
                weight.requires_grad_(False)
                weight.grad = None


def recorded_of(model: object) -> Recorded | None:
    """How a working copy is called that differentiates by itself; None of any other."""
    return _known.get(model) if isinstance(model, nn.Module) else None


def call_alike(model: nn.Module, recorded: Recorded | None) -> None:
    """Let a copy of a working copy be called as that one is."""
    if recorded is None:
        _known.pop(model, None)
    else:
        _known[model] = recorded


class OfOutputs:
    """A loss of outputs and targets that differentiates by itself, to be called without a model."""

    def __init__(self, function: Callable[[Any, Any], Any]) -> None:
        self.function = function

    def __call__(self, outputs: Any, targets: Any) -> Any:
        differentiated = torch.is_grad_enabled()
        with torch.enable_grad():
            value = self.function(outputs, targets)
        return value if differentiated else detached(value)


class OfModel:
    """A loss of model and batch that differentiates by itself."""

    def __init__(self, function: Callable[[nn.Module, Any], Any], recorded: Recorded) -> None:
        self.function, self.recorded = function, recorded

    def __call__(self, model: nn.Module, batch: Any) -> Any:
        return self.recorded.call(lambda given: self.function(model, given), model, batch)


def detached(result: Any) -> Any:
    """The same numbers, and nothing of how they were computed."""
    if isinstance(result, Tensor):
        return result.detach()
    if isinstance(result, (tuple, list, dict)):
        return map_arrays(lambda leaf: leaf.detach() if isinstance(leaf, Tensor) else leaf, result)
    return result  # an object of any kind: what it holds is let go with it
