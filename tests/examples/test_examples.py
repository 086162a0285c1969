"""Losses of single examples, classes and confusion, against a plain loop and scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.metrics import confusion_matrix
from torch import nn
from torch.nn import functional as F

from landscape_widgets import Landscape
from landscape_widgets.progress import Cancelled
from landscape_widgets.samplers import Subspace
from tests.models import ConvNet, digits, mlp, train

DATA, VAL = digits(300), tuple(part[300:] for part in digits(450))


@pytest.fixture(scope="module")
def land() -> Landscape:
    model = train(ConvNet(), DATA, 30)
    return Landscape(model, DATA, val_data=VAL).sample(Subspace(n=10, radius=3.0))


@pytest.mark.parametrize(("i", "split"), [(0, "train"), (4, "train"), (7, "val")])
def test_each_example_has_the_loss_and_the_class_of_a_plain_loop(land, i, split):
    found = land.examples(i, split)
    x, y = DATA if split == "train" else VAL
    with torch.no_grad():
        logits = land.model_at(i)(x)
    np.testing.assert_allclose(
        found.losses, F.cross_entropy(logits, y, reduction="none"), rtol=1e-4, atol=1e-6
    )
    assert found.losses.mean() == pytest.approx(
        land.values["loss" if split == "train" else "val_loss"][i], rel=1e-5
    )
    np.testing.assert_array_equal(found.targets, y)
    np.testing.assert_array_equal(found.predicted, logits.argmax(1))
    np.testing.assert_array_equal(found.confusion(), confusion_matrix(y, logits.argmax(1)))
    np.testing.assert_array_equal(found.wrong, np.flatnonzero(logits.argmax(1) != y))
    by_class = found.by_class()
    for c in range(10):
        here = y == c
        assert by_class.loc[c, "examples"] == int(here.sum())
        expected = F.cross_entropy(logits[here], y[here]).item()
        assert by_class.loc[c, "loss"] == pytest.approx(expected, rel=1e-4)
        right = (logits[here].argmax(1) == c).double().mean().item()
        assert by_class.loc[c, "accuracy"] == pytest.approx(right)


def test_the_hardest_come_first_and_are_spoken_of(land):
    found = land.examples(4)
    frame = found.to_frame()
    assert list(frame.columns) == ["loss", "target", "predicted"]
    assert list(found.hardest(5)) == list(frame["loss"].nlargest(5).index)
    share = frame["loss"].nlargest(30).sum() / frame["loss"].sum()
    assert f"{share:.0%} of it is lost on 30 of them; {len(found.wrong)} misclassified" in repr(
        found
    )
    assert repr(found).startswith("<Losses of 300 training examples at sample 4")


def test_the_trained_weights_need_no_samples_and_two_classes_may_have_one_logit():
    y = (DATA[1] < 5).float()[:, None]
    torch.manual_seed(0)
    model = nn.Linear(64, 1)
    bare = Landscape(model, (DATA[0], y), loss=nn.BCEWithLogitsLoss())
    found = bare.examples()
    with torch.no_grad():
        z = model(DATA[0])
    expected = F.binary_cross_entropy_with_logits(z, y, reduction="none")[:, 0]
    np.testing.assert_allclose(found.losses, expected, rtol=1e-5)
    np.testing.assert_array_equal(found.predicted, z[:, 0] > 0)
    assert found.name == "θ*"
    with pytest.raises(IndexError, match=r"Call \.sample\(\) first"):
        bare.examples(3)
    with pytest.raises(ValueError, match="no validation data"):
        bare.examples(0, "val")
    with pytest.raises(ValueError, match="'train' or 'val' is expected"):
        bare.examples(0, "test")


def test_numbers_have_losses_and_no_classes():
    y = DATA[0].sum(1, keepdim=True)
    land = Landscape(nn.Linear(64, 1), (DATA[0], y))
    found = land.examples()
    assert found.predicted is None
    assert "misclassified" not in repr(found)
    assert list(found.to_frame().columns) == ["loss"]
    with pytest.raises(ValueError, match="not one class each"):
        found.confusion()


def test_a_loss_of_whole_batches_has_none_of_single_examples():
    land = Landscape(mlp(), DATA, loss=lambda z, y: F.cross_entropy(z, y) + z.std())
    with pytest.raises(ValueError, match="one number for a batch"):
        land.examples()


def test_the_data_map_is_the_reducer_s_of_what_a_layer_gives(land):
    seen = []
    model = land.model_at(0)
    model.norm.register_forward_hook(lambda _, __, outputs: seen.append(outputs))
    with torch.no_grad():
        model(VAL[0])
    features = seen[0].reshape(len(VAL[0]), -1).double().numpy()
    found = land.data_map("norm", "val", reducer="pca")
    expected = PCA(2).fit_transform(features)
    np.testing.assert_allclose(np.abs(found.coordinates), np.abs(expected), rtol=1e-3, atol=1e-3)
    assert (
        repr(found) == "<PCA of 150 validation examples by what norm gives at θ*, 256 numbers each>"
    )
    inputs = land.data_map(reducer="pca", n_components=3)
    expected = PCA(3).fit_transform(DATA[0].double().numpy())
    np.testing.assert_allclose(np.abs(inputs.coordinates), np.abs(expected), rtol=1e-3, atol=1e-3)
    assert list(inputs.to_frame().columns) == ["x", "y", "z"]


def test_a_layer_that_there_is_not_is_refused_and_work_can_be_stopped(land):
    with pytest.raises(ValueError, match="Did you mean 'head'"):
        land.data_map("haed")
    for ask in (land.examples, land.data_map):
        with pytest.raises(Cancelled):
            ask(cancelled=lambda: True)
