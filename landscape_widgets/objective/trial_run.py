"""Running the user's model and loss for the first time, on a few of their examples."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from landscape_widgets.errors import Refused, brief
from landscape_widgets.evaluation.accumulate import Accumulator
from landscape_widgets.evaluation.in_place import InPlace, add_losses, add_outputs
from landscape_widgets.evaluation.live_bytes import LiveBytes
from landscape_widgets.evaluation.tiled_examples import TiledExamples
from landscape_widgets.evaluation.tiling import largest_activation
from landscape_widgets.objective.drift import check_repeats
from landscape_widgets.objective.first_run import FirstRun, run_first
from landscape_widgets.objective.separability import moved_vectors
from landscape_widgets.task.data import Batch, Examples, row_sums, take
from landscape_widgets.task.losses import (
    BatchLoss,
    Loss,
    MeanLoss,
    ModelLoss,
    call_model,
    main_output,
)
from landscape_widgets.task.losses.own import NotScalar
from landscape_widgets.task.structure import describe, tensors

logger = logging.getLogger(__name__)

FEW = 4  # examples of data given whole that are tried first
SAMPLE = 256  # examples that are asked whether they add up, and what they are
RECORDED = 1e-4  # relative difference of a loss with gradients recorded that fused kernels explain
HELD_BYTES = 64 << 20  # that they may hold on their way through the model
SAMPLE_BYTES = 16 << 20  # that these may take, going in and coming out

# What models and losses raise that do not fit the data.
FAILURES = (
    RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError
)  # fmt: skip


class Trial:
    """Runs the user's code for the first time, explains what goes wrong, and watches for noise."""

    def __init__(
        self, inplace: InPlace, train: Examples, val: Examples | None, uses_model: bool
    ) -> None:
        self.inplace, self.model, self.uses_model = inplace, inplace.model, uses_model
        self.device = inplace.anchor.device
        self.train, self.val = train, val
        self.seen: FirstRun | None = None
        self.largest = 0  # bytes of an example's largest activation; 0 where none can be watched
        self._at_anchor = math.nan  # the loss there on the first examples, once it is known
        first = train.batches[0]
        self.first = (_spread(first, FEW) if train.given_whole else first).to(self.device)
        self.predicted: Tensor | None = None  # where there are predictions, for
        self.of_predicted = self.first  # these examples
        self.said = f"inputs {describe(first.inputs)} and targets {describe(first.targets)}"

    @property
    def stochastic(self) -> bool:
        return self.inplace.draws

    def begin(self, loss: BatchLoss | ModelLoss | None = None) -> FirstRun | None:
        """See what a first run shows; None where it cannot be run as it stands.

        `loss` is the user's own, where it is not known to be a function of the outputs.
        """
        self.seen = run_first(self.inplace, loss, self.first)
        return self.seen

    def take_predictions(self, predicted: Tensor | None) -> None:
        """Keep what is predicted for the first examples."""
        self.predicted, self.of_predicted = predicted, self.first

    @property
    def fresh(self) -> FirstRun | None:
        """The first run, if it was on the examples that are tried now."""
        return None if self.seen is None or self.seen.batch is not self.first else self.seen

    def take_few(self, loss: Loss) -> None:
        """Go on with a few of the first examples, where the loss is a mean over examples."""
        few = _spread(self.first, FEW)
        mean = isinstance(loss, MeanLoss) and self.first.form.axes == (0, 0)
        if not mean or few is self.first:
            self._at_anchor = self._first_value(loss)
            return
        try:
            value = self._watched(lambda: _value(self.inplace, loss, self._whole(few)))
        except FAILURES as error:
            logger.debug("takes no other batches than whole ones: %s", error)
            self._at_anchor = self._first_value(loss)
        else:
            self.first, self._at_anchor = few, value

    def _first_value(self, loss: Loss) -> float:
        """The loss at θ* on the first examples, from the first run if that tells."""
        seen, accumulator = self.fresh, Accumulator(loss, {}, None, 1)
        if seen is not None and seen.value is not None:
            accumulator.add_value(0, seen.value, self.first.size)
        elif seen is not None and isinstance(loss, MeanLoss):
            add_outputs(seen.outputs, self.first, accumulator, 0)
        else:
            found: float = self._watched(
                lambda: _value(self.inplace, loss, self._whole(self.first))
            )
            return found
        return float(accumulator.finish()["loss"][0])

    def _whole(self, batch: Batch) -> TiledExamples:
        return TiledExamples(Examples([batch], capped=True), self.device, separable=False)

    def check_repeats(self, loss: Loss, given: Any) -> list[str]:
        """See that the loss at θ* is the same after one elsewhere; see `drift.check_repeats`.

        What is computed elsewhere tells how large the activations are.
        """
        few = self._whole(self.first)

        def value() -> float:
            return _value(self.inplace, loss, few)

        def elsewhere() -> None:
            self.largest = -(-largest_activation(self.model, value) // self.first.size)

        with torch.no_grad():
            return check_repeats(
                self.inplace, value, [self.model, given], self._at_anchor, elsewhere
            )

    def about_gradients(self, loss: Loss) -> list[str]:
        """Whether the loss is another while gradients are recorded, as a sentence."""
        if self.seen is not None and self.seen.recorded is not None:
            return []
        few = self._whole(self.first)
        try:
            with torch.enable_grad(), self.inplace.alone(watched=True):
                for tensor in self.inplace.tensors:
                    tensor.requires_grad_(True)
                recorded = _value(self.inplace, loss, few)
        except FAILURES as error:  # it has no gradient, which is raised where one is asked for
            logger.debug("cannot be called with gradients recorded: %s", error)
            return []
        finally:
            for tensor in self.inplace.tensors:
                tensor.requires_grad_(False)
        plain = self._at_anchor
        if not abs(plain - recorded) > RECORDED * max(abs(plain), abs(recorded)):
            return []
        return [
            "The model or its loss looks at whether gradients are recorded: on a few examples it "
            f"gives {plain:.4g} without, as in an evaluation loop under torch.no_grad(), and "
            f"{recorded:.4g} with. Losses are those without; gradients, descents and the Hessian "
            "are of the other."
        ]

    def check_val(self, loss: Loss) -> None:
        """Raise a ValueError if the validation data cannot be taken as the training data are."""
        if self.val is None:
            return
        batch = self.val.batches[0]
        few = (_spread(batch, FEW) if self.val.given_whole else batch).to(self.device)
        split = self._whole(few)
        try:
            self.run(
                lambda: _value(self.inplace, loss, split),
                f"inputs {describe(few.inputs)} and targets {describe(few.targets)}",
            )
        except ValueError as error:
            raise ValueError(
                f"val_data: {error} Give val_data that come as data do: with a batch "
                f"{describe(self.train.batches[0].raw)}."
            ) from error

    # Running the model

    def run(self, function: Callable[[], Any], said: str | None = None) -> Any:
        try:
            return self._watched(function)
        except (NotScalar, Refused):
            raise
        except FAILURES as error:
            cause = f"{type(error).__name__}: {brief(str(error).rstrip('.'), 600)}"
            raise ValueError(
                f"{type(self.model).__name__} with its loss could not be run on a batch with "
                f"{said or self.said}: {cause}. {self.advice}"
            ) from error

    @property
    def advice(self) -> str:
        """What to do where model, loss and data do not go together."""
        said = "Give data in the form and type that the model was trained on"
        if self._wants_floats():
            said = "It can be run on inputs of floating-point numbers: give inputs.float()"
        shapes = [getattr(part, "shape", None) for part in (self.first.inputs, self.first.targets)]
        if shapes[0] is not None and shapes[0] == shapes[1]:
            if self.train.given_whole:
                said += (
                    ". Two tensors are read as inputs and targets: if they are two batches, give "
                    "an iterator over them, iter([first, second])"
                )
            elif len(shapes[0]) == 1:
                said += (
                    ". If each pair is one example, give all of them in a pair of tensors, "
                    "(torch.stack([x for x, _ in data]), torch.stack([y for _, y in data]))"
                )
        if self.first.targets is None:
            said += ", or say by loss=function(model, batch) what of a batch it gets"
        return f"{said}."

    def _wants_floats(self) -> bool:
        """Whether the model takes no whole numbers, which these inputs are, but others."""
        inputs, dtype = self.first.inputs, self.inplace.tensors[0].dtype
        if not isinstance(inputs, Tensor) or inputs.is_floating_point() or inputs.is_complex():
            return False
        try:
            self._watched(lambda: call_model(self.model, inputs))
        except FAILURES:
            try:
                self._watched(lambda: call_model(self.model, inputs.to(dtype)))
            except FAILURES:
                return False
            return True
        return False

    def outputs(self) -> Any:
        """What the model returns for the first examples."""
        if self.fresh is not None and self.fresh.outputs is not None:
            return self.fresh.outputs
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

    def moved_outputs(self, batch: Batch) -> list[Tensor]:
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

    def all_targets(self) -> list[Any]:
        return [batch.targets for batch in self._all()]

    def sample(self, *, whole: bool = False, most: int = SAMPLE) -> Batch:
        """At most so many examples from all of the data, as many as take little memory.

        `whole` says that batches must not be cut, unless the data were given whole.
        """
        if self.train.given_whole:
            source: Batch | None = self.train.batches[0]
        else:
            source = None if whole else self.train.joined
        if source is None or not source.cuttable:
            return self.first
        each = sum(x.nbytes for x in tensors(self.first.raw)) / self.first.size
        each = max(each, self._weighed[1], 1.0)
        count = min(most, int(SAMPLE_BYTES // each), self.fitting)
        count = max(FEW, count)
        return _spread(source, count).to(self.device)

    @property
    def fitting(self) -> int:
        """Examples that hold little on their way through the model."""
        return max(1, int(HELD_BYTES // self.held))

    @property
    def held(self) -> float:
        """Bytes that an example holds at most on its way through the model."""
        return self._weighed[0]

    @cached_property
    def _weighed(self) -> tuple[float, float]:
        """Bytes that an example holds on its way through the model, and those of its outputs."""
        if self.seen is not None and self.seen.held > 0:
            held = self.seen.held / self.seen.batch.size
        else:
            with LiveBytes() as counted:
                self.outputs_or_none(self.first)
            held = counted.peak / self.first.size
        outputs = 0 if self.predicted is None else self.predicted.nbytes
        return max(1.0, held), outputs / self.of_predicted.size


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
        keys = row_sums(held[-1])
        _, number, counts = torch.unique(keys, return_inverse=True, return_counts=True)
        rarest = mixed[counts[number][mixed].argsort(stable=True)]
        picked = torch.cat([picked, rarest[: count // 2]])
    chosen = list(dict.fromkeys([*picked.tolist(), *mixed[:count].tolist()]))[:count]
    return take(batch, torch.tensor(sorted(chosen), device=held[0].device))


def _value(inplace: InPlace, loss: Loss, few: TiledExamples) -> float:
    accumulator = Accumulator(loss, {}, None, 1)
    add_losses(inplace.model, few.tiles(None), accumulator, 0)
    return float(accumulator.finish()["loss"][0].detach())
