"""How far clouds without structure get, by the number of samples and of checkpoints.

    python -m benchmarks.counts

The thresholds of `trust.thresholds` are lifted to what nulls reach with as few samples as there
are. The first table has the 95th percentile of each score over networks, draws of the samples,
and maps by t-SNE and by principal components, of three nulls: isotropic noise (at one distance from
θ*, and at those of real samples), one random walk, and the real map with shuffled losses. Beside
them is the median of real clouds of as many samples (`Minima`), which must lie above for the score
to tell anything. A score that a null may well reach is left out for it: neighbours along a walk are
neighbours, losses along it and by the distance can be read.

The second says how often a map of each is called faithful, with these thresholds.

The third is of training runs with few to many checkpoints, equally far apart in steps: how directed
they are, beside walks that take the very same steps, each forwards or backwards by chance; and how
far their steps are from being at right angles, as those of a walk in all dimensions are. The last
two columns say how often the runs, and random walks of as many steps in all of 1,000 dimensions,
are called random walks.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import math
import sys
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import nn

from benchmarks import measure
from benchmarks.nulls import NETWORKS, network
from landscape_widgets.landscape.landscape import Landscape
from landscape_widgets.landscape.results import Results
from landscape_widgets.reducers import PCA, TSNE, Reducer
from landscape_widgets.samplers import Minima
from landscape_widgets.trust import scores
from landscape_widgets.trust.nulls import Isotropic, Walk, like, shuffled
from landscape_widgets.trust.thresholds import COUNTS, WALKED, WALKS, Scores, by_count
from landscape_widgets.trust.words import judge

# What each null must not reach, and what of it the thresholds are set by.
ASKED = {
    "isotropic, one radius": ("trust", "honest", "beyond_radius", "shared", "aligned"),
    "isotropic, many radii": ("trust", "beyond_radius"),
    "shuffled losses": ("honest", "beyond_radius"),
    "random walk": ("beyond_radius",),
    "Minima": ("trust", "honest", "beyond_radius", "shared", "aligned"),
}
REAL = "Minima"
SCORES = ASKED[REAL]
NAMES = {
    "trust": "trustworthiness",
    "honest": "loss readable (R²)",
    "beyond_radius": "map adds to distance",
    "shared": "neighbours on other maps",
    "aligned": "layout of other maps",
}
# Fewer iterations than the default has: nulls have no structure that more would bring out.
REDUCERS: tuple[Reducer, ...] = (TSNE(early_iterations=50, iterations=150), PCA())
FROM = 40  # samples; of fewer nothing is said of losses
REPEATS = dict(zip(COUNTS, (4, 4, 4, 3, 2, 2), strict=True))
Found = dict[tuple[str, str, int], list[float]]  # by score, cloud and count


def part(land: Landscape, n: int, seed: int) -> Landscape:
    """θ* and n − 1 of the other samples, drawn at random."""
    assert land.cloud is not None
    others = np.random.default_rng(seed).choice(len(land.losses) - 1, n - 1, replace=False) + 1
    rows = np.concatenate([[0], np.sort(others)])
    few = copy.copy(land)
    few.results = Results(
        land.cloud.subset(rows), {"quantity:loss": land.losses[rows]}, land.evaluated[rows]
    )
    return few


def take(found: Found, cloud: str, n: int, land: Landscape) -> None:
    """Scores of a map, and whether they are called faithful."""
    assert land.cloud is not None
    radii = land.cloud.table["radius"].to_numpy()[:, None]
    paths = land.cloud.table["path"].to_numpy()
    order = land.cloud.table["step"].to_numpy(dtype=np.float64)
    points = land.points("weights")
    enough = n >= FROM
    got = Scores(
        trust=scores.trustworthiness(points, land.coordinates),
        honest=scores.readable(land.coordinates, land.losses, paths) if enough else math.nan,
        by_radius=math.nan,
        beyond_radius=scores.gain(land.coordinates, land.losses, radii, paths)
        if enough
        else math.nan,
        contrast=scores.contrast(points),
        dimension=math.nan,
        directedness=scores.directedness(points, paths, order),
        has_paths=False,
        stretch=scores.stretch(points, land.coordinates),
        count=n,
        distinct=n,
        finite=int(np.isfinite(land.losses).sum()),
        checkpoints=scores.checkpoints(paths),
        turning=scores.turning(points, paths, order),
        parameters=land.objective.size,
    )
    values = {score: getattr(got, score) for score in ASKED[cloud][:3] if score in SCORES[:3]}
    if "shared" in ASKED[cloud]:
        values["aligned"], values["shared"] = land.agreement()
    for score, value in values.items():
        if np.isfinite(value):
            found.setdefault((score, cloud, n), []).append(value)
    said = judge(got).sentence
    called = said.startswith("Neighbourhoods") or "all distances on it are the true" in said
    found.setdefault(("called", cloud, n), []).append(float(called))


def scored(names: Sequence[str]) -> Found:
    """Scores of nulls and of real clouds, N by N."""
    found: Found = {}
    for name in names:
        model, data, _ = network(name, 0)
        most = COUNTS[-1]
        real = Landscape(model, data, metrics=[]).sample(Minima(n=most))
        assert real.cloud is not None
        radii = real.cloud.table["radius"].to_numpy()[1:]
        one = Landscape(model, data, metrics=[]).sample(Isotropic(np.full(most, np.median(radii))))
        many = Landscape(model, data, metrics=[]).sample(like(real.cloud, "isotropic"))
        for n in COUNTS:
            step = np.median(radii) / (n - 1) ** 0.5
            for again, key in itertools.product(range(REPEATS[n]), REDUCERS):
                walk = Landscape(model, data, metrics=[], seed=again)
                walk.sample(Walk((np.full(n - 1, step),)))
                clouds = {
                    REAL: part(real, n, again),
                    "isotropic, one radius": part(one, n, again),
                    "isotropic, many radii": part(many, n, again),
                    "random walk": walk,
                }
                for cloud, land in clouds.items():
                    land.embed(copy.deepcopy(key), space="weights")
                    take(found, cloud, n, land)
                mixed = clouds[REAL]
                assert mixed.cloud is not None
                mixed.results = mixed.results.dealt(shuffled(mixed.cloud, again))
                take(found, "shuffled losses", n, mixed)
            print(name, n, file=sys.stderr, flush=True)
    return found


OPTIMISERS = {
    "Adam 0.003": lambda w: torch.optim.Adam(w, lr=0.003),
    "Adam 0.01": lambda w: torch.optim.Adam(w, lr=0.01),
    "AdamW 0.03": lambda w: torch.optim.AdamW(w, lr=0.03, weight_decay=0.1),
    "SGD 0.1": lambda w: torch.optim.SGD(w, lr=0.1),
    "SGD 0.1 with momentum": lambda w: torch.optim.SGD(w, lr=0.1, momentum=0.9),
    "SGD 1": lambda w: torch.optim.SGD(w, lr=1.0),
}
NOISE = 1000  # dimensions
LENGTHS = (100, 1000)  # steps of a run


def runs() -> Iterator[np.ndarray]:
    """Weights (steps, P) at each step of training runs of many kinds."""
    for name in NETWORKS:
        model, (inputs, targets), _ = network(name, 0)
        for make in OPTIMISERS.values():
            for steps in LENGTHS:
                torch.manual_seed(0)
                for layer in model:
                    if isinstance(layer, nn.Linear):
                        layer.reset_parameters()
                optimiser = make(list(model.parameters()))
                weights = []
                for _ in range(steps):
                    weights.append(nn.utils.parameters_to_vector(model.parameters()).detach())
                    some = torch.randint(len(inputs), (64,))
                    optimiser.zero_grad()
                    nn.functional.cross_entropy(model(inputs[some]), targets[some]).backward()
                    optimiser.step()
                yield torch.stack(weights).numpy()


def directed() -> list[tuple[str, ...]]:
    """Rows of the third table."""
    rng = np.random.default_rng(0)
    real: dict[int, list[float]] = {n: [] for n in COUNTS}
    walks: dict[int, list[float]] = {n: [] for n in COUNTS}
    cosines: dict[int, list[float]] = {n: [] for n in COUNTS}
    for weights in runs():
        for n in COUNTS:
            if n > len(weights):
                continue
            at = weights[np.linspace(0, len(weights) - 1, n).astype(int)].astype(np.float64)
            path, order = np.zeros(n, dtype=np.int64), np.arange(float(n))
            real[n].append(scores.directedness(at, path, order))
            cosines[n].append(scores.turning(at, path, order) * weights.shape[1] ** 0.5)
            gram = np.diff(at, axis=0) @ np.diff(at, axis=0).T
            for _ in range(20):
                signs = rng.choice([-1.0, 1.0], size=n - 1)
                walks[n].append(signs @ gram @ signs / np.trace(gram))

    def called(directedness: list[float], cosines: list[float], n: int) -> str:
        apart = np.array(cosines) <= WALKED
        return f"{np.mean(apart & (np.array(directedness) < by_count(WALKS, n))):.0%}"

    noise: dict[int, list[float]] = {n: [] for n in COUNTS}
    angles: dict[int, list[float]] = {n: [] for n in COUNTS}
    for n in COUNTS:
        for _ in range(100 if n < 1000 else 20):
            at = np.cumsum(rng.normal(size=(n, NOISE)), axis=0)
            path, order = np.zeros(n, dtype=np.int64), np.arange(float(n))
            noise[n].append(scores.directedness(at, path, order))
            angles[n].append(scores.turning(at, path, order) * NOISE**0.5)

    return [
        (
            str(n),
            f"{np.percentile(walks[n], 95):.2f}",
            f"{by_count(WALKS, n):.2f}",
            f"{np.percentile(real[n], 5):.2f}",
            f"{np.median(real[n]):.2f}",
            f"{min(cosines[n]):.1f}",
            called(real[n], cosines[n], n),
            called(noise[n], angles[n], n),
        )
        for n in COUNTS
    ]


def main() -> None:
    """Print the tables."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    options = parser.parse_args()
    found = scored(options.networks)
    lines = []
    for score, (cloud, asked) in itertools.product(SCORES, ASKED.items()):
        if score not in asked:
            continue
        cells = []
        for n in COUNTS:
            values = found.get((score, cloud, n), [])
            known = np.median(values) if cloud == REAL else np.percentile(values or [0], 95)
            cells.append(f"{known:.2f} ({len(values)})" if values else "")
        text = "median" if cloud == REAL else "95%"
        lines.append((NAMES[score], f"{cloud}, {text}", *cells))
    print(measure.table(("score (of maps)", "of", *map(str, COUNTS)), lines), end="\n\n")
    lines = []
    for cloud in ASKED:
        shares = [f"{np.mean(found['called', cloud, n]):.0%}" for n in COUNTS]
        lines.append((cloud, *shares))
    print(measure.table(("maps called faithful", *map(str, COUNTS)), lines), end="\n\n", flush=True)
    head = (
        "checkpoints", "the runs' steps with random signs, 95%", "threshold", "runs, 5%",
        "runs, median", "least cosine of steps · √P", "runs called walks", "walks called walks",
    )  # fmt: skip
    print(measure.table(head, directed()))


if __name__ == "__main__":
    main()
