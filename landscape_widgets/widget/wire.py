"""What goes over the wire: arrays as float32 bytes, everything else as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline

from landscape_widgets.evaluation.quantities import LOSSES, VALIDATION
from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.geometry.cloud import Cloud
from landscape_widgets.landscape.landscape import Landscape
from landscape_widgets.landscape.table import with_errors
from landscape_widgets.profiles.estimated import EstimatedSlice
from landscape_widgets.profiles.line import Slice
from landscape_widgets.progress import Progress
from landscape_widgets.reducers.base import Reducer
from landscape_widgets.trust import Faithfulness
from landscape_widgets.trust.loss_scale import FLOOR, LossScale
from landscape_widgets.trust.readouts import AGREEMENT
from landscape_widgets.widget.opening import opening, opening_plane

FloatArray32 = npt.NDArray[np.float32]

PHASES = {
    "reading": "reading the data",
    "trying": "trying the model",
    "compiling": "compiling, once on this machine",
    "compiling anew": "compiling, in each kernel: there is no folder to keep it in",
    "untrained": "taking losses of untrained networks",
    "radius": "looking how far to go",
    "reach": "looking how far to go along each direction",
    "minima": "descending to minima",
    "descents": "descending",
    "arms": "drawing arms",
    "jumps": "jumping and retraining",
    "ways": "finding ways to the models",
    "checkpoints": "reading checkpoints",
    "Hessian": "finding the directions of the highest curvature",
    "step size": "finding how long steps may be",
    "chains": "drawing chains",
    "losses": "evaluating losses",
    "examples": "estimating losses",
    "map": "laying out the map",
    "trust": "judging the map",
    "edges": "looking for ways between samples",
    "slices": "taking slices",
    "norms": "adding up norms",
    "gradient": "looking at a point",
    "curvature": "looking how the loss curves",
    "descending": "descending a few steps",
    "ahead": "taking slices ahead",
    "between": "taking the points between on slices",
    "plane": "drawing the plane",
    "agreement": "comparing with other maps",
    "null": "mapping the null",
    "estimates": "refining slices",
    "refined ahead": "refining slices ahead",
}
# Of these, the one that is underway is told of; of all others, how many are done.
ONE_BY_ONE = {
    "untrained",
    "radius",
    "reach",
    "minima",
    "descents",
    "arms",
    "jumps",
    "ways",
    "chains",
}


def floats(values: npt.ArrayLike | None) -> bytes:
    """Values as float32 in C order; nothing as no bytes."""
    if values is None:
        return b""
    return np.ascontiguousarray(values, dtype=np.float32).tobytes()


class Profiles:
    """Slices of all samples over the same values of α, as far as they are known.

    Parameters
    ----------
    n : int
    alphas : array (A,)
    losses : sequence of str
        "loss", and "val_loss" where there is validation data.

    Attributes
    ----------
    values : dict of arrays (n, A), float32
        By quantity: the losses, and metrics as soon as one of them is known.
    errors : dict of arrays (n, A), float32
        Standard errors of the losses.
    examples : array (n,)
        How many a slice is from, where not all.
    interpolated : array (n,) of bool
        Whether losses are, at every second value of α.
    """

    def __init__(self, n: int, alphas: FloatArray, losses: Sequence[str]) -> None:
        self.n, self.alphas = n, alphas
        self.values: dict[str, FloatArray32] = {}
        self._known: dict[str, npt.NDArray[np.bool_]] = {}
        for name in losses:
            self._make_room(name)
        self.errors = {name: np.zeros_like(values) for name, values in self.values.items()}
        self.examples = np.zeros(n, dtype=np.float32)
        self.interpolated = np.zeros(n, dtype=bool)

    def _make_room(self, name: str) -> None:
        shape = (self.n, len(self.alphas))
        self.values[name] = np.full(shape, np.nan, dtype=np.float32)
        self._known[name] = np.zeros(self.n, dtype=bool)

    def grow(self, n: int) -> None:
        """Make room for samples behind those that are there."""
        more = ((0, n - self.n), (0, 0))
        for name in self.values:
            self.values[name] = np.pad(self.values[name], more, constant_values=np.nan)
            self._known[name] = np.pad(self._known[name], more[0])
        for name in self.errors:
            self.errors[name] = np.pad(self.errors[name], more)
        self.examples = np.pad(self.examples, more[0])
        self.interpolated = np.pad(self.interpolated, more[0])
        self.n = n

    def has(self, index: int, quantities: Iterable[str] = ("loss",)) -> bool:
        """Whether a sample's slice of each of some quantities is there."""
        return all(name in self._known and self._known[name][index] for name in quantities)

    def put(self, found: Slice) -> None:
        """Take in slices over these values of α, or over those that were interpolated."""
        places = np.ix_(found.indices, np.searchsorted(self.alphas, found.alphas))
        for name, values in found.values.items():
            if name not in self.values:
                self._make_room(name)
            # A first value that is not a number means "not known" to the browser.
            self.values[name][places] = np.nan_to_num(values, nan=np.inf, posinf=np.inf)
            self._known[name][found.indices] = True
        for name, errors in found.errors.items():
            self.errors[name][found.indices] = np.nan_to_num(errors, nan=0.0)
        if isinstance(found, EstimatedSlice):
            self.examples[found.indices] = found.examples
        if "loss" in found.values:
            self.interpolated[found.indices] = False

    def put_half(self, found: Slice) -> None:
        """Take in slices over every second value of α, and interpolate them at the others.

        Slices with a loss that is not finite are left out.
        """
        whole = np.isfinite(list(found.values.values())).all(axis=(0, 2))
        filled = {
            name: between(found.alphas, losses[whole], self.alphas)
            for name, losses in found.values.items()
        }
        indices = found.indices[whole]
        self.put(Slice(indices, self.alphas, filled))
        self.interpolated[indices] = True

    def forget_interpolated(self) -> bool:
        """Forget losses of which a half is interpolated; whether there were any."""
        rows = self.interpolated
        if not rows.any():
            return False
        for name in self.errors:
            self.values[name][rows] = np.nan
            self._known[name][rows] = False
        self.interpolated = np.zeros_like(rows)
        return True


