"""The examples that a loss is taken of, one by one: which are lost, and where they lie."""

from landscape_widgets.examples.data_map import DataMap, features
from landscape_widgets.examples.losses import ExampleLosses, losses_at

__all__ = ["DataMap", "ExampleLosses", "features", "losses_at"]
