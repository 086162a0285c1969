"""How a model and its data are read and evaluated: what is passed on together, in one object."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ParamSpec, TypeVar

import torch

from landscape_widgets.errors import reject_unknown
from landscape_widgets.evaluation.strategy_names import check_strategy
from landscape_widgets.precision import check_precision
from landscape_widgets.task.batchnorm import BatchNormMode

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a model and its data are read and evaluated.

    Whoever takes these as keywords and passes them on takes ``**options`` and is marked
    `with_options`; they are checked here, once.

    Attributes
    ----------
    device : optional
        Where to work; the model's own by default.
    max_examples : int
        At most so many examples are used, drawn with the seed.
    batchnorm : {"trained", "reestimate"}
        Keep the trained statistics, or re-estimate them on the data at each parameter vector.
    probe_examples : int
        Examples whose outputs make up "outputs" space.
    strategy : str
        How many parameter vectors are evaluated: "auto" takes the fastest in a trial; or one of
        `evaluation.strategy_names.STRATEGIES`. Losses differ by no more than rounding.
    precision : {None, "bf16"}
        "bf16" takes matrix products and convolutions of many parameter vectors in bfloat16; the
        error that this makes is measured and said in `strategy`. None is the model's own precision.
    seed : int
    batch_size : int, optional
        Cut tensors, Datasets and lists of single examples into batches of so many, which stay
        whole where the loss is a function of a whole batch. Loaders and lists of batches bring
        their own.
    batch_axis : int or (int, int), optional
        Along which axis of inputs and targets, or of each of them, the examples lie; 1 for
        sequences (time, batch, features). By default it is found by trying the model.

    Raises
    ------
    ValueError
        If one of them is none of what it may be.
    """

    device: torch.device | str | None = None
    max_examples: int = 10_000
    batchnorm: BatchNormMode = "trained"
    probe_examples: int = 100
    strategy: str = "auto"
    precision: str | None = None
    seed: int = 0
    batch_size: int | None = None
    batch_axis: int | tuple[int, int] | None = None

    def __post_init__(self) -> None:
        check_strategy(self.strategy)
        check_precision(self.precision)
        if self.batchnorm not in ("trained", "reestimate"):
            raise ValueError(
                f"batchnorm={self.batchnorm!r}; expected is 'trained' or 'reestimate'."
            )
        for name in ("max_examples", "probe_examples"):
            if not _counts(getattr(self, name)):
                raise ValueError(
                    f"{name}={getattr(self, name)!r}; a whole number of 1 or more is expected."
                )
        if self.batch_size is not None and not _counts(self.batch_size):
            raise ValueError(
                f"batch_size={self.batch_size!r}; a whole number of 1 or more is expected, or None."
            )
        axis: Any = self.batch_axis
        axes = axis if isinstance(axis, tuple) and len(axis) == 2 else (axis, axis)
        if axis is not None and not all(_is_whole(one) and one >= 0 for one in axes):
            raise ValueError(
                f"batch_axis={axis!r}; expected is the axis along which the examples lie, 0 or "
                "more, or a pair of them: of the inputs and of the targets."
            )

    @classmethod
    def of(cls, keywords: Mapping[str, Any], function: Callable[..., Any], where: str) -> Options:
        """From the keywords that a function marked `with_options` was given.

        Raises
        ------
        TypeError
            If one of them is unknown, naming the near ones among all that the function takes.
        """
        known = [name for name in inspect.signature(function).parameters if name != "self"]
        reject_unknown(keywords, known, where)
        return cls(**keywords)


def with_options(function: Callable[P, T]) -> Callable[P, T]:
    """Let the signature of a function spell out what it takes as ``**options``."""
    signature = inspect.signature(function)
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    spelt = [
        inspect.Parameter(
            each.name, inspect.Parameter.KEYWORD_ONLY, default=each.default, annotation=each.type
        )
        for each in fields(Options)
        if each.name not in signature.parameters
    ]
    function.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*own, *spelt]
    )
    return function


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _counts(value: Any) -> bool:
    return _is_whole(value) and value >= 1