def between(alphas: FloatArray, losses: FloatArray, wanted: FloatArray) -> FloatArray:
    """Losses (n, A) interpolated at other values of α, by cubic splines of their logarithm.

    Where one of a slice is below zero, by a spline of the losses themselves.
    """
    positive = (losses >= 0).all(axis=1, keepdims=True)
    heights = np.where(positive, np.log(np.maximum(losses, FLOOR)), losses)
    found: FloatArray = CubicSpline(alphas, heights, axis=1)(wanted)
    with np.errstate(over="ignore"):
        result: FloatArray = np.where(positive, np.exp(found), found)
    return result


def estimates(profile: Profiles, n_examples: int, tolerance: float) -> dict[str, Any]:
    """How sure slices are that are from a part of the examples."""
    return {
        "errors": {name: floats(errors) for name, errors in profile.errors.items()},
        "examples": floats(profile.examples),
        "of": n_examples,
        "tolerance": tolerance,
    }


def samples(cloud: Cloud | None) -> dict[str, Any]:
    """What is known of each sample without evaluating it; and names, by number, of some."""
    columns = ("sampler", "kind", "path", "step")
    if cloud is None:
        return {**{name: [] for name in columns}, "names": {}}
    found: dict[str, Any] = {name: cloud.table[name].tolist() for name in columns}
    found["kind"] = kinds(cloud)
    found["names"] = {str(row): name for row, name in cloud.names.items()}
    return found


# What ends of descents that are no minima are called.
ENDINGS = {
    "still falling": "still falling",
    "stuck": "stuck in a kink",
    "no gradient": "without a gradient",
    "not finite": "before the loss is not finite",
}


def kinds(cloud: Cloud) -> list[str]:
    """What each sample is, in the words of the legend and the tooltips."""
    table = cloud.table
    found: list[str] = table["kind"].tolist()
    for row, kind in enumerate(found):
        if kind == "end":
            ending = table["ending"][row] if "ending" in table else ""
            known = ENDINGS.get(ending)
            found[row] = "end of a path" if known is None else f"end of a descent, {known}"
    return found


def columns(land: Landscape, distortion: FloatArray | None = None) -> dict[str, bytes]:
    """What colours and tooltips may show of each sample."""
    results = land.results
    cloud, values = results.cloud, results.values
    assert cloud is not None
    found: dict[str, Any] = with_errors(results)
    if "val_loss" in values:
        found["gap"] = values["val_loss"] - values["loss"]
    found["radius"] = cloud.table["radius"]
    found.update(values)
    path = cloud.table["path"].to_numpy()
    if (path >= 0).any():
        found["path"] = np.where(path >= 0, path.astype(float), np.nan)
    if distortion is not None and len(distortion) == len(results):
        found["distortion"] = distortion
    return {name: floats(values) for name, values in found.items()}


