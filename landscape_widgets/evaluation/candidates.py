"""The strategies that a model allows, and why it does not allow the others."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from landscape_widgets.evaluation.batches import Batches
from landscape_widgets.evaluation.graph.cached_activations import Prefix, Shared
from landscape_widgets.evaluation.graph.fused import Fused, fused
from landscape_widgets.evaluation.graph.rewrite import Rewritten, as_program
from landscape_widgets.evaluation.graph.tracing import trace
from landscape_widgets.evaluation.in_place import InPlace
from landscape_widgets.evaluation.kernels.compiled import compiled
from landscape_widgets.evaluation.mlp.feed_forward import FeedForward, read_feed_forward
from landscape_widgets.evaluation.mlp.shared import SharedStacked
from landscape_widgets.evaluation.mlp.stacked import Stacked
from landscape_widgets.evaluation.strategy import Strategy, Unsuited
from landscape_widgets.evaluation.tiled_examples import TiledExamples

logger = logging.getLogger(__name__)

Made = TypeVar("Made")


class Candidates:
    """What is found in a model; what cannot be made is left out, with a line in the log.

    Parameters
    ----------
    inplace
        The strategy that is exact for every model.
    split
        The training data.
    full : bool
        In the model's own precision, which other layouts and the kernel are for.

    Attributes
    ----------
    found : dict of Strategy by name
    why_not : dict of str by name
        A part of a sentence.
    """

    def __init__(self, inplace: InPlace, split: TiledExamples, *, full: bool) -> None:
        self.found: dict[str, Strategy] = {}
        self.why_not: dict[str, str] = {}
        with inplace.alone(watched=True):  # tracing calls the model, with all that it finds around
            graph = self._try("trace", lambda: trace(inplace.model))
        rewritten = self._add("fused", lambda: fused(inplace, graph, blocks=full))
        self._add("batches", lambda: Batches("batches", inplace, split))
        if rewritten is not None:
            self._add("fused batches", lambda: Batches("fused batches", rewritten, split))
            other = self._add("channels last", rewritten.channels_last)
            if other is not None:
                name = "channels last batches"
                self._add(name, lambda: Batches(name, other, split))
        if graph is None:
            names = ("prefix", "shared", "stacked", "compiled")
            self.why_not.update(dict.fromkeys(names, self.why_not["trace"]))
            if rewritten is None:
                self.why_not["fused"] = self.why_not["trace"]
            return
        loader: InPlace = rewritten or inplace
        program = (
            loader.model.program
            if isinstance(loader, Fused) and isinstance(loader.model, Rewritten)
            else as_program(loader.model, graph)
        )
        network = self._try(
            "stacked", lambda: read_feed_forward(inplace.model, inplace.layout, graph)
        )
        self._add("prefix", lambda: Prefix(loader, program))
        if network is None:
            self.why_not["compiled"] = self.why_not["stacked"]
            self._add("shared", lambda: Shared(loader, program))
            return
        arguments = (inplace.model, network, inplace.anchor, split.size)
        self._add("stacked", lambda: Stacked(*arguments))
        self._add("shared", lambda: SharedStacked(*arguments))
        self._add("compiled", lambda: self._compiled(network, arguments, full))

    def _compiled(self, network: FeedForward, arguments: tuple[Any, ...], full: bool) -> Strategy:
        if not full:
            raise Unsuited("it is for float32 chains, in their own precision")
        return compiled(*arguments)

    def _add(self, name: str, make: Callable[[], Made]) -> Made | None:
        made = self._try(name, make)
        if isinstance(made, Strategy):
            self.found[name] = made
        return made

    def _try(self, name: str, make: Callable[[], Made]) -> Made | None:
        """What `make` makes; None where it cannot, whatever the reason."""
        try:
            return make()
        except Unsuited as reason:
            self.why_not[name] = str(reason)
            logger.debug("Strategy %r is not for this model: %s.", name, reason)
        except Exception as error:
            self.why_not[name] = said(error)
            logger.warning("Strategy %r cannot be set up (%s) and is not used.", name, said(error))
        return None


def said(error: BaseException) -> str:
    """An error in a line."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return " ".join(text.split())[:300]
