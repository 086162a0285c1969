"""Which strategy evaluates which rows: the one that was named, or the fastest of those that fit.

Every strategy but "inplace" may fail: it is then dropped with a line in the log, and the rows that
it was to do are done by the next.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import wait
from typing import Any
from weakref import WeakKeyDictionary

import torch

from landscape_widgets.evaluation.accumulate import Accumulator
from landscape_widgets.evaluation.agreement import AGAIN, EXAMPLES, agree
from landscape_widgets.evaluation.candidates import Candidates, said
from landscape_widgets.evaluation.float64 import Double
from landscape_widgets.evaluation.in_place import InPlace
from landscape_widgets.evaluation.kernels.compiled import SOON, load_kernel
from landscape_widgets.evaluation.kernels.loading import settle
from landscape_widgets.evaluation.race import Failed, losses_at, race
from landscape_widgets.evaluation.request import Request
from landscape_widgets.evaluation.strategy import Strategy
from landscape_widgets.evaluation.strategy_names import STRATEGIES, WORDS, check_strategy
from landscape_widgets.evaluation.tiled_examples import TiledExamples
from landscape_widgets.geometry.basis import Basis, FloatArray
from landscape_widgets.precision import check_precision, exact, reduced
from landscape_widgets.task.losses import Loss, MeanLoss, ModelLoss

logger = logging.getLogger(__name__)

# Fewer rows are evaluated one by one: a trial would cost more than it saves, and what is drawn
# from their losses (a calibrated radius) must not hang on the outcome of a race.
WORTH_A_TRIAL = 32
# Another strategy must be this much faster than the one expected to win: noise changes nothing.
CLEARLY = 1.15
# Passes of the few examples of a comparison that a request must be worth, else the plain loop
# does it: the comparison takes sixteen of them, and four on a further basis.
WORTH_COMPARING = 80
MEASURED = 8  # rows that the error of a reduced precision is taken from

# What won which trial. Kept for the process: the same landscape drawn again is the same to the bit.
_choices: dict[tuple[Any, ...], str] = {}


class Engine:
    """Evaluates rows of coefficients by the strategy that was named or measured to be fastest.

    Parameters
    ----------
    inplace
        The strategy that is exact for every model.
    loss
    split
        The training data.
    stochastic : bool
        Whether the model draws random numbers, or keeps something from call to call.
    strategy : str
        One of `STRATEGIES`.
    precision : {None, "bf16"}
        In which matrix products and convolutions are taken; None is the model's own.

    Attributes
    ----------
    strategies : dict
        Those that may be used, by name.
    error : float
        Largest relative difference of losses in the reduced precision from the model's own, as
        measured on a few rows; 0 until then.

    Raises
    ------
    ValueError
        If there is no such strategy, or the named one cannot evaluate this model.
    """

    def __init__(
        self,
        inplace: InPlace,
        loss: Loss,
        split: TiledExamples,
        *,
        stochastic: bool,
        strategy: str = "auto",
        precision: str | None = None,
    ) -> None:
        check_strategy(strategy)
        check_precision(precision)
        self.precision = precision
        self.inplace = inplace
        self.loss = loss
        self.named = strategy
        self._only_inplace = _why_only_inplace(inplace, loss, split, stochastic)
        self._split = split
        self._forget()
        if strategy == "compiled" and strategy in self.strategies:
            # One that cannot be loaded says so soon; a compiler takes as long as it takes.
            done, _ = wait([load_kernel()], SOON)
            broken = load_kernel().exception() if done else None
            if broken is not None:
                self._drop(strategy, f"fails ({said(broken)})")
        if strategy != "auto" and strategy not in self.strategies:
            raise ValueError(
                f"strategy={strategy!r} cannot evaluate this {type(inplace.model).__name__}: "
                f"{self._why_not[strategy]}. Leave strategy='auto'."
            )

    def _forget(self) -> None:
        self.strategies: dict[str, Strategy] = {"inplace": self.inplace}
        self._why_not = dict.fromkeys(STRATEGIES, self._only_inplace)
        # A named one leaves the others out: they cannot fail.
        if not self._only_inplace and self.named != "inplace":
            candidates = Candidates(self.inplace, self._split, full=self.precision is None)
            self.strategies |= candidates.found
            self._why_not = candidates.why_not
        self.double = Double(self.inplace, self.loss)
        self._trusted = {"inplace"}
        self._seen: WeakKeyDictionary[Basis, set[Any]] = WeakKeyDictionary()
        self.last = "inplace"
        self.error = 0.0

    def __getstate__(self) -> dict[str, Any]:
        keep = ("inplace", "loss", "named", "precision", "_only_inplace", "_split")
        return {name: self.__dict__[name] for name in keep}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def group(self, n: int, splits: Sequence[TiledExamples]) -> int:
        """Of n vectors, how many go through the model together: chunks are to be multiples of it.

        How losses are rounded hangs on what they are computed together with, which must not hang
        on how fast the machine happens to be.
        """
        if self._is_little(n, splits):
            return 1
        return max(strategy.group for strategy in self.strategies.values())

    @property
    def description(self) -> str:
        """The strategy of the latest rows, in words."""
        chosen = "" if self.named != "auto" else ", chosen by a trial"
        words = f"{WORDS[self.last]}{chosen if len(self.strategies) > 1 else ''}"
        if self.precision is not None:
            words += f"; {self.precision}, error up to {self.error:.1g} of the loss"
        return words

    def evaluate(
        self,
        request: Request,
        rows: FloatArray,
        splits: Sequence[TiledExamples],
        accumulator_for: Callable[[TiledExamples], Accumulator],
    ) -> list[Accumulator]:
        """Accumulators of the outputs at each of the `rows` of a request, one for each split.

        In the precision asked for. A strategy that fails is dropped, and the next begins with new
        accumulators.
        """
        while True:
            name = self._choose(request, splits)
            try:
                found = []
                for split in splits:
                    found.append(accumulator_for(split))
                    self._run(self.strategies[name], request, rows, split, found[-1])
            except Exception as error:
                if name == "inplace":
                    raise
                self._drop(name, f"fails ({said(error)})")
            else:
                self.last = name
                return found

    def sharpen(
        self,
        request: Request,
        rows: FloatArray,
        split: TiledExamples,
        losses: FloatArray,
        at_anchor: float,
    ) -> None:
        """Correct `losses` (r,) near θ*, in place, where float64 can be had; see `Double`."""
        corrected = losses.copy()
        try:
            self.double.sharpen(request, rows, split, corrected, at_anchor)
        except Exception as error:
            self.double.allowed = False
            logger.warning("Differences in float64 fail (%s) and are not taken.", said(error))
        else:
            losses[:] = corrected

    def _drop(self, name: str, why: str) -> None:
        """Do without a strategy from now on."""
        del self.strategies[name]
        self._why_not[name] = f"it {why}"
        logger.warning("Strategy %r %s and is not used.", name, why)

    def _run(
        self,
        strategy: Strategy,
        request: Request,
        rows: FloatArray,
        split: TiledExamples,
        accumulator: Accumulator,
    ) -> None:
        device = self.inplace.anchor.device
        with reduced(self.precision if rows.any() else None, device):  # θ* itself exactly
            strategy.run(request, rows, split, accumulator)
            if self.precision is not None and self.error == 0.0 and rows.any():
                self._measure_error(strategy, request, split)

    def _measure_error(self, strategy: Strategy, request: Request, split: TiledExamples) -> None:
        rows = request.first[:MEASURED]
        found = losses_at(strategy, request, rows, split, self.loss)
        with exact(self.inplace.anchor.device):
            expected = losses_at(strategy, request, rows, split, self.loss)
        differences = ((found - expected) / expected).abs().nan_to_num(0.0, 0.0)
        self.error = float(differences.max())

    def _choose(self, request: Request, splits: Sequence[TiledExamples]) -> str:
        """Name of the strategy for the rows of a request, on all of these splits."""
        # The other strategies take the buffers to be those of θ*.
        if not splits or len(self.strategies) == 1 or request.basis.buffers is not None:
            return "inplace"
        if self._is_little(request.n, splits):
            return "inplace"
        key = tuple(map(id, splits))
        known = request.chosen.get(key)
        if known not in self.strategies:
            known = self._choose_anew(request, splits)
            if request.first.any():  # where nothing moves, it could not be compared with the model
                request.chosen[key] = known
        return known

    def _is_little(self, n: int, splits: Sequence[TiledExamples]) -> bool:
        """Whether n rows take less than it takes to find out what would be faster.

        It hangs on nothing that was evaluated before: the same rows have the same losses.
        """
        if self._only_inplace or self.named == "inplace":
            return True
        if self.named != "auto" or not splits:
            return False
        return n * splits[0].size < WORTH_COMPARING * min(splits[0].size, EXAMPLES)

    def _choose_anew(self, request: Request, splits: Sequence[TiledExamples]) -> str:
        possible = [
            name
            for name in list(self.strategies)
            # Where nothing moves, those that have not been compared cannot be.
            if (name in self._trusted or request.first.any()) and self._suits(name, request, splits)
        ]
        if self.named == "auto":
            name = self._fastest(possible, request, splits[0])
        elif self.named in possible:
            name = self.named
        else:  # where there is too little to share
            name = next(other for other in ("stacked", "fused", "inplace") if other in possible)
        if self._trust(name, request, splits[0]):
            return name
        return self._choose_anew(request, splits)

    def waits_for_compiler(self, n: int) -> bool:
        """Whether n rows wait for a kernel to be compiled, because it was named."""
        if self.named != "compiled" or "compiled" not in self.strategies or n < WORTH_A_TRIAL:
            return False
        return not settle("loops")

    def _suits(self, name: str, request: Request, splits: Sequence[TiledExamples]) -> bool:
        if name == "inplace":
            return True
        if request.n < WORTH_A_TRIAL and self.named == "auto" and name != "fused":
            return False
        if name == self.named == "compiled" and request.n >= WORTH_A_TRIAL:
            wait([load_kernel()])
        try:
            return all(self.strategies[name].suits(request, split) for split in splits)
        except Exception as error:
            self._drop(name, f"fails ({said(error)})")
            return False

    def _fastest(self, possible: list[str], request: Request, split: TiledExamples) -> str:
        usual = "fused" if "fused" in possible else "inplace"
        if len(possible) == 1 or request.n < WORTH_A_TRIAL:
            return usual
        kind = _kind(self.inplace, self.precision, possible, request, split)
        if _choices.get(kind) in possible:
            return _choices[kind]
        entrants = {name: self.strategies[name] for name in possible}
        try:
            with reduced(self.precision, self.inplace.anchor.device):
                seconds = race(entrants, request, split, self.loss)
        except Failed as failed:
            if failed.name == "inplace":
                raise failed.error from None
            self._drop(failed.name, f"fails ({said(failed.error)})")
            rest = [name for name in possible if name != failed.name]
            return self._fastest(rest, request, split)
        chains = [name for name in ("compiled", "shared", "stacked") if "stacked" in possible]
        chosen = next((name for name in chains if name in possible), usual)
        best = min(seconds, key=lambda name: seconds[name])
        if seconds[chosen] > CLEARLY * seconds[best]:
            chosen = best
        logger.debug("seconds a parameter vector: %s; chosen: %s", seconds, chosen)
        _choices[kind] = chosen
        return chosen

    def _trust(self, name: str, request: Request, split: TiledExamples) -> bool:
        """Compare a strategy with the exact one, the first time that it could be used on a basis.

        What it was found to fit by the model's structure is then known by its numbers. Another
        basis may move what none has moved before.
        """
        seen = self._seen.setdefault(request.basis, set())
        again = name in self._trusted
        if name == "inplace" or (name, request.used) in seen:
            return True
        if again and request.n * split.size < WORTH_COMPARING * min(split.size, AGAIN):
            return True
        if not request.first.any():
            return again  # where nothing moves, a strategy cannot show what it does when it does
        why_not = None
        try:
            why_not = agree(
                self.strategies[name], self.inplace, request, split, self.loss, again=again
            )
        except Exception as error:
            why_not = f"fails ({said(error)})"
        if why_not is not None:
            self._drop(name, why_not)
            return False
        self._trusted.add(name)
        seen.add((name, request.used))
        return True


def _why_only_inplace(inplace: InPlace, loss: Loss, split: TiledExamples, stochastic: bool) -> str:
    """Why no other strategy is possible; empty if some are.

    They need losses of outputs, the same model for all vectors, and outputs that hang on nothing
    else.
    """
    if isinstance(loss, ModelLoss):
        return f"the loss {loss.name} calls the model itself"
    if isinstance(loss, MeanLoss) and not loss.examples_first:
        return f"the loss {loss.name} takes outputs whose first axis is not that of examples"
    if stochastic:
        return "the model draws random numbers, or keeps something from call to call"
    if inplace.prepare is not None:
        return "batch statistics are estimated again at each parameter vector"
    if not split.separable:
        return "its batches must stay whole"
    return ""


def _kind(
    inplace: InPlace,
    precision: str | None,
    possible: Iterable[str],
    request: Request,
    split: TiledExamples,
) -> tuple[Any, ...]:
    """What requests must have in common to be evaluated in the same way."""
    return (
        *possible,
        None if request.columns is None else len(request.columns),
        split.size,
        type(inplace.model).__qualname__,
        inplace.layout.shapes,
        inplace.anchor.device,
        inplace.anchor.dtype,
        torch.get_num_threads(),
        precision,
    )
