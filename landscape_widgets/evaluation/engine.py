"""Which strategy evaluates which rows: the one that was named, or the fastest of those that fit."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from landscape_widgets.basis import FloatArray
from landscape_widgets.errors import did_you_mean
from landscape_widgets.evaluation.accumulate import Accumulator
from landscape_widgets.evaluation.call import Call
from landscape_widgets.evaluation.chain import read_chain
from landscape_widgets.evaluation.compiled import Compiled, compilable, load_kernel, patience
from landscape_widgets.evaluation.double import Double
from landscape_widgets.evaluation.fused import fused
from landscape_widgets.evaluation.inplace import InPlace
from landscape_widgets.evaluation.precision import check_precision, exact, reduced
from landscape_widgets.evaluation.replay import Prefix, Shared
from landscape_widgets.evaluation.rewrite import as_program
from landscape_widgets.evaluation.shared import SharedStacked
from landscape_widgets.evaluation.split import Split
from landscape_widgets.evaluation.stacked import Stacked
from landscape_widgets.evaluation.strategy import Strategy
from landscape_widgets.evaluation.tiling import tile_size
from landscape_widgets.evaluation.trial import losses_at, race
from landscape_widgets.evaluation.winograd import by_winograd
from landscape_widgets.losses import Loss, ModelLoss

logger = logging.getLogger(__name__)

STRATEGIES = ("auto", "inplace", "fused", "prefix", "stacked", "shared", "compiled")

# Fewer rows are evaluated one by one: a trial would cost more than it saves, and what is drawn
# from their losses (a calibrated radius) must not hang on the outcome of a race.
WORTH_A_TRIAL = 32
# Another strategy must be this much faster than the one expected to win: noise changes nothing.
CLEARLY = 1.2
MEASURED = 8  # rows that the error of a reduced precision is taken from
COMPARED = 16  # examples on which strategies are compared with the model itself
AGREEMENT = 1e-3  # relative difference of losses above which a strategy has misread the model

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
        Whether the model draws random numbers.
    strategy : str
        One of `STRATEGIES`.
    precision : {None, "bf16"}
        In which matrix products and convolutions are taken; None is the model's own.

    Attributes
    ----------
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
        split: Split,
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
        # Strategies other than in place need losses of outputs, the same model for all
        # vectors, and outputs that hang on nothing else.
        self._plain = (
            split.separable
            and not stochastic
            and inplace.prepare is None
            and not isinstance(loss, ModelLoss)
        )
        self._examples = split.size
        self._by_winograd = False
        if self._plain:
            few = next(iter(split.part(2).tiles(None)))
            inplace.tile = tile_size(inplace.model, few, inplace.anchor.device)
            self._by_winograd = by_winograd(inplace.model, inplace.anchor, few)
        self._forget()
        if strategy != "auto" and strategy not in self._strategies:
            raise ValueError(
                f"strategy={strategy!r} cannot evaluate this {type(inplace.model).__name__}: "
                f"{WHY_NOT[strategy]} Leave strategy='auto'."
            )
        if strategy == "compiled":
            load_kernel().result()

    def _forget(self) -> None:
        self._strategies = self._found()
        self.double = Double(self.inplace, self.loss)
        self._trusted = {"inplace"}
        self.last = "inplace"
        self.error = 0.0

    def __getstate__(self) -> dict[str, Any]:
        keep = ("inplace", "loss", "named", "precision", "_plain", "_examples", "_by_winograd")
        return {name: self.__dict__[name] for name in keep}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def _found(self) -> dict[str, Strategy]:
        """The strategies that this model allows."""
        found: dict[str, Strategy] = {"inplace": self.inplace}
        if not self._plain:
            return found
        full = self.precision is None  # which other layouts are for
        rewritten = fused(self.inplace, blocks=full, by_winograd=full and self._by_winograd)
        loader: InPlace = self.inplace
        if rewritten is not None:
            found["fused"] = loader = rewritten
        program = as_program(loader.model)
        if program is not None:
            found["prefix"] = Prefix(loader, program)
            found["shared"] = Shared(loader, program)
        chain = read_chain(self.inplace.model, self.inplace.layout)
        if chain is not None:
            arguments = (self.inplace.model, chain, self.inplace.anchor, self._examples)
            found.pop("shared", None)
            found["stacked"] = Stacked(*arguments)
            found["shared"] = SharedStacked(*arguments)
            if compilable(chain, self.inplace.anchor) and self.precision is None:
                found["compiled"] = Compiled(*arguments)
                load_kernel()
        return found

    @property
    def group(self) -> int:
        """Vectors that go through the model together: chunks are to be multiples of this.

        How losses are rounded hangs on what they are computed together with, which must not hang
        on how fast the machine happens to be.
        """
        return max(strategy.group for strategy in self._strategies.values())

    @property
    def description(self) -> str:
        """The strategy of the latest rows, in words."""
        chosen = "" if self.named != "auto" else ", chosen by a trial"
        words = f"{WORDS[self.last]}{chosen if len(self._strategies) > 1 else ''}"
        if self.precision is not None:
            words += f"; {self.precision}, error up to {self.error:.1g} of the loss"
        return words

    def run(
        self,
        strategy: Strategy,
        call: Call,
        rows: FloatArray,
        split: Split,
        accumulator: Accumulator,
    ) -> None:
        """Put the outputs at each of `rows` into `accumulator`, in the precision asked for."""
        device = self.inplace.anchor.device
        with reduced(self.precision if rows.any() else None, device):  # θ* itself exactly
            strategy.run(call, rows, split, accumulator)
            if self.precision is not None and self.error == 0.0 and rows.any():
                self._measure_error(strategy, call, rows[:MEASURED], split)

    def _measure_error(
        self, strategy: Strategy, call: Call, rows: FloatArray, split: Split
    ) -> None:
        found = losses_at(strategy, call, rows, split, self.loss)
        with exact(self.inplace.anchor.device):
            expected = losses_at(strategy, call, rows, split, self.loss)
        differences = ((found - expected) / expected).abs().nan_to_num(0.0, 0.0)
        self.error = float(differences.max())

    def choose(self, call: Call, rows: FloatArray, splits: Sequence[Split]) -> Strategy:
        """The strategy for these rows of a call, on all of these splits."""
        split = splits[0]
        possible = {
            name: strategy
            for name, strategy in list(self._strategies.items())
            if all(strategy.suits(call, each) for each in splits)
            and self._trust(name, call, rows, split)
        }
        name = self.named
        if name == "auto":
            name = self._fastest(possible, call, rows, split)
        elif name not in possible:  # where there is too little to share
            name = next(other for other in ("stacked", "fused", "inplace") if other in possible)
        self.last = name
        return possible[name]

    def _fastest(
        self, possible: Mapping[str, Strategy], call: Call, rows: FloatArray, split: Split
    ) -> str:
        usual = "fused" if "fused" in possible else "inplace"
        if len(possible) == 1:
            return usual
        kind = self._kind(possible, call, split)
        if _choices.get(kind) in possible:
            return _choices[kind]
        if call.n < WORTH_A_TRIAL:
            return usual
        with reduced(self.precision, self.inplace.anchor.device):
            seconds = race(possible, call, rows, split, self.loss)
        chains = [name for name in ("compiled", "shared", "stacked") if "stacked" in possible]
        chosen = next((name for name in chains if name in possible), usual)
        best = min(seconds, key=lambda name: seconds[name])
        if seconds[chosen] > CLEARLY * seconds[best]:
            chosen = best
        logger.debug("seconds a parameter vector: %s; chosen: %s", seconds, chosen)
        _choices[kind] = chosen
        return chosen

    def _kind(self, possible: Iterable[str], call: Call, split: Split) -> tuple[Any, ...]:
        """What calls must have in common to be evaluated in the same way."""
        model, layout = self.inplace.model, self.inplace.layout
        return (
            # Whether the kernel is loaded by now must not change what was chosen before.
            *(name for name in possible if name != "compiled"),
            patience(call.n),
            None if call.columns is None else len(call.columns),
            split.size,
            type(model).__qualname__,
            layout.shapes,
            self.inplace.anchor.device,
            self.inplace.anchor.dtype,
            torch.get_num_threads(),
            self.precision,
        )

    def _trust(self, name: str, call: Call, rows: FloatArray, split: Split) -> bool:
        """Compare a strategy with the exact one, the first time that it could be used.

        What it was found to fit by the model's structure is then known by its numbers.
        """
        if name in self._trusted:
            return True
        if call.n < WORTH_A_TRIAL and self.named == "auto" and name != "fused":
            return False
        few, part = rows[:2], split.part(COMPARED)
        with exact(self.inplace.anchor.device):
            expected = losses_at(self.inplace, call, few, part, self.loss)
            found = losses_at(self._strategies[name], call, few, part, self.loss)
        if not torch.allclose(found, expected, rtol=AGREEMENT, atol=1e-6, equal_nan=True):
            logger.warning(
                "Strategy %r finds other losses (%s) than the model itself (%s) and is not used.",
                name, found.tolist(), expected.tolist(),
            )  # fmt: skip
            del self._strategies[name]
            return False
        self._trusted.add(name)
        return True


WORDS = {
    "inplace": "one parameter vector at a time, in place",
    "fused": "one parameter vector at a time, layers fused",
    "stacked": "several parameter vectors stacked at once",
    "prefix": "one parameter vector at a time, from the first layer that moves",
    "shared": "first layer shared by all parameter vectors",
    "compiled": "several parameter vectors at once, in one compiled loop",
}
WHY_NOT = {
    "fused": "there is nothing to fuse that can be seen, or its batches must stay whole.",
    "stacked": (
        "it is for chains of linear layers, activations and normalisations "
        "whose examples do not see each other."
    ),
    "compiled": (
        "it is for float32 chains of linear layers with ReLUs between them, on the CPU, in their "
        "own precision."
    ),
    "prefix": "torch.fx cannot read it as a graph, or its batches must stay whole.",
    "shared": "torch.fx cannot read it as a graph, or its batches must stay whole.",
}


def check_strategy(name: str) -> None:
    """Raise a ValueError that names the near ones if there is no such strategy."""
    if name not in STRATEGIES:
        raise ValueError(f"There is no strategy {name!r}. {did_you_mean(str(name), STRATEGIES)}")
