"""See the loss landscape of a trained PyTorch model in JupyterLab."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from landscape_widgets import reducers, samplers
from landscape_widgets._version import __version__
from landscape_widgets.geometry.cloud import Cloud
from landscape_widgets.landscape.landscape import Landscape
from landscape_widgets.objective.objective import Objective

if TYPE_CHECKING:
    from landscape_widgets.widget import LandscapeWidget

__all__ = [
    "Cloud",
    "Landscape",
    "LandscapeWidget",
    "Objective",
    "__version__",
    "reducers",
    "samplers",
]

logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    # The widget needs ipywidgets and bqplot; scripts and clusters do without.
    if name == "LandscapeWidget":
        from landscape_widgets.widget import LandscapeWidget

        return LandscapeWidget
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
