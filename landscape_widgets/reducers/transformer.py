"""Any scikit-learn transformer as a reducer."""

from __future__ import annotations

from typing import Any

import numpy as np

from landscape_widgets.basis import FloatArray
from landscape_widgets.progress import CancelCallback, Progress, ProgressCallback, ignore, never
from landscape_widgets.reducers.base import Frame, FrameCallback, Reducer, check_points


class Transformer(Reducer):
    """Takes an object with ``fit_transform`` as it is: Isomap, LocallyLinearEmbedding, ...

    Parameters
    ----------
    transformer
        Its own n_components count, and its own random_state.
    """

    def __init__(self, transformer: Any) -> None:
        self.transformer = transformer

    @property
    def name(self) -> str:
        return type(self.transformer).__name__

    def __repr__(self) -> str:
        return " ".join(repr(self.transformer).split())

    def check(self, n: int, d: int) -> None:
        neighbours = getattr(self.transformer, "n_neighbors", None)
        if isinstance(neighbours, int) and n <= neighbours:
            raise ValueError(
                f"{self.name} with n_neighbors {neighbours} needs more samples than that; there "
                f"are {n}. Sample more, or give fewer neighbours."
            )

    def fit(
        self,
        points: FloatArray,
        *,
        n_components: int = 2,
        seed: int = 0,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
        on_frame: FrameCallback | None = None,
    ) -> FloatArray:
        self.check(*points.shape)
        check_points(points)
        progress(Progress("map", 0, 1))
        coordinates = np.asarray(self.transformer.fit_transform(points), dtype=np.float64)
        if coordinates.shape != (len(points), n_components):
            raise ValueError(
                f"{self.name} gave coordinates of shape {coordinates.shape}; expected is "
                f"({len(points)}, {n_components}). Set its n_components to {n_components}."
            )
        self.info = {}
        progress(Progress("map", 1, 1))
        if on_frame is not None:
            on_frame(Frame(1, 1, coordinates, None, self.name))
        return coordinates

    def resume(self, points: FloatArray, coordinates: FloatArray, seed: int = 0) -> None:
        raise ValueError(
            f"A map by {self.name} cannot be taken up again. Embed anew, or take t-SNE, UMAP, PCA "
            "or MDS."
        )

    def place(self, points: FloatArray) -> FloatArray:
        if not hasattr(self.transformer, "transform"):
            raise ValueError(
                f"{self.name} cannot place new points on a map that is made. "
                "Embed anew, or take t-SNE, UMAP, PCA or MDS."
            )
        coordinates: FloatArray = np.asarray(self.transformer.transform(points), dtype=np.float64)
        return coordinates
