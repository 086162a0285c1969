"""See the loss landscape of a trained PyTorch model in JupyterLab."""

from __future__ import annotations

import logging

__version__ = "0.1.0"

from landscape_widgets import reducers, samplers
from landscape_widgets.cloud import Cloud
from landscape_widgets.landscape import Landscape
from landscape_widgets.objective import Objective

__all__ = ["Cloud", "Landscape", "Objective", "reducers", "samplers"]

logging.getLogger(__name__).addHandler(logging.NullHandler())
