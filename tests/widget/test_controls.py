"""What is sampled and how it is laid out, changed from the bar and from Python."""

import random
import threading
import time
from dataclasses import dataclass

import numpy as np
import pytest
from torch import nn

import landscape_widgets as lw
from landscape_widgets.reducers import MDS, PCA, TSNE
from landscape_widgets.samplers import Minima, Rays, Subspace, Trajectory
from tests.models import digits, mlp, train
from tests.widget.page import say, state

DATA, VAL = digits(100), tuple(t[100:] for t in digits(150))
FEW = Subspace(n=60, radius=1.0)
LASSO = {"polygon": [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]], "removes": False}


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return train(mlp(8), DATA, 60)


def hear(widget) -> None:
    """Keep the messages that the page gets, but for those of traits."""
    widget.sent = []

    def take(data, buffers=None) -> None:
        if data["method"] == "custom":
            widget.sent.append(data["content"])

    widget.comm.send = take


@pytest.fixture
def make(model):
    """Makes widgets that are closed after the test; what they send is in `sent`."""
    made = []

    def make(**keywords):
        keywords = {"sampler": FEW, "reducer": TSNE(8, iterations=50), **keywords}
        widget = lw.LandscapeWidget(model, DATA, val_data=VAL, **keywords)
        hear(widget)
        made.append(widget)
        return widget

    yield make
    for widget in made:
        widget.close()


@pytest.fixture
def widget(make):
    widget = make()
    widget.wait(60)
    return widget


def receive(widget, **content) -> dict:
    """What the browser gets back for a message."""
    widget.sent.clear()
    say(widget, **content)
    (answer,) = (message for message in widget.sent if message["type"] == "answer")
    assert answer["what"] == content["what"]
    return answer["errors"]


def typed(widget, what, **values):
    """All fields of a form as they are, but for some that were typed into."""
    held = {field["name"]: field["value"] for field in state(widget, "settings")[what]}
    assert set(values) <= set(held)
    return {**held, **values}


def state_of(widget):
    names = ("points", "trust", "frames", "info", "progress")
    kept = [state(widget, name) for name in names]
    return (widget.sampler, widget.reducer, widget.space, widget.standardise, *kept)


class SlowLoss:
    """A loss that takes its time until it is told to hurry."""

    seconds = 0.003

    def __call__(self, model, batch):
        time.sleep(self.seconds)
        return nn.functional.cross_entropy(model(batch[0]), batch[1])


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@dataclass(frozen=True)
class Endless(Subspace):
    """Draws until it is stopped, with nothing to keep."""

    def _draw(self, work):
        while True:
            work.check_cancelled()
            time.sleep(0.005)


@pytest.fixture
def no_losses(widget, monkeypatch):
    """A widget with its work done, that fails if a loss is evaluated once more."""

    def forbidden(*arguments, **keywords):
        raise AssertionError("a loss was evaluated")

    objective = widget.landscape.objective
    for name in ("evaluate", "loss", "gradient", "hvp"):
        monkeypatch.setattr(objective, name, forbidden)
    return widget


def test_a_changed_parameter_of_the_reducer_evaluates_no_loss_again(no_losses):
    before = state(no_losses, "points")
    assert receive(no_losses, type="set", what="reducer",
                   values=typed(no_losses, "reducer", perplexity="12")) == {}  # fmt: skip
    no_losses.wait(60)
    assert no_losses.reducer.perplexity == 12
    assert no_losses.reducer.iterations == 50
    assert state(no_losses, "info")["title"] == "t-SNE of weights · perplexity 12"
    assert state(no_losses, "points") != before
    shown = {field["name"]: field["value"] for field in state(no_losses, "settings")["reducer"]}
    assert shown["perplexity"] == "12"


def test_a_map_of_standardised_parameters_evaluates_no_loss_again(no_losses):
    no_losses.reducer = "pca"
    no_losses.wait(60)
    receive(no_losses, type="set", what="reducer",
            values=typed(no_losses, "reducer", standardise=True))  # fmt: skip
    no_losses.wait(60)
    assert no_losses.standardise is True
    assert state(no_losses, "info")["title"] == "PCA of standardised weights"
    land = no_losses.landscape
    expected = PCA().fit(land.points("weights", standardise=True))
    np.testing.assert_allclose(land.coordinates, expected)


