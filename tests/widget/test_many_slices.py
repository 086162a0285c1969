"""Slices of very many samples that are asked for at once."""

import numpy as np
from torch import nn

import landscape_widgets as lw
from landscape_widgets.progress import ignore, never
from landscape_widgets.widget import slices
from tests.models import digits


class Sent:
    """Counts how often slices were sent, and holds the last ones."""

    def __init__(self) -> None:
        self.times = 0

    def slices(self, profile, *_args, **_keywords) -> None:
        self.times += 1
        self.known = np.isfinite(profile.values["loss"]).all(axis=1)


def test_slices_that_take_no_time_come_in_few_messages(monkeypatch):
    monkeypatch.setattr(slices, "BLOCK_SECONDS", 1e9)
    land = lw.Landscape(nn.Linear(64, 10), digits(20))
    land.sample(lw.samplers.Subspace(n=1500))
    sent = Sent()
    taken = slices.Slices(sent, ignore, ignore, lambda urgency: None)
    taken.begin(land)
    before = sent.times
    taken.ask(range(1, 1500))
    taken.serve(never)
    assert sent.times - before == 3  # a few at once, then as many as may be, then the rest
    assert sent.known[1:1500].all()
