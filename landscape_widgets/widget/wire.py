"""What goes over the wire: arrays as float32 bytes, everything else as JSON."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from landscape_widgets import reducers, samplers
from landscape_widgets.basis import FloatArray
from landscape_widgets.cloud import Cloud
from landscape_widgets.estimate import EstimatedSlice
from landscape_widgets.faithfulness import Faithfulness
from landscape_widgets.landscape import Landscape
from landscape_widgets.progress import Progress
from landscape_widgets.reducers.base import Frame, Reducer
from landscape_widgets.samplers.base import Sampler
from landscape_widgets.slices import Slice

PHASES = {
    "losses": "evaluating losses",
    "examples": "estimating losses",
    "map": "laying out the map",
    "trust": "judging the map",
    "slices": "taking slices",
    "estimates": "refining slices",
}
MOST_FRAMES = 60  # of a map's making that are kept
SPACES = {"weights": "weights", "outputs": "outputs"}


def floats(values: npt.ArrayLike | None) -> bytes:
    """Values as float32 in C order; nothing as no bytes."""
    if values is None:
        return b""
    return np.ascontiguousarray(values, dtype=np.float32).tobytes()


class Profiles:
    """Slices of all samples over the same values of α, as far as they are known."""

    def __init__(self, n: int, alphas: FloatArray, with_val: bool) -> None:
        self.n = n
        self.alphas = alphas
        self.losses = np.full((n, len(alphas)), np.nan, dtype=np.float32)
        self.val_losses = np.full_like(self.losses, np.nan) if with_val else None
        self.errors = np.zeros_like(self.losses)
        self.val_errors = np.zeros_like(self.losses) if with_val else None
        self.examples = np.zeros(n, dtype=np.float32)
        self._known = np.zeros(n, dtype=bool)

    def grow(self, n: int) -> None:
        """Make room for samples behind those that are there."""
        more = ((0, n - self.n), (0, 0))
        self.losses = np.pad(self.losses, more, constant_values=np.nan)
        self.errors = np.pad(self.errors, more)
        if self.val_losses is not None and self.val_errors is not None:
            self.val_losses = np.pad(self.val_losses, more, constant_values=np.nan)
            self.val_errors = np.pad(self.val_errors, more)
        self.examples = np.pad(self.examples, more[0])
        self._known = np.pad(self._known, more[0])
        self.n = n

    def has(self, index: int) -> bool:
        """Whether a sample's slice is there."""
        return bool(self._known[index])

    def put(self, found: Slice) -> None:
        """Take in slices over these very values of α."""
        # A first value that is not a number means "not known" to the browser.
        self.losses[found.indices] = np.nan_to_num(found.losses, nan=np.inf, posinf=np.inf)
        if self.val_losses is not None and found.val_losses is not None:
            self.val_losses[found.indices] = np.nan_to_num(
                found.val_losses, nan=np.inf, posinf=np.inf
            )
        if isinstance(found, EstimatedSlice):
            self.errors[found.indices] = np.nan_to_num(found.errors, nan=0.0)
            if self.val_errors is not None and found.val_errors is not None:
                self.val_errors[found.indices] = np.nan_to_num(found.val_errors, nan=0.0)
            self.examples[found.indices] = found.examples
        self._known[found.indices] = True


def estimates(profile: Profiles, n_examples: int, tolerance: float) -> dict[str, Any]:
    """How sure slices are that are from a part of the examples."""
    return {
        "errors": floats(profile.errors),
        "val_errors": floats(profile.val_errors),
        "examples": floats(profile.examples),
        "of": n_examples,
        "tolerance": tolerance,
    }


def samples(cloud: Cloud | None) -> dict[str, list[Any]]:
    """What is known of each sample without evaluating it."""
    names = ("sampler", "kind", "path", "step")
    if cloud is None:
        return {name: [] for name in names}
    return {name: cloud.table[name].tolist() for name in names}


def columns(land: Landscape, distortion: FloatArray | None = None) -> dict[str, bytes]:
    """What colours and tooltips may show of each sample."""
    assert land.cloud is not None
    found: dict[str, Any] = {"loss": land.losses}
    if land.loss_errors is not None:
        found["loss_error"] = land.loss_errors
    if land.val_losses is not None:
        found["val_loss"] = land.val_losses
        found["gap"] = land.val_losses - land.losses
    found["radius"] = land.cloud.table["radius"]
    found.update(land.metrics)
    path = land.cloud.table["path"].to_numpy()
    if (path >= 0).any():
        found["path"] = np.where(path >= 0, path.astype(float), np.nan)
    if distortion is not None and len(distortion) == len(land.losses):
        found["distortion"] = distortion
    return {name: floats(values) for name, values in found.items()}


