"""Samplers: which parameter vectors to look at. Each says what it asks and what it cannot show."""

from landscape_widgets.samplers.base import Combined, Sampler
from landscape_widgets.samplers.calibration import Calibration
from landscape_widgets.samplers.descent import Descent
from landscape_widgets.samplers.minima import Minima
from landscape_widgets.samplers.neighbourhood import Neighbourhood
from landscape_widgets.samplers.rays import Rays
from landscape_widgets.samplers.subspace import Subspace
from landscape_widgets.samplers.trajectory import Recorder, Trajectory

__all__ = [
    "Calibration",
    "Combined",
    "Descent",
    "Minima",
    "Neighbourhood",
    "Rays",
    "Recorder",
    "Sampler",
    "Subspace",
    "Trajectory",
]
