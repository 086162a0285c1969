import inspect

import numpy as np
import pytest

from landscape_widgets import reducers, samplers
from landscape_widgets.controls import Control, Refused, controls_of, fields, retyped
from landscape_widgets.reducers import PCA, TSNE, UMAP
from landscape_widgets.samplers import (
    Descent,
    Grid,
    HessianSubspace,
    JumpAndRetrain,
    Langevin,
    Minima,
    Subspace,
)
from tests.models import mlp

THINGS = [
    *(kind() for kind in samplers.BY_NAME.values()),
    *(kind() for kind in reducers.BY_NAME.values()),
    samplers.Interpolation(mlp()),
]
TURNED = [
    pytest.param(thing, control, id=f"{type(thing).__name__}-{control.name}")
    for thing in THINGS
    for control in controls_of(thing)
]


def accept(thing):
    pass


def another(control: Control, value):
    """Another value than this one, within what is expected, as it is typed."""
    if control.kind == "flag":
        return not value
    if control.kind == "choice":
        return next(choice for choice in control.choices if choice != value)
    if control.kind in ("numbers", "range"):
        return "0.25, 0.75"
    if control.kind == "whole":
        return str(7 if value is None else value + 1)
    return f"{0.5 if value in (None, 'auto', 0) else value / 2:g}"


@pytest.mark.parametrize(("thing", "control"), TURNED)
def test_a_control_turns_the_parameter_that_it_names_and_no_other(thing, control):
    before = {name: getattr(thing, name) for name in parameters(thing)}
    typed = another(control, before[control.name])
    made = retyped(thing, {control.name: typed}, accept)
    after = {name: getattr(made, name) for name in parameters(made)}
    assert {name for name in before if before[name] != after[name]} == {control.name}
    assert control.write(after[control.name]) == typed
    # And a field that is emptied brings the default back.
    if control.kind not in ("flag", "choice"):
        assert getattr(retyped(made, {control.name: ""}, accept), control.name) == getattr(
            thing, control.name
        )


@pytest.mark.parametrize(("thing", "control"), TURNED)
def test_the_constructor_takes_what_the_field_says_is_expected_and_nothing_else(thing, control):
    right, wrong = [], ["abc"]
    if control.kind == "whole":
        wrong.append("2.5")
    if control.kind == "flag":
        wrong = []
    if control.above is not None:
        right.append(control.above + 1)
        wrong += [control.above, control.above - 1, "nan", "inf"]
    if control.least is not None:
        right.append(control.least)
        wrong += [control.least - 1, "-inf"]
    if control.most is not None:
        right.append(control.most)
        wrong.append(control.most + 1)
    for value in right:
        retyped(thing, {control.name: str(value)}, accept)
    for value in wrong:
        with pytest.raises(Refused) as refused:
            retyped(thing, {control.name: str(value)}, accept)
        assert list(refused.value.errors) == [control.name]
        assert control.name in refused.value.errors[control.name]


def parameters(thing) -> list[str]:
    return list(inspect.signature(type(thing).__init__).parameters)[1:]


def test_the_error_is_the_constructors_own():
    with pytest.raises(ValueError, match="k=0") as own:
        Minima(k=0)
    with pytest.raises(Refused) as refused:
        retyped(Minima(), {"k": "0", "n": "500"}, accept)
    assert refused.value.errors == {"k": str(own.value)}


def test_what_fails_only_together_is_blamed_on_no_field():
    with pytest.raises(Refused, match="no directions") as refused:
        retyped(HessianSubspace(top=1, bottom=1), {"top": "0", "bottom": "0"}, accept)
    assert list(refused.value.errors) == [""]


def test_what_does_not_fit_the_model_is_refused_beside_its_field():
    def check(sampler):
        if sampler.k > 5:
            raise ValueError("the model has only 5 parameters")

    with pytest.raises(Refused) as refused:
        retyped(Subspace(), {"k": "6", "n": "100", "radius": "2"}, check)
    assert refused.value.errors == {"k": "the model has only 5 parameters"}


