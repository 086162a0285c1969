"""Samplers and reducers by themselves or by name."""

import pytest
from sklearn.manifold import Isomap

from landscape_widgets import reducers, samplers


@pytest.mark.parametrize(
    ("resolve", "given", "written"),
    [
        (samplers.resolve, samplers.Rays, "Rays"),
        (reducers.resolve, reducers.UMAP, "UMAP"),
        (reducers.resolve, Isomap, "Isomap"),
    ],
)
def test_a_class_in_place_of_an_instance_is_told_from_it(resolve, given, written):
    with pytest.raises(TypeError, match=rf"is the class {written}; .* Write {written}\(\)\."):
        resolve(given)


def test_anything_else_is_refused_with_what_is_expected():
    with pytest.raises(TypeError, match=r"sampler is 3; one of landscape_widgets\.samplers"):
        samplers.resolve(3)
    with pytest.raises(TypeError, match=r"reducer is 3; one of landscape_widgets\.reducers"):
        reducers.resolve(3)
