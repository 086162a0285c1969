"""See the loss landscape of a trained PyTorch model in JupyterLab."""

import logging

logging.getLogger(__name__).addHandler(logging.NullHandler())

__version__ = "0.1.0"
