"""The local learning coefficient: how many parameters the loss is held by, from chains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from landscape_widgets.curvature.chains import FREE_WALK, MIXED, ChainHealth, split_rhat
from landscape_widgets.geometry.basis import FloatArray

BATCHES = 5  # of each chain, whose means tell how far off the mean of all is


@dataclass(frozen=True)
class LearningCoefficient:
    """λ̂ = (E[L] − L(θ*)) / T over exp(−L/T − γ‖θ − θ*‖²/2), with T = log(n)/n.

    Of a regular model it is P/2, half of its parameters; of a singular one less: the volume with a
    loss below L(θ*) + ε goes as ε^λ (Watanabe 2013, "A widely applicable Bayesian information
    criterion"; Lau et al. 2023, arXiv:2308.12108).

    Attributes
    ----------
    value, error : float
        λ̂ and its standard error, as far as the chains' own spread tells it.
    parameters : int
        P.
    temperature, tether, step_size : float
        T, γ and the step that the chains took.
    rhat : float
        Split R̂ of the losses: 1 where all chains tell the same.
    chains : tuple of ChainHealth
    """

    value: float
    error: float
    parameters: int
    temperature: float
    tether: float
    step_size: float
    rhat: float
    chains: tuple[ChainHealth, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with the chains, each a sentence that says what to do; empty if nothing."""
        found = [
            f"chain {number}: " + "; ".join(chain.problems)
            for number, chain in enumerate(self.chains)
            if chain.problems
        ]
        if self.rhat > MIXED:
            found.append(
                f"the chains' losses do not agree (R̂ = {self.rhat:.2f}, 1 would be well): more "
                "draws, or more steps between them"
            )
        low, high = FREE_WALK
        if all(low < chain.directedness < high for chain in self.chains if not chain.failed):
            found.append(
                "the chains move like random walks: they have not filled the valley yet; more "
                "draws, or more steps between them"
            )
        return tuple(found)

    def __repr__(self) -> str:
        said = (
            f"<LearningCoefficient {self.value:.3g} ± {self.error:.1g} of {self.parameters:,} "
            f"parameters (regular: {self.parameters / 2:g}), R̂ = {self.rhat:.2f}"
        )
        return said + (f"; {len(self.problems)} problems>" if self.problems else ">")

    def to_frame(self) -> pd.DataFrame:
        """One row for each chain: llc, mean, deviation, drift, directedness, problems."""
        names = ("llc", "mean", "deviation", "drift", "directedness")
        rows = [
            {
                **{name: getattr(chain, name) for name in names},
                "problems": "; ".join(chain.problems),
            }
            for chain in self.chains
        ]
        return pd.DataFrame(rows, index=pd.RangeIndex(len(rows), name="chain"))


def learning_coefficient(
    losses: Sequence[FloatArray],
    health: Sequence[ChainHealth],
    *,
    parameters: int,
    anchor_loss: float,
    temperature: float,
    tether: float,
    step_size: float,
) -> LearningCoefficient:
    """From the losses of chains, of which those that failed do not count.

    Parameters
    ----------
    losses : sequence of arrays (draws,)
        Of each chain, in order.
    health : sequence of ChainHealth
        Of each chain.
    parameters, anchor_loss, temperature, tether, step_size
        P, L(θ*), T, γ, and the step that was taken.
    """
    good = [one for one, chain in zip(losses, health, strict=True) if not chain.failed]
    draws = min(len(one) for one in good)
    traces = np.stack([one[:draws] for one in good])
    excess = (traces - anchor_loss) / temperature
    return LearningCoefficient(
        float(excess.mean()), _error(excess), parameters, temperature, tether, step_size,
        split_rhat(traces), tuple(health),
    )  # fmt: skip


def _error(excess: FloatArray) -> float:
    """The standard error of the mean over chains (c, draws).

    The larger one of those that the means of chains and the means of parts of them tell: draws one
    after the other are alike, and so are parts of a chain that moves slowly.
    """
    found = []
    chains, draws = excess.shape
    if chains > 1:
        found.append(excess.mean(axis=1).std(ddof=1) / np.sqrt(chains))
    length = draws // BATCHES
    if length:
        parts = excess[:, : length * BATCHES].reshape(chains * BATCHES, length).mean(axis=1)
        found.append(parts.std(ddof=1) / np.sqrt(len(parts)))
    return float(max(found, default=np.nan))
