"""Evidence in words: what kind of point it is, and whether the model has learned."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from landscape_widgets.diagnosis.evidence import TOLERANCE, Evidence

Sure = Literal["sure", "likely", "open"]
PlaceKind = Literal["minimum", "saddle", "flat", "still falling", "not finite", "no gradient"]
FitKind = Literal[
    "not trained",
    "still learning",
    "underfitting",
    "overfitting",
    "fits",
    "learned",
    "unknown",
    "not finite",
]

# A fall that slope explains less of than this is one of curvature, or of what follows it.
SLOPED = 0.1
# Shares of an untrained loss: above the first nothing was learned; above the second much is left.
LEARNED, LEFT = 0.9, 0.25
STILL = 0.1  # of the loss: a descent that takes off more has not ended
RESTING = 0.02  # of a loss at chance: one that takes off no more finds nothing to learn
LOST = 0.1  # of what was learned: more than this that new data do not share is overfitting
STANDARD_ERRORS = 2.0
CLEAR = 3.0  # times a threshold, beyond which there is no doubt


@dataclass(frozen=True)
class Verdict:
    """One answer.

    Attributes
    ----------
    kind : str
    words : str
        A sentence.
    sure : {"sure", "likely", "open"}
    why : str
        How sure this is, as a sentence.
    change : str
        What would change it, as a sentence.
    """

    kind: str
    words: str
    sure: Sure
    why: str
    change: str


def number(value: float) -> str:
    """A loss or an eigenvalue, to three digits."""
    return f"{value:.3g}"


def share(value: float) -> str:
    """A share in per cent.

    >>> share(0.1234), share(1e-5)
    ('12%', 'less than 0.1%')
    """
    if 0 < abs(value) < 0.001:
        return "less than 0.1%"
    return f"{100 * value:.2g}%" if abs(value) < 1 else f"{100 * value:.0f}%"


def place(e: Evidence) -> Verdict:
    """What kind of point it is: minimum, saddle, flat, still falling."""
    if not math.isfinite(e.loss) or (not math.isfinite(e.gradient) and not e.without_gradient):
        what = f"The loss is {e.loss:g}" if not math.isfinite(e.loss) else "The gradient has gaps"
        return Verdict(
            "not finite", f"{what} here: there is nothing to tell.", "sure",
            "It was computed.", "Weights, data or a precision without overflow.",
        )  # fmt: skip
    slides = e.best_step > e.nothing or e.descent > e.nothing
    if e.without_gradient and not slides:  # what was seen to fall does so, however it was found
        return _without_gradient(e)
    curves = _by_curvature(e)
    if curves and not slides:
        return _saddle(e)
    if slides or (e.downwards is not None and e.downwards.fall > e.nothing and not curves):
        return _falling(e)
    if _is_flat(e):
        return _flat(e)
    return _minimum(e)


def _by_curvature(e: Evidence) -> bool:
    """Whether the loss falls along a line by how it curves there, not by its slope."""
    return any(
        line is not None
        and line.fall > e.nothing
        and (line.other_fall > e.nothing or line.by_slope < SLOPED)
        and line.near > e.rounding
        for line in (e.downwards, e.anywhere)
    )


def _is_flat(e: Evidence) -> bool:
    lines = [line for line in (e.downwards, e.anywhere) if line is not None]
    return bool(lines) and all(line.near <= e.rounding for line in lines) and e.top <= e.top_error


def _saddle(e: Evidence) -> Verdict:
    lines = [line for line in (e.downwards, e.anywhere) if line is not None]
    line = max(lines, key=lambda one: one.fall)
    falls = f"the loss falls by {number(line.fall)} within a distance of {number(abs(line.at))}"
    if e.negative:
        some = f"{e.negative} of {e.size}" if e.whole else f"at least {e.negative} of {e.size:,}"
        curve = "curves" if e.negative == 1 else "curve"
        ways = f"{some} directions {curve} downwards; along the steepest {falls}."
        return Verdict(
            "saddle", f"A saddle: the slope has all but gone, but {ways}",
            "sure" if line.fall > CLEAR * e.nothing else "likely",
            f"The lowest curvature is {number(e.bottom)} ± {number(e.bottom_error)}, and the fall "
            "was measured, not foretold.",
            "A few steps along that direction; from there a descent goes on.",
        )  # fmt: skip
    return Verdict(
        "saddle",
        "A degenerate saddle: slope and lowest curvature cannot be told from zero, yet along a "
        f"line {falls}.",
        "sure" if line.other_fall > e.nothing or line.rise > e.nothing else "likely",
        "The fall was measured; no second derivative foretells it.",
        "A few steps along that line; from there a descent goes on.",
    )


def _falling(e: Evidence) -> Verdict:
    takes = max(e.descent, e.best_step)
    steps = f"{e.steps} steps of descent" if e.steps != 1 else "one step of descent"
    below = e.loss - takes
    words = f"Still falling: {steps} take the loss from {number(e.loss)} to {number(below)}."
    if e.steps == 1:
        words = words.replace(" take ", " takes ")
    if e.downwards is not None and e.downwards.fall > max(takes, e.nothing):
        words = (
            f"Still falling: along the direction that curves most downwards the loss goes from "
            f"{number(e.loss)} to {number(e.loss - e.downwards.fall)}."
        )
    sure: Sure = "sure" if takes > CLEAR * e.nothing else "likely"
    return Verdict(
        "still falling", words, sure,
        f"That is {share(takes / e.scale) if e.scale else 'all'} of what the loss has fallen by "
        f"so far; from {share(TOLERANCE)} on it counts.",
        "Longer training, with all of the data in each step towards the end.",
    )  # fmt: skip


def _flat(e: Evidence) -> Verdict:
    return Verdict(
        "flat",
        "Flat: within a tenth of the weights' own length the loss does not change in this "
        "precision.",
        "likely",
        "A gradient of zero and "
        + ("two lines" if e.downwards is not None and e.anywhere is not None else "a line")
        + " were looked at, not all directions.",
        "Units that answer to an example again, as dead and saturated ones do not; other weights.",
    )


def _minimum(e: Evidence) -> Verdict:
    if e.references.bounded and e.loss <= e.nothing:
        return Verdict(
            "minimum",
            f"A minimum, to this precision: the loss, {number(e.loss)}, is "
            f"{share(e.loss / e.scale)} of where it came from, and cannot fall below 0.",
            "sure",
            "No loss of this kind is below 0.",
            "Nothing but a finer look: what is left of the loss may still fall.",
        )
    level = ""
    if abs(e.bottom) <= e.bottom_error or (0 < e.bottom < 1e-6 * e.top):
        level = ", and level along some direction (curvature 0 as far as can be told)"
    elif e.negative:
        level = (
            f", though some direction curves downwards ({number(e.bottom)}): along it the loss "
            f"falls by {number(e.downwards.fall if e.downwards else 0.0)}, which is next to nothing"
        )
    words = (
        f"A minimum, to this precision: no descent takes off more than {number(e.nothing)}{level}."
    )
    if e.whole:
        why = f"All {e.size} curvatures are known; the lowest is {number(e.bottom)} ± " + number(
            e.bottom_error
        )
        sure: Sure = "likely" if e.negative else "sure"
    elif math.isnan(e.bottom):
        why = "How the loss curves could not be computed: it may fall along some direction"
        sure = "open"
    else:
        why = (
            f"The lowest curvature that was found is {number(e.bottom)} ± "
            f"{number(e.bottom_error)}; directions that were not looked along may curve downwards"
        )
        sure = "likely"
    return Verdict(
        "minimum", words, sure, why + ".",
        "A direction along which the loss falls, or double precision (model.double()).",
    )  # fmt: skip


def _without_gradient(e: Evidence) -> Verdict:
    found = e.anywhere
    beside = ""
    if found is not None:
        falls = found.fall > e.nothing
        beside = (
            f" Along a random line it falls by {number(found.fall)}: it is no minimum."
            if falls
            else " Along a random line it falls nowhere; that alone makes no minimum."
        )
    because = e.without_gradient
    return Verdict(
        "no gradient", f"No telling whether it is a minimum: {because}.{beside}", "open",
        "Without a gradient nobody can look along all directions.",
        "A loss that can be differentiated, or many more directions.",
    )  # fmt: skip


def fit(e: Evidence) -> Verdict:
    """Whether the model has learned, too little or too much."""
    if not math.isfinite(e.loss):
        return Verdict(
            "not finite", f"The loss is {e.loss:g} here.", "sure", "It was computed.",
            "Weights or data without overflow.",
        )  # fmt: skip
    base, usual = e.references.base, e.references.usual
    if base is None:
        return Verdict(
            "unknown", "Whether the model has learned cannot be told.", "open",
            "Chance is not known for this loss, and no untrained network has a finite one.",
            "A loss of torch's own, of which chance is known.",
        )  # fmt: skip
    known = e.references.chance is not None
    against = f"{number(base)} at chance" if known else f"{number(base)} of untrained networks"
    bounded = e.references.bounded
    untaught = e.loss > LEARNED * base if bounded and base > 0 else e.loss >= _worst_case(e, base)
    if untaught:
        return _untaught(e, against, known, usual)
    left = e.loss / base if bounded and base > 0 else 0.0
    ends = not max(e.descent, e.best_step) > max(STILL * e.loss, e.nothing)
    if left > LEFT and ends:
        return _underfitting(e, left, against)
    over = _overfitting(e, base, against)
    if over is not None:
        return over
    if left > LEFT:
        new = "" if e.val_loss is None else f"; {_on_new_data(e)}"
        return Verdict(
            "still learning",
            f"Still learning: {share(left)} of {against} is left ({number(e.loss)}), and a descent "
            f"takes off more{new}.",
            "likely", "Whether it under- or overfits shows once the loss has stopped falling.",
            "Longer training.",
        )  # fmt: skip
    learned = base - e.loss
    moves = "" if ends else ", and training has not ended"
    told = f"The loss is {number(e.loss)}, against {against}{moves}"
    if e.val_loss is None:
        return Verdict(
            "learned", f"Trained: {told}. Without validation data nothing tells of overfitting.",
            "open", "The training data alone cannot tell.", "Validation data: val_data=.",
        )  # fmt: skip
    gap = e.val_loss - e.loss
    return Verdict(
        "fits",
        f"{_none_or_little(e)}: {_on_new_data(e)}, against {number(e.loss)} in training and "
        f"{against}{moves}.",
        "likely" if e.gap_error is None or gap + STANDARD_ERRORS * e.gap_error > LOST * learned
        else "sure",
        f"New data share all but {share(max(gap, 0.0) / learned)} of what was learned"
        + ("." if e.gap_error is None else f" (± {share(e.gap_error / learned)})."),
        f"A gap above {share(LOST)}, as longer training or fewer examples may bring.",
    )  # fmt: skip


def _none_or_little(e: Evidence) -> str:
    """Whether the gap is one, though little of what was learned is lost by it."""
    assert e.val_loss is not None
    error = 0.0 if e.gap_error is None else STANDARD_ERRORS * e.gap_error
    little = e.val_loss - e.loss > max(error, 0.5 * abs(e.loss))
    return (
        f"Fits, with {'overfitting that costs little' if little else 'no overfitting to speak of'}"
    )


def _worst_case(e: Evidence, base: float) -> float:
    """From where on a loss that has no known floor is one of an untrained network."""
    finite = sorted(loss for loss in e.references.untrained if math.isfinite(loss))
    return finite[len(finite) // 4] if finite and e.references.chance is None else base


def _on_new_data(e: Evidence) -> str:
    assert e.val_loss is not None
    error = "" if e.gap_error is None else f" ± {e.gap_error:.2g}"
    return f"the loss is {number(e.val_loss)}{error} on the validation data"


def _untaught(e: Evidence, against: str, known: bool, usual: float | None) -> Verdict:
    others = "" if usual is None or not known else f" (untrained networks: {number(usual)})"
    # In few steps a large network that was never trained gets no further than that.
    least = RESTING * e.loss if e.thorough else e.nothing
    rests = max(e.descent, e.best_step) <= max(least, e.nothing)
    if rests and not e.without_gradient:
        return Verdict(
            "underfitting",
            f"Underfitting: at rest, and no better than chance: the loss is {number(e.loss)}, "
            f"against {against}{others}.",
            "likely", "A descent from here takes off next to nothing.",
            "A larger network, another start, or targets that hang on the inputs.",
        )  # fmt: skip
    return Verdict(
        "not trained",
        f"Not trained, to speak of: the loss is {number(e.loss)}, against {against}{others}.",
        "sure" if known else "likely",
        "Chance is the best guess that looks at no inputs." if known
        else "Chance is not known for this loss; untrained networks are all there is to compare.",
        "Training." if not e.without_gradient else "Training, by a method without gradients.",
    )  # fmt: skip


def _overfitting(e: Evidence, base: float, against: str) -> Verdict | None:
    if e.val_loss is None:
        return None
    learned, gap = base - e.loss, e.val_loss - e.loss
    error = 0.0 if e.gap_error is None else STANDARD_ERRORS * e.gap_error
    if math.isfinite(e.val_loss) and not gap - error > LOST * learned:
        return None
    lost = gap / learned
    worse = f" ({against})" if e.val_loss < base else f", worse than {against}"
    return Verdict(
        "overfitting",
        f"Overfitting: {_on_new_data(e)}, against {number(e.loss)} in training{worse}.",
        "sure" if e.gap_error is not None and gap - error > CLEAR * LOST * learned else "likely",
        f"Of what was learned, {share(min(lost, 9.99)) if lost < 9.99 else 'many times as much'} "
        "is lost on new data"
        + (", with no error to be had." if e.gap_error is None
           else f" (± {share(e.gap_error / learned)})."),
        "More examples, a smaller or regularised model, or training that stops sooner.",
    )  # fmt: skip


def _underfitting(e: Evidence, left: float, against: str) -> Verdict:
    new = "" if e.val_loss is None else f", and {_on_new_data(e)}"
    return Verdict(
        "underfitting",
        f"Underfitting, or noise: {share(left)} of {against} is left ({number(e.loss)}), and it "
        f"hardly falls any more{new}.",
        "likely",
        "A network too small for its task and targets that are noise look alike from one point.",
        "A larger network: if its training loss is much lower, this one was too small.",
    )  # fmt: skip
