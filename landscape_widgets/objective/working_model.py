"""The working copy of a model and its loss, with its vector; one at a time runs it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from landscape_widgets.evaluation.in_place import InPlace
from landscape_widgets.objective.options import Options
from landscape_widgets.task.borrowed import Borrowed
from landscape_widgets.task.duplicate import Duplicate
from landscape_widgets.task.inner_gradients import Recorded, call_alike
from landscape_widgets.task.parameters import ParameterLayout
from landscape_widgets.task.state import State
from landscape_widgets.task.working_copy import WorkingCopy, check_device


class WorkingModel:
    """A working copy that can be brought to any parameter vector.

    Parameters
    ----------
    model
        As `check_model` has returned it.
    loss : callable or None
    options

    Attributes
    ----------
    copy : torch.nn.Module
    loss : callable or None
        Over the copy where it uses the user's model.
    uses_model : bool
        Whether it does, by other ways than its arguments.
    unseen : list of str
        See `Duplicate`.
    layout : ParameterLayout
    anchor : Tensor (P,)
        The trained weights θ*.
    inplace : InPlace
        Loads weights into it.
    state, borrowed
        What is put back at each parameter vector, and what is the user's and begins anew.
    recorded : Recorded or None
        How model and loss are called, where they differentiate by themselves.
    """

    def __init__(self, model: nn.Module, loss: Callable[..., Any] | None, options: Options) -> None:
        given = WorkingCopy(model, loss)
        self.copy, self.loss = given.model, given.loss
        self.uses_model, self.unseen = given.uses_model, given.unseen
        self.layout = ParameterLayout.of(self.copy)
        self.device = check_device(model, options.device)
        trainable = [p for p in self.copy.parameters() if p.requires_grad]
        double = any(p.dtype == torch.float64 for p in trainable)
        self.dtype = torch.float64 if double else torch.float32
        self._own = {name: tensor.dtype for name, tensor in _tensors(self.copy)}
        given.settle(self.device, self.dtype)
        named = dict(self.copy.named_parameters())
        self.anchor = self.layout.flatten(named, self.dtype, self.device).clone()
        self.inplace = InPlace(self.copy, self.layout, self.anchor)
        roots = [self.copy, given.loss]
        self.borrowed = Borrowed(self.device, options.seed, roots, given.shared)
        self.state = State(
            roots, self.inplace.tensors, self.borrowed.seed, given.originals(), given.shared
        )
        self.inplace.state, self.inplace.borrowed = self.state, self.borrowed
        self.recorded: Recorded | None = None
        self.lock = threading.RLock()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.lock = threading.RLock()
        call_alike(self.copy, self.recorded)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let one at a time use it, and what is the user's, which is as it was afterwards."""
        with self.lock, self.borrowed.lent():
            yield

    def check(self, theta: Tensor) -> Tensor:
        """A parameter vector (P,) where the copy is, in its precision.

        Raises
        ------
        ValueError
            If it is of another shape.
        """
        if theta.shape != (self.layout.size,):
            raise ValueError(
                f"A parameter vector of shape ({self.layout.size},) is expected; shape "
                f"{tuple(theta.shape)} was given."
            )
        return theta.detach().to(self.device, self.dtype)

    def load(self, theta: Tensor) -> nn.Module:
        """The copy at θ (P,)."""
        return self.inplace.load(self.check(theta))

    @cached_property
    def buffers(self) -> dict[str, Tensor]:
        """See `Objective.buffers`."""
        with self.alone():
            self.inplace.begin()
            found = {name: tensor.clone() for name, tensor in self.copy.named_buffers()}
        trained = set(self.layout.names)
        named = self.copy.named_parameters()
        return {**found, **{name: p.detach() for name, p in named if name not in trained}}

    def duplicate(self, theta: Tensor, buffers: Mapping[str, Tensor]) -> nn.Module:
        """A new model with the weights θ (P,); see `Objective.model_at`."""
        with self.alone(), torch.no_grad(), self.inplace.with_buffers(buffers):
            model = Duplicate(self.load(theta)).model
        named = dict(model.named_parameters())
        for name in self.layout.names:
            named[name].requires_grad_(True)
        if self.dtype == torch.float64:  # parts of the user's model may be of less
            for name, tensor in _tensors(model):
                tensor.data = tensor.data.to(self._own.get(name, tensor.dtype))
        return model


def _tensors(model: nn.Module) -> list[tuple[str, Tensor]]:
    return [*model.named_parameters(), *model.named_buffers()]
