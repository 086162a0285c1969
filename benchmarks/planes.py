"""Planes from adaptive points: how many evaluations they take, and how wrong they are.

    python -m benchmarks.planes

The networks are trained on the digits of scikit-learn, so that a plane holds what planes are
looked at for: a basin, and the barriers around it. The errors are those of every point of the
51×51 plane, evaluated directly; "says" is what the plane says of itself.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
import torch

from benchmarks import measure
from benchmarks.networks import trained
from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.landscape.landscape import Landscape
from landscape_widgets.profiles.plane import Plane, plane_along
from landscape_widgets.samplers import Minima
from landscape_widgets.task.parameters import random_directions

RESOLUTION = 51
HEAD = (
    "network", "plane", "evaluations", "fewer by", "median error", "p95 error", "largest",
    "says p95", "adaptive, s", "direct, s",
)  # fmt: skip


def planes(land: Landscape) -> Iterator[tuple[str, DenseBasis, tuple[float, float]]]:
    """Kinds of planes: their name, directions and extent."""
    objective = land.objective
    land.sample(Minima(n=4))
    assert land.cloud is not None
    minima = np.flatnonzero(land.cloud.table["kind"] == "minimum")[:2]
    through = torch.stack([land.cloud.displacement(int(index)) for index in minima])
    yield "through two more minima", DenseBasis(through), (-0.5, 1.5)
    for seed in range(2):
        generator = torch.Generator().manual_seed(seed)
        vectors = random_directions(2, objective.anchor, objective.layout, generator)
        yield f"filter-normalised random {seed + 1}", DenseBasis(vectors), (-1.0, 1.0)


def measured(land: Landscape, basis: DenseBasis, extent: tuple[float, float]) -> tuple[str, ...]:
    """One line of the table."""
    found: dict[str, Plane] = {}
    axis = np.linspace(*extent, RESOLUTION)
    rows = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    direct: list[np.ndarray] = []

    def adaptive() -> None:
        found["plane"] = plane_along(land.objective, basis, extent=extent, resolution=RESOLUTION)

    ours = measure.seconds(adaptive)
    theirs = measure.seconds(
        lambda: direct.append(land.objective.evaluate(basis, rows, metrics=False).losses)
    )
    plane = found["plane"]
    truth = direct[0].reshape(plane.losses.shape)
    errors = np.abs(plane.losses - truth) / truth
    return (
        f"{plane.evaluations}",
        f"**{truth.size / plane.evaluations:.1f}**",
        f"{np.median(errors):.3%}",
        f"{np.quantile(errors, 0.95):.2%}",
        f"{errors.max():.2%}",
        f"{plane.errors['loss'].p95:.2%}",
        f"{ours:.2f}",
        f"{theirs:.2f}",
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=300, help="of training")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    lines = []
    for name in ("digits MLP 64-64-64-10", "CNN 8×8"):
        task = trained(name, options.steps)
        land = Landscape(task.model, (task.inputs, task.targets), metrics=[])
        for kind, basis, extent in planes(land):
            lines.append((name, kind, *measured(land, basis, extent)))
    print(measure.table(HEAD, lines))


if __name__ == "__main__":
    main()
