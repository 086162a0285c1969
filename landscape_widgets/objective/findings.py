"""How a model, its data and its loss fit together: read and tried once, before any work starts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from landscape_widgets.evaluation.in_place import TILE
from landscape_widgets.evaluation.tiling import tile_size
from landscape_widgets.objective.forms import find_form
from landscape_widgets.objective.options import Options
from landscape_widgets.objective.placement import placed
from landscape_widgets.objective.separability import adds_up, adds_up_over_all
from landscape_widgets.objective.trial_run import SAMPLE, Trial
from landscape_widgets.objective.which_loss import Search
from landscape_widgets.objective.working_model import WorkingModel
from landscape_widgets.progress import CancelCallback, Progress, ProgressCallback
from landscape_widgets.task.batchnorm import has_batch_statistics
from landscape_widgets.task.data import Examples, target_axis
from landscape_widgets.task.losses import BatchLoss, Loss, MeanLoss, SquaredError
from landscape_widgets.task.sources import Source
from landscape_widgets.task.untouched_inputs import inputs_untouched
from landscape_widgets.task.working_copy import refused

# Times that the examples go through that are asked whether they add up: so many times fewer are
# asked than there are, and this takes about as long as a loss.
PASSES = 6
FEWEST = 64  # but of a loss of one's own, which may join them in ways that a few do not show


@dataclass(frozen=True)
class Findings:
    """What the trial found.

    Attributes
    ----------
    train, val : Examples
        What was read; None for validation data that were not given.
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
    predicted : Tensor or None
        That for a few examples, `of_predicted` in number.
    tile : int
        Examples that go through the model at a time, where they may be cut.
    statistics_tile : int or None
        Those that batch statistics are estimated on; None for all of them.
    assumptions : tuple of str
        What had to be inferred, as sentences for the user.
    """

    train: Examples
    val: Examples | None
    loss: Loss
    predictions: MeanLoss | None
    task: str
    sure: bool
    stochastic: bool
    separable: bool
    val_separable: bool
    has_outputs: bool
    predicted: Tensor | None
    of_predicted: int
    tile: int
    statistics_tile: int | None
    assumptions: tuple[str, ...]


def try_out(
    model: nn.Module,
    working: WorkingModel,
    data: Any,
    val_data: Any,
    options: Options,
    progress: ProgressCallback,
    cancelled: CancelCallback,
) -> Findings:
    """Read the data, run the working copy and its loss on a few examples, and see what they are.

    Parameters
    ----------
    model
        The user's own, which must not be called.
    working
        The working copy and its loss. How it is called is set.
    data, val_data, options, progress, cancelled
        As for `Objective`.

    Raises
    ------
    TypeError, ValueError
        If the model cannot take the data, or the loss is no scalar or does not fit the targets.
    Cancelled
        If reading was stopped.
    """
    opened = partial(
        Source,
        max_examples=options.max_examples,
        seed=options.seed,
        dtype=working.dtype,
        batch_size=options.batch_size,
    )
    source = opened(data)
    with _of_val_data():
        val_source = None if val_data is None else opened(val_data)
    with inputs_untouched(working.copy):
        first = source.first(progress, cancelled)
        form, said = find_form(working.inplace, first, working.device, options.batch_axis)
        train, val = placed(source.read(form, progress, cancelled), working.device), None
        if val_source is not None:
            with _of_val_data():
                val = placed(val_source.read(form, progress, cancelled), working.device)
        progress(Progress("trying", 0, 1))
        with refused(model):
            return _tried(working, train, val, said)


def _tried(
    working: WorkingModel, train: Examples, val: Examples | None, said: tuple[str, ...]
) -> Findings:
    """Try the working copy and its loss, with whatever batch statistics it was trained with."""
    trial = Search(working.inplace, train, val, working.uses_model)
    found = trial.find(working.loss)
    working.recorded = None if trial.seen is None else trial.seen.recorded
    if isinstance(found.loss, SquaredError):
        found.loss.axis = target_axis(train.batches[0])
    trial.check_val(found.loss)
    trial.take_few(found.loss)
    repeats = trial.check_repeats(found.loss, working.loss)
    separable, val_separable = _separable(trial, found.loss)
    tile = tile_size(trial.largest, trial.held, working.device) if separable else TILE
    return Findings(
        train,
        val,
        found.loss,
        found.predictions,
        found.task,
        found.sure,
        trial.stochastic,
        separable,
        val_separable,
        found.has_outputs,
        trial.predicted,
        trial.of_predicted.size,
        tile,
        min(TILE, 4 * trial.fitting) if separable else None,
        (
            *found.assumptions,
            *_about_batches(trial, found.loss, separable),
            *trial.about_gradients(found.loss),
            *repeats,
            *said,
            *train.assumptions,
        ),
    )


@contextmanager
def _of_val_data() -> Iterator[None]:
    """Say of what is wrong that it is so with the validation data."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise type(error)(f"val_data: {error}") from error


def _separable(trial: Trial, loss: Loss) -> tuple[bool, bool]:
    """Whether batches of the training and the validation data may be cut at will."""
    along = trial.train.batches[0].form.axes
    if trial.stochastic or has_batch_statistics(trial.model) or along != (0, 0):
        return False, False
    if isinstance(loss, MeanLoss):
        if trial.train.joined is None:
            return False, False
        some = trial.sample(most=min(SAMPLE, trial.train.size // PASSES))
        found = adds_up(trial.inplace, loss, some)
        return found, found and trial.val is not None and trial.val.joined is not None
    if not trial.train.given_whole:
        return False, False
    some = trial.sample(most=min(SAMPLE, max(FEWEST, trial.train.size // PASSES)))
    found = adds_up(trial.inplace, loss, some)
    if found and isinstance(loss, BatchLoss) and trial.train.size > some.size:
        tile = min(TILE, trial.fitting)
        found = adds_up_over_all(trial.inplace, loss, trial.train.batches[0], tile)
    return found, found and trial.val is not None and trial.val.given_whole


def _about_batches(trial: Trial, loss: Loss, separable: bool) -> list[str]:
    """How the examples are evaluated, where it is the user's batches that decide."""
    if separable:
        return []
    along = trial.train.batches[0].form.axes
    if trial.train.given_whole and not trial.train.batches[0].cuttable:
        return []  # one graph, say: there is nothing to give a size for
    if trial.train.given_whole and along != (0, 0):
        return [
            f"All {trial.train.size} examples go through the model at once, as they were given, "
            "since they do not lie along the first axis. Give batch_size= for batches of them."
        ]
    if trial.train.given_whole and trial.train.size > 1:
        why = f"the loss ({loss.name}) of parts of them does not add up to that of all"
        if isinstance(loss, MeanLoss):
            why = "what the model makes of one of them hangs on the others in its batch"
        if trial.stochastic:
            why = "random numbers are drawn for them together"
        return [
            f"All {trial.train.size} examples go through the model at once, as they were given: "
            f"{why}. This takes the memory of one such pass for each loss and each gradient. "
            "If the model was trained on batches, give batch_size=."
        ]
    if not isinstance(loss, MeanLoss) and len(trial.train.batches) > 1:
        return [
            f"The loss ({loss.name}) is the mean over your {len(trial.train.batches)} batches, "
            "each evaluated whole and counted by its examples."
        ]
    return []