def progress(
    state: str, at: Progress | None = None, left: float | None = None, message: str = ""
) -> dict[str, Any]:
    """Where the work is: phase, count, seconds left."""
    return {
        "state": state,
        "phase": "" if at is None else PHASES.get(at.phase, at.phase),
        "done": 0 if at is None else at.done,
        "total": 0 if at is None else at.total,
        "seconds_left": left,
        "message": message,
    }


def trust(found: Faithfulness) -> dict[str, Any]:
    """The readouts below the map."""
    return {
        "sentence": found.sentence,
        "level": found.level,
        "readouts": [
            {
                "name": readout.name,
                "value": readout.text,
                "word": readout.word,
                "level": readout.level,
                "sentence": readout.sentence,
            }
            for readout in found.readouts
        ],
    }


def film(frames: list[tuple[Frame, FloatArray]], reducer: Reducer) -> tuple[bytes, dict[str, Any]]:
    """The intermediate maps, one after the other, and what was minimised at each."""
    kept = frames[:: max(1, len(frames) // MOST_FRAMES)]
    values = [frame.objective for frame, _ in kept]
    trace = {
        "name": reducer.objective,
        "iterations": [frame.iteration for frame, _ in kept],
        "values": [v if v is not None and np.isfinite(v) else None for v in values],
    }
    return b"".join(floats(coordinates) for _, coordinates in kept), trace


def choices(
    land: Landscape, sampler: Sampler, reducer: Reducer, space: str | None
) -> tuple[dict[str, list[dict[str, str]]], dict[str, str]]:
    """What the bar offers, and what is chosen."""

    def listed(known: dict[str, str], key: str, label: str) -> list[dict[str, str]]:
        offered = dict(known)
        offered.setdefault(key, label)
        return [{"key": k, "label": v} for k, v in offered.items()]

    sampler_key = type(sampler).__name__.lower()
    reducer_key = type(reducer).__name__.lower()
    cloud_space = sampler.space if land.cloud is None else land.cloud.space
    spaces = dict(SPACES)
    if land.objective.outputs_shape is None:
        del spaces["outputs"]
    known_samplers = {name: kind.__name__ for name, kind in samplers.BY_NAME.items()}
    known_reducers = {name: kind().name for name, kind in reducers.BY_NAME.items()}
    offered = {
        "sampler": listed(known_samplers, sampler_key, sampler.name),
        "reducer": listed(known_reducers, reducer_key, reducer.name),
        "space": listed(spaces, cloud_space, cloud_space),
    }
    chosen = {
        "sampler": sampler_key,
        "reducer": reducer_key,
        "space": cloud_space if space is None else space,
    }
    return offered, chosen


def info(land: Landscape, sampler: Sampler, reducer: Reducer, space: str | None) -> dict[str, Any]:
    """Title, axes and caption of the map."""
    objective = land.objective
    mapped = land.reducer is reducer and bool(np.isfinite(land.coordinates).any())
    named = "weights" if land.cloud is None else land.cloud.space
    space = space or named
    if mapped:
        title = f"{reducer.name} of {land.space}"
        settings = reducer.info.get("perplexity"), reducer.info.get("n_neighbors")
        if settings[0] is not None:
            title += f" · perplexity {settings[0]:g}"
        elif settings[1] is not None:
            title += f" · {settings[1]} neighbours"
    else:
        title = "Principal components of the weights, until the map is there"
    axes: list[str] = []
    shares = reducer.info.get("explained_variance_ratio") if mapped else None
    if shares is not None:
        axes = [f"PC {i + 1} ({share:.0%} of the variance)" for i, share in enumerate(shares[:2])]
    caption = [f"{objective.size:,} parameters"]
    if land.cloud is not None:
        caption.insert(0, f"{len(land.cloud):,} samples")
    data = f"{objective.n_examples:,} training"
    if objective.n_val_examples:
        data += f" and {objective.n_val_examples:,} validation"
    caption.append(f"{data} examples" + (" (a part, drawn with the seed)" * objective.capped))
    if land.tolerance is not None:
        caption.append(f"losses estimated to a standard error of {100 * land.tolerance:.2g}%")
    caption.append(f"loss: {objective.loss_function.name}")
    if objective.has_batchnorm:
        caption.append(f"batch statistics: {objective.batchnorm}")
    caption.append(f"seed {land.seed}")
    notes = [f"one small part of {objective.size:,} dimensions; another seed shows another"]
    return {"title": title, "axes": axes, "caption": caption, "notes": notes}
