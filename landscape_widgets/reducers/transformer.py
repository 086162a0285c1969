"""Any scikit-learn transformer as a reducer."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.progress import CancelCallback, Progress, ProgressCallback
from landscape_widgets.reducers.base import Frame, FrameCallback, Reducer, lowered


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

    def _lower(self, n: int, n_components: int) -> tuple[str, ...]:
        self._fitted, said = self.transformer, []
        for name in ("n_neighbors", "perplexity"):
            asked = getattr(self.transformer, name, None)
            # As many as there are others; a perplexity has to stay below that.
            most = n - 1 if name == "n_neighbors" else (n - 1) / 2
            if isinstance(asked, (int, float)) and asked > most:
                self._fitted = copy.deepcopy(self._fitted)  # the user's own stays as it was given
                setattr(self._fitted, name, most)
                said.append(lowered(name, asked, most, n))
        return tuple(said)

    def _fit(
        self,
        points: FloatArray,
        n_components: int,
        seed: int,
        progress: ProgressCallback,
        cancelled: CancelCallback,
        on_frame: FrameCallback | None,
    ) -> FloatArray:
        progress(Progress("map", 0, 1))
        coordinates = np.asarray(self._fitted.fit_transform(points), dtype=np.float64)
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

    def _resume(self, points: FloatArray, coordinates: FloatArray, seed: int) -> None:
        raise ValueError(
            f"A map by {self.name} cannot be taken up again. Embed anew, or take t-SNE, UMAP, PCA "
            "or MDS."
        )

    def _place(self, points: FloatArray) -> FloatArray:
        if not hasattr(self._fitted, "transform"):
            raise ValueError(
                f"{self.name} cannot place new points on a map that is made. "
                "Embed anew, or take t-SNE, UMAP, PCA or MDS."
            )
        coordinates: FloatArray = np.asarray(self._fitted.transform(points), dtype=np.float64)
        return coordinates
