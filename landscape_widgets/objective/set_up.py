"""How a model, its data and its loss fit together: tried once, before any work starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from landscape_widgets.evaluation.in_place import TILE, InPlace
from landscape_widgets.objective.separability import adds_up, adds_up_over_all
from landscape_widgets.objective.trial_run import SAMPLE, Trial
from landscape_widgets.objective.which_loss import Search
from landscape_widgets.task.batchnorm import has_batch_statistics
from landscape_widgets.task.data import Examples, target_axis
from landscape_widgets.task.inner_gradients import Recorded
from landscape_widgets.task.losses import BatchLoss, Loss, MeanLoss, SquaredError

# Times that the examples go through that are asked whether they add up: so many times fewer are
# asked than there are, and this takes about as long as a loss.
PASSES = 6
FEWEST = 64  # but of a loss of one's own, which may join them in ways that a few do not show


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
    fitting : int
        Examples that hold little memory on their way through the model, where they may be cut.
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
    fitting: int = TILE
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
    trial = Search(inplace, train, val, uses_model)
    found = trial.find(given)
    if isinstance(found.loss, SquaredError):
        found.loss.axis = target_axis(train.batches[0])
    trial.check_val(found.loss)
    trial.take_few(found.loss)
    said = trial.check_repeats(found.loss, given)
    separable, val_separable = _separable(trial, found.loss)
    return Reading(
        found.loss,
        found.predictions,
        found.task,
        found.sure,
        trial.stochastic,
        separable,
        val_separable,
        found.has_outputs,
        trial.fitting if separable else TILE,
        tuple(
            found.assumptions
            + _about_batches(trial, found.loss, separable)
            + trial.about_gradients(found.loss)
            + said
        ),
        trial.recorded,
    )


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
