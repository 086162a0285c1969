"""Sentences about a model's state, noise and statistics, and about a loss that is not finite."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence

import torch

from landscape_widgets.objective.working_model import WorkingModel
from landscape_widgets.task.data import Examples
from landscape_widgets.task.losses import Loss
from landscape_widgets.task.structure import tensors

logger = logging.getLogger(__name__)


def about_noise(working: WorkingModel, seed: int) -> Iterator[str]:
    """What is done about random numbers."""
    drawn = [*working.borrowed.drawn, *working.state.draws]
    if drawn:
        yield (
            f"Random numbers are drawn (from {', '.join(drawn[:3])}): the same ones at every "
            f"parameter vector, those of seed {seed}."
        )


def about_state(working: WorkingModel) -> Iterator[str]:
    """What is done about modes, buffers, and what is kept outside model and loss."""
    state = working.state
    buffers = dict(working.copy.named_buffers())
    changed = {name for name in state.found if name.endswith("training") or name in buffers}
    if changed:
        logger.debug("Put back at each parameter vector: %s", ", ".join(state.found))
        yield (
            f"A call changes the model ({_first(sorted(changed))}); this is put back at every "
            "parameter vector."
        )
    written = working.borrowed.written
    if written:
        yield (
            f"A call writes to {_first(written)}, outside model and loss: every parameter vector "
            "finds there what there was when the model was handed over, and you what you left "
            "there."
        )
    if working.unseen:
        yield (
            f"What cannot be copied is your own: {'; '.join(working.unseen[:3])}. What the model "
            "or the loss does to it is done at every call and stays."
        )


def about_statistics(
    working: WorkingModel, batchnorm: str, norms: Collection[str], size: int | None
) -> Iterator[str]:
    """What is done about batch statistics; `size` examples at a time, None for all.

    `norms` are the names of the layers that have any.
    """
    if norms and batchnorm == "reestimate":
        at_a_time = "" if size is None else f", {size} examples at a time"
        yield (
            "Batch statistics are estimated anew at every parameter vector, on the training "
            f"data{at_a_time}. Products with the Hessian hold them fixed."
        )
    elif batchnorm == "reestimate":
        yield (
            "batchnorm='reestimate' changes nothing: no layer of the model is one of torch's "
            "norms with running statistics, or derived from one. Other layers keep what they "
            "were trained with."
        )
    elif any(f"{name}.training" in working.state.found for name in norms):
        yield (
            "A call puts batch normalisation into training mode: it uses the statistics of "
            "the batch at hand, not the trained ones."
        )
    elif norms:
        yield "Batch normalisation uses the trained statistics at every parameter vector."


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (" and others" if len(names) > 3 else "")


def why_not_finite(
    working: WorkingModel, loss: Loss, split: str, value: float, examples: Examples
) -> str:
    """What there is to say of a loss at θ* that is not finite, and where that may come from."""
    name = {"train": "training", "val": "validation"}[split]
    return (
        f"The {name} loss ({loss.name}) is {value} at the trained weights; a finite number is "
        f"expected. {_not_finite(working, name, examples)}"
    )


def _not_finite(working: WorkingModel, split: str, examples: Examples) -> str:
    if not bool(working.anchor.isfinite().all()):
        views = working.layout.unflatten(working.anchor)
        names = [name for name, part in views.items() if not bool(part.isfinite().all())]
        return f"Weights are not finite: {', '.join(names)}."
    for number, batch in enumerate(examples.batches):
        for kind, part in (("inputs", batch.inputs), ("targets", batch.targets)):
            for leaf in tensors(part):
                if leaf.ndim == 0 or leaf.layout != torch.strided:
                    continue
                bad = (~leaf.isfinite()).reshape(len(leaf), -1).any(dim=1)
                if bool(bad.any()):
                    said = f"The {split} {kind} are not finite in {int(bad.sum())} rows"
                    if len(examples.batches) > 1:
                        said += f" of batch {number}"
                    if not examples.capped:
                        said += f", the first of which is {int(bad.int().argmax())}"
                    return f"{said}. Leave them out."
    return "Weights and data are finite: look into the loss."
