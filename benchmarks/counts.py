"""How far clouds without structure get, by the number of samples and of checkpoints.

    python -m benchmarks.counts

The thresholds of `faithfulness.words` are lifted to what nulls reach with as few samples as there
are: the 95th percentile, over two networks, seeds, and maps by t-SNE and principal components, of
each score of isotropic noise (of one radius, and at the distances of real samples) and of a real
map with shuffled losses. Beside it the median of real clouds of as many samples (`Minima`), which
must lie above for the score to tell anything.

The second table is of training runs with few to many checkpoints, equally far apart in steps: how
directed they are, beside walks that take the very same steps, each forwards or backwards by chance;
and how far their steps are from being at right angles, as those of a walk in all dimensions are.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import sys
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from benchmarks import measure
from benchmarks.nulls import NETWORKS, network
from landscape_widgets.faithfulness import scores
from landscape_widgets.faithfulness.words import COUNTS, WALKED, WALKS, by_count
from landscape_widgets.landscape import Landscape
from landscape_widgets.nulls import Isotropic, like
from landscape_widgets.reducers import resolve
from landscape_widgets.samplers import Minima

SCORES = ("trust", "honest", "gain", "shared", "aligned")
REDUCERS = ("tsne", "pca")
Found = dict[tuple[str, str, int], list[float]]  # by score, cloud and count


def part(land: Landscape, n: int, seed: int) -> Landscape:
    """θ* and n − 1 of the other samples, drawn at random."""
    assert land.cloud is not None
    others = np.random.default_rng(seed).choice(len(land.losses) - 1, n - 1, replace=False) + 1
    rows = np.concatenate([[0], np.sort(others)])
    few = copy.copy(land)
    few.cloud, few.losses = land.cloud.subset(rows), land.losses[rows]
    few.evaluated, few.outputs = land.evaluated[rows], None
    return few


def take(found: Found, cloud: str, n: int, land: Landscape, wanted: tuple[str, ...]) -> None:
    """The wanted scores of a map."""
    assert land.cloud is not None
    radii = land.cloud.table["radius"].to_numpy()[:, None]
    none = np.full(n, -1)
    values = {}
    if "trust" in wanted:
        values["trust"] = scores.trustworthiness(land.points("weights"), land.coordinates)
    if "honest" in wanted:
        values["honest"] = scores.readable(land.coordinates, land.losses, none)
    if "gain" in wanted:
        values["gain"] = scores.gain(land.coordinates, land.losses, radii, none)
    if "shared" in wanted:
        values["aligned"], values["shared"] = land.agreement()
    for score, value in values.items():
        if np.isfinite(value):
            found.setdefault((score, cloud, n), []).append(value)


def scored(seeds: int) -> Found:
    """Scores of nulls and of real clouds, N by N."""
    found: Found = {}
    for name in NETWORKS:
        model, data, _ = network(name, 0)
        for seed in range(seeds):
            made = [Landscape(model, data, seed=seed, metrics=[]) for _ in range(3)]
            most = COUNTS[-1]
            real = made[0].sample(Minima(n=most))
            assert real.cloud is not None
            radii = real.cloud.table["radius"].to_numpy()[1:]
            one = made[1].sample(Isotropic(np.full(most, np.median(radii))))
            many = made[2].sample(like(real.cloud, "isotropic", seed))
            for n in COUNTS:
                if n == most and seed:
                    continue
                for key, again in itertools.product(REDUCERS, range(4 if n < 100 else 1)):
                    drawn = [part(land, n, again) for land in (real, one, many)]
                    for land in drawn:
                        land.embed(resolve(key), space="weights")
                    take(found, "real", n, drawn[0], SCORES)
                    take(found, "null", n, drawn[1], SCORES)
                    # At many radii there is something to agree on, and to read: the radius.
                    take(found, "null", n, drawn[2], ("trust", "gain"))
                    drawn[0].losses = np.random.default_rng(again).permutation(drawn[0].losses)
                    take(found, "null", n, drawn[0], ("honest", "gain"))
        print(name, "done", file=sys.stderr, flush=True)
    return found


OPTIMISERS = {
    "Adam 0.003": lambda w: torch.optim.Adam(w, lr=0.003),
    "Adam 0.01": lambda w: torch.optim.Adam(w, lr=0.01),
    "AdamW 0.03": lambda w: torch.optim.AdamW(w, lr=0.03, weight_decay=0.1),
    "SGD 0.1": lambda w: torch.optim.SGD(w, lr=0.1),
    "SGD 0.1 with momentum": lambda w: torch.optim.SGD(w, lr=0.1, momentum=0.9),
    "SGD 1": lambda w: torch.optim.SGD(w, lr=1.0),
}
LENGTHS = (100, 400, 1000, 4000)  # steps of a run


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
    """Rows of the second table."""
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

    def called(n: int) -> float:
        apart = np.array(cosines[n]) <= WALKED
        return float(np.mean(apart & (np.array(real[n]) < by_count(WALKS, n))))

    return [
        (
            str(n),
            f"{np.percentile(walks[n], 95):.2f}",
            f"{by_count(WALKS, n):.2f}",
            f"{np.percentile(real[n], 5):.2f}",
            f"{np.median(real[n]):.2f}",
            f"{min(cosines[n]):.1f}",
            f"{called(n):.0%}",
        )
        for n in COUNTS
    ]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = scored(options.seeds)
    lines = []
    for score in SCORES:
        for cloud, text in (("null", "nulls, 95%"), ("real", "Minima, median")):
            cells = []
            for n in COUNTS:
                values = found.get((score, cloud, n), [])
                known = np.percentile(values, 95) if cloud == "null" else np.median(values)
                cells.append(f"{known:.2f}" if values else "")
            lines.append((score, text, *cells))
    print(measure.table(("score", "of", *map(str, COUNTS)), lines), end="\n\n")
    head = (
        "checkpoints", "the runs' steps with random signs, 95%", "threshold", "runs, 5%",
        "runs, median", "least cosine of steps · √P", "runs called walks",
    )  # fmt: skip
    print(measure.table(head, directed()))


if __name__ == "__main__":
    main()
