"""Questions about single samples: what kind of point one is, how the loss is curved there."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from landscape_widgets.curvature.along import Along, along
from landscape_widgets.diagnosis import Diagnosis, References, diagnose, references
from landscape_widgets.landscape.profiled import Profiled
from landscape_widgets.progress import CancelCallback, ProgressCallback, ignore, never
from landscape_widgets.tracebacks import entries


@entries
class Inspected(Profiled):
    """Samples that can be looked at one by one."""

    _references: References | None = None

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
        it is and what would change it. `thorough` is as for `diagnose`.

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
        of: dict[str, Any] = {"seed": self.seed, "progress": progress, "cancelled": cancelled}
        if self._references is None:  # they are the same for all samples
            self._references = references(self.objective, thorough=thorough, **of)
        return diagnose(
            self.objective, theta, known=self._references, name=name, buffers=buffers,
            thorough=thorough, **of,
        )  # fmt: skip

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
        rows = np.arange(len(cloud)) if indices is None else np.atleast_1d(np.asarray(indices))
        return along(self.objective, cloud, rows, progress=progress, cancelled=cancelled)
