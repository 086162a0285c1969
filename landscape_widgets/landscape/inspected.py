"""Questions about single samples: how the loss is curved there."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from landscape_widgets.curvature.along import Along, along
from landscape_widgets.landscape.profiled import Profiled
from landscape_widgets.progress import CancelCallback, ProgressCallback, ignore, never
from landscape_widgets.tracebacks import entries


@entries
class Inspected(Profiled):
    """Samples that can be looked at one by one."""

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
