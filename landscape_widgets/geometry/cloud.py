"""A cloud of samples: points of an affine subspace of parameter space, and their geometry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from landscape_widgets.geometry.basis import Basis, ConcatenatedBasis, DenseBasis, FloatArray

Space = Literal["weights", "outputs"]


@dataclass
class Cloud:
    """N parameter vectors θ_i = θ* + Σ_j c_ij b_j.

    Parameters
    ----------
    anchor : Tensor, shape (P,)
        The trained weights θ*.
    basis : Basis
        k directions of length P.
    coefficients : array, shape (N, k)
    table : DataFrame with N rows
        What is known of each sample: ``sampler``, ``kind`` (``"trained"``, ``"minimum"``,
        ``"model"``: another one of the user's, ``"end"`` of a path or descent that is not known to
        be a minimum, or ``"sample"``), ``path`` (points of one path share the number; -1: none),
        ``step`` (order within the path), and whatever the sampler adds. ``radius`` is ‖θ_i − θ*‖
        and is filled in where it is missing. Sample 0 is θ* itself.
    space : {"weights", "outputs"}
        What distances the sampler meant this cloud to be seen in.
    assumptions : tuple of str
        Sentences on what the sampler took in place of what was asked for, or did not find.

    Raises
    ------
    ValueError
        If the shapes do not fit together.
    """

    anchor: Tensor
    basis: Basis
    coefficients: FloatArray
    table: pd.DataFrame
    space: Space = "weights"
    assumptions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.coefficients = np.asarray(self.coefficients, dtype=np.float64)
        if self.coefficients.ndim != 2 or self.coefficients.shape[1] != self.basis.k:
            raise ValueError(
                f"Coefficients of shape (N, {self.basis.k}) are expected for {self.basis.k} "
                f"directions; shape {self.coefficients.shape} was given."
            )
        if self.anchor.shape != (self.basis.size,):
            raise ValueError(
                f"θ* has shape {tuple(self.anchor.shape)}, the directions have length "
                f"{self.basis.size}; both must be of the same model."
            )
        if len(self.table) != len(self.coefficients):
            raise ValueError(
                f"The table has {len(self.table)} rows for {len(self.coefficients)} samples."
            )
        self.table = self.table.reset_index(drop=True)
        if "radius" not in self.table:
            self.table["radius"] = self.radii()

    def __len__(self) -> int:
        return len(self.coefficients)

    @cached_property
    def names(self) -> dict[int, str]:
        """What samples that stand out are called, by number: θ*, M1 and M2, E1, a model's name.

        A minimum is an M, another end of a descent an E; the user's models have their own names,
        or numbers.
        """
        table, found, counts = self.table, {}, {"M": 0, "E": 0}
        models = table["model"].to_numpy() if "model" in table else None
        routes = table["route"].to_numpy() if "route" in table else None
        endings = table["ending"].to_numpy() if "ending" in table else None
        for row in np.flatnonzero(table["kind"].to_numpy() != "sample").tolist():
            kind = table["kind"].iat[row]
            model = None if models is None else models[row]
            if kind == "trained":
                found[row] = model if isinstance(model, str) else "θ*"
            elif kind == "model":
                name = model if isinstance(model, str) else f"model {model:.0f}"
                matched = routes is not None and routes[row] == "aligned"
                found[row] = name + ", units matched" * matched
            elif kind == "minimum" or (endings is not None and isinstance(endings[row], str)):
                letter = "M" if kind == "minimum" else "E"
                counts[letter] += 1
                found[row] = f"{letter}{counts[letter]}"
        return found

    def displacement(self, index: int) -> Tensor:
        """θ_i − θ*, shape (P,)."""
        return self.basis.combine(self.coefficients[index]).to(self.anchor.device)

    def vector(self, index: int) -> Tensor:
        """θ_i, shape (P,)."""
        return self.anchor + self.displacement(index)

    def check_index(self, index: int) -> None:
        """Raise an IndexError where there is no such sample."""
        if not 0 <= index < len(self):
            raise IndexError(f"Sample {index} was asked for; there are 0 to {len(self) - 1}.")

    def towards(self, a: int, b: int) -> DenseBasis:
        """The directions θ_a − θ* and θ_b − θ* as a basis of their own.

        Raises
        ------
        IndexError
            If there is no such sample.
        ValueError
            If it is twice the same.
        """
        self.check_index(a)
        self.check_index(b)
        if a == b:
            raise ValueError(f"A plane needs two samples; sample {a} was given twice.")
        basis = DenseBasis(torch.stack([self.displacement(a), self.displacement(b)]))
        if self.basis.buffers is not None:
            basis.buffers = self.basis.buffers.taken(self.coefficients[[a, b]])
        return basis

    def buffers(self, index: int) -> dict[str, Tensor]:
        """The model's buffers at sample i that are not as at θ*, by name."""
        moving = self.basis.buffers
        return {} if moving is None else moving.at(self.coefficients[index])

    def gram(self) -> FloatArray:
        """Inner products of the directions, shape (k, k), in float64."""
        return self.basis.gram()

    def radii(self) -> FloatArray:
        """Distances ‖θ_i − θ*‖, shape (N,)."""
        gram = self.gram()
        lost = ~np.isfinite(np.diag(gram))
        gram[lost], gram[:, lost] = 0.0, 0.0
        squared = ((self.coefficients @ gram) * self.coefficients).sum(axis=1)
        radii: FloatArray = np.sqrt(np.maximum(squared, 0.0))
        radii[(self.coefficients[:, lost] != 0).any(axis=1)] = np.nan
        return radii

    def isometry(self, standardise: bool = False) -> FloatArray:
        """The matrix (k, r), r ≤ k, that takes coefficients to points with the same distances.

        With G = B Bᵀ = V Λ Vᵀ it is V Λ^½: no (N, P) matrix is ever made, and distances come
        from the displacements, so that small ones are not lost in rounding θ* + δ.

        Parameters
        ----------
        standardise
            Measure each parameter in units of its own standard deviation over the cloud.
        """
        gram = self.basis.gram(self._inverse_variances()) if standardise else self.gram()
        lost = ~np.isfinite(np.diag(gram))  # as of a checkpoint that is not finite
        gram[lost], gram[:, lost] = 0.0, 0.0
        values, vectors = np.linalg.eigh(gram)
        # Rank is judged against the largest eigenvalue: below this only rounding is left.
        kept = values > max(values.max(initial=0.0), 0.0) * 1e-14 * len(values)
        order = np.flatnonzero(kept)[::-1]
        matrix: FloatArray = vectors[:, order] * np.sqrt(values[order])
        if not len(order):  # nothing has moved: all in one place
            matrix = np.zeros((self.basis.k, 1))
        matrix[lost] = np.nan
        return matrix

    def points(self, matrix: FloatArray) -> FloatArray:
        """Where `isometry` takes the samples, (N, r); not-a-number along directions that are not
        finite, and along these alone."""
        lost = np.asarray(~np.isfinite(matrix).all(axis=1))
        points: FloatArray = self.coefficients @ np.where(lost[:, None], 0.0, matrix)
        points[(self.coefficients[:, lost] != 0).any(axis=1)] = np.nan
        return points

    def isometric(self, standardise: bool = False) -> FloatArray:
        """Coordinates (N, r), r ≤ k, with the very distances that the samples have in R^P."""
        return np.ascontiguousarray(self.points(self.isometry(standardise)))

    def _inverse_variances(self) -> Tensor:
        """1/σ_p² of each parameter over the cloud (0 where it never varies), shape (P,)."""
        centred = self.coefficients - self.coefficients.mean(axis=0)
        factor = np.linalg.qr(centred / np.sqrt(len(centred)), mode="r")
        reduced = torch.as_tensor(factor)
        inverse = torch.zeros(self.basis.size, dtype=torch.float64)
        for place, columns in self.basis.blocks():
            block = columns.to("cpu", torch.float64)
            variance = (reduced @ block).square().sum(dim=0)
            inverse[place] = torch.where(variance > 0, 1.0 / variance, 0.0)
        return inverse

    def distances(self) -> FloatArray:
        """Pairwise distances ‖θ_i − θ_j‖, shape (N, N)."""
        from scipy.spatial.distance import pdist, squareform

        result: FloatArray = squareform(pdist(self.isometric()))
        return result

    def principal_coordinates(self, n_components: int = 2) -> FloatArray:
        """The principal components of the samples, shape (N, n_components), zero-padded."""
        points = self.isometric()
        known = np.isfinite(points).all(axis=1)
        centred = points[known] - points[known].mean(axis=0)
        left, singular, _ = np.linalg.svd(centred, full_matrices=False)
        # A component's sign is arbitrary; fix it so that the same cloud gives the same picture.
        rows = np.argmax(np.abs(left), axis=0)
        left = left * np.where(left[rows, np.arange(left.shape[1])] < 0, -1.0, 1.0)
        scores = (left * singular)[:, :n_components]
        places = np.full((len(points), n_components), np.nan)
        places[known] = np.pad(scores, ((0, 0), (0, n_components - scores.shape[1])))
        return places

    def subset(self, indices: npt.ArrayLike) -> Cloud:
        """The samples at `indices`, over the same directions."""
        rows = np.asarray(indices)
        return Cloud(
            self.anchor,
            self.basis,
            self.coefficients[rows],
            self.table.iloc[rows],
            self.space,
            self.assumptions,
        )

    def extended(self, coefficients: FloatArray, table: pd.DataFrame) -> Cloud:
        """The same samples and, behind them, new ones over the same directions."""
        return Cloud(
            self.anchor,
            self.basis,
            np.concatenate([self.coefficients, coefficients]),
            pd.concat([self.table.drop(columns="radius"), table], ignore_index=True),
            self.space,
            self.assumptions,
        )

    def __add__(self, other: Cloud) -> Cloud:
        """Both clouds in one; the second one's copy of θ* is left out, its paths renumbered.

        Raises
        ------
        ValueError
            If the clouds are not around the same trained weights.
        """
        if not isinstance(other, Cloud):
            return NotImplemented
        if self.anchor.shape != other.anchor.shape or not torch.equal(self.anchor, other.anchor):
            raise ValueError(
                "Clouds around the same trained weights are expected; these two differ in θ*. "
                "Sample both from one model."
            )
        return combine([self, other])