def test_a_field_that_fails_alone_is_no_error_where_it_fits_with_the_others():
    made = retyped(HessianSubspace(top=1, bottom=0), {"top": "0", "bottom": "2"}, accept)
    assert (made.top, made.bottom) == (0, 2)


def test_nothing_typed_anew_gives_the_very_object():
    reducer = TSNE(17.5, learning_rate=200)
    typed = {field["name"]: field["value"] for field in fields(reducer)}
    assert retyped(reducer, typed, accept) is reducer


def test_parameters_that_are_not_offered_are_kept():
    assert retyped(Minima(batch_size=32), {"n": "50"}, accept) == Minima(n=50, batch_size=32)


def test_fields_show_values_as_they_are_typed_and_in_words_what_is_found_by_itself():
    shown = {field["name"]: field for field in fields(Minima(radius=0.5))}
    assert (shown["extent"]["value"], shown["extent"]["kind"]) == ("-0.25, 1.25", "numbers")
    assert (shown["radius"]["value"], shown["radius"]["default"]) == ("0.5", "")
    assert shown["radius"]["empty"] == "from the loss"
    assert shown["n"]["range"] == "1 or more"
    shown = {field["name"]: field for field in fields(TSNE())}
    assert shown["learning_rate"]["value"] == ""
    assert shown["initialization"]["choices"] == ["pca", "random"]
    assert fields(PCA()) == []


@pytest.mark.parametrize("text", ["0.25 0.5", "0.25,0.5", " 0.25 , 0.5 "])
def test_several_numbers_may_be_parted_by_commas_or_spaces(text):
    assert retyped(JumpAndRetrain(), {"sizes": text}, accept).sizes == (0.25, 0.5)


def test_a_typographic_minus_is_a_minus():
    assert retyped(Minima(), {"extent": "−1, 2"}, accept).extent == (-1, 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Subspace(filter_normalised="yes"), "True or False is expected"),
        (lambda: JumpAndRetrain(sizes=()), "numbers above 0 are expected"),
        (lambda: JumpAndRetrain(sizes=(0.5, 0)), "numbers above 0 are expected"),
        (lambda: Grid(extent=(0.5, 0.2)), "low < high is expected"),
        (lambda: Grid(extent=(0, float("inf"))), "low < high is expected"),
        (lambda: Subspace(radius=np.ones(1000)), "number above 0 is expected, or None; ndarray"),
        (lambda: Subspace(basis=np.ones(2)), "'auto' or 'dense' or 'seeded' is expected"),
        (lambda: Grid(basis="sparse"), "'auto' or 'dense' or 'seeded' is expected"),
        (lambda: Descent(batch_size=0), "a whole number of 1 or more is expected, or None"),
        (lambda: Minima(batch_size=None), "a whole number of 1 or more is expected; NoneType"),
        (lambda: Langevin(step_size="big"), "a number above 0 is expected, or None; str was"),
        (lambda: TSNE(learning_rate="fast"), "a number above 0 is expected, or 'auto'; str was"),
        (lambda: TSNE("thirty"), r"TSNE\(perplexity='thirty'\): a number above 1 .* str was"),
        (lambda: TSNE(learning_rate=-1), "a number above 0 is expected"),
        (lambda: TSNE(initialization="spectral"), "'pca' or 'random' is expected"),
        (lambda: UMAP(min_dist=1.5), "a number of 0 to 1 is expected"),
        (lambda: UMAP(n_neighbors=True), "a whole number of 2 or more .* bool was given"),
        (lambda: Minima(extent=(1, 0)), "low < high is expected"),
        (lambda: Minima(extent=0.5), "low < high is expected"),
    ],
)
def test_constructors_say_what_was_given_and_what_is_expected(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()
