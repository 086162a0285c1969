"""Which loss a landscape is of: torch's own, the user's, the model's, or one that is inferred."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape_widgets.errors import Refused, brief
from landscape_widgets.objective.trial_run import FAILURES, Trial
from landscape_widgets.precision import accumulated
from landscape_widgets.task.losses import (
    BatchLoss,
    BinaryCrossEntropy,
    CrossEntropy,
    Loss,
    MeanLoss,
    ModelLoss,
    SquaredError,
    infer_loss,
    main_output,
)
from landscape_widgets.task.losses.binary import BinaryCrossEntropyOfProbabilities
from landscape_widgets.task.losses.inference import (
    are_log_probabilities,
    are_probabilities,
    are_shares,
    infer,
    of_any,
)
from landscape_widgets.task.losses.of_model import OfBoth, OfOutputs
from landscape_widgets.task.losses.of_torch import (
    Kind,
    TorchLoss,
    loss_of_torch,
    recognise,
    value_of_torch,
)
from landscape_widgets.task.losses.own import (
    BATCH_MODEL,
    MODEL_BATCH,
    OUTPUTS_TARGETS,
    TARGETS_OUTPUTS,
    NotScalar,
    Order,
    check_arguments,
    order_by_names,
)
from landscape_widgets.task.structure import describe

logger = logging.getLogger(__name__)

# What targets are turned into, to see whether one of torch's losses takes them then.
CONVERSIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "targets.float()": lambda t: t.float(),
    "targets.long()": lambda t: t.long(),
    "targets.squeeze(-1)": lambda t: t.squeeze(-1),
    "targets.unsqueeze(-1)": lambda t: t.unsqueeze(-1),
    "targets.squeeze(-1).long()": lambda t: t.squeeze(-1).long(),
    "targets.unsqueeze(-1).float()": lambda t: t.unsqueeze(-1).float(),
    "targets.squeeze(-1).float()": lambda t: t.squeeze(-1).float(),
}


@dataclass
class Found:
    """A loss, and what the outputs are."""

    loss: Loss
    predictions: MeanLoss | None = None
    task: str = "custom"
    sure: bool = False
    has_outputs: bool = True
    assumptions: list[str] = field(default_factory=list)


class Search(Trial):
    """Tries what the loss may be, explains what goes wrong, and says what had to be inferred."""

    def find(self, given: Callable[..., Any] | None) -> Found:
        if given is None:
            if isinstance(self.first.raw, Mapping):
                own = self._of_model(ModelLoss(OfOutputs(self.first.form)))
                own.assumptions.append("The loss is the model's own, which it returns.")
                return own
            return self._inferred()
        known = None if self.uses_model else recognise(given)
        if known is not None:
            try:
                found = self._of_torch(given, *known)
            except ValueError as error:
                cure = self._cure(*known)
                if cure is None:
                    raise
                out, aim = (
                    tuple(x.shape) for x in (main_output(self.outputs()), self.first.targets)
                )
                raise ValueError(
                    f"loss={known[0].module.__name__} does not take targets of shape "
                    f"{of_any(aim, out)} and type "
                    f"{str(self.first.targets.dtype).removeprefix('torch.')} for outputs of shape "
                    f"{of_any(out, aim)}. Give the targets as {cure}."
                ) from error.__cause__
            if found is not None:
                return found
        else:
            check_arguments(given)
        return self._own(given)

    def _inferred(self) -> Found:
        targets = self.first.targets
        if isinstance(targets, (list, tuple)) and any(isinstance(t, Mapping) for t in targets):
            raise ValueError(
                f"The targets are {describe(targets)}: no loss can be inferred from several things "
                "with names. Give loss=function(model, batch). A model that returns its losses in "
                "training mode, as detectors do: def loss(model, batch): return "
                "sum(model.train()(*batch).values())."
            )
        self.begin()
        returned = self.outputs()
        outputs = main_output(returned)
        self.take_predictions(outputs)
        self._check(infer_loss(outputs, self.first.targets), outputs)
        sample = self.sample()
        found = infer(
            self.outputs_on(sample),
            sample.targets,
            lambda: self.moved_outputs(sample),
            [batch.targets for batch in self._all()],
        )
        self._check(found.loss, outputs)
        return Found(
            found.loss, found.loss, found.loss.task, found.sure and _one_each(found.loss, outputs),
            assumptions=found.assumptions + _of_several(returned),
        )  # fmt: skip

    def _of_torch(self, given: Any, kind: Kind, options: dict[str, Any]) -> Found | None:
        self.begin()
        outputs, batch = self.outputs(), self.first
        if batch.targets is None:
            raise ValueError(
                f"loss={kind.module.__name__} wants targets, and a batch "
                f"{describe(batch.raw)} is no pair (inputs, targets). "
                "Give loss=function(model, batch), which takes from it what it needs."
            )
        main = main_output(outputs)
        self.take_predictions(main)
        loss = None
        if options["reduction"] != "none":
            loss = loss_of_torch(kind, options, main, batch.targets, self.device)
        if loss is None:
            found = self._own(given)
            found.assumptions += _broadcast(main, batch.targets, kind)
            return found
        self._check(loss, main)
        if getattr(loss, "class_axis", 1) == 1:  # the other way torch does not know
            value = self.run(lambda: value_of_torch(kind, options, main, batch.targets))
            total = float(loss.total(main, batch.targets))
            count = loss.denominator(loss.count(batch.targets))
            if not np.isclose(total / count if count else np.nan, float(value), rtol=1e-4,
                              atol=1e-6, equal_nan=True):  # fmt: skip
                logger.warning("%s adds up otherwise than known; it is taken whole.", loss.name)
                return None
        predictions = _read_as(kind, loss, main, self.all_targets())
        if isinstance(predictions, BinaryCrossEntropy):
            sample = self.sample()
            if are_shares(main, lambda: self.moved_outputs(sample)):
                predictions = BinaryCrossEntropyOfProbabilities(main.ndim)
        found = Found(loss, predictions, has_outputs=loss.examples_first)
        if predictions is not None:
            found.task = predictions.task
            found.sure = _one_each(predictions, main)
        found.assumptions += self._about(kind, loss, main)
        return found

    def _cure(self, kind: Kind, options: dict[str, Any]) -> str | None:
        """Targets in another shape or type, in words, that a torch loss takes; None if it is not
        for these that it takes none."""
        outputs, targets = _tensor_or_none(self.outputs_or_none(self.first)), self.first.targets
        if outputs is None or not isinstance(targets, Tensor) or targets.is_complex():
            return None
        for cure, convert in CONVERSIONS.items():
            try:
                converted = convert(targets)
                value_of_torch(kind, options, outputs, converted)
            except FAILURES:
                continue
            same = bool((accumulated(converted).flatten() == accumulated(targets).flatten()).all())
            if same and kind.fits(tuple(outputs.shape), converted):
                return cure
        return None

    def _about(self, kind: Kind, loss: MeanLoss, outputs: Tensor) -> list[str]:
        """What the user may not know of a torch loss that they gave."""
        said = []
        if loss.summed:
            said.append(
                f"The loss is a sum, as reduction='sum' says: over all {self.train.size} examples, "
                "whatever batches they come in."
            )
        sample = self.sample()
        if kind.function is torch.nn.functional.cross_entropy:
            axis = getattr(loss, "class_axis", 1)
            if are_probabilities(outputs, axis, lambda: self.moved_outputs(sample)):
                said.append(
                    "The model ends in a softmax, and CrossEntropyLoss takes a softmax of its "
                    "outputs once more: the loss is what it says, and cannot go to 0. For −log of "
                    "the probabilities themselves give loss=nn.NLLLoss() of their logarithms."
                )
        elif kind.function is torch.nn.functional.binary_cross_entropy_with_logits:
            if are_shares(outputs, lambda: self.moved_outputs(sample)):
                said.append(
                    "The model ends in a sigmoid, and BCEWithLogitsLoss takes a sigmoid of its "
                    "outputs once more. For cross-entropy of the probabilities themselves give "
                    "loss=nn.BCELoss()."
                )
        elif kind.function is torch.nn.functional.nll_loss and not are_log_probabilities(outputs):
            said.append(
                "NLLLoss expects logarithms of probabilities, as a LogSoftmax makes them; the "
                "model's outputs are none: the loss is −output of the target, without a lower "
                "bound. For logits give loss=nn.CrossEntropyLoss()."
            )
        return said

    def _own(self, given: Callable[..., Any]) -> Found:
        """Of a function of outputs and targets, or of model and batch: tried, if names say nothing.

        Names are a hint to what is tried first.
        """
        hint = order_by_names(given)
        usual = [OUTPUTS_TARGETS, MODEL_BATCH]
        # The other way round only where nothing says that it is not meant so.
        orders = [*usual, TARGETS_OUTPUTS, BATCH_MODEL] if hint is None else [hint, *usual]
        errors: dict[Order, Exception] = {}
        for order in dict.fromkeys(orders):
            try:
                found = self._of_model(ModelLoss(given, order.swapped)) if order.of_model else (
                    self._of_outputs(BatchLoss(given, order.swapped))
                )  # fmt: skip
            except Exception as error:  # whatever the user's code does: it is told below
                errors[order] = error
            else:
                if order.swapped:
                    found.assumptions.append(_of_order(found.loss.name, order, hint, errors))
                return found
        if self.train.given_whole and self.first.size < self.train.size:
            self.first = self.train.batches[0].to(self.device)  # it may want all of them
            return self._own(given)
        for failure in errors.values():
            if isinstance(failure, (NotScalar, Refused)):
                raise failure
        if hint is not None:
            raise next(iter(errors.values()))
        causes = [errors[order].__cause__ or errors[order] for order in usual]
        tried = [
            f"As {order.said}: {type(cause).__name__}: {brief(str(cause).rstrip('.'), 400)}."
            for order, cause in zip(usual, causes, strict=True)
        ]
        raise ValueError(
            f"The loss {BatchLoss(given).name} could not be called on {type(self.model).__name__} "
            f"and a batch with {self.said}. {' '.join(tried)} {self.advice}"
        ) from causes[0]

    def _of_outputs(self, loss: BatchLoss) -> Found:
        if self.uses_model:
            return self._of_model(ModelLoss(OfBoth(loss, self.first.form)))
        self.begin(loss)
        outputs = self.outputs()
        if self.fresh is None:
            self.run(lambda: loss(outputs, self.first.targets))
        main = _tensor_or_none(outputs)
        self.take_predictions(main)
        return Found(loss, _readable(main, self.first.targets), has_outputs=main is not None)

    def _of_model(self, loss: ModelLoss) -> Found:
        if self.begin(loss) is None:
            self.run(lambda: loss(self.model, self.first.raw))
        outputs = self.outputs_or_none(self.first)
        self.take_predictions(outputs)
        return Found(loss, _readable(outputs, self.first.targets), has_outputs=outputs is not None)

    def _check(self, loss: MeanLoss, outputs: Tensor) -> None:
        for targets in self.all_targets():
            loss.check(outputs, targets)


def _of_order(
    name: str, order: Order, hint: Order | None, errors: Mapping[Order, Exception]
) -> str:
    """What there is to say of a loss that takes its arguments the other way round."""
    why = "as its arguments are named"
    if hint is None:
        error = errors[Order(order.of_model, False)]
        cause = error.__cause__ or error
        raised = f"{type(cause).__name__}: {brief(str(cause).rstrip('.'), 200)}"
        why = f"since the other way round it raised {raised}"
    return f"The loss {name} is called as {order.said}, {why}."


def _of_several(outputs: Any) -> list[str]:
    """What there is to say of a tuple whose first tensor is taken as the predictions."""
    if not isinstance(outputs, (tuple, list)) or len(outputs) < 2 or hasattr(outputs, "_asdict"):
        return []
    return [
        f"Of the {len(outputs)} things that the model returns, the first tensor is taken as its "
        "predictions. If the loss is of others too, give loss=function(outputs, targets)."
    ]


def _broadcast(outputs: Tensor, targets: Any, kind: Kind) -> list[str]:
    """What there is to say of outputs and targets of different shapes."""
    if not isinstance(targets, Tensor) or kind.task != "regression":
        return []
    shapes = tuple(outputs.shape), tuple(targets.shape)
    if shapes[0] == shapes[1]:
        return []
    return [
        f"{kind.module.__name__} pairs every output with every target, since outputs of shape "
        f"{of_any(shapes[0], shapes[1])} are broadcast against targets of shape "
        f"{of_any(shapes[1], shapes[0])}. "
        "Give both the same shape, if this is not meant."
    ]


def _read_as(
    kind: Kind, loss: MeanLoss, outputs: Tensor, all_targets: Sequence[Any]
) -> MeanLoss | None:
    """How the outputs that one of torch's losses takes are read as predictions."""
    axes = outputs.ndim
    if kind.task == "regression":
        return SquaredError(axes)
    integers = all(isinstance(t, Tensor) and not t.is_floating_point() for t in all_targets)
    if kind.task == "classification" and integers:
        if isinstance(loss, CrossEntropy):
            return loss
        assert isinstance(loss, TorchLoss)
        ignored = loss.options.get("ignore_index", -100)
        return CrossEntropy(axes, loss.class_axis, ignored=ignored)
    if kind.task == "binary" and all(bool(((t == 0) | (t == 1)).all()) for t in all_targets):
        return BinaryCrossEntropy(axes)
    return None


def _one_each(predictions: MeanLoss, outputs: Tensor) -> bool:
    """Whether it is clear what is counted: not of several labels that an example has at once."""
    several = outputs.ndim == 2 and outputs.shape[1] > 1
    return not (isinstance(predictions, BinaryCrossEntropy) and several)


def _readable(outputs: Tensor | None, targets: Any) -> MeanLoss | None:
    """With a loss of the user's own, outputs need not be readable as predictions at all."""
    if outputs is None:
        return None
    try:
        reading = infer_loss(outputs, targets)
        reading.check(outputs, targets)
    except (TypeError, ValueError):
        return None
    return reading


def _tensor_or_none(outputs: Any) -> Tensor | None:
    """The predictions among outputs, where the user's own loss may make sense of others."""
    try:
        return main_output(outputs)
    except TypeError:
        return None
