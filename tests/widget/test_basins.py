import numpy as np
import pytest

import landscape_widgets as lw
from tests.models import digits, mlp, train
from tests.widget.page import floats, say, state

DATA = digits(150)


@pytest.fixture(scope="module")
def widget():
    model = train(mlp(), DATA, 60)
    widget = lw.LandscapeWidget(model, DATA, sampler=lw.samplers.Minima(n=60), reducer="pca")
    widget.wait(60)
    yield widget
    widget.close()


def asked(widget, name, **of):
    say(widget, "ask", name=name, of=of)
    widget.wait(60)
    return state(widget, "asked")[name], state(widget, "answers").get(name)


def test_basins_come_as_a_column_to_colour_by_and_with_their_tree(widget):
    work, found = asked(widget, "basins", samples=64)
    assert work["state"] == "done"
    basins = widget.landscape.basins()
    np.testing.assert_array_equal(floats(found["labels"]), basins.of)
    assert found["names"] == list(basins.names)
    assert found["sentence"] == basins.sentence
    assert sum(found["counts"]) == 64
    heights = [np.inf if height is None else height for height in found["saddles"]]
    np.testing.assert_allclose(heights, basins.saddles)
    widget.colour_by = "basin"
    assert widget.colour_by == "basin"


def test_the_easiest_way_comes_with_the_samples_that_it_leads_through(widget):
    work, found = asked(widget, "way", end=2, samples=64)
    assert work["state"] == "done"
    way = widget.landscape.way(2)
    np.testing.assert_allclose(floats(found["losses"]), way.easiest.losses, rtol=1e-6)
    shares = floats(found["shares"])
    assert (shares[0], shares[-1]) == (0, 1)
    assert (found["through"][0], found["through"][-1]) == (0, 2)
    assert found["text"] == way.sentence


def test_a_way_to_nowhere_says_why(widget):
    work, _ = asked(widget, "way", end=0, samples=64)
    assert work["state"] == "error"
    assert "from one sample to another" in work["message"]
