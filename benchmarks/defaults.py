"""What maps of trained networks can carry, and what they cost: why the defaults are what they are.

    python -m benchmarks.defaults

R² is that of log loss guessed from ten neighbours on the map, whole paths held out; "distance
alone" is the same from ‖θ − θ*‖. g|r and g|rh are the shares of the squared error that the map
removes beyond that distance, and beyond it and the change of predictions. Seconds are of one
thread's CPU, for sampling, evaluating and mapping, as the widget does them, but for metrics and
validation data.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks import measure
from benchmarks.trained import TASKS, Trained, trained
from landscape_widgets.geometry.cloud import Space
from landscape_widgets.landscape.landscape import Landscape
from landscape_widgets.reducers import MDS, PCA, TSNE, UMAP, Reducer
from landscape_widgets.samplers import (
    Descent,
    Minima,
    Neighbourhood,
    Rays,
    Sampler,
    Subspace,
)
from landscape_widgets.trust import scores

TARGETS = {"trust": 0.95, "honest": 0.8, "beyond_radius": 0.4, "beyond_both": 0.3}
NAMES = {
    "honest": "honest R²",
    "by_radius": "distance alone",
    "beyond_radius": "g\\|r",
    "beyond_both": "g\\|rh",
    "trust": "trustworthiness",
    "seconds": "seconds",
}
BUDGET = 15  # seconds


@dataclass(frozen=True)
class Row:
    """What was measured of one map."""

    honest: float
    by_radius: float
    beyond_radius: float
    beyond_both: float
    trust: float
    seconds: float

    def missed(self) -> list[str]:
        """Names of the targets that are not reached."""
        return [NAMES[key] for key, least in TARGETS.items() if not getattr(self, key) >= least]


def landscape(network: Trained, sampler: Sampler, seed: int) -> tuple[Landscape, float]:
    """A sampled and evaluated landscape, and the CPU seconds that it took."""
    start = time.process_time()
    land = Landscape(network.model, network.train, metrics=[], seed=seed).sample(sampler)
    return land, time.process_time() - start


def judged(land: Landscape, before: float, reducer: Reducer, space: Space) -> Row:
    """The scores of one map of a landscape that took `before` seconds to sample."""
    start = time.process_time()
    land.embed(reducer, space=space)
    seconds = before + time.process_time() - start
    assert land.cloud is not None
    assert land.outputs is not None
    features = land.objective.output_features(land.outputs)
    radii = land.cloud.table["radius"].to_numpy()
    both = np.column_stack([radii, np.linalg.norm(features - features[0], axis=1)])
    rest = land.losses, land.cloud.table["path"].to_numpy()
    seed = land.seed
    return Row(
        honest=scores.readable(land.coordinates, *rest, seed),
        by_radius=scores.readable(radii[:, None], *rest, seed),
        beyond_radius=scores.gain(land.coordinates, rest[0], radii[:, None], rest[1], seed),
        beyond_both=scores.gain(land.coordinates, rest[0], both, rest[1], seed),
        trust=scores.trustworthiness(land.points(space), land.coordinates, seed=seed),
        seconds=seconds,
    )


def per_network(names: Iterable[str], seeds: Iterable[int]) -> None:
    """Print the default beside its targets, for each network and seed."""
    lines = []
    for name in names:
        network = trained(name)
        for seed in seeds:
            land, before = landscape(network, Minima(), seed)
            row = judged(land, before, TSNE(), "weights")
            missed = row.missed() + (["seconds"] if row.seconds > BUDGET else [])
            label = name if TASKS[name].chosen_by else f"{name} (not looked at)"
            measures = cells([row], np.median)
            lines.append((label, str(seed), *measures, *ends(land), ", ".join(missed) or "none"))
    targets = [f"≥ {TARGETS[key]:.2f}" if key in TARGETS else "" for key in NAMES]
    targets[-1] = f"≤ {BUDGET}"
    lines.insert(0, ("*to reach*", "", *targets, "", "", ""))
    head = ("network", "seed", *NAMES.values(), "loss at θ*", "at the descents' ends", "missed")
    print(measure.table(head, lines))


def ends(land: Landscape) -> tuple[str, str]:
    """The loss at θ*, and those at the ends of the descents, with how they ended."""
    assert land.cloud is not None
    table = land.cloud.table
    found = [
        f"{land.losses[row]:.1e}{'' if ending == 'minimum' else f' ({ending})'}"
        for row, ending in enumerate(table["ending"])
        if isinstance(ending, str) and ending
    ]
    return f"{land.losses[0]:.1e}", ", ".join(found) or "none"


# Every sampler with t-SNE in both spaces, and the default sampler with every reducer.
SAMPLERS: tuple[Sampler, ...] = (
    Minima(),
    Minima(n=600, extent=(-0.4, 1.3)),
    Subspace(n=1000),
    Rays(rays=50, points=20),
    Descent(runs=20),
    Neighbourhood(),
)
REDUCERS: tuple[type[Reducer], ...] = (TSNE, UMAP, PCA, MDS)
SPACES: tuple[Space, ...] = ("weights", "outputs")


Key = tuple[str, str, str]  # sampler, space, reducer


def compared(names: Iterable[str], seeds: Iterable[int]) -> None:
    """Print samplers × spaces × reducers: medians over networks and seeds, the worst, the best."""
    found: dict[Key, list[Row]] = {}
    UMAP().warm_up()
    for name, seed in itertools.product(names, seeds):
        network = trained(name)
        for sampler in SAMPLERS:
            land, before = landscape(network, sampler, seed)
            reducers = REDUCERS if sampler == SAMPLERS[0] else (TSNE,)
            for space in SPACES:
                for make in reducers:
                    key = (_shown(sampler), space, make.__name__)
                    found.setdefault(key, []).append(judged(land, before, make(), space))
    lines = [
        (*key, *cells(rows, np.median), *cells(rows, np.min)[:5]) for key, rows in found.items()
    ]
    head = ("sampler", "space", "reducer", *NAMES.values())
    worst = tuple(f"worst {name}" for name in list(NAMES.values())[:5])
    print(measure.table((*head, *worst), lines))
    alike = choice(found)
    print(
        f"\nOf the rows that reach every target everywhere, in a median of {BUDGET} s or less, "
        "those whose g\\|rh is the highest, or below it by less than the standard error of the "
        f"difference, quickest first: {'; '.join(' '.join(key) for key in alike) or 'none'}."
    )


def choice(found: dict[Key, list[Row]]) -> list[Key]:
    """The best rows as far as these networks and seeds can tell, quickest first.

    By the one-standard-error rule (Breiman et al. 1984): as good as the highest mean g|rh is what
    is below it by no more than the standard error of that (paired) difference.
    """
    fit = {
        key: np.array([row.beyond_both for row in rows])
        for key, rows in found.items()
        if not any(row.missed() for row in rows)
        and np.median([row.seconds for row in rows]) <= BUDGET
    }
    if not fit:
        return []
    highest = max(fit.values(), key=np.mean)
    alike = [
        key
        for key, gains in fit.items()
        if (highest - gains).mean() <= (highest - gains).std(ddof=1) / np.sqrt(len(gains))
    ]
    return sorted(alike, key=lambda key: np.median([row.seconds for row in found[key]]))


def _shown(sampler: Sampler) -> str:
    if isinstance(sampler, Minima) and sampler != Minima():
        return f"Minima, {sampler.n} in {list(sampler.extent)}"
    return sampler.name


def cells(rows: list[Row], reduce: Callable[[list[float]], float]) -> list[str]:
    """Each measure of several maps as one number."""
    return [f"{reduce([getattr(row, key) for row in rows]):.2f}" for key in NAMES]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2, help="of sampling")
    parser.add_argument("--default-only", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    TSNE().warm_up()
    per_network(TASKS, range(options.seeds))
    if not options.default_only:
        print()
        compared([name for name, task in TASKS.items() if task.chosen_by], range(options.seeds))


if __name__ == "__main__":
    main()
