"""What clouds without structure score, beside real ones and the thresholds of `trust.thresholds`.

    nox -s bench -- nulls

Each score has a threshold that nulls must not reach and real clouds must. The first table sets
the two beside it, the second gives all of them: medians, and in brackets the 95th percentile of a
null (the 5th of a real cloud), over networks and seeds.

Structure-free are: directions drawn from all dimensions, at one distance from θ* or at those of
the real samples; random walks; the real map with shuffled losses, or with losses that are a
function of the distance alone; rays whose losses were dealt out among them, or are one number a
ray.
"""

from __future__ import annotations

import argparse
import copy
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_digits
from torch import Tensor, nn

from benchmarks import measure
from landscape_widgets.geometry.cloud import Space
from landscape_widgets.landscape.landscape import Landscape
from landscape_widgets.landscape.results import Results
from landscape_widgets.reducers import resolve
from landscape_widgets.samplers import Minima, Neighbourhood, Rays, Trajectory
from landscape_widgets.samplers.base import Sampler
from landscape_widgets.trust import thresholds
from landscape_widgets.trust.nulls import Isotropic, like
from landscape_widgets.trust.scores import directedness

N = 600
NETWORKS = ("digits", "breast cancer")
REDUCERS = ("tsne", "umap", "pca", "mds")
SCORES = (
    "trust", "honest", "beyond_radius", "beyond_both", "shared", "aligned", "contrast",
    "directedness",
)  # fmt: skip
NAMES = (
    "trustworthiness", "loss readable (R²)", "map adds to distance", "map adds to both",
    "neighbours on other maps", "layout of other maps", "contrast", "directedness",
)  # fmt: skip
HEAD = ("score", "worst null", "null", "thresholds", "real", "")
AGREEING = ("Minima", "one radius", "many radii", "random walks")
REAL = ("Minima", "Neighbourhood", "training", "rays")


@dataclass(frozen=True)
class Row:
    """The scores of one map."""

    cloud: str
    reducer: str
    scores: dict[str, float]


@dataclass(frozen=True)
class Question:
    """Thresholds, the nulls that must stay under the first, and real maps that must not."""

    score: str
    name: str
    thresholds: tuple[float, ...]
    nulls: tuple[str, ...]
    real: str
    reducers: tuple[str, ...] = REDUCERS


NOISE = ("one radius", "many radii")
RAYS = ("rays, losses permuted", "rays, one loss each")
# Random walks have too few paths for what their maps add to be known; directedness tells them.
EVERY = ("distance alone", "shuffled losses", *NOISE, *RAYS)
QUESTIONS = (
    Question("trust", "trustworthiness", thresholds.TRUST, NOISE, "Minima"),
    Question(
        "honest", "loss readable", thresholds.READABLE, ("one radius", "shuffled losses"), "Minima"
    ),
    # Of rays with the losses of others the distance can be read, and the loss hangs on it; what
    # they must not seem to do is to tell more than that, which is asked next.
    Question(
        "honest",
        "the same, paths held out",
        thresholds.READABLE_OF_PATHS,
        ("rays, one loss each",),
        "Neighbourhood",
        ("pca", "mds"),
    ),
    Question("beyond_radius", "map adds to distance", thresholds.GAIN, EVERY, "Minima"),
    Question("beyond_both", "map adds to both", thresholds.GAIN, EVERY, "Minima"),
    Question("contrast", "contrast", (thresholds.CONTRAST,), ("one radius",), "Minima"),
    Question(
        "directedness",
        "directedness",
        (thresholds.by_count(thresholds.WALKS, 40),),
        ("random walks",),
        "training",
    ),
    # At many radii there is something to agree on: the radius.
    Question("shared", "neighbours on other maps", thresholds.SHARED, ("one radius",), "Minima"),
    Question("aligned", "layout of other maps", thresholds.ALIGNED, ("one radius",), "Minima"),
)


OPTIMISERS: tuple[Callable[[list[Tensor]], torch.optim.Optimizer], ...] = (
    lambda weights: torch.optim.Adam(weights, lr=0.003),
    lambda weights: torch.optim.SGD(weights, lr=0.1, momentum=0.9),
)


def network(
    name: str, seed: int, kind: int = 0
) -> tuple[nn.Module, tuple[Tensor, Tensor], list[dict[str, Tensor]]]:
    """A trained classifier, its data, and 40 checkpoints of its training."""
    x, y = (load_digits if name == "digits" else load_breast_cancer)(return_X_y=True)
    x = (x - x.mean(0)) / np.maximum(x.std(0), 1e-3)
    inputs, targets = torch.tensor(x, dtype=torch.float32), torch.tensor(y)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(x.shape[1], 32), nn.ReLU(), nn.Linear(32, int(y.max()) + 1))
    optimiser = OPTIMISERS[kind](list(model.parameters()))
    checkpoints = []
    for step in range(400):
        if step % 10 == 0:
            checkpoints.append({k: v.clone() for k, v in model.state_dict().items()})
        some = torch.randint(len(inputs), (64,))
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(inputs[some]), targets[some]).backward()
        optimiser.step()
    return model.eval(), (inputs, targets), checkpoints


Relabel = Callable[[Landscape, np.random.Generator], np.ndarray]


def by_distance(land: Landscape, rng: np.random.Generator) -> np.ndarray:
    """Losses that rise with the distance from θ*, and with nothing else."""
    assert land.cloud is not None
    radii = land.cloud.table["radius"].to_numpy()
    return 10 ** (4 * radii / radii.max() - 3)


