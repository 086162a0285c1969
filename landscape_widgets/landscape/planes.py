"""Which plane is asked for, by two samples or by the name of its directions."""

from __future__ import annotations

from landscape_widgets.errors import did_you_mean
from landscape_widgets.landscape.sampled import Sampled
from landscape_widgets.profiles import span
from landscape_widgets.profiles.span import Span
from landscape_widgets.progress import CancelCallback, ProgressCallback, ignore, never

DIRECTIONS = ("random", "gradient", "hessian", "trajectory")

Wanted = str | tuple[int, int]


def check(a: int | None, b: int | None, directions: Wanted | None) -> Wanted:
    """What is asked for by ``plane(a, b)`` or ``plane(directions=...)``, one of the two.

    Raises
    ------
    TypeError, ValueError
        If it is neither, or both, or there are no such directions.
    """
    if directions is None:
        if a is None or b is None:
            raise TypeError(
                "plane() takes two samples, plane(a, b), or directions=, one of "
                f"{', '.join(map(repr, DIRECTIONS))} or two samples (a, b)."
            )
        return a, b
    if a is not None or b is not None:
        raise TypeError(
            "plane() was given samples and directions=. Give the two samples, or the directions."
        )
    if isinstance(directions, str):
        if directions not in DIRECTIONS:
            raise ValueError(
                f"directions={directions!r} are not known. {did_you_mean(directions, DIRECTIONS)}"
            )
        return directions
    if len(directions) != 2:
        raise ValueError(
            f"directions={directions!r}; two samples (a, b), or one of "
            f"{', '.join(map(repr, DIRECTIONS))}, are expected."
        )
    return directions[0], directions[1]


def span_of(
    land: Sampled,
    wanted: Wanted,
    *,
    progress: ProgressCallback = ignore,
    cancelled: CancelCallback = never,
) -> Span:
    """The directions of the plane that is wanted; see `profiles.span`.

    Raises
    ------
    ValueError, IndexError
        If there are none.
    Cancelled
    """
    objective, seed = land.objective, land.seed
    if not isinstance(wanted, str):
        return span.towards(land._sampled(), *wanted)
    if wanted == "trajectory":
        return span.trajectory_span(land._sampled())
    if objective.size < 2:
        raise ValueError(
            f"directions={wanted!r} asks for a plane, and this model has a single weight. "
            "Take a slice."
        )
    if wanted == "random":
        return span.random_span(objective, seed)
    if wanted == "gradient":
        return span.gradient_span(land.evaluator, objective, seed)
    return span.hessian_span(
        land.evaluator, objective, seed, progress=progress, cancelled=cancelled
    )
