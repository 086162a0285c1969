"""How the parts of a batch go to a model, and where its examples lie: seen on a few of them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from landscape_widgets.evaluation.in_place import InPlace
from landscape_widgets.task.data import Batch, Form, count_examples, is_sequence, take
from landscape_widgets.task.losses import call_model, main_output
from landscape_widgets.task.structure import map_arrays, tensors

FEW = 4  # examples that the model is tried on, where batches can be cut
ALIKE = 1e-3  # relative difference of outputs that are the same but for rounding


def find_form(
    inplace: InPlace, raw: Any, device: torch.device, batch_axis: int | tuple[int, int] | None
) -> tuple[Form, tuple[str, ...]]:
    """How `raw`, the first batch, is to be read for the model, and what was assumed for that.

    Parameters
    ----------
    inplace
        The working copy, with what it keeps and draws.
    raw
        A batch as it came, of tensors.
    device
        Where the model is.
    batch_axis
        As given by the user: of inputs and targets, or of each; None to find it.

    Raises
    ------
    ValueError
        If `batch_axis` is no axis of the inputs.
    """
    form = Form(last_is_target=_last_is_target(inplace.model, raw))
    said: tuple[str, ...] = ()
    if batch_axis is not None:
        axes = batch_axis if isinstance(batch_axis, tuple) else (batch_axis, batch_axis)
        form = replace(form, axes=axes)
        _check_axis(raw, form)
    form = replace(form, as_one=_takes_one(inplace, raw, form, device))
    if batch_axis is None:
        axes = _axes_of(inplace, raw, form, device)
        if axes != (0, 0):
            form = replace(form, axes=axes)
            shape = tuple(tensors(form.divide(raw)[0])[0].shape)
            said = (
                f"Examples are taken to lie along the second axis of the inputs ({shape[1]} of "
                f"shape {shape}); batch_axis=0 says that they lie along the first.",
            )
    return form, said


def _check_axis(raw: Any, form: Form) -> None:
    found = tensors(form.divide(raw)[0])
    if not found or found[0].ndim <= form.axes[0]:
        shape = tuple(found[0].shape) if found else ()
        raise ValueError(
            f"batch_axis={form.axes[0]} was given; the inputs have shape {shape}. Give the axis "
            f"along which the examples lie, from 0 to {max(0, len(shape) - 1)}."
        )


def _binds(model: nn.Module, *arguments: Any, **keywords: Any) -> bool:
    """Whether the model's forward can be called so; True where nothing is known of it."""
    try:
        signature = inspect.signature(model.forward)
    except (TypeError, ValueError):  # compiled code
        return True
    try:
        signature.bind(*arguments, **keywords)
    except TypeError:
        return False
    return True


def _last_is_target(model: nn.Module, raw: Any) -> bool:
    """Of three parts or more: whether the model takes all but the last."""
    if not is_sequence(raw) or len(raw) < 3:
        return False
    return not _binds(model, *raw) and _binds(model, *raw[:-1])


def _takes_one(inplace: InPlace, raw: Any, form: Form, device: torch.device) -> bool:
    """Whether inputs of several parts are one argument of the model."""
    inputs, _ = form.divide(raw)
    if isinstance(inputs, Mapping):
        named = all(isinstance(key, str) for key in inputs)
        apart = named and _binds(inplace.model, **inputs)
    elif is_sequence(inputs):
        apart = _binds(inplace.model, *inputs)
    else:
        return False
    together = _binds(inplace.model, inputs)
    if apart != together:
        return together
    if not apart:
        return False  # the trial says what is wrong
    few = _few(raw, form).to(device)
    if _outputs(inplace, few.inputs) is not None:
        return False
    return _outputs(inplace, (few.inputs,)) is not None


def _axes_of(inplace: InPlace, raw: Any, form: Form, device: torch.device) -> tuple[int, int]:
    """Where the examples lie: along the first axis, or, of sequences, along the second.

    Along the axis of examples a part of them gives a part of the outputs. Steps in time see the
    steps before them.
    """
    inputs, targets = form.divide(raw)
    found = tensors(inputs)
    if not found or not _may_be_sequence(found[0]):
        return (0, 0)
    others = [replace(form, axes=axes) for axes in ((1, 0), (1, 1))]
    fitting = [other.axes for other in others if count_examples(raw, other)[1]]
    cuttable = count_examples(raw, form)[1]
    if not cuttable and fitting and tensors(targets):
        return fitting[0]  # as many targets as the second axis is long
    # Targets may be of any form where inputs are one tensor.
    tried = inputs if isinstance(inputs, Tensor) else raw
    if not count_examples(tried, form)[1] or min(found[0].shape[:2]) < 2:
        return (0, 0)
    few = take(Batch.of(tried, form), slice(0, FEW)).to(device)
    outputs = _outputs(inplace, few.inputs)
    if outputs is None or _axis_of_part(inplace, few, outputs, 0) is not None:
        return (0, 0)
    for other in others:
        turned = Batch.of(few.raw, other)
        along = _axis_of_part(inplace, turned, outputs, 1) if turned.cuttable else None
        if along is not None:
            return (1, along) if (1, along) in fitting else (fitting or [(1, 0)])[0]
    return (0, 0)


def _may_be_sequence(x: Tensor) -> bool:
    """Tokens (T, B) or features (T, B, F): images have four axes."""
    return x.ndim == 3 or (x.ndim == 2 and not x.is_floating_point())


def _axis_of_part(inplace: InPlace, batch: Batch, outputs: Tensor, axis: int) -> int | None:
    """Along which axis the later half of the examples gives that part of all outputs; or None."""
    half = batch.size // 2
    later = _outputs(inplace, take(batch, slice(half, batch.size)).inputs)
    if later is None or later.ndim != outputs.ndim:
        return None
    steps = tensors(batch.raw)[0].shape[0]
    flat = axis == 1 and outputs.shape[0] == steps * batch.size  # steps and examples in one axis
    if flat:
        outputs = outputs.reshape(steps, batch.size, -1)
        later = later.reshape(steps, batch.size - half, -1)
    for along in dict.fromkeys((axis, 0)):
        if outputs.ndim <= along or outputs.shape[along] != batch.size:
            continue
        expected = outputs.narrow(along, half, batch.size - half)
        scale = float(outputs.abs().max())
        alike = later.shape == expected.shape
        if alike and torch.allclose(later, expected, rtol=ALIKE, atol=ALIKE * scale):
            return 0 if flat else along
    return None


def _few(raw: Any, form: Form) -> Batch:
    return take(Batch.of(raw, form), slice(0, FEW))


def _outputs(inplace: InPlace, inputs: Any) -> Tensor | None:
    """Predictions on copies of some inputs; None where the model cannot be called so."""
    inputs = map_arrays(Tensor.clone, inputs)
    with torch.no_grad(), inplace.alone(watched=True):
        try:
            return main_output(call_model(inplace.model, inputs)).float()
        except Exception:  # whatever it raises: this is not how it is called
            return None