def test_the_map_can_be_changed_from_python_too(no_losses):
    no_losses.reducer = MDS(20)
    no_losses.wait(60)
    assert state(no_losses, "info")["title"] == "MDS of weights"
    no_losses.space = "outputs"
    no_losses.wait(60)
    assert state(no_losses, "info")["title"] == "MDS of outputs"
    assert no_losses.space == state(no_losses, "chosen")["space"] == "outputs"


def test_a_changed_colour_asks_nothing_of_the_kernel(no_losses, monkeypatch):
    def forbidden(*arguments, **keywords):
        raise AssertionError("work was asked for")

    monkeypatch.setattr(no_losses.session.worker, "submit", forbidden)
    monkeypatch.setattr(no_losses.session.channel, "points", forbidden)
    before = state_of(no_losses)
    no_losses.set_state({"colour_by": "val_loss"})  # as a message from the browser does
    assert no_losses.colour_by == "val_loss"
    assert state_of(no_losses) == before
    assert no_losses.sent == []


def test_changed_parameters_of_the_sampler_sample_anew_and_keep_all_else(widget):
    reducer = widget.reducer
    widget.selected = (3, 4)
    values = typed(widget, "sampler", n="70", radius="0.5")
    assert receive(widget, type="set", what="sampler", values=values) == {}
    widget.wait(60)
    assert widget.sampler == Subspace(n=70, radius=0.5)
    assert len(widget.landscape.cloud) == 71
    assert widget.landscape.cloud.table["radius"].max() <= 0.5 + 1e-6
    assert widget.landscape.reducer is widget.reducer is reducer
    assert widget.selected == ()
    assert state(widget, "progress")["state"] == "done"
    assert len(state(widget, "trust")["readouts"]) > 3


def test_wrong_values_are_answered_by_the_constructors_own_error_and_nothing_is_lost(widget):
    before = state_of(widget)
    for what, name, value in [
        ("sampler", "n", "0"),
        ("sampler", "radius", "-1"),
        ("sampler", "k", "2.5"),
        ("reducer", "perplexity", "0.5"),
        ("reducer", "iterations", "ten"),
    ]:
        errors = receive(widget, type="set", what=what, values=typed(widget, what, **{name: value}))
        assert list(errors) == [name]
        assert f"{name}={value}" in errors[name].replace("'", "")
        assert not widget.session.worker.busy
    assert state_of(widget) == before
    with pytest.raises(ValueError, match=r"number above 0") as own:
        Subspace(radius=-1)
    answer = receive(
        widget, type="set", what="sampler", values=typed(widget, "sampler", radius="-1")
    )
    assert answer == {"radius": str(own.value)}


def test_what_does_not_fit_the_samples_or_the_model_is_refused_beside_its_field(widget):
    before = state_of(widget)
    errors = receive(widget, type="set", what="sampler", values=typed(widget, "sampler", k="9999"))
    assert list(errors) == ["k"]
    assert "trainable parameters" in errors["k"]
    assert state_of(widget) == before


def test_a_choice_that_cannot_be_is_refused_with_its_reason(make):
    widget = make(reducer="pca")
    widget.wait(60)
    before = state_of(widget)
    errors = receive(widget, type="choose", what="reducer", key="tsnee")
    assert "Did you mean 'TSNE'" in errors[""]
    assert state_of(widget) == before
    with pytest.raises(ValueError, match="Did you mean 'Minima'"):
        widget.sampler = "minma"
    with pytest.raises(ValueError, match="'weights' or 'outputs'"):
        widget.space = "weight"
    with pytest.raises(ValueError, match="True or False is expected"):
        widget.standardise = "yes"
    assert state_of(widget) == before


def test_more_neighbours_than_samples_are_lowered_and_the_title_tells(widget):
    values = typed(widget, "reducer", perplexity="500")
    assert receive(widget, type="set", what="reducer", values=values) == {}
    widget.wait(60)
    assert widget.reducer.perplexity == 500
    assert state(widget, "info")["title"] == "t-SNE of weights · perplexity 20"
    assert any("perplexity 500 is lowered to 20" in said for said in widget.landscape.assumptions)


