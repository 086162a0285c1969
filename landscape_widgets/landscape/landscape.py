"""A loss landscape without a notebook: sample, evaluate, embed, slice, ask."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from torch import nn

from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.geometry.cloud import Cloud, Space
from landscape_widgets.landscape import faithfulness, files, saved
from landscape_widgets.landscape.bootstrap import refined
from landscape_widgets.landscape.inspected import Inspected
from landscape_widgets.landscape.map import Map, Measure, embed, outputs_fit, places
from landscape_widgets.landscape.results import Results
from landscape_widgets.landscape.table import table
from landscape_widgets.progress import CancelCallback, Cancelled, ProgressCallback, ignore, never
from landscape_widgets.reducers.base import Frame, Reducer
from landscape_widgets.tracebacks import entries
from landscape_widgets.trust import Faithfulness, nulls
from landscape_widgets.trust.terrain import SIZE, Terrain


@entries
class Landscape(Inspected):
    """The loss of a model on its data, sampled around the trained weights.

    >>> land = Landscape(model, (X, y)).sample(Minima(k=3, n=1000)).embed(TSNE())  # doctest: +SKIP
    >>> land.to_frame().head()  # doctest: +SKIP

    What takes long takes `progress`, told how far it is, and `cancelled`, asked whether to stop:
    what is done by then is kept, and what is worth nothing by halves raises `Cancelled`.

    Parameters
    ----------
    model
        As for `Objective`; or several models by their names, the first a module and the others of
        the same architecture, also as state dicts or files: see `samplers.Models`.
    data, val_data, loss, metrics, progress, cancelled, options
        As for `Objective`. All that is drawn is drawn with `seed`, always alike.
    client : dask.distributed.Client, optional
        Whose workers evaluate the samples.
    tolerance : float, optional
        Take the training losses of samples from as many examples, the same ones for all samples,
        as their standard errors need to be at most this share of them. All are taken by default.
    weight_decay : float, optional
        What torch's optimiser was given when the model was trained; see `penalised`.

    Attributes
    ----------
    objective, evaluator, sampler, results, values, losses, evaluated, ...
        As of `Sampled`.
    map : Map or None
        Where the samples lie: its coordinates, reducer and space are at hand here, too.
    """

    map: Map | None = None

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What was inferred or is approximate, as sentences; see `Objective.assumptions`."""
        told_by = (self.objective, self.cloud, self.reducer)
        return tuple(said for one in told_by if one is not None for said in one.assumptions)

    def _map(self) -> Map:
        if self.map is None or self.map.measure is None:
            raise RuntimeError("There is no map yet. Call .embed() first.")
        return self.map

    def _mapped(self) -> tuple[Map, FloatArray]:
        """The map, and the samples (N, d) as its measure takes them."""
        shown = self._map()
        return shown, shown.points(self.objective, self._sampled(), self.outputs)

    def _take(self, results: Results) -> None:
        self.map = None
        super()._take(results)

    def refine(
        self,
        indices: npt.ArrayLike,
        n: int = 100,
        *,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
        on_drawn: Callable[[Cloud], None] | None = None,
        on_chunk: Callable[[npt.NDArray[np.int64]], None] | None = None,
    ) -> Landscape:
        """Sample `n` more around some samples, and place them on the map as it is.

        All that was there keeps its number and its place. See `bootstrap.refined` for how they are
        drawn, and `sample` for the keywords. A ValueError is raised if no samples are given, n is
        not positive, or the map was read from a file that does not tell how it was made.
        """
        cloud = self._sampled()
        if self.map is not None:
            self.map.check_known()
        more = refined(cloud, indices, n, self.seed)
        self.results = self.results.grown(more, outputs=outputs_fit(self.objective, len(more)))
        if on_drawn is not None:
            on_drawn(more)
        self.evaluate_rest(progress=progress, cancelled=cancelled, on_chunk=on_chunk)
        self.place(np.arange(len(cloud), len(more)))
        return self

    # The map

    @property
    def coordinates(self) -> FloatArray:
        """The map (N, 2 or 3); NaN for samples that are not on it."""
        return places(self.map, len(self.results))

    @property
    def reducer(self) -> Reducer | None:
        """What the map was made by."""
        return None if self.map is None else self.map.reducer

    @property
    def space(self) -> Space | None:
        """What distances were measured in for the map."""
        return None if self.map is None else self.map.space

    def embed(
        self,
        reducer: Any = None,
        *,
        space: Space | None = None,
        standardise: bool = False,
        n_components: int = 2,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
        on_frame: Callable[[Frame, npt.NDArray[np.int64]], None] | None = None,
    ) -> Landscape:
        """Lay the samples out in 2 or 3 dimensions.

        Parameters
        ----------
        reducer
            One of `landscape_widgets.reducers`, its name, or a scikit-learn transformer; by
            default `PCA()` for samples of one or two dimensions, which are shown as they are,
            and `TSNE()` for all others.
        space : {"weights", "outputs"}, optional
            What distances are measured in; by default what the sampler names as its own.
        standardise
            Measure each parameter, or output, in units of its own standard deviation.
        progress, cancelled
            A cancelled reducer leaves its last map.
        on_frame : callable, optional
            Gets each intermediate map and the indices of its samples.
        """
        of = self.objective, self._sampled(), self.outputs
        measure = Measure.of(*of, space, standardise)
        self.map = embed(
            measure,
            measure.points(*of),
            self.evaluated,
            reducer,
            n_components=n_components,
            seed=self.seed,
            progress=progress,
            cancelled=cancelled,
            on_frame=on_frame,
        )
        return self

    def place(self, indices: npt.ArrayLike) -> None:
        """Find a place on the map for evaluated samples without one, the others staying put."""
        if self.reducer is not None:
            shown, points = self._mapped()
            rows = np.asarray(indices)
            self.map = shown.extended(len(points)).placed(points, rows[self.evaluated[rows]])

    def distortion(self) -> FloatArray:
        """Share of each sample's neighbours that the map does not show as such, (N,)."""
        return faithfulness.distortion(*self._mapped())

    def faithfulness(
        self,
        seeds: int = 3,
        *,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
    ) -> Faithfulness:
        """How far the map can be trusted; see `landscape_widgets.trust`.

        `seeds` maps are compared, this one among them (see `agreement`); 1 makes no others, which
        saves their time and leaves the agreement out.
        """
        shown, points = self._mapped()
        found = faithfulness.judge(shown, points, self.results, self.objective, seed=self.seed)
        if seeds < 2:
            return found
        return found.agreeing(*self.agreement(seeds, progress=progress, cancelled=cancelled))

    def terrain(self, size: int = SIZE) -> Terrain:
        """The loss over a map of two dimensions, as far as its samples tell it.

        `size` places along either axis. See `trust.terrain.terrain`; a ValueError is raised for a
        map of three dimensions, and for fewer than twenty samples.
        """
        return faithfulness.terrain(self._map(), self.results, size=size, seed=self.seed)

    def agreement(
        self,
        seeds: int = 3,
        *,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
    ) -> tuple[float, float]:
        """How alike this map and others of the same cloud are; see `faithfulness.agreement`."""
        return faithfulness.agreement(
            *self._mapped(), seeds, seed=self.seed, progress=progress, cancelled=cancelled
        )

    def null(
        self,
        kind: str = "isotropic",
        *,
        seed: int | None = None,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
    ) -> Landscape:
        """The same picture of samples without structure, to lay beside this one.

        Its losses are real, unless they are shuffled; its map is made as this one was.

        Parameters
        ----------
        kind : {"shuffled", "isotropic", "walk"}
            "shuffled": this map, with losses and metrics dealt out anew among its samples.
            "isotropic": samples as far from θ*, in random directions. "walk": random walks with
            steps as long as those of this cloud's paths. See `nulls.like`; a ValueError is raised
            if these do not fit in memory.
        seed : int, optional
            Of the null; that of the landscape by default.
        """
        nulls.check_kind(kind)
        cloud, shown = self._sampled(), self._map()
        null = copy.copy(self)
        null.seed = self.seed if seed is None else seed
        if kind == "shuffled":
            order = nulls.shuffled(cloud, null.seed)
            null.results = self.results.dealt(order)
            return null
        null.sample(nulls.like(cloud, kind, null.seed), progress=progress, cancelled=cancelled)
        if not cancelled():
            null.embed(**shown.settings, progress=progress, cancelled=cancelled)
        if cancelled():
            raise Cancelled
        return null

    # As a table, and on disk

    def to_frame(self) -> pd.DataFrame:
        """One row for each evaluated sample, under its number.

        Columns: loss, loss_error (where losses are estimated), val_loss, radius, x, y (and z),
        name, sampler, kind, path, step, each metric ("val_accuracy"), and what the sampler adds.
        """
        self._sampled()
        results = self.results
        return table(results, places(self.map, len(results)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything but the model and the data to one file (safetensors with JSON)."""
        self._write(path, self.map)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        model: nn.Module | Mapping[str, Any],
        data: Any,
        **keywords: Any,
    ) -> Landscape:
        """Read back what `save` has written, with the model and the data that it was made of.

        Keywords are those of `Landscape`; seed, tolerance and weight_decay are the saved ones
        unless given. A ValueError is raised if model or data are others than it was made of.
        """
        file = files.read(path)
        made = {name: file.document.get(name) for name in ("seed", "tolerance", "weight_decay")}
        land = cls(model, data, **{**made, **keywords})
        saved.check_origin(file, path, land.objective, land.tolerance)
        land._restore(file)
        land.map = saved.unpack_map(file)
        return land