def progress(
    state: str,
    at: Progress | None = None,
    left: float | None = None,
    message: str = "",
    *,
    at_most: float | None = None,
) -> dict[str, Any]:
    """Where the work is: phase, count, seconds left, and those after which it is left undone."""
    words, done, total = "", 0.0, 0
    if at is not None:
        words, done, total = PHASES.get(at.phase, at.phase), at.done, at.total
        if total > 1 and at.phase in ONE_BY_ONE:
            words += f", {min(at.done + 1, total)} of {total}"
            done, total = (at.done + at.within) / total, 1
    return {
        "state": state,
        "phase": words,
        "done": done,
        "total": total,
        "seconds_left": left,
        "at_most": at_most,
        "message": message,
    }


def trust(found: Faithfulness, more: bool = False) -> dict[str, Any]:
    """The readouts below the map; with `more`, those of the agreement are still to come."""
    readouts = [
        {
            "name": readout.name,
            "value": readout.text.replace("-", "−"),
            "word": readout.word,
            "level": readout.level,
            "sentence": readout.sentence,
        }
        for readout in found.readouts
    ]
    if more:  # they have their rows already, so that nothing jumps when they come
        waiting = {"value": "…", "word": "", "level": "info", "sentence": "Takes two more maps."}
        readouts += [{"name": name, **waiting} for name in AGREEMENT]
    return {"sentence": found.sentence, "level": found.level, "readouts": readouts}


def map_name(reducer: Reducer, space: str, standardised: bool) -> str:
    """What a map is called: "t-SNE of standardised weights"."""
    return f"{reducer.name} of {'standardised ' * standardised}{space}"


READING: dict[str, Any] = {
    "title": "No samples yet",
    "axes": [],
    "caption": [],
    "diagnosis": "",
    "notes": [],
    "assumptions": [],
    "quantities": [],
    "opening": [],
    "opening_plane": [],
}


def info(land: Landscape, standardised: bool, note: str = "") -> dict[str, Any]:
    """Title, axes and caption of the map that is there; `note` ends its title."""
    objective, reducer = land.objective, land.reducer
    mapped = reducer is not None and bool(np.isfinite(land.coordinates).any())
    told = reducer.info if mapped and reducer is not None else {}
    if mapped and reducer is not None:
        title = map_name(reducer, land.space or "weights", standardised)
        if "perplexity" in told:
            title += f" · perplexity {told['perplexity']:g}"
        elif "n_neighbors" in told:
            title += f" · {told['n_neighbors']} neighbours"
        if note:
            title += f" · {note}"
    elif land.cloud is None:
        title = "No samples yet"
    else:
        title = "Principal components of the weights, until the map is there"
    axes: list[str] = []
    shares = told.get("explained_variance_ratio")
    if shares is not None:
        axes = [f"PC {i + 1} ({share:.0%} of the variance)" for i, share in enumerate(shares)]
    caption = [f"{objective.size:,} parameters"]
    if land.cloud is not None:
        caption.insert(0, f"{len(land.cloud):,} samples")
    data = f"{objective.n_examples:,} training"
    if objective.n_val_examples:
        data += f" and {objective.n_val_examples:,} validation"
    caption.append(f"{data} examples" + (" (a part, drawn with the seed)" * objective.capped))
    if land.tolerance is not None:
        caption.append(f"losses estimated to a standard error of {100 * land.tolerance:.2g}%")
    said = f"The loss is {objective.loss_function.name}"
    if not any(sentence.startswith(said) for sentence in land.assumptions):
        caption.append(f"loss: {objective.loss_function.name}")
    if land.strategy:
        caption.append(f"evaluated {land.strategy}")
    caption.append(f"seed {land.seed}")
    notes = [f"one small part of {objective.size:,} dimensions; another seed shows another"]
    return {
        "title": title,
        "axes": axes,
        "caption": caption,
        "diagnosis": "" if (found := land.diagnosed()) is None else found.sentence,
        "notes": notes,
        **scales(land),
        "assumptions": list(land.assumptions),
        "weight_decay": land.weight_decay,
        "opening": opening(land),
        "opening_plane": opening_plane(land),
    }


LINEAR = {"kind": "linear", "unit": 1.0, "lowest": 0.0}  # as it is


def scales(land: Landscape) -> dict[str, Any]:
    """How high losses are drawn (see js/src/draw/loss_scale.ts), and all that slices can show."""
    scale = asdict(LossScale.of(land.losses))
    quantities = [
        {"name": name, "label": label(name), "scale": scale if name in LOSSES else LINEAR}
        for name in land.quantities
    ]
    return {"scale": scale, "quantities": quantities}


def label(quantity: str) -> str:
    """What a quantity is called: "validation loss"."""
    name = quantity.removeprefix(VALIDATION)
    return f"{'validation' if name != quantity else 'training'} {NAMES.get(name, name)}"


NAMES = {"r2": "R²", "f1": "F1"}
