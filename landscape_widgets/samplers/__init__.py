"""Samplers: which parameter vectors to look at. Each says what it asks and what it cannot show."""

from landscape_widgets.errors import did_you_mean
from landscape_widgets.samplers.base import Combined, Sampler
from landscape_widgets.samplers.calibration import Calibration
from landscape_widgets.samplers.descent import Descent
from landscape_widgets.samplers.grid import Grid
from landscape_widgets.samplers.hessian_subspace import HessianSubspace
from landscape_widgets.samplers.interpolation import Interpolation
from landscape_widgets.samplers.jump_and_retrain import JumpAndRetrain
from landscape_widgets.samplers.langevin import Langevin
from landscape_widgets.samplers.minima import Minima
from landscape_widgets.samplers.models import Models
from landscape_widgets.samplers.neighbourhood import Neighbourhood
from landscape_widgets.samplers.rays import Rays
from landscape_widgets.samplers.subspace import Subspace
from landscape_widgets.samplers.trajectory import Recorder, Trajectory

__all__ = [
    "Calibration",
    "Combined",
    "Descent",
    "Grid",
    "HessianSubspace",
    "Interpolation",
    "JumpAndRetrain",
    "Langevin",
    "Minima",
    "Models",
    "Neighbourhood",
    "Rays",
    "Recorder",
    "Sampler",
    "Subspace",
    "Trajectory",
    "resolve",
]


# Those that can be had by name: they need nothing but a model and its data.
BY_NAME: dict[str, type[Sampler]] = {
    kind.__name__.lower(): kind
    for kind in (
        Minima,
        Subspace,
        Grid,
        HessianSubspace,
        Rays,
        Descent,
        Neighbourhood,
        JumpAndRetrain,
        Langevin,
    )
}


def resolve(sampler: Sampler | str | None = None) -> Sampler:
    """A sampler from itself or its name; `Minima()` from None.

    Raises
    ------
    ValueError
        If there is no sampler of that name that can be made without arguments; the near ones are
        named.
    TypeError
        If it is neither.
    """
    if sampler is None:
        return Minima()
    if isinstance(sampler, Sampler):
        return sampler
    if isinstance(sampler, str):
        if sampler.lower() not in BY_NAME:
            names = [kind.__name__ for kind in BY_NAME.values()]
            raise ValueError(f"There is no sampler {sampler!r}. {did_you_mean(sampler, names)}")
        made: Sampler = BY_NAME[sampler.lower()]()
        return made
    if isinstance(sampler, type) and issubclass(sampler, Sampler):
        raise TypeError(
            f"sampler is the class {sampler.__name__}; a sampler is expected. Write "
            f"{sampler.__name__}()."
        )
    raise TypeError(
        f"sampler is {sampler!r}; one of landscape_widgets.samplers, or its name, is expected."
    )
