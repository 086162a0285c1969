"""A question on the bar takes the sampler, the space and the map that fit it."""

import pytest
from torch import nn

import landscape_widgets as lw
from landscape_widgets import samplers
from landscape_widgets.samplers import Combined, Minima, Neighbourhood, Rays, Subspace, Trajectory
from landscape_widgets.widget import purposes
from tests.models import digits, mlp, train
from tests.widget.page import say, state

DATA = digits(150)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return train(mlp(8), DATA, 60)


@pytest.fixture
def widget(model, monkeypatch):
    monkeypatch.setattr("landscape_widgets.widget.slices.PROFILE_SECONDS", 0.0)
    widget = lw.LandscapeWidget(model, DATA, sampler=Minima(n=60, steps=10, finish=5))
    widget.wait(120)
    yield widget
    widget.close()


def ask(widget, key: str) -> None:
    say(widget, "choose", what="question", key=key)
    widget.wait(120)


def test_a_question_takes_what_fits_and_coming_back_what_was_set_before(widget):
    assert state(widget, "chosen")["question"] == "minima"
    ask(widget, "around")
    assert isinstance(widget.sampler, Neighbourhood)
    assert (widget.reducer.name, widget.space) == ("MDS", "outputs")
    assert widget.landscape.space == "outputs"
    ask(widget, "minima")
    assert widget.sampler == Minima(n=60, steps=10, finish=5)
    assert (widget.landscape.reducer.name, widget.landscape.space) == ("t-SNE", "weights")


def test_a_question_without_its_models_says_what_to_give_and_changes_nothing(widget):
    before = widget.landscape.cloud
    widget.comm.send = lambda data, buffers=None: said.append(data)
    said = []
    ask(widget, "models")
    (answer,) = [d["content"] for d in said if d["method"] == "custom"]
    assert answer["what"] == "question"
    assert "LandscapeWidget({'one': a, 'other': b}, data)" in answer["errors"][""]
    assert widget.landscape.cloud is before
    assert state(widget, "chosen")["question"] == "minima"


def test_everything_is_drawn_into_one_cloud_with_what_was_given(widget, model):
    widget.sampler = Trajectory([mlp(8, seed=3).state_dict(), model.state_dict()])
    widget.wait(120)
    assert state(widget, "chosen")["question"] == "training"
    ask(widget, "everything")
    assert set(widget.landscape.cloud.table["sampler"]) == {"Minima", "Neighbourhood", "Trajectory"}
    assert state(widget, "chosen")["question"] == "everything"


def test_every_sampler_belongs_to_one_question_and_says_what_it_shows_and_what_not():
    kinds = [getattr(samplers, name) for name in samplers.__all__]
    kinds = [k for k in kinds if isinstance(k, type) and issubclass(k, samplers.Sampler)]
    named = [name for purpose in purposes.PURPOSES for name in purpose.samplers]
    assert sorted(named) == sorted({k.__name__.lower() for k in kinds} - {"sampler"})
    for kind in kinds:
        if kind is not samplers.Sampler:
            assert 10 < len(kind.shows) < 80
            assert 10 < len(kind.hides) < 80


@pytest.mark.parametrize("sampler", [Rays(8, 6), Subspace(k=100, n=80)])
def test_where_a_map_is_not_to_be_trusted_what_is_offered_does_better(model, sampler):
    land = lw.Landscape(model, DATA).sample(sampler).embed("tsne")
    judged = land.faithfulness(seeds=1)
    assert judged.level == "bad"
    offered = purposes.better(judged, land.sampler, land.reducer)
    assert (offered["what"], offered["key"]) == ("question", "minima")
    purpose = purposes.by_key("minima")
    land.sample(purposes.sampler_for(purpose, {"minima": Minima(n=300)})).embed(purpose.reducer)
    judged = land.faithfulness(seeds=1)
    assert judged.level != "bad"
    assert purposes.better(judged, land.sampler, land.reducer) is None


def test_the_offer_reaches_the_browser(model, monkeypatch):
    monkeypatch.setattr("landscape_widgets.widget.slices.PROFILE_SECONDS", 0.0)
    widget = lw.LandscapeWidget(model, DATA, sampler=Rays(8, 6))
    widget.wait(120)
    assert state(widget, "trust")["better"]["key"] == "minima"
    widget.close()


def test_a_combination_is_of_all_that_can_be_had():
    found = purposes.sampler_for(purposes.EVERYTHING, {})
    assert isinstance(found, Combined)
    assert [type(sampler) for sampler in found.samplers] == [Minima, Neighbourhood]
