"""How a model, its data and its loss fit together: tried once, before any work starts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from landscape_widgets.batchnorm import has_batch_statistics
from landscape_widgets.data import Batch, Examples, Form, take, target_axis
from landscape_widgets.drift import check_repeats
from landscape_widgets.errors import brief
from landscape_widgets.evaluation.accumulate import Accumulator
from landscape_widgets.evaluation.inplace import TILE, InPlace, add_losses
from landscape_widgets.evaluation.live_bytes import LiveBytes
from landscape_widgets.evaluation.split import Split
from landscape_widgets.inner_gradients import Recorded, read_recorded
from landscape_widgets.losses import (
    BatchLoss,
    BinaryCrossEntropy,
    CrossEntropy,
    Loss,
    MeanLoss,
    ModelLoss,
    SquaredError,
    call_model,
    infer_loss,
    main_output,
)
from landscape_widgets.losses.binary import BinaryCrossEntropyOfProbabilities
from landscape_widgets.losses.inference import (
    are_log_probabilities,
    are_probabilities,
    are_shares,
    infer,
    of_any,
)
from landscape_widgets.losses.of_torch import (
    Kind,
    TorchLoss,
    loss_of_torch,
    recognise,
    value_of_torch,
)
from landscape_widgets.losses.own import (
    NotScalar,
    check_arguments,
    looks_like_model_loss,
)
from landscape_widgets.separability import adds_up, adds_up_over_all, moved_vectors
from landscape_widgets.structure import describe, tensors

logger = logging.getLogger(__name__)

FEW = 4  # examples of data given whole that are tried first
SAMPLE = 256  # examples that are asked whether they add up, and what they are
HELD_BYTES = 64 << 20  # that they may hold on their way through the model
SAMPLE_BYTES = 16 << 20  # that these may take, going in and coming out

# What models and losses raise that do not fit the data.
FAILURES = (
    RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError
)  # fmt: skip


@dataclass(frozen=True)
class Reading:
    """What the trial found.

    Attributes
    ----------
    loss : Loss
    predictions : MeanLoss or None
        How outputs are read as predictions, whatever the loss; None if they are not.
    task : {"classification", "binary", "regression", "custom"}
        What the outputs are known to be.
    sure : bool
        Metrics of the predictions have a meaning that nobody need ask for.
    stochastic : bool
        The model draws random numbers even in evaluation mode.
    separable, val_separable : bool
        Batches of the training, of the validation data may be cut at will.
    has_outputs : bool
        Called on inputs alone, the model gives a tensor.
    assumptions : tuple of str
        What had to be inferred, as sentences for the user.
    recorded : Recorded or None
        How model and loss are called, where they differentiate by themselves.
    """

    loss: Loss
    predictions: MeanLoss | None
    task: str
    sure: bool
    stochastic: bool
    separable: bool
    val_separable: bool
    has_outputs: bool
    assumptions: tuple[str, ...] = ()
    recorded: Recorded | None = None


def read_model(
    inplace: InPlace,
    given: Callable[..., Any] | None,
    train: Examples,
    val: Examples | None,
    *,
    uses_model: bool = False,
) -> Reading:
    """Run the working copy and its loss on a few examples and see what they are.

    Parameters
    ----------
    inplace
        The working copy, and how it is brought to a parameter vector.
    given
        The user's loss; None to infer it.
    train, val
    uses_model
        The loss reaches the working copy by other ways than its arguments.

    Raises
    ------
    TypeError, ValueError
        If the model cannot take the data, or the loss is no scalar or does not fit the targets.
    """
    trial = _Trial(inplace, train, val, uses_model)
    found = trial.find(given)
    if isinstance(found.loss, SquaredError):
        found.loss.axis = target_axis(train.batches[0])
    trial.check_repeats(found.loss, given)
    separable, val_separable = trial.separable(found.loss)
    return Reading(
        found.loss,
        found.predictions,
        found.task,
        found.sure,
        trial.stochastic,
        separable,
        val_separable,
        found.has_outputs,
        tuple(found.assumptions + trial.about_batches(found.loss, separable)),
        trial.recorded,
    )


@dataclass
class _Found:
    """A loss, and what the outputs are."""

    loss: Loss
    predictions: MeanLoss | None = None
    task: str = "custom"
    sure: bool = False
    has_outputs: bool = True
    assumptions: list[str] = field(default_factory=list)


class _Trial:
    """Runs the user's code for the first time, explains what goes wrong, and watches for noise."""

    def __init__(
        self, inplace: InPlace, train: Examples, val: Examples | None, uses_model: bool
    ) -> None:
        self.inplace, self.model, self.uses_model = inplace, inplace.model, uses_model
        self.device = inplace.anchor.device
        self.train, self.val = train, val
        self.recorded: Recorded | None = None
        first = train.batches[0]
        self.first = (_spread(first, FEW) if train.given_whole else first).to(self.device)
        self.said = f"inputs {describe(first.inputs)} and targets {describe(first.targets)}"

    @property
    def stochastic(self) -> bool:
        return self.inplace.draws

    def check_repeats(self, loss: Loss, given: Any) -> None:
        few = Split(Examples([self.first], capped=True), self.device, separable=False)
        roots = [self.model, given]
        check_repeats(self.inplace, lambda: _value(self.inplace, loss, few), roots)

    # Which loss it is

    def find(self, given: Callable[..., Any] | None) -> _Found:
        if given is None:
            if isinstance(self.first.raw, Mapping):
                return self._of_model(ModelLoss(OfOutputs(self.first.form)))
            return self._inferred()
        known = None if self.uses_model else recognise(given)
        if known is not None:
            found = self._of_torch(given, *known)
            if found is not None:
                return found
        else:
            check_arguments(given)
        return self._own(given)

    def _inferred(self) -> _Found:
        self.recorded = read_recorded(self.inplace, None, self.first)
        returned = self.outputs()
        outputs = main_output(returned)
        infer_loss(outputs, self.first.targets)
        sample = self.sample(outputs)
        found = infer(
            self.outputs_on(sample),
            sample.targets,
            lambda: self._moved_outputs(sample),
            [batch.targets for batch in self._all()],
        )
        self._check(found.loss, outputs)
        return _Found(
            found.loss, found.loss, found.loss.task, found.sure and _one_each(found.loss, outputs),
            assumptions=found.assumptions + _of_several(returned),
        )  # fmt: skip

    def _of_torch(self, given: Any, kind: Kind, options: dict[str, Any]) -> _Found | None:
        self.recorded = read_recorded(self.inplace, None, self.first)
        outputs, batch = self.outputs(), self.first
        if batch.targets is None:
            raise ValueError(
                f"loss={kind.module.__name__} wants targets, and a batch "
                f"{describe(batch.raw)} is no pair (inputs, targets). "
                "Give loss=function(model, batch), which takes from it what it needs."
            )
        main = main_output(outputs)
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
        predictions = _read_as(kind, loss, main, self._all_targets())
        if isinstance(predictions, BinaryCrossEntropy):
            sample = self.sample(main)
            if are_shares(main, lambda: self._moved_outputs(sample)):
                predictions = BinaryCrossEntropyOfProbabilities(main.ndim)
        found = _Found(loss, predictions, has_outputs=loss.examples_first)
        if predictions is not None:
            found.task = predictions.task
            found.sure = _one_each(predictions, main)
        found.assumptions += self._about(kind, loss, main)
        return found

    def _about(self, kind: Kind, loss: MeanLoss, outputs: Tensor) -> list[str]:
        """What the user may not know of a torch loss that they gave."""
        said = []
        if loss.summed:
            said.append(
                f"The loss is a sum, as reduction='sum' says: over all {self.train.size} examples, "
                "whatever batches they come in."
            )
        sample = self.sample(outputs)
        if kind.function is torch.nn.functional.cross_entropy:
            axis = getattr(loss, "class_axis", 1)
            if are_probabilities(outputs, axis, lambda: self._moved_outputs(sample)):
                said.append(
                    "The model ends in a softmax, and CrossEntropyLoss takes a softmax of its "
                    "outputs once more: the loss is what it says, and cannot go to 0. For −log of "
                    "the probabilities themselves give loss=nn.NLLLoss() of their logarithms."
                )
        elif kind.function is torch.nn.functional.binary_cross_entropy_with_logits:
            if are_shares(outputs, lambda: self._moved_outputs(sample)):
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

    def _own(self, given: Callable[..., Any]) -> _Found:
        """Of a function of outputs and targets, or of model and batch: tried, if names say nothing.

        Names are a hint to what is tried first.
        """
        function = given
        hint = looks_like_model_loss(given)
        errors: dict[str, Exception] = {}
        for of_model in (True, False) if hint else (False, True):
            try:
                return (
                    self._of_model(ModelLoss(function)) if of_model else self._of_outputs(function)
                )
            except Exception as error:  # whatever the user's code does: it is told below
                errors["loss(model, batch)" if of_model else "loss(outputs, targets)"] = error
        if self.train.given_whole and self.first.size < self.train.size:
            self.first = self.train.batches[0].to(self.device)  # it may want all of them
            return self._own(given)
        for failure in errors.values():
            if isinstance(failure, NotScalar):
                raise failure
        if hint is not None:
            raise next(iter(errors.values()))
        causes = [failure.__cause__ or failure for failure in errors.values()]
        tried = [
            f"As {form}: {type(cause).__name__}: {brief(str(cause).rstrip('.'), 400)}."
            for form, cause in zip(errors, causes, strict=True)
        ]
        raise ValueError(
            f"The loss {BatchLoss(given).name} could not be called on {type(self.model).__name__} "
            f"and a batch with {self.said}. {' '.join(tried)} "
            "Give data in the form and type that the model was trained on."
        ) from causes[0]

    def _of_outputs(self, function: Callable[..., Any]) -> _Found:
        loss = BatchLoss(function)
        if self.uses_model:
            return self._of_model(ModelLoss(OfBoth(loss, self.first.form)))
        self.recorded = read_recorded(self.inplace, loss, self.first)
        outputs = self.outputs()
        self.run(lambda: loss(outputs, self.first.targets))
        main = _tensor_or_none(outputs)
        return _Found(loss, _readable(main, self.first.targets), has_outputs=main is not None)

    def _of_model(self, loss: ModelLoss) -> _Found:
        self.recorded = read_recorded(self.inplace, loss, self.first)
        self.run(lambda: loss(self.model, self.first.raw))
        outputs = self.outputs_or_none(self.first)
        return _Found(loss, _readable(outputs, self.first.targets), has_outputs=outputs is not None)

    def _check(self, loss: MeanLoss, outputs: Tensor) -> None:
        for targets in self._all_targets():
            loss.check(outputs, targets)

    # Running the model

    def run(self, function: Callable[[], Any]) -> Any:
        try:
            return self._watched(function)
        except NotScalar:
            raise
        except FAILURES as error:
            advice = "Give data in the form and type that the model was trained on"
            if self.first.targets is None:
                advice += ", or say by loss=function(model, batch) what of a batch it gets"
            raise ValueError(
                f"{type(self.model).__name__} with its loss could not be run on a batch with "
                f"{self.said}: {type(error).__name__}: {brief(str(error).rstrip('.'), 600)}. "
                f"{advice}."
            ) from error

    def outputs(self) -> Any:
        """What the model returns for the first examples."""
        try:
            return self.run(lambda: call_model(self.model, self.first.inputs))
        except ValueError:
            if not (self.train.given_whole and self.first.size < self.train.size):
                raise
            # A program for batches of one size, perhaps.
            self.first = self.train.batches[0].to(self.device)
            return self.run(lambda: call_model(self.model, self.first.inputs))

    def outputs_or_none(self, batch: Batch) -> Tensor | None:
        """Predictions, where a model whose loss is `loss(model, batch)` gives any by itself."""
        try:
            return main_output(self._watched(lambda: call_model(self.model, batch.inputs)))
        except Exception:
            # Whatever the model does when called alone: its loss does not need that call.
            return None

    def outputs_on(self, batch: Batch) -> Tensor:
        return main_output(self.run(lambda: call_model(self.model, batch.inputs)))

    def _moved_outputs(self, batch: Batch) -> list[Tensor]:
        """Outputs at other parameter vectors."""
        found = []
        try:
            for vector in moved_vectors(self.inplace):
                self.inplace.load(vector)
                found.append(self.outputs_on(batch))
        finally:
            self.inplace.load(self.inplace.anchor)
        return found

    def _watched(self, function: Callable[[], Any]) -> Any:
        with torch.no_grad(), self.inplace.alone(watched=True):
            return function()

    # The examples

    def _all(self) -> Iterator[Batch]:
        yield from self.train.batches
        if self.val is not None:
            yield from self.val.batches

    def _all_targets(self) -> list[Any]:
        return [batch.targets for batch in self._all()]

    def sample(self, outputs: Tensor | None, *, whole: bool = False) -> Batch:
        """Examples from all of the data, as many as take little memory.

        `whole` says that batches must not be cut, unless the data were given whole.
        """
        if self.train.given_whole:
            source: Batch | None = self.train.batches[0]
        else:
            source = None if whole else self.train.joined
        if source is None:
            return self.first
        each = sum(x.nbytes for x in tensors(self.first.raw)) / self.first.size
        if outputs is not None:
            each = max(each, outputs.nbytes / self.first.size)
        count = min(SAMPLE, int(SAMPLE_BYTES // max(each, 1)), int(HELD_BYTES // self._held))
        count = max(FEW, count)
        return _spread(source, count).to(self.device)

    @cached_property
    def _held(self) -> float:
        """Bytes that an example holds on its way through the model."""
        with LiveBytes() as counted:
            self.outputs_or_none(self.first)
        return float(max(1, counted.peak // self.first.size))

    # What may be cut

    def separable(self, loss: Loss) -> tuple[bool, bool]:
        """Whether batches of the training and the validation data may be cut at will."""
        along = self.train.batches[0].form.axes
        if self.stochastic or has_batch_statistics(self.model) or along != (0, 0):
            return False, False
        if isinstance(loss, MeanLoss):
            if self.train.joined is None:
                return False, False
            found = adds_up(self.inplace, loss, self.sample(self.outputs_on(self.first)))
            return found, found and self.val is not None and self.val.joined is not None
        if not self.train.given_whole:
            return False, False
        found = adds_up(self.inplace, loss, self.sample(self.outputs_or_none(self.first)))
        if found and isinstance(loss, BatchLoss) and self.train.size > SAMPLE:
            found = adds_up_over_all(self.inplace, loss, self.train.batches[0], TILE)
        return found, found and self.val is not None and self.val.given_whole

    def about_batches(self, loss: Loss, separable: bool) -> list[str]:
        """How the examples are evaluated, where it is the user's batches that decide."""
        if separable:
            return []
        along = self.train.batches[0].form.axes
        if self.train.given_whole and not self.train.batches[0].cuttable:
            return []  # one graph, say: there is nothing to give a size for
        if self.train.given_whole and along != (0, 0):
            return [
                f"All {self.train.size} examples go through the model at once, as they were given, "
                "since they do not lie along the first axis. Give batch_size= for batches of them."
            ]
        if self.train.given_whole and self.train.size > 1:
            why = f"the loss ({loss.name}) of parts of them does not add up to that of all"
            if isinstance(loss, MeanLoss):
                why = "what the model makes of one of them hangs on the others in its batch"
            if self.stochastic:
                why = "random numbers are drawn for them together"
            return [
                f"All {self.train.size} examples go through the model at once, as they were given: "
                f"{why}. This takes the memory of one such pass for each loss and each gradient. "
                "If the model was trained on batches, give batch_size=."
            ]
        if not isinstance(loss, MeanLoss) and len(self.train.batches) > 1:
            return [
                f"The loss ({loss.name}) is the mean over your {len(self.train.batches)} batches, "
                "each evaluated whole and counted by its examples."
            ]
        return []


def _spread(batch: Batch, count: int) -> Batch:
    """Examples from all of a batch, in order, always the same ones.

    Half of them at random, the others those whose targets are rarest.
    """
    if batch.size <= count or not batch.cuttable:
        return batch
    generator = torch.Generator().manual_seed(0)
    mixed = torch.randperm(batch.size, generator=generator)
    picked, held = mixed[: (count + 1) // 2], tensors(batch.raw)
    if len(held[-1]) == batch.size:
        keys = held[-1].reshape(batch.size, -1).double().sum(1).cpu()
        _, number, counts = torch.unique(keys, return_inverse=True, return_counts=True)
        rarest = mixed[counts[number][mixed].argsort(stable=True)]
        picked = torch.cat([picked, rarest[: count // 2]])
    chosen = list(dict.fromkeys([*picked.tolist(), *mixed[:count].tolist()]))[:count]
    return take(batch, torch.tensor(sorted(chosen), device=held[0].device))


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


@torch.no_grad()
def _value(inplace: InPlace, loss: Loss, few: Split) -> float:
    accumulator = Accumulator(loss, {}, None, 1)
    add_losses(inplace.model, few.tiles(None), accumulator, 0)
    return float(accumulator.finish()[0][0])


class OfBoth:
    """``loss(model, batch)`` of a ``loss(outputs, targets)`` that uses the model besides."""

    def __init__(self, loss: BatchLoss, form: Form) -> None:
        self.loss, self.form, self.__name__ = loss, form, loss.name

    def __call__(self, model: nn.Module, raw: Any) -> Tensor:
        batch = Batch.of(raw, self.form)
        return self.loss(call_model(model, batch.inputs), batch.targets)


class OfOutputs:
    """What a model that computes its own loss returns as ``.loss`` or ``["loss"]``."""

    def __init__(self, form: Form) -> None:
        self.form, self.__name__ = form, "the model's own"

    def __call__(self, model: nn.Module, batch: Mapping[str, Any]) -> Tensor:
        outputs = call_model(model, self.form.arguments(batch))
        value = outputs["loss"] if isinstance(outputs, Mapping) else getattr(outputs, "loss", None)
        if not isinstance(value, Tensor):
            raise TypeError(
                f"The model returned {type(outputs).__name__} without a loss. "
                "Give loss=function(model, batch)."
            )
        return value
