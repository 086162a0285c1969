"""Scores in words: readouts, and one sentence on top."""

from __future__ import annotations

from dataclasses import dataclass, replace

from landscape_widgets.trust.readouts import Readout, readouts
from landscape_widgets.trust.thresholds import Level, Scores
from landscape_widgets.trust.verdict import verdict


@dataclass(frozen=True)
class Faithfulness:
    """All readouts of a map, with one plain sentence on top."""

    sentence: str
    level: Level
    readouts: tuple[Readout, ...]
    scores: Scores

    def agreeing(self, aligned: float, shared: float) -> Faithfulness:
        """The same, and how alike other maps of the same samples are."""
        return judge(replace(self.scores, aligned=aligned, shared=shared))

    def __getitem__(self, name: str) -> float:
        """The value of the readout of that name."""
        for readout in self.readouts:
            if readout.name == name:
                return readout.value
        raise KeyError(f"{name!r}; there are {[readout.name for readout in self.readouts]}")


def judge(scores: Scores) -> Faithfulness:
    """Put scores in words."""
    return Faithfulness(*verdict(scores), readouts(scores), scores)
