"""The copy of the user's model and loss that all work is done on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from landscape_widgets.errors import Refused
from landscape_widgets.task.duplicate import Duplicate, unwrapped

LARGE = 1 << 20  # bytes of a tensor that is not copied once more, to be put back


def check_model(model: object) -> nn.Module:
    """The module whose landscape is asked for, as it was handed over.

    Raises
    ------
    TypeError, ValueError
        If it is no module, or its tensors are not there, not all of it, or not real numbers.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"model is {type(model).__name__}; a torch.nn.Module is expected. "
            "Wrap a function in a module whose weights are torch.nn.Parameter."
        )
    for name, parameter in unwrapped(model).named_parameters():
        if isinstance(parameter, nn.parameter.UninitializedParameter):
            raise ValueError(
                f"Parameter {name} is not initialised yet (a lazy module). "
                "Run the model once on some data first."
            )
        if parameter.is_complex():
            raise ValueError(
                f"Parameter {name} is complex; real parameters are expected. "
                "Keep real and imaginary parts as two parameters."
            )
        if type(parameter).__name__ in ("DTensor", "FlatParameter"):
            raise ValueError(
                f"Parameter {name} is spread over several processes ({type(parameter).__name__}). "
                "Gather the whole model in one process (its full state dict) and give that."
            )
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_meta:
            raise ValueError(
                f"{name} lies on the device 'meta': it has a shape and no values. "
                "Load the trained weights into the model first (to_empty, then load_state_dict)."
            )
    return model


def check_device(model: nn.Module, device: torch.device | str | None) -> torch.device:
    """Where to work: what was asked for, or where the model is.

    Raises
    ------
    ValueError
        If there is no such device here, the model's parts are on several, or tensors that name no
        device are made elsewhere than on the CPU.
    """
    usual = torch.empty(0).device
    if usual.type != "cpu":
        raise ValueError(
            f"torch.set_default_device({str(usual)!r}) is in force; seeds and bookkeeping are kept "
            "on the CPU. Call torch.set_default_device('cpu') first: model and data stay where "
            "they are."
        )
    if device is None:
        devices = {tensor.device for tensor in (*model.parameters(), *model.buffers())}
        if len(devices) > 1:
            names = ", ".join(sorted(map(str, devices)))
            raise ValueError(
                f"Parts of {type(model).__name__} lie on several devices ({names}); the working "
                "copy needs one. Name it, as device='cuda:0', or move the model first."
            )
        return devices.pop() if devices else torch.device("cpu")
    try:
        found = torch.device(device)
        torch.zeros(1, device=found).add_(1)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).split("\n")[0][:200]
        raise ValueError(
            f"device={str(device)!r} cannot be used here ({reason}). Leave it out to work where "
            "the model is, or name a device that torch finds on this machine."
        ) from error
    if found.type == "meta":
        raise ValueError("device='meta' computes no values; name a device that does.")
    return found


class WorkingCopy:
    """A model and its loss, copied together, to be moved and evaluated.

    Parameters
    ----------
    model
        As `check_model` has returned it.
    loss : callable or None

    Attributes
    ----------
    model : torch.nn.Module
        In evaluation mode.
    loss : callable or None
        Over the copy where it uses the user's model.
    uses_model : bool
        Whether it does, by other ways than its arguments.
    shared, unseen : list
        See `Duplicate`.

    Raises
    ------
    ValueError
        If the model cannot be copied.
    """

    def __init__(self, model: nn.Module, loss: Any = None) -> None:
        try:
            made = Duplicate(model, loss)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"[:300]
            raise ValueError(
                f"{type(model).__name__} cannot be copied ({reason}); the landscape is computed "
                "on a copy, so that your model stays as it is. Give a model that copy.deepcopy "
                "can copy."
            ) from error
        self.model, self.loss, self._theirs = made.model, made.loss, unwrapped(model)
        self.uses_model, self.shared, self.unseen = made.uses_model, made.shared, made.unseen
        with suppress(NotImplementedError):  # exported programs have no modes
            self.model.eval()

    def settle(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move both to where they work; weights that vary get `dtype`, and need no gradients.

        Frozen parts keep their own precision where all that varies is of `dtype` already.
        """
        self.model.to(device)
        varying = [p for p in self.model.parameters() if p.requires_grad and p.is_floating_point()]
        if any(p.dtype != dtype for p in varying):
            self.model.to(dtype)
        if isinstance(self.loss, nn.Module):
            self.loss.to(device)
        for parameter in self.model.parameters():
            parameter.grad = None
            parameter.requires_grad_(False)

    def originals(self) -> dict[int, Tensor]:
        """By the address of a large frozen tensor of the copy, the user's own that it is of."""
        theirs = {**dict(self._theirs.named_parameters()), **dict(self._theirs.named_buffers())}
        ours = (*self.model.named_parameters(), *self.model.named_buffers())
        return {
            id(tensor): theirs[name]
            for name, tensor in ours
            if tensor.nbytes >= LARGE
            and name in theirs
            and theirs[name] is not tensor
            and theirs[name].shape == tensor.shape
        }


@contextmanager
def refused(model: nn.Module) -> Iterator[None]:
    """Raise where the user's own model, or a part of it, is called by this thread.

    Raises
    ------
    Refused
    """
    theirs = {id(module): name for name, module in model.named_modules()}
    thread = threading.get_ident()

    def check(module: nn.Module, inputs: Any) -> None:
        if id(module) in theirs and threading.get_ident() == thread:
            part = theirs[id(module)]
            raise Refused(
                "The loss or the model calls your own model"
                + (f" ({part})" if part else "")
                + ", not the copy that it is given, so that its value would not follow the "
                "weights. Use the loss's argument: loss(model, batch)."
            )

    handle = register_module_forward_pre_hook(check)
    try:
        yield
    finally:
        handle.remove()
