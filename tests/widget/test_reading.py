"""Data that take long to read: beside the kernel's thread, shown, stopped, and taken up again."""

import threading

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import landscape_widgets as lw
from landscape_widgets.samplers import Subspace
from tests.models import digits, mlp
from tests.widget.page import say, state

X, Y = digits(40)
SAMPLER = Subspace(k=3, n=120)


class Slow(Dataset):
    """From the ninth example on, somebody has to open the gate; the last may be broken."""

    def __init__(self, broken=False):
        self.gate, self.reached, self.broken = threading.Event(), threading.Event(), broken

    def __len__(self):
        return len(X)

    def __getitem__(self, i):
        if i >= 8:
            self.reached.set()
            assert self.gate.wait(60)
        if self.broken and i == len(X) - 1:
            raise OSError("the file is broken")
        return X[i], Y[i]

    def __deepcopy__(self, memo):
        return self


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return mlp()


def test_the_cell_returns_while_data_are_read_and_the_widget_shows_how_far(model):
    data = Slow()
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    widget = lw.LandscapeWidget(model, DataLoader(data, batch_size=8), sampler=SAMPLER)
    assert not data.gate.is_set()
    assert data.reached.wait(60)
    assert torch.equal(torch.rand(2), expected)  # reading is under way, and draws nothing
    after = torch.get_rng_state()
    shown = state(widget, "progress")
    assert (shown["state"], state(widget, "info")["title"]) == ("running", "No samples yet")
    say(widget, "choose", what="sampler", key="rays")
    assert widget.sampler == SAMPLER
    data.gate.set()
    widget.wait(120)
    assert torch.equal(torch.get_rng_state(), after)
    assert widget.landscape.evaluated.all()
    whole = lw.Landscape(model, (X, Y))
    assert widget.landscape.objective.anchor_loss == pytest.approx(
        whole.objective.anchor_loss, rel=1e-5
    )
    widget.close()


def test_what_is_wrong_with_data_read_later_is_shown_and_raised(model):
    data = Slow(broken=True)
    widget = lw.LandscapeWidget(model, DataLoader(data, batch_size=8), sampler=SAMPLER)
    data.gate.set()
    with pytest.raises(OSError, match="the file is broken"):
        widget.wait(60)
    with pytest.raises(OSError, match="the file is broken"):
        widget.landscape  # noqa: B018
    assert state(widget, "progress")["state"] == "error"
    widget.close()


def test_reading_is_stopped_and_taken_up_again_also_from_a_stream_that_gives_all_once(model):
    data = Slow()
    stream = iter(DataLoader(data, batch_size=8))
    widget = lw.LandscapeWidget(model, stream, sampler=SAMPLER)
    assert data.reached.wait(60)
    widget.stop()
    data.gate.set()
    assert widget.session.worker.wait(60)
    assert state(widget, "progress")["state"] == "stopped"
    with pytest.raises(RuntimeError, match="stopped while the data were read"):
        widget.landscape  # noqa: B018
    widget.start()
    widget.wait(120)
    assert widget.landscape.objective.n_examples == len(X)
    widget.close()


def test_what_is_wrong_at_once_is_raised_in_the_cell_and_leaves_no_thread(model):
    before = threading.active_count()
    with pytest.raises(ValueError, match="could not be run"):
        lw.LandscapeWidget(model, (X[:, :3], Y))
    with pytest.raises(TypeError, match="Data of type str"):
        lw.LandscapeWidget(model, "digits")
    assert threading.active_count() == before


def test_a_script_is_told_how_far_reading_is_and_may_stop_it(model):
    data = Slow()
    data.gate.set()
    told = []
    lw.Landscape(model, DataLoader(data, batch_size=8), progress=told.append)
    reading = [step for step in told if step.phase == "reading"]
    assert [step.total for step in reading] == [40] * len(reading)
    assert [step.done for step in reading] == sorted(step.done for step in reading)
    assert reading[-1].done == 40
    with pytest.raises(lw.progress.Cancelled):
        lw.Landscape(model, DataLoader(data, batch_size=8), cancelled=lambda: True)
