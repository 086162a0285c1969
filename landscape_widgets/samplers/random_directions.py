"""A basis of random directions of one length: held in memory, or drawn again from its seed."""

from __future__ import annotations

from typing import Literal

import numpy as np

from landscape_widgets.controls import Control
from landscape_widgets.geometry.basis import Basis
from landscape_widgets.geometry.seeded import SeededBasis
from landscape_widgets.objective.objective import Objective
from landscape_widgets.samplers.base import Sampler, Work, check_directions
from landscape_widgets.samplers.calibration import filters_length
from landscape_widgets.samplers.vector_storage import check_memory

Kind = Literal["auto", "dense", "seeded"]

BASIS = Control(
    "basis",
    "basis",
    "held in memory, or drawn again",
    "choice",
    choices=("auto", "dense", "seeded"),
    offered=False,
)
LARGE = 1 << 30  # bytes of directions from which on they are not held, where it is left to us


def check_random_basis(
    sampler: Sampler, k: int, objective: Objective, kind: str, name: str = "k"
) -> None:
    """Raise if there are not so many directions, or no room for them in memory."""
    check_directions(sampler, k, objective, name)
    if not _is_seeded(k, objective, kind):
        check_memory(sampler.name, k, objective, f'directions, or basis="seeded" ({name}={k})')


def random_basis(k: int, work: Work, kind: str, filter_normalised: bool = True) -> Basis:
    """k random filter-normalised directions, as long as θ*'s filters, or plain ones so long.

    "dense" and "seeded" are the same directions; "auto" holds them as long as they take less than
    1 GiB. They are drawn from the seed of the work, and nothing of its generators.
    """
    objective = work.objective
    basis = SeededBasis(k, work.seed, objective.anchor, objective.layout, filter_normalised)
    lengths = np.sqrt(np.diag(basis.gram()))
    if not (np.isfinite(lengths) & (lengths > 0)).all():  # θ* is zero wherever filters are
        filter_normalised = False
        basis = SeededBasis(k, work.seed, objective.anchor, objective.layout, False)
        lengths = np.sqrt(np.diag(basis.gram()))
    if not filter_normalised:  # which else are so long, and see `filter_direction`
        basis = basis.scaled(filters_length(objective) / lengths)
    return basis if _is_seeded(k, objective, kind) else basis.dense()


def _is_seeded(k: int, objective: Objective, kind: str) -> bool:
    return kind == "seeded" or (kind == "auto" and k * objective.anchor.nbytes > LARGE)
