"""Did the chains of a Langevin sampler run well? Computed from their traces alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from landscape_widgets.geometry.basis import FloatArray

# ‖end − start‖² / Σ‖step‖² is 1 for a free random walk; under 0.5 the chain is held back by the
# loss or its tether, above 2 it goes somewhere.
FREE_WALK = (0.5, 2.0)
DRIFT = 2.0  # standard deviations of the second half's losses
MIXED = 1.2  # split R-hat (Gelman & Rubin 1992; Vehtari et al. 2021 ask for 1.01 in statistics)


@dataclass(frozen=True)
class ChainHealth:
    """How one chain went.

    Attributes
    ----------
    mean, deviation : float
        Of the loss over the draws.
    drift : float
        Mean loss of the last quarter less that of the second, in standard deviations of the
        second half: beyond ±2 the chain has not settled.
    directedness : float
        ‖end − start‖² / Σ‖step‖².
    llc : float
        (L̄ − L(θ*)) / T: an estimate of the local learning coefficient (Lau et al. 2023,
        "Quantifying degeneracy in singular models via the learning coefficient"), given that the
        chain has settled.
    failed_at : int or None
        Step at which the loss or the weights were no longer finite.
    problems : tuple of str
        Each a sentence that says what to do; empty if there are none.
    """

    mean: float
    deviation: float
    drift: float
    directedness: float
    llc: float
    failed_at: int | None
    problems: tuple[str, ...]

    @property
    def failed(self) -> bool:
        """Whether the chain is of no use."""
        return self.failed_at is not None


class ChainError(RuntimeError):
    """No chain is of use; `health` says of each how it went."""

    def __init__(self, message: str, health: tuple[ChainHealth, ...]) -> None:
        super().__init__(message)
        self.health = health


class ChainWarning(RuntimeWarning):
    """Some chain did not run well."""


def chain_health(
    losses: FloatArray,
    *,
    anchor_loss: float,
    temperature: float,
    walked: float,
    stepped: float,
    untrained_loss: float = np.inf,
    failed_at: int | None = None,
) -> ChainHealth:
    """Judge one chain.

    Parameters
    ----------
    losses : array (draws,)
        On random examples of the training data, in order.
    anchor_loss
        Loss at θ*.
    temperature
        T, of exp(−L/T).
    walked, stepped
        ‖end − start‖² and Σ‖step‖².
    untrained_loss
        Loss beyond which a chain has left all that was learned.
    failed_at
        Step at which something was not finite.
    """
    problems: list[str] = []
    mean, deviation, drift = np.nan, np.nan, np.nan
    if len(losses):
        mean, deviation = float(losses.mean()), float(losses.std())
        drift = _drift(losses)
    directedness = walked / stepped if stepped > 0 else np.nan
    if failed_at is not None:
        problems.append(f"it was not finite any more at step {failed_at}: take a smaller step_size")
    elif anchor_loss < untrained_loss < mean:  # one that is no higher than θ*'s tells nothing
        problems.append(
            f"its mean loss, {mean:.3g}, is above that of an untrained network, "
            f"{untrained_loss:.3g}: take a lower temperature, a stronger tether or a smaller "
            "step_size"
        )
    if failed_at is None and drift > DRIFT:
        problems.append(
            f"its loss still rises (by {drift:.1f} standard deviations): it has not settled; give "
            "it a longer burn_in or more draws"
        )
    if failed_at is None and mean < anchor_loss - 2 * deviation:
        problems.append(
            f"its mean loss, {mean:.3g}, is below that of the trained weights, {anchor_loss:.3g}: "
            "they are no minimum; train longer, or take a stronger tether"
        )
    return ChainHealth(
        mean=mean,
        deviation=deviation,
        drift=drift,
        directedness=directedness,
        llc=(mean - anchor_loss) / temperature,
        failed_at=failed_at,
        problems=tuple(problems),
    )


def _drift(losses: FloatArray) -> float:
    quarter = len(losses) // 4
    if quarter < 2:
        return 0.0
    spread = float(losses[2 * quarter :].std())
    rise = float(losses[-quarter:].mean() - losses[quarter : 2 * quarter].mean())
    return rise / spread if spread > 0 else 0.0


def split_rhat(losses: FloatArray) -> float:
    """Split R̂ of the losses (chains, draws): 1 where all chains tell the same, and each of its
    halves.

    The square root of the variance of all draws over the mean variance within half chains
    (Gelman et al. 2013, "Bayesian data analysis", section 11.4). NaN with fewer than 4 draws.
    """
    half = losses.shape[1] // 2
    if half < 2:
        return float("nan")
    halves = np.concatenate([losses[:, :half], losses[:, half : 2 * half]])
    within = float(halves.var(axis=1, ddof=1).mean())
    between = half * float(halves.mean(axis=1).var(ddof=1))
    if within == 0:
        return 1.0 if between == 0 else float("inf")
    return float(np.sqrt(((half - 1) / half * within + between / half) / within))
