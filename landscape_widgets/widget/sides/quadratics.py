"""The quadratics of slices, L(θ*) + α gᵀd + ½ α² dᵀHd, for js/src/sides/quadratic.ts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from landscape_widgets.landscape.landscape import Landscape
from landscape_widgets.progress import CancelCallback, ProgressCallback, ignore, never
from landscape_widgets.widget.wire import floats

FEW = 16  # directions of a cloud, of which each takes a product with the Hessian


def answer(
    land: Landscape,
    of: dict[str, Any],
    *,
    show: Callable[[dict[str, Any]], None],
    progress: ProgressCallback = ignore,
    cancelled: CancelCallback = never,
) -> dict[str, Any]:
    """Of all samples (``{"samples": N}``), or of a few (``{"rows": [samples]}``).

    Of all samples only where the cloud has few directions; else ``"all"`` says no, and none come.
    """
    rows = of.get("rows")
    if rows is None and (land.cloud is None or land.cloud.basis.k > FEW):
        return {"all": False}
    found = land.curvature_along(rows, progress=progress, cancelled=cancelled)
    return {
        "all": rows is None,
        "indices": found.indices.tolist(),
        "loss": found.loss,
        "slopes": floats(found.slopes),
        "curvatures": floats(found.curvatures),
    }
