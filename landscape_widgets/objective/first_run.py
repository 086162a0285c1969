"""The first run of model and loss, on a few examples: what they give, take and need."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import torch
from torch import Tensor

from landscape_widgets.evaluation.in_place import InPlace
from landscape_widgets.evaluation.live_bytes import LiveBytes
from landscape_widgets.task.data import Batch
from landscape_widgets.task.inner_gradients import OfModel, OfOutputs, Recorded, call_alike
from landscape_widgets.task.losses import BatchLoss, ModelLoss, call_model
from landscape_widgets.task.structure import tensors

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FirstRun:
    """What was seen of it.

    Attributes
    ----------
    batch : Batch
        The examples that it was on.
    outputs : object
        What the model returned; None of a loss that calls the model itself.
    value : Tensor or None
        The user's own loss; None where it is known to be a function of the outputs.
    held : int
        Bytes that were held at most on the way; 0 where they could not be counted.
    recorded : Recorded or None
        How model and loss are called, where they differentiate by themselves.
    """

    batch: Batch
    outputs: Any
    value: Tensor | None
    held: int
    recorded: Recorded | None


def run_first(
    inplace: InPlace, loss: BatchLoss | ModelLoss | None, batch: Batch
) -> FirstRun | None:
    """Try how model and loss are called, and let them be called so from then on.

    They may differentiate by themselves. The run is on copies of the examples, to see as well
    whether they are written to.

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
    None where they cannot be called at all.
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

    def run(examples: Batch, recorded: Recorded | None = None, held: int = 0) -> FirstRun:
        if isinstance(loss, ModelLoss):
            return FirstRun(batch, None, loss(model, examples.raw).detach(), held, recorded)
        outputs = call_model(model, examples.inputs)
        value = None if loss is None else loss(outputs, examples.targets).detach()
        return FirstRun(batch, outputs, value, held, recorded)

    examples = batch.map(_copied)
    versions = [leaf._version for leaf in tensors(examples.raw)]
    found: FirstRun | None = None
    # Whatever the user's code raises: it is called again, and explained.
    try:
        with torch.no_grad(), inplace.alone(watched=True), LiveBytes() as counted:
            found = run(examples)
        found = replace(found, held=counted.peak)
    except Exception as error:
        logger.debug("called as any other, and its bytes counted: %s", error)
        with torch.no_grad(), inplace.alone(watched=True), suppress(Exception):
            found = run(batch.map(_copied))  # not every operation can be watched
    given = tensors(examples.raw)
    copies = [leaf._version for leaf in given] != versions or (loss is not None and loss.writes)
    marked = any(leaf.requires_grad or leaf.grad is not None for leaf in given)
    keep = isinstance(loss, BatchLoss)
    if found is not None:
        if not (copies or marked):
            return found
        recorded = Recorded(copies=copies, keep=keep)
        install(recorded)
        return replace(found, recorded=recorded)
    for inputs, weights in product((False, True), ((), inplace.layout.names)):
        recorded = Recorded(inputs, weights, copies, keep)
        install(recorded)
        try:
            with torch.no_grad(), inplace.alone(watched=True):
                return run(batch.map(_copied), recorded)
        except Exception as again:
            logger.debug("called with %s: %s", recorded, again)
    install(None)
    return None


def _copied(leaf: Any) -> Any:
    return leaf.detach().clone() if isinstance(leaf, Tensor) else leaf
