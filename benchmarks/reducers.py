"""Reducers beside the libraries' defaults: how long they take, and how good the maps are.

    python -m benchmarks.reducers

The points are the isometric coordinates of a cloud of `Minima` around an MLP trained on the digits
of scikit-learn. Everything is warm: imported and compiled. "Faster" is the median over runs that
took turns. KL is computed anew for each map, exactly and from the same probabilities (exact
neighbours, perplexity 30); trustworthiness is scikit-learn's, with 15 neighbours.
"""

from __future__ import annotations

import argparse
import statistics
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import openTSNE
import torch
import umap
from scipy.spatial.distance import pdist, squareform
from sklearn import manifold

from benchmarks import measure
from benchmarks.networks import trained
from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.landscape.landscape import Landscape
from landscape_widgets.reducers import TSNE, UMAP
from landscape_widgets.samplers import Minima

SIZES = (600, 1000, 5000)
PERPLEXITY = 30
TARGET = "2 at 1,000"
HEAD = ("samples", "map", "seconds", "times faster", "target", "KL", "trustworthiness")


def cloud(n: int) -> FloatArray:
    """Isometric coordinates of n samples of the default sampler."""
    task = trained("digits MLP 64-64-64-10")
    land = Landscape(task.model, (task.inputs, task.targets), metrics=[])
    sampler = Minima(n=n - 4)  # besides θ* and three minima
    return sampler.draw(land.objective, seed=0).isometric()


def divergence(points: FloatArray) -> Callable[[FloatArray], float]:
    """The exact KL divergence of maps of these points."""
    affinities = openTSNE.affinity.PerplexityBasedNN(points, perplexity=PERPLEXITY, method="exact")
    p = affinities.P.tocoo()

    def of(coordinates: FloatArray) -> float:
        weights = 1 / (1 + pdist(coordinates, "sqeuclidean"))
        total = 2 * weights.sum()
        near = squareform(weights)[p.row, p.col]
        return float((p.data * np.log(p.data / (near / total))).sum())

    return of


def umap_default(points: FloatArray) -> Any:
    """umap-learn as it comes, with a seed."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="n_jobs value .* overridden")
        return umap.UMAP(random_state=0).fit_transform(points)


def openTSNE_default(points: FloatArray) -> Any:  # noqa: N802
    """openTSNE as it comes, with a seed."""
    return openTSNE.TSNE(random_state=0, n_jobs=1).fit(points)


Work = Callable[[FloatArray], Any]
T_SNE: dict[str, Work] = {
    "t-SNE, ours": lambda points: TSNE().fit(points),
    "t-SNE, openTSNE's default": openTSNE_default,
    "t-SNE, scikit-learn's default": lambda points: manifold.TSNE(
        random_state=0, n_jobs=1
    ).fit_transform(points),
}
BY_UMAP: dict[str, Work] = {
    "UMAP, ours": lambda points: UMAP().fit(points),
    "UMAP, umap-learn's default": umap_default,
}


def compare(works: dict[str, Work], points: FloatArray, repetitions: int) -> list[tuple[str, ...]]:
    """Lines of the table: the first is ours, all others are measured against it."""
    maps: dict[str, FloatArray] = {}

    def keeping(name: str, work: Work) -> Callable[[], object]:
        def run() -> None:
            maps[name] = np.asarray(work(points), dtype=np.float64)

        return run

    times = measure.interleaved([keeping(*item) for item in works.items()], repetitions)
    kl = divergence(points)
    lines = []
    for place, name in enumerate(works):
        ratio = measure.median_ratio(times, place, 0)
        lines.append(
            (
                f"{len(points):,}",
                name,
                f"{statistics.median(row[place] for row in times):.2f}",
                "" if place == 0 else f"**{ratio:.1f}**",
                TARGET if "openTSNE" in name else "",
                f"{kl(maps[name]):.3f}" if name.startswith("t-SNE") else "",
                f"{manifold.trustworthiness(points, maps[name], n_neighbors=15):.4f}",
            )
        )
    return lines


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    few = cloud(200)
    for work in (*T_SNE.values(), *BY_UMAP.values()):
        work(few)
    # From 4,096 points on umap-learn searches neighbours by other code, compiled when first used.
    umap.UMAP(random_state=0, n_jobs=1, n_epochs=1).fit(cloud(4200))
    lines: list[tuple[str, ...]] = []
    for n in SIZES:
        points = cloud(n)
        for works in (T_SNE, BY_UMAP):
            lines += compare(works, points, 1 if n > 1000 else 3)
    print(measure.table(HEAD, lines))
    print(
        '\n"Times faster" is how many times longer the library\'s default takes than the first '
        "row of its group, which is ours."
    )


if __name__ == "__main__":
    main()