def combine(clouds: Sequence[Cloud]) -> Cloud:
    """Several clouds around the same θ* in one, which then stands in it once, as sample 0."""
    rows, tables, first_path, width = [], [], 0, sum(cloud.basis.k for cloud in clouds)
    start = 0
    for number, cloud in enumerate(clouds):
        keep = np.ones(len(cloud), dtype=bool)
        if number > 0:
            keep = (cloud.table["kind"] != "trained").to_numpy()
        padded = np.zeros((int(keep.sum()), width))
        padded[:, start : start + cloud.basis.k] = cloud.coefficients[keep]
        table = cloud.table[keep].copy()
        on_path = table["path"] >= 0
        table.loc[on_path, "path"] += first_path
        first_path = max(first_path, int(table["path"].to_numpy().max(initial=-1)) + 1)
        rows.append(padded)
        tables.append(table)
        start += cloud.basis.k
    spaces = {cloud.space for cloud in clouds}
    return Cloud(
        clouds[0].anchor,
        ConcatenatedBasis([cloud.basis for cloud in clouds]),
        np.concatenate(rows),
        pd.concat(tables, ignore_index=True),
        "weights" if "weights" in spaces else "outputs",
        tuple(dict.fromkeys(said for cloud in clouds for said in cloud.assumptions)),
    )