def shuffled(land: Landscape, rng: np.random.Generator) -> np.ndarray:
    """Each sample with the loss of another."""
    return land.null("shuffled").losses


def permuted(land: Landscape, rng: np.random.Generator) -> np.ndarray:
    """Each path with the losses of another."""
    losses, paths, order = land.losses.copy(), *_rows(land)
    losses[order] = land.losses[order].reshape(paths, -1)[rng.permutation(paths)].ravel()
    return losses


def leaking(land: Landscape, rng: np.random.Generator) -> np.ndarray:
    """One loss for each path."""
    losses, paths, order = land.losses.copy(), *_rows(land)
    losses[order] = np.repeat(10 ** rng.normal(size=paths), len(order) // paths)
    return losses


def _rows(land: Landscape) -> tuple[int, np.ndarray]:
    assert land.cloud is not None
    path = land.cloud.table["path"].to_numpy()
    order = np.flatnonzero(path >= 0)
    return len(np.unique(path[order])), order[np.argsort(path[order], kind="stable")]


def judged(
    land: Landscape, cloud: str, reducer: str, others: dict[str, Relabel], space: Space
) -> Iterator[Row]:
    """Scores of a map of a cloud, and of the same map with other losses."""
    land.embed(resolve(reducer), space=space)
    agreement = land.agreement() if cloud in AGREEING else (np.nan, np.nan)
    rng = np.random.default_rng(land.seed)
    for name, relabel in {cloud: None, **others}.items():
        shown = copy.copy(land)
        if relabel is not None:
            columns = {**land.results.columns, "quantity:loss": relabel(land, rng)}
            shown.results = Results(land.cloud, columns, land.evaluated)
        scores = shown.faithfulness(seeds=1).agreeing(*agreement).scores
        yield Row(name, reducer, {score: getattr(scores, score) for score in SCORES})


def training(name: str, seed: int, kind: int) -> Row:
    """How directed the training of a network was, with 40 checkpoints."""
    model, data, checkpoints = network(name, seed, kind)
    cloud = Trajectory(checkpoints).draw(Landscape(model, data, metrics=[]).objective, seed=seed)
    order = cloud.table["step"].to_numpy(dtype=np.float64)
    found = directedness(cloud.isometric(), cloud.table["path"].to_numpy(), order)
    return Row("training", "", {"directedness": found})


def rows(task: tuple[str, int]) -> list[Row]:
    """All maps of one network."""
    torch.set_num_threads(1)
    name, seed = task
    model, data, _ = network(name, seed)
    found = [training(name, seed, kind) for kind in range(len(OPTIMISERS))]

    def take(
        cloud: str,
        sampler: Sampler,
        others: dict[str, Relabel] | None = None,
        space: Space = "weights",
    ) -> Landscape:
        land = Landscape(model, data, seed=seed, metrics=[]).sample(sampler)
        for reducer in REDUCERS:
            found.extend(judged(land, cloud, reducer, others or {}, space))
        return land

    real = take("Minima", Minima(n=N), {"distance alone": by_distance, "shuffled losses": shuffled})
    assert real.cloud is not None
    radii = real.cloud.table["radius"].to_numpy()[1:]
    take("one radius", Isotropic(np.full(N, np.median(radii))))
    take("many radii", like(real.cloud, "isotropic"))
    take("random walks", like(real.cloud, "walk"))
    rays = {"rays, losses permuted": permuted, "rays, one loss each": leaking}
    take("rays", Rays(rays=N // 10, points=10), rays)
    take("Neighbourhood", Neighbourhood(arms=N // 8), space="outputs")
    return found


def summary(values: list[float], real: bool) -> str:
    """Median, and the percentile on the side of the threshold."""
    known = [value for value in values if np.isfinite(value)]
    if not known:
        return ""
    return f"{np.median(known):.2f} ({np.percentile(known, 5 if real else 95):.2f})"


Values = Callable[[str, tuple[str, ...], tuple[str, ...]], list[float]]


def answer(q: Question, values: Values) -> tuple[str, ...]:
    """One line of the first table: the null that comes closest to the threshold."""
    reached = {null: values(q.score, (null,), q.reducers) for null in q.nulls}
    worst = max(reached, key=lambda null: float(np.nanpercentile(reached[null], 95)))
    real = values(q.score, (q.real,), q.reducers)
    shown = (
        summary(reached[worst], False),
        "**" + ", ".join(f"{step:g}" for step in q.thresholds) + "**",
        summary(real, True),
    )
    return q.name, worst, *shown, q.real


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    tasks = [(name, seed) for seed in range(options.seeds) for name in NETWORKS]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.processes, mp_context=context) as pool:
        found = [row for part in pool.map(rows, tasks) for row in part]

    def values(score: str, clouds: tuple[str, ...], reducers: tuple[str, ...]) -> list[float]:
        return [
            row.scores[score]
            for row in found
            if row.cloud in clouds and row.reducer in (*reducers, "") and score in row.scores
        ]

    print(measure.table(HEAD, [answer(question, values) for question in QUESTIONS]), end="\n\n")
    lines = []
    for cloud in dict.fromkeys(row.cloud for row in found if row.reducer):
        for reducer in REDUCERS:
            known = [summary(values(s, (cloud,), (reducer,)), cloud in REAL) for s in SCORES]
            lines.append((cloud, resolve(reducer).name, *known))
    print(measure.table(("cloud", "map", *NAMES), lines))


if __name__ == "__main__":
    main()
