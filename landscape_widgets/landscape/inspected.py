"""Questions about single samples: what kind of point one is, how the loss is curved there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from landscape_widgets import reducers
from landscape_widgets.curvature.along import Along, along
from landscape_widgets.curvature.critical_sharpness import CriticalSharpness, sharpness_along
from landscape_widgets.curvature.curvature import Curvature, curvature_at
from landscape_widgets.curvature.learning_coefficient import LearningCoefficient
from landscape_widgets.curvature.sharpness import Sharpness, sharpness_of
from landscape_widgets.diagnosis import Diagnosis, References, diagnose, references
from landscape_widgets.evaluation.quantities import Split
from landscape_widgets.examples import DataMap, ExampleLosses, features, losses_at
from landscape_widgets.examples.data_map import INPUTS
from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.geometry.cloud import Cloud
from landscape_widgets.landscape.profiled import Profiled
from landscape_widgets.landscape.results import Results
from landscape_widgets.profiles.line import check_samples
from landscape_widgets.progress import CancelCallback, ProgressCallback, ignore, never
from landscape_widgets.samplers.base import Work
from landscape_widgets.samplers.langevin import Langevin
from landscape_widgets.tracebacks import entries

CHAINS = Langevin(chains=4, draws=600, every=1, burn_in=300, batch_size=None)


@entries
class Inspected(Profiled):
    """Samples that can be looked at one by one."""

    _references: References | None = None
    _diagnosed: Mapping[tuple[int, bool | None], Diagnosis] = MappingProxyType({})

    def _take(self, results: Results) -> None:
        self._diagnosed = {at: found for at, found in self._diagnosed.items() if at[0] == 0}
        super()._take(results)

    def diagnosis(
        self,
        i: int = 0,
        *,
        thorough: bool | None = None,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
    ) -> Diagnosis:
        """What kind of point a sample is, and whether the model has learned there.

        The trained weights by default, for which nothing needs to be sampled: a minimum, a saddle,
        flat or still falling; not trained, underfitting or overfitting. With the evidence, how sure
        it is and what would change it. `thorough` is as for `diagnose`. What was found is kept.

        Raises
        ------
        IndexError
            If there is no such sample.
        Cancelled
        """
        name, theta, buffers = "θ*", None, {}
        if self.cloud is not None:
            self.cloud.check_index(i)
            name = self.cloud.names.get(i, f"Sample {i}")
            theta, buffers = self.cloud.vector(i), self.cloud.buffers(i)
        elif i != 0:
            raise IndexError(f"Sample {i} was asked for; there is θ* alone. Call .sample() first.")
        if (i, thorough) in self._diagnosed:
            return self._diagnosed[i, thorough]
        of: dict[str, Any] = {"seed": self.seed, "progress": progress, "cancelled": cancelled}
        if self._references is None:  # they are the same for all samples
            self._references = references(self.objective, thorough=thorough, **of)
        found = diagnose(
            self.objective, theta, known=self._references, name=name, buffers=buffers,
            thorough=thorough, **of,
        )  # fmt: skip
        self._diagnosed = {**self._diagnosed, (i, thorough): found}
        return found

    def diagnosed(self, i: int = 0) -> Diagnosis | None:
        """The diagnosis of a sample, where it is known already."""
        return self._diagnosed.get((i, None))

    def curvature_along(
        self,
        indices: npt.ArrayLike | None = None,
        *,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
    ) -> Along:
        """Slope gᵀd and curvature dᵀHd at θ* along the slices to some samples; see `along`.

        All samples by default: of a cloud of few dimensions that is one Hessian product for each.
        """
        cloud = self._sampled()
        rows = _rows(cloud, indices)
        return along(self.objective, cloud, rows, progress=progress, cancelled=cancelled)

    def curvature(
        self,
        i: int = 0,
        *,
        top: int = 5,
        bottom: int = 2,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
        on_part: Callable[[Curvature], None] | None = None,
    ) -> Curvature:
        """Eigenvalues, trace and spectral density of the Hessian at a sample; see `curvature_at`.

        At the trained weights by default, which takes no samples to be drawn before.
        """
        theta, buffers = self._place(i)
        return curvature_at(
            self.objective, theta, buffers, index=i, top=top, bottom=bottom, seed=self.seed,
            progress=progress, cancelled=cancelled, on_part=on_part,
        )  # fmt: skip

    def sharpness(
        self,
        indices: npt.ArrayLike | None = None,
        *,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
    ) -> Sharpness:
        """The Hessian's largest eigenvalue at some samples, all by default; see `Sharpness`.

        Along a `Trajectory` it shows the edge of stability.
        """
        cloud = self._sampled()
        return sharpness_of(
            self.objective, cloud, _rows(cloud, indices), seed=self.seed,
            progress=progress, cancelled=cancelled,
        )  # fmt: skip

    def critical_sharpness(
        self,
        i: int = 0,
        direction: Tensor | None = None,
        *,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
    ) -> CriticalSharpness:
        """2/η_c at a sample from one gradient and some ten losses; see `CriticalSharpness`.

        For models that are too large for products with the Hessian, or have none. `direction`
        (P,), the negative gradient by default, is what steps are taken along: an optimiser's
        update, say.
        """
        self._place(i)
        return sharpness_along(
            self.objective, self.evaluator, self.cloud, i, direction,
            progress=progress, cancelled=cancelled,
        )  # fmt: skip

    def examples(
        self,
        i: int = 0,
        split: Split = "train",
        *,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
    ) -> ExampleLosses:
        """Which examples are lost at a sample, the trained weights by default.

        The loss of each example, that of each class, and the confusion matrix.

        Raises
        ------
        IndexError
            If there is no such sample.
        ValueError
            If examples have no loss of their own, or there is no validation data.
        Cancelled
        """
        told: dict[str, Any] = {"progress": progress, "cancelled": cancelled}
        if self.cloud is None:
            if i != 0:
                raise IndexError(
                    f"Sample {i} was asked for; there is θ* alone. Call .sample() first."
                )
            nowhere = DenseBasis(self.objective.anchor.new_zeros(1, self.objective.size))
            return losses_at(self.objective, nowhere, np.zeros(1), {}, "θ*", split, **told)
        self.cloud.check_index(i)
        name, buffers = self.cloud.names.get(i, f"sample {i}"), self.cloud.buffers(i)
        row = self.cloud.coefficients[i]
        return losses_at(self.objective, self.cloud.basis, row, buffers, name, split, **told)

    def data_map(
        self,
        layer: str | None = None,
        split: Split = "train",
        *,
        reducer: Any = None,
        n_components: int = 2,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
    ) -> DataMap:
        """The examples laid out by their inputs, or by what a layer makes of them at θ*.

        `layer` is a name as of ``model.named_modules()``; `reducer` is as for `embed`. A ValueError
        is raised if there is no such layer, or it does not give one row an example.
        """
        laid = reducers.resolve(reducer)
        told: dict[str, Any] = {"progress": progress, "cancelled": cancelled}
        points = features(self.objective, layer, split, **told)
        places = laid.fit(points, n_components=n_components, seed=self.seed, **told)
        return DataMap(places, split, layer or INPUTS, points.shape[1], laid.name)

    def learning_coefficient(
        self,
        sampler: Langevin | None = None,
        *,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
    ) -> LearningCoefficient:
        """The local learning coefficient at θ*, with the health of its chains.

        By default from four chains on all training data, without an error of their step; of large
        data and models give chains on a part of it, as ``Langevin(batch_size=256, ...)``. See
        `Langevin.learning_coefficient`. Once a chain is done, `cancelled` keeps what there is.
        """
        chains = CHAINS if sampler is None else sampler
        if not isinstance(chains, Langevin):
            raise TypeError(
                f"The sampler is {type(sampler).__name__}; a Langevin is expected, as "
                "Langevin(chains=4, draws=600, burn_in=300, batch_size=None)."
            )
        work = Work(self.objective, self.seed, progress, cancelled, self.evaluator)
        return chains.learning_coefficient(work)

    def _place(self, i: int) -> tuple[Tensor, dict[str, Tensor]]:
        """A sample's parameter vector, and buffers that are not as at θ*."""
        if i == 0:
            return self.objective.anchor, {}
        cloud = self._sampled()
        cloud.check_index(i)
        return cloud.vector(i), cloud.buffers(i)


def _rows(cloud: Cloud, indices: npt.ArrayLike | None) -> npt.NDArray[np.int64]:
    """Numbers of samples; of all where none are given."""
    return np.arange(len(cloud)) if indices is None else check_samples(cloud, indices)