def test_what_was_set_before_is_there_again_when_it_is_chosen_again(widget):
    reducer = widget.reducer
    for key in ("pca", "tsne"):
        receive(widget, type="choose", what="reducer", key=key)
    for key in ("rays", "subspace"):
        receive(widget, type="choose", what="sampler", key=key)
    assert widget.reducer is reducer
    assert widget.sampler is FEW
    widget.stop()


def test_a_sampler_that_needs_arguments_is_offered_only_where_it_was_given(make, model):
    def offered(widget):
        return [choice["key"] for choice in state(widget, "choices")["sampler"]]

    assert "trajectory" not in offered(make(start=False))
    path = Trajectory([mlp(8, seed).state_dict() for seed in range(30)])
    widget = make(sampler=path, start=False)
    receive(widget, type="choose", what="sampler", key="subspace")
    assert "trajectory" in offered(widget)
    receive(widget, type="choose", what="sampler", key="trajectory")
    assert widget.sampler is path
    assert state(widget, "settings")["sampler"] == []


def shown_from_a_file(model, sampler, path):
    """A widget that shows a file; the sampler on its bar, and its fields."""
    lw.Landscape(model, DATA).sample(sampler).embed("pca").save(path)
    widget = lw.LandscapeWidget.from_landscape(lw.Landscape.load(path, model, DATA))
    widget.wait(60)
    labels = {choice["key"]: choice["label"] for choice in state(widget, "choices")["sampler"]}
    fields = {field["name"]: field["value"] for field in state(widget, "settings")["sampler"]}
    return widget, labels[state(widget, "chosen")["sampler"]], fields


def test_a_landscape_from_a_file_is_shown_with_the_sampler_that_it_was_made_with(model, tmp_path):
    widget, label, fields = shown_from_a_file(model, FEW, tmp_path / "few")
    assert label == "Subspace"
    assert (fields["n"], fields["radius"]) == ("60", "1")
    widget.close()


def test_samples_of_checkpoints_from_a_file_are_named_and_not_drawn_again(model, tmp_path):
    path = Trajectory([mlp(8, seed).state_dict() for seed in range(30)])
    widget, label, fields = shown_from_a_file(model, path, tmp_path / "path")
    assert label == "Trajectory"
    assert fields == {}
    hear(widget)
    stored = state(widget, "chosen")["sampler"]
    assert receive(widget, type="choose", what="sampler", key="subspace") == {}
    errors = receive(widget, type="choose", what="sampler", key=stored)
    assert "Trajectory(30 checkpoints), but not how to draw them again" in errors[""]
    widget.close()


def test_a_widget_that_was_not_started_is_not_started_by_a_change(make):
    widget = make(start=False)
    widget.sampler = Rays(5, 10)
    widget.reducer = "pca"
    assert not widget.session.worker.busy
    assert widget.landscape.cloud is None
    widget.start()
    widget.wait(60)
    assert state(widget, "info")["title"] == "PCA of weights"
    assert len(widget.landscape.cloud) == 51


def test_a_map_that_is_changed_while_losses_are_evaluated_waits_for_all_of_them(make, monkeypatch):
    loss = SlowLoss()
    widget = make(loss=loss)
    runs = []
    evaluate = widget.landscape.evaluate_rest

    def counted(**keywords):
        if "on_chunk" in keywords:  # not the trained weights alone, which come before
            runs.append(keywords)
        return evaluate(**keywords)

    monkeypatch.setattr(widget.landscape, "evaluate_rest", counted)
    wait_for(lambda: widget.landscape.evaluated.sum() > 1)
    assert not widget.landscape.evaluated.all()
    widget.reducer = "pca"
    loss.seconds = 0
    widget.wait(60)
    assert len(runs) == 1
    assert widget.landscape.evaluated.all()
    assert state(widget, "info")["title"] == "PCA of weights"
    assert state(widget, "progress")["state"] == "done"


