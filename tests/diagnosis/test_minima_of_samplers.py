"""What the map calls a minimum is one, by a diagnosis, too."""

from __future__ import annotations

import pytest

import landscape_widgets as lw
from tests.diagnosis import known


@pytest.mark.parametrize(
    "make",
    [known.well_trained_on_waves, known.to_the_end_on_noisy_moons, known.too_small_for_waves],
    ids=lambda make: make.__name__,
)
def test_a_diagnosis_calls_ends_of_descents_what_the_sampler_calls_them(make):
    case = make(0)
    land = lw.Landscape(case.model, case.data, val_data=case.val_data)
    table = land.sample(lw.samplers.Minima(n=4)).to_frame()
    called = {"minimum": {"minimum"}, "still falling": {"still falling"}}
    for i in (1, 2, 3):
        found = land.diagnosis(i).place
        assert found.kind in called.get(table.ending[i], {"minimum", "still falling"}), found
