"""Losses over a plane whose hollows and saddles are known, and samples of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from scipy.optimize import root

from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.geometry.cloud import Cloud
from landscape_widgets.profiles.graph import Losses


class Hollows:
    """Gaussian hollows in a plain of a given height: Σ −depth · exp(−|x − centre|² / 2 width²)."""

    def __init__(self, *hollows: tuple[float, float, float], width: float = 1.0, plain: float = 2):
        self.centres = np.array([(x, y) for x, y, _ in hollows])
        self.depths = np.array([depth for _, _, depth in hollows])
        self.width, self.plain = width, plain
        self.asked: list[np.ndarray] = []

    def __call__(self, points: np.ndarray) -> np.ndarray:
        squared = ((points[:, None] - self.centres) ** 2).sum(-1)
        return self.plain - np.exp(-squared / 2 / self.width**2) @ self.depths

    def at(self, points: np.ndarray) -> Losses:
        self.asked.append(points)
        return Losses(self(points), np.zeros(len(points)))

    def still(self, near: Sequence[float]) -> tuple[np.ndarray, float]:
        """The place where the gradient is zero, by Newton's method, and the loss there."""

        def slope(place: np.ndarray) -> np.ndarray:
            away = place - self.centres
            weights = np.exp(-(away**2).sum(-1) / 2 / self.width**2) * self.depths / self.width**2
            return weights @ away

        found = root(slope, near, tol=1e-12)
        assert found.success
        return found.x, float(self(found.x[None])[0])


def cloud_of(points: np.ndarray, kinds: dict[int, str] | None = None) -> Cloud:
    """Samples at points (N, d), the first of which is θ*."""
    kind = ["trained", *["sample"] * (len(points) - 1)]
    for row, name in (kinds or {}).items():
        kind[row] = name
    table = pd.DataFrame({"sampler": "test", "kind": kind, "path": -1, "step": 0})
    basis = DenseBasis(torch.eye(points.shape[1], dtype=torch.float64))
    return Cloud(torch.zeros(points.shape[1], dtype=torch.float64), basis, points, table)
