"""What people ask of a landscape, and the samplers and maps that answer it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from landscape_widgets import samplers
from landscape_widgets.geometry.cloud import Space
from landscape_widgets.reducers.base import Reducer
from landscape_widgets.samplers.base import Combined, Sampler
from landscape_widgets.trust import Faithfulness


@dataclass(frozen=True)
class Purpose:
    """A question, and what is taken for it.

    Attributes
    ----------
    key, label : str
    samplers : tuple of str
        Names of those that answer it; the first that can be had is taken.
    reducer : str
        The name of the map that fits.
    space : str or None
        What distances mean; the sampler's own where it is None.
    lacking : str
        What to give where none of the samplers can be had.
    """

    key: str
    label: str
    samplers: tuple[str, ...]
    reducer: str = "tsne"
    space: Space | None = None
    lacking: str = ""


MINIMA = Purpose("minima", "Other minima?", ("minima", "jumpandretrain"))
MODELS = Purpose(
    "models",
    "Between my models?",
    ("models", "interpolation"),
    lacking="There is only one model. Give several by name, "
    "LandscapeWidget({'one': a, 'other': b}, data), or set "
    "w.sampler = landscape_widgets.samplers.Interpolation(weights of the others).",
)
EVERYTHING = Purpose("everything", "Everything", ("combined",))
PURPOSES = (
    MINIMA,
    Purpose(
        "around",
        "Around here?",
        ("neighbourhood", "subspace", "rays", "grid", "hessiansubspace", "langevin"),
        reducer="mds",
    ),
    Purpose("training", "Along training?", ("trajectory", "descent"), reducer="pca"),
    MODELS,
    EVERYTHING,
)
TOGETHER = ("minima", "neighbourhood", "trajectory", "models")  # what "everything" is


def of(sampler: Sampler) -> Purpose | None:
    """The question that a sampler answers; None for one that was read from a file."""
    key = type(sampler).__name__.lower()
    return next((purpose for purpose in PURPOSES if key in purpose.samplers), None)


def by_key(key: str) -> Purpose:
    """The question of this key."""
    return next(purpose for purpose in PURPOSES if purpose.key == key)


def sampler_for(purpose: Purpose, used: Mapping[str, Sampler]) -> Sampler:
    """The sampler that answers a question, as it was used before, or by default.

    Raises
    ------
    ValueError
        If it takes what is not there; it says what to give.
    """
    known: dict[str, Sampler] = {
        **{name: kind() for name, kind in samplers.BY_NAME.items()},
        **used,
    }
    if purpose is EVERYTHING:
        return Combined(tuple(known[name] for name in TOGETHER if name in known))
    for name in purpose.samplers:
        if name in known:
            return known[name]
    raise ValueError(purpose.lacking)


def better(found: Faithfulness, sampler: Sampler, reducer: Reducer) -> dict[str, str] | None:
    """What does better than a map that is not to be trusted: what to choose, and in words.

    Measured on eleven networks: of all samplers, only points of a slice through further minima,
    laid out by t-SNE or UMAP, tell more of the loss than distance from θ* does.
    """
    if found.level != "bad" or found.scores.finite == 0 or found.scores.alike:
        return None
    if of(sampler) not in (MINIMA, MODELS):
        why = "A slice through other minima can be laid out truthfully."
        label = "Ask for other minima"
        return {"what": "question", "key": MINIMA.key, "label": label, "why": why}
    if type(reducer).__name__ not in ("TSNE", "UMAP"):
        why = f"{reducer.name} cannot unfold these samples."
        return {"what": "reducer", "key": "tsne", "label": "Lay them out by t-SNE", "why": why}
    return None
