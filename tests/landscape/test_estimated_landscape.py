import numpy as np
import pytest
from torch import nn

from landscape_widgets import LandscapeWidget
from landscape_widgets.landscape.landscape import Landscape
from landscape_widgets.profiles.estimated import estimated_losses
from landscape_widgets.samplers import Subspace
from tests.models import train
from tests.profiles.test_estimate import blobs, network

DATA, VAL = (tuple(t[s] for t in blobs(5000)) for s in (slice(0, 4000), slice(4000, None)))
SAMPLER = Subspace(k=3, n=30)
TOLERANCE = 0.03


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return train(network(), DATA, 60)


@pytest.fixture(scope="module")
def exact(model) -> Landscape:
    return Landscape(model, DATA, val_data=VAL).sample(SAMPLER)


def estimating(model, **keywords) -> Landscape:
    return Landscape(model, DATA, **{"val_data": VAL, "tolerance": TOLERANCE, **keywords})


def test_losses_come_from_a_part_of_the_data_with_their_errors_and_all_else_as_ever(model, exact):
    told = []
    land = estimating(model).sample(SAMPLER, progress=told.append)
    frame, truth = land.to_frame(), exact.to_frame()
    looked_at = max(part.done for part in told if part.phase == "examples")
    assert looked_at < 0.6 * 4000
    assert (frame.loss_error <= TOLERANCE * frame.loss).all()
    assert frame.loss[0] == truth.loss[0]
    assert frame.loss_error[0] == 0
    off = ((frame.loss - truth.loss).abs() / frame.loss_error)[1:]
    assert 0 < off.max() < 4
    assert (off < 2).mean() > 0.8
    for name in ("val_loss", "val_accuracy", "radius"):
        np.testing.assert_allclose(frame[name], truth[name], rtol=1e-5)
    np.testing.assert_allclose(land.outputs, exact.outputs, rtol=1e-4, atol=1e-5)
    assert "loss_error" not in truth


def test_more_samples_are_estimated_too(model):
    land = estimating(model).sample(SAMPLER).embed("pca")
    land.refine([3, 5], 10)
    frame = land.to_frame()
    assert len(frame) == 41
    assert (frame.loss_error[1:] > 0).all()
    assert (frame.loss_error <= TOLERANCE * frame.loss).all()


def test_what_was_cancelled_while_estimating_can_be_taken_up(model):
    drawn = []
    land = estimating(model)
    land.sample(SAMPLER, on_drawn=drawn.append, cancelled=lambda: bool(drawn))
    assert len(land.cloud) == 31
    assert not land.evaluated.any()
    land.evaluate_rest()
    np.testing.assert_allclose(land.losses, estimating(model).sample(SAMPLER).losses, rtol=1e-5)


def test_a_stopped_run_is_resumed_from_its_file_to_the_same_end(model, tmp_path):
    path, seen = tmp_path / "run.safetensors", []

    def stop_in_the_middle() -> bool:
        return bool(seen)

    stopped = estimating(model, probe_examples=3)
    stopped.objective._many.chunk_size.rows = lambda n, group, **_: 26
    stopped.sample(SAMPLER, path=path, cancelled=stop_in_the_middle, on_chunk=seen.append)
    cloud, left = stopped.cloud, ~stopped.evaluated
    assert 0 < left.sum() < 31
    # What is left would be content with fewer examples, were it alone.
    few, all_of_them = (
        estimated_losses(stopped.objective, cloud.basis, rows, TOLERANCE).examples
        for rows in (cloud.coefficients[left], cloud.coefficients)
    )
    assert few < all_of_them
    resumed = estimating(model, probe_examples=3).sample(SAMPLER, path=path)
    whole = estimating(model, probe_examples=3).sample(SAMPLER)
    np.testing.assert_allclose(resumed.losses, whole.losses, rtol=1e-5)
    np.testing.assert_allclose(resumed.errors["loss"], whole.errors["loss"], rtol=1e-4)


def test_a_saved_landscape_keeps_its_errors_and_is_not_taken_for_an_exact_one(model, tmp_path):
    path = tmp_path / "land.safetensors"
    land = estimating(model).sample(SAMPLER)
    land.save(path)
    again = Landscape.load(path, model, DATA, val_data=VAL)
    assert again.tolerance == TOLERANCE
    np.testing.assert_array_equal(again.errors["loss"], land.errors["loss"])
    with pytest.raises(ValueError, match=r"made with tolerance=0.03; given is None"):
        Landscape.load(path, model, DATA, val_data=VAL, tolerance=None)


def test_the_widget_shows_the_errors_of_samples(model):
    widget = LandscapeWidget(
        model, DATA, val_data=VAL, sampler=SAMPLER, reducer="pca", tolerance=TOLERANCE
    )
    widget.wait(60)
    errors = np.frombuffer(widget._columns["loss_error"], dtype=np.float32)
    np.testing.assert_allclose(errors, widget.landscape.errors["loss"], rtol=1e-6)
    assert "losses estimated to a standard error of 3%" in widget._info["caption"]
    widget.close()


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"tolerance": 0}, "relative error above 0"),
        (
            {"val_data": None, "metrics": ["accuracy"]},
            r"metrics \(accuracy\) are taken on all of it. Give val_data",
        ),
        (
            {"loss": lambda outputs, targets: nn.functional.cross_entropy(outputs, targets)},
            "gives one number for a batch",
        ),
    ],
)
def test_what_cannot_be_estimated_is_refused(model, keywords, message):
    with pytest.raises(ValueError, match=message):
        estimating(model, **keywords)


def test_no_metrics_need_no_validation_data(model):
    land = estimating(model, val_data=None, metrics=[]).sample(SAMPLER)
    assert land.evaluated.all()
    assert (land.errors["loss"][1:] > 0).all()


def test_ways_are_estimated_as_the_samples_are(model):
    land = estimating(model).sample(SAMPLER)
    path = land.way(3).straight
    errors = path.errors["loss"]
    assert errors[0] == 0
    assert errors[1:].min() > 0
    assert (errors <= TOLERANCE * path.losses).all()
    for place in range(4, len(path), 4):
        theta = land.objective.anchor + land.cloud.basis.combine(path.coefficients[place])
        assert abs(path.losses[place] - land.objective.loss(theta)) < 5 * errors[place]
    assert "loss_error" in land.way(3).to_frame()
