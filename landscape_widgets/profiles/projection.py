"""Samples projected on a plane: where, and how far from it, from inner products alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from landscape_widgets.geometry.basis import Basis, FloatArray
from landscape_widgets.geometry.cloud import Cloud


@dataclass(frozen=True, eq=False, repr=False)
class Projection:
    """N samples on a plane θ* + a d₁ + b d₂.

    Attributes
    ----------
    coordinates : array (N, 2)
        a and b of the nearest point of the plane; not-a-number for a sample that is not finite.
    distances : array (N,)
        From the plane, as long as ‖θ_i − θ*‖ is.
    radii : array (N,)
        ‖θ_i − θ*‖.
    """

    coordinates: FloatArray
    distances: FloatArray
    radii: FloatArray

    def __len__(self) -> int:
        return len(self.distances)

    def to_frame(self) -> pd.DataFrame:
        """One row a sample, under its number: a, b, distance, radius."""
        a, b = self.coordinates.T
        columns = {"a": a, "b": b, "distance": self.distances, "radius": self.radii}
        return pd.DataFrame(columns).rename_axis("sample")

    def __repr__(self) -> str:
        known = np.isfinite(self.distances) & (self.radii > 0)
        if not known.any():
            return f"Projection({len(self):,} samples)"
        share = float(np.median(self.distances[known] / self.radii[known]))
        return (
            f"Projection({len(self):,} samples; distance from the plane {share:.0%} of that from "
            "θ*, in the median)"
        )


def project(directions: Basis, gram: FloatArray, cloud: Cloud) -> Projection:
    """Project all samples on the plane of two directions with these inner products (2, 2).

    With X = B Dᵀ (k, 2) and G = D Dᵀ the nearest point of θ* + Σ_j c_j b_j has the coordinates
    G⁻¹ Xᵀ c, and its distance squared is ‖Bᵀc‖² less that of its projection: two passes over the
    directions, however many samples there are.

    Raises
    ------
    ValueError
        If the plane is of another model.
    """
    if directions.size != cloud.basis.size:
        raise ValueError(
            f"The plane is of a model of {directions.size:,} parameters, the samples are of one of "
            f"{cloud.basis.size:,}. Project samples of the same model."
        )
    inner, basis_gram = cloud.basis.inner(directions), cloud.gram()
    lost = ~np.isfinite(np.diag(basis_gram)) | ~np.isfinite(inner).all(axis=1)
    inner[lost] = 0.0
    basis_gram[lost], basis_gram[:, lost] = 0.0, 0.0
    coefficients = cloud.coefficients
    # In an orthonormal frame of the plane, of which the first axis is along d₁.
    frame = np.linalg.cholesky(gram)
    placed = np.linalg.solve(frame, inner.T @ coefficients.T).T
    squared = ((coefficients @ basis_gram) * coefficients).sum(axis=1)
    away = np.maximum(squared - (placed**2).sum(axis=1), 0.0)
    coordinates = np.linalg.solve(frame.T, placed.T).T
    distances, radii = np.sqrt(away), np.sqrt(np.maximum(squared, 0.0))
    gone = (coefficients[:, lost] != 0).any(axis=1)
    coordinates[gone], distances[gone], radii[gone] = np.nan, np.nan, np.nan
    return Projection(coordinates, distances, radii)
