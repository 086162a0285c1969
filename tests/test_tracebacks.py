"""What a user reads when something goes wrong: their own lines, and the sentence that helps."""

import traceback

import pytest
from torch import nn
from traitlets import TraitError

import landscape_widgets as lw
from landscape_widgets.tracebacks import entry
from tests.models import digits, mlp

DATA = digits(50)


def frames(error: BaseException) -> list[str]:
    """The files and functions of a traceback, the test's own first."""
    return [
        f"{line.filename.rsplit('/', 1)[-1]}:{line.name}"
        for line in traceback.extract_tb(error.__traceback__)
    ]


@pytest.mark.parametrize(
    ("attempt", "sentence"),
    [
        (lambda: lw.LandscapeWidget(mlp(), DATA, val_dat=DATA), "unknown keyword 'val_dat'"),
        (lambda: lw.LandscapeWidget(mlp(), DATA, sampler="minma"), "Did you mean 'Minima'"),
        (lambda: lw.LandscapeWidget(mlp(), DATA, space="wieghts"), "'weights' or 'outputs'"),
        (lambda: lw.Landscape(mlp(), DATA).slice([1]), "sample"),
        (lambda: lw.Landscape(nn.Identity(), DATA), "parameter"),
    ],
)
def test_what_is_refused_shows_the_user_s_line_and_one_hidden_frame(attempt, sentence):
    with pytest.raises((TypeError, ValueError, RuntimeError), match=sentence) as caught:
        attempt()
    assert [name.split(":")[1] for name in frames(caught.value)[1:]] == ["<lambda>", "call"]
    last = list(traceback.walk_tb(caught.value.__traceback__))[-1][0]
    assert last.f_locals["__tracebackhide__"] is True


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("selected", (3,), "no samples yet"),
        ("colour_by", "los", "Did you mean 'loss'"),
        ("compare_with", "walks", "Did you mean 'walk'"),
        ("reducer", "tsen", "Did you mean 'TSNE'"),
        ("n_components", 5, "2 or 3"),
    ],
)
def test_an_attribute_that_is_refused_shows_the_user_s_line_and_one_hidden_frame(
    name, value, sentence
):
    widget = lw.LandscapeWidget(mlp(), DATA, start=False)
    with pytest.raises((TraitError, ValueError), match=sentence) as caught:
        setattr(widget, name, value)
    assert len(frames(caught.value)) == 2
    last = list(traceback.walk_tb(caught.value.__traceback__))[-1][0]
    assert last.f_locals["__tracebackhide__"] is True


def test_what_goes_wrong_in_the_user_s_loss_shows_its_lines_and_none_between():
    def inner(outputs):
        return outputs["logits"]

    def own_loss(model, batch):
        return inner(model(batch[0])).mean()

    with pytest.raises((TypeError, ValueError, RuntimeError, IndexError), match=r".") as caught:
        lw.Landscape(mlp(), DATA, loss=own_loss)
    seen: list[str] = []
    error: BaseException | None = caught.value
    while error is not None:
        seen += frames(error)
        error = error.__cause__ or error.__context__
    assert any(name.endswith(":own_loss") for name in seen)
    assert any(name.endswith(":inner") for name in seen)
    assert not [name for name in seen if name.startswith(("objective", "module.py", "reading"))]


def test_a_defect_of_the_package_keeps_its_whole_traceback(monkeypatch):
    monkeypatch.setattr("landscape_widgets.landscape.profiled.slice_along", None)
    land = lw.Landscape(mlp(), DATA).sample(lw.samplers.Subspace(n=20))
    with pytest.raises(TypeError) as caught:
        land.slice([1])
    assert any(name.startswith("profiled.py:slice") for name in frames(caught.value))


def test_an_error_of_the_worker_is_raised_with_the_user_s_lines_each_time():
    def failing(outputs, targets):
        loss = nn.functional.cross_entropy(outputs, targets)
        if float(loss.detach()) > 3.0:  # as nowhere near the start
            raise ZeroDivisionError("the loss gave up")
        return loss

    widget = lw.LandscapeWidget(mlp(), DATA, loss=failing, sampler=lw.samplers.Minima(n=120))
    shown = []
    for _ in range(2):
        with pytest.raises(ZeroDivisionError) as caught:
            widget.wait(60)
        shown.append(frames(caught.value))
    assert shown[0] == shown[1]
    assert shown[0][-1].endswith(":failing")
    said = widget._progress["message"]
    assert said.startswith("ZeroDivisionError: the loss gave up\nraised in failing, line")
    assert ".wait()" in said
    widget.close()


def test_an_entry_is_called_as_what_it_stands_for():
    @entry
    def double(x: int, *, times: int = 2) -> int:
        """Multiply."""
        return times * x

    assert double(3, times=4) == 12
    assert double.__doc__ == "Multiply."
