"""Networks whose state is known by how they were trained."""

from __future__ import annotations

import pytest

from landscape_widgets.diagnosis import diagnose
from landscape_widgets.objective.objective import Objective
from tests.diagnosis.known import NETWORKS

SEEDS = 2  # of each kind; `benchmarks/diagnosis.py` takes 20, of which 19 are to be right


@pytest.mark.parametrize("make", NETWORKS, ids=lambda make: make.__name__)
def test_the_sentence_on_a_network_is_right(make):
    for seed in range(SEEDS):
        case = make(seed)
        found = diagnose(Objective(case.model, case.data, val_data=case.val_data))
        assert getattr(found, case.verdict).kind == case.kind, found
        assert getattr(found, case.verdict).words[1:].rstrip(".") in found.sentence
