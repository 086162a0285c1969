"""Reducers: from distances between samples to a map. Each says what it shows and what it cannot."""

from __future__ import annotations

from typing import Any

from landscape_widgets.errors import did_you_mean
from landscape_widgets.reducers.base import Frame, Reducer
from landscape_widgets.reducers.mds import MDS
from landscape_widgets.reducers.pca import PCA
from landscape_widgets.reducers.transformer import Transformer
from landscape_widgets.reducers.tsne import TSNE
from landscape_widgets.reducers.umap import UMAP

__all__ = ["MDS", "PCA", "TSNE", "UMAP", "Frame", "Reducer", "Transformer", "default", "resolve"]

FLAT = 2  # dimensions of a cloud that a map shows as they are

BY_NAME: dict[str, type[Reducer]] = {"tsne": TSNE, "umap": UMAP, "pca": PCA, "mds": MDS}


def default(dimensions: int) -> Reducer:
    """What samples of so many dimensions are laid out by where nobody chooses.

    One or two are shown as they are, by principal components, which keep all distances; of more,
    t-SNE keeps the neighbourhoods.
    """
    return PCA() if dimensions <= FLAT else TSNE()


def resolve(reducer: Any = None) -> Reducer:
    """A reducer from itself, its name, or a scikit-learn transformer; `TSNE()` from None.

    Raises
    ------
    ValueError
        If there is no reducer of that name; the near ones are named.
    TypeError
        If it is none of these.
    """
    if reducer is None:
        return TSNE()
    if isinstance(reducer, Reducer):
        return reducer
    if isinstance(reducer, str):
        key = reducer.lower().replace("-", "").replace("_", "")
        if key not in BY_NAME:
            names = [kind.__name__ for kind in BY_NAME.values()]
            raise ValueError(f"There is no reducer {reducer!r}. {did_you_mean(reducer, names)}")
        return BY_NAME[key]()
    if isinstance(reducer, type):
        raise TypeError(
            f"reducer is the class {reducer.__name__}; an instance is expected. Write "
            f"{reducer.__name__}()."
        )
    if hasattr(reducer, "fit_transform"):
        return Transformer(reducer)
    raise TypeError(
        f"reducer is {reducer!r}; one of landscape_widgets.reducers, its name, or a scikit-learn "
        "transformer instance is expected."
    )