def test_a_sampler_that_is_changed_while_losses_are_evaluated_takes_their_place(make):
    loss = SlowLoss()
    widget = make(loss=loss)
    states = []
    widget.observe(lambda change: states.append(change.new["state"]), "_progress")
    wait_for(lambda: widget.landscape.evaluated.sum() > 1)
    widget.sampler = Subspace(n=30, radius=1.0)
    widget.reducer = "pca"
    loss.seconds = 0
    widget.wait(60)
    assert len(widget.landscape.cloud) == 31
    assert widget.landscape.evaluated.all()
    assert state(widget, "info")["title"] == "PCA of weights"
    assert set(states[:-1]) == {"running"}
    assert states[-1] == "done"


def test_stopping_while_new_samples_are_drawn_keeps_the_old_ones_and_their_map(widget):
    points, trust, cloud = state(widget, "points"), state(widget, "trust"), widget.landscape.cloud
    widget.sampler = Endless()
    widget.stop()
    widget.wait(60)
    assert state(widget, "progress")["state"] == "stopped"
    assert widget.landscape.cloud is cloud
    assert (state(widget, "points"), state(widget, "trust")) == (points, trust)
    assert state(widget, "info")["title"] == "t-SNE of weights · perplexity 8"
    # The old samples can be laid out meanwhile, and going on draws what is chosen.
    widget.reducer = "pca"
    widget.wait(60)
    assert state(widget, "info")["title"] == "PCA of weights"
    widget.sampler = Subspace(n=30, radius=1.0)
    widget.wait(60)
    assert len(widget.landscape.cloud) == 31


def test_going_on_draws_the_sampler_that_was_stopped(widget):
    widget.sampler = Endless(n=35)
    widget.stop()
    widget.wait(60)
    widget.session.controls._sampler = Subspace(n=35, radius=1.0)
    widget.start()
    widget.wait(60)
    assert len(widget.landscape.cloud) == 36


def test_a_lasso_is_not_carried_over_to_a_map_with_other_coordinates(widget):
    widget.selected = (3, 5)
    widget.set_state({"_lassos": [LASSO]})
    widget.reducer = "pca"
    widget.wait(60)
    assert state(widget, "lassos") == []
    assert widget.selected == (3, 5)


def test_a_map_that_cannot_be_made_leaves_the_one_that_is_there(widget):
    class Failing(PCA):
        def fit(self, points, **keywords):
            raise ZeroDivisionError("no map")

    points = state(widget, "points")
    widget.reducer = Failing()
    with pytest.raises(ZeroDivisionError):
        widget.wait(60)
    assert state(widget, "points") == points
    assert state(widget, "info")["title"] == "t-SNE of weights · perplexity 8"
    assert state(widget, "trace")["live"] is False


def test_many_changes_at_once_end_in_the_state_that_is_shown(make):
    widget = make(sampler=Subspace(n=40, radius=1.0))
    changes = [
        lambda: setattr(widget, "sampler", Subspace(n=random.randint(30, 50), radius=1.0)),
        lambda: setattr(widget, "sampler", Minima(k=2, n=40, steps=3, radius=1.0)),
        lambda: setattr(widget, "reducer", TSNE(random.randint(4, 9), iterations=25)),
        lambda: setattr(widget, "reducer", "pca"),
        lambda: setattr(widget, "space", random.choice(["weights", "outputs"])),
        lambda: setattr(widget, "standardise", not widget.standardise),
        widget.stop,
        widget.start,
    ]

    def hammer(seed):
        rng = random.Random(seed)
        for _ in range(25):
            rng.choice(changes)()
            time.sleep(rng.uniform(0, 0.02))

    threads = [threading.Thread(target=hammer, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    widget.wait(60)
    widget.start()
    widget.wait(60)
    land = widget.landscape
    assert state(widget, "progress")["state"] == "done"
    assert land.sampler is widget.sampler
    assert land.reducer is widget.reducer
    assert land.space == widget.space == state(widget, "chosen")["space"]
    assert land.evaluated.all()
    assert np.isfinite(land.coordinates).all()
    shown = np.frombuffer(state(widget, "points"), dtype=np.float32).reshape(-1, 2)
    np.testing.assert_allclose(shown, land.coordinates, rtol=1e-5)
