"""How far clouds without structure get, by the number of samples and of checkpoints.

    python -m benchmarks.counts

The thresholds of `faithfulness.words` are lifted to what nulls reach with as few samples as there
are: the 95th percentile, over two networks, seeds and four reducers, of each score of isotropic
noise (of one radius, and at the distances of real samples) and of a real map with shuffled losses.
Beside it the median of real clouds of as many samples (`Minima`), which must lie above for the
score to tell anything.

The second table is of training runs with few to many checkpoints, equally far apart in steps: the
least directedness of real runs, and the most of random walks whose steps are those of the very
runs, with random signs.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from benchmarks import measure
from benchmarks.nulls import NETWORKS, network, shuffled
from landscape_widgets.faithfulness.words import COUNTS
from landscape_widgets.landscape import Landscape
from landscape_widgets.nulls import Isotropic, like
from landscape_widgets.reducers import resolve
from landscape_widgets.samplers import Minima

SCORES = ("trust", "honest", "beyond_radius", "beyond_both", "shared", "aligned")
REDUCERS = ("tsne", "umap", "pca", "mds")
Found = dict[tuple[str, str, int], list[float]]  # by score, cloud and count


def take(found: Found, cloud: str, n: int, land: Landscape, wanted: tuple[str, ...]) -> None:
    """The wanted scores of a map."""
    judged = land.faithfulness().scores if "shared" in wanted else land.faithfulness(1).scores
    for score in wanted:
        value = getattr(judged, score)
        if np.isfinite(value):
            found.setdefault((score, cloud, n), []).append(value)


def scored(seeds: int) -> Found:
    """Scores of nulls and of real clouds, N by N."""
    found: Found = {}
    for name in NETWORKS:
        model, data, _ = network(name, 0)
        for n in COUNTS:
            for seed in range(seeds if n < 1000 else max(1, seeds // 4)):
                real = Landscape(model, data, seed=seed, metrics=[]).sample(Minima(n=n - 4))
                assert real.cloud is not None
                radii = real.cloud.table["radius"].to_numpy()[1:]
                for key in REDUCERS:
                    real.embed(resolve(key))
                    take(found, "real", n, real, SCORES)
                    dealt = real.null("shuffled", seed=seed)
                    dealt.losses = shuffled(real, np.random.default_rng(seed))
                    take(found, "null", n, dealt, ("honest", "beyond_radius", "beyond_both"))
                    for sampler in (
                        Isotropic(np.full(n - 1, np.median(radii))),
                        like(real.cloud, "isotropic", seed),
                    ):
                        null = Landscape(model, data, seed=seed, metrics=[]).sample(sampler)
                        null.embed(resolve(key))
                        one = isinstance(sampler, Isotropic) and np.ptp(sampler.radii) == 0
                        # At many radii there is something to agree on, and to read: the radius.
                        same = ("honest", "shared", "aligned") if one else ()
                        gains = ("trust", "beyond_radius", "beyond_both", *same)
                        take(found, "null", n, null, gains)
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
    isotropic: dict[int, list[float]] = {n: [] for n in COUNTS}
    for weights in runs():
        for n in COUNTS:
            if n > len(weights):
                continue
            steps = np.diff(weights[np.linspace(0, len(weights) - 1, n).astype(int)], axis=0)
            gram = (steps @ steps.T).astype(np.float64)
            real[n].append(gram.sum() / np.trace(gram))
            lengths = np.sqrt(np.diag(gram))
            for _ in range(20):
                signs = rng.choice([-1.0, 1.0], size=len(steps))
                walks[n].append(signs @ gram @ signs / np.trace(gram))
                random = rng.normal(size=steps.shape)
                random *= (lengths / np.linalg.norm(random, axis=1))[:, None]
                isotropic[n].append((random.sum(axis=0) ** 2).sum() / np.trace(gram))
    return [
        (
            str(n),
            f"{np.percentile(isotropic[n], 99):.2f}",
            f"{np.percentile(walks[n], 95):.2f}",
            f"{min(real[n]):.2f}",
            f"{np.percentile(real[n], 5):.2f}",
            f"{np.median(real[n]):.2f}",
        )
        for n in COUNTS
    ]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=8)
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
        "checkpoints", "walks, 99%", "the runs' steps with random signs, 95%", "runs, least",
        "runs, 5%", "runs, median",
    )  # fmt: skip
    print(measure.table(head, directed()))


if __name__ == "__main__":
    main()
