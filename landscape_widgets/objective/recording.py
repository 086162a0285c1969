"""Whether model and loss differentiate by themselves: tried once, and let from then on."""

from __future__ import annotations

import logging
from itertools import product
from typing import Any

import torch
from torch import Tensor

from landscape_widgets.evaluation.in_place import InPlace
from landscape_widgets.task.data import Batch
from landscape_widgets.task.inner_gradients import OfModel, OfOutputs, Recorded, call_alike
from landscape_widgets.task.losses import BatchLoss, ModelLoss, call_model, main_output
from landscape_widgets.task.structure import tensors

logger = logging.getLogger(__name__)


def read_recorded(
    inplace: InPlace, loss: BatchLoss | ModelLoss | None, batch: Batch
) -> Recorded | None:
    """Try whether model and loss differentiate by themselves; let them, from then on, if they do.

    The trial is on copies of the examples, to see as well whether they are written to.

    Parameters
    ----------
    inplace
        The working copy.
    loss
        The user's own, as it is called; None if it is a function of the outputs that does not.
    batch
        A few examples.

    Returns
    -------
    None where they are called like any other, also where they cannot be called at all.
    """
    model, plain = inplace.model, None if loss is None else loss.function

    def install(recorded: Recorded | None) -> None:
        call_alike(model, recorded)
        if loss is None or plain is None:
            return
        if recorded is None:
            loss.function = plain
        elif isinstance(loss, BatchLoss):
            loss.function = OfOutputs(plain)
        else:
            loss.function = OfModel(plain, recorded)

    def value(examples: Batch) -> float:
        with torch.no_grad(), inplace.alone(watched=True):
            if isinstance(loss, ModelLoss):
                return float(loss(model, examples.raw))
            outputs = call_model(model, examples.inputs)
            if loss is not None:
                return float(loss(outputs, examples.targets).detach())
            return float(main_output(outputs).detach().abs().mean(dtype=torch.float32))

    keep = isinstance(loss, BatchLoss)
    examples = batch.map(_copied)
    versions = [leaf._version for leaf in tensors(examples.raw)]
    error: Exception | None = None
    try:
        value(examples)
    except (
        Exception
    ) as raised:  # whatever the user's code raises: it is called again, and explained
        error = raised
    given = tensors(examples.raw)
    copies = [leaf._version for leaf in given] != versions or (loss is not None and loss.writes)
    marked = any(leaf.requires_grad or leaf.grad is not None for leaf in given)
    if error is None:
        if copies or marked:
            found = Recorded(copies=copies, keep=keep)
            install(found)
            return found
        return None
    for inputs, weights in product((False, True), ((), inplace.layout.names)):
        found = Recorded(inputs, weights, copies, keep)
        install(found)
        try:
            value(batch.map(_copied))
        except Exception as again:
            logger.debug("called with %s: %s", found, again)
        else:
            return found
    install(None)
    return None


def _copied(leaf: Any) -> Any:
    return leaf.detach().clone() if isinstance(leaf, Tensor) else leaf
