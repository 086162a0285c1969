import dataclasses
import inspect
import json
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from sklearn.decomposition import PCA
from torch import nn

from landscape_widgets import reducers, samplers
from landscape_widgets.geometry.seeded import SeededBasis
from landscape_widgets.landscape.landscape import Landscape
from landscape_widgets.objective.options import Options
from landscape_widgets.progress import Cancelled
from tests.models import ConvNet, digits, mlp, train

SAMPLER = samplers.Minima(n=60)
DATA = digits(150)
VAL = tuple(t[150:] for t in digits(300))


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return train(mlp(), DATA, 60)


@pytest.fixture
def land(model) -> Landscape:
    return Landscape(model, DATA, val_data=VAL)


def test_sampling_evaluates_every_sample_and_starts_at_the_trained_weights(land):
    land.sample(SAMPLER)
    assert land.evaluated.all()
    assert land.losses[0] == land.objective.anchor_loss
    assert land.val_losses[0] == land.objective.at_anchor["val_loss"]
    i = len(land.losses) - 1
    assert land.losses[i] == pytest.approx(land.objective.loss(land.cloud.vector(i)), rel=1e-5)


def test_it_takes_every_option_of_an_objective_and_names_the_near_ones_of_a_misspelt_one(model):
    taken = inspect.signature(Landscape).parameters
    for option in dataclasses.fields(Options):
        assert taken[option.name].default == option.default
    land = Landscape(model, DATA, probe_examples=7, seed=5)
    assert (land.objective.options.probe_examples, land.objective.seed, land.seed) == (7, 5, 5)
    with pytest.raises(TypeError, match=r"Landscape.*'tolerence'.*Did you mean 'tolerance'"):
        Landscape(model, DATA, tolerence=0.1)


def test_the_same_seed_gives_the_same_landscape_bit_for_bit(model):
    first, again = (
        Landscape(model, DATA, seed=3).sample(SAMPLER).embed(reducers.TSNE(15)) for _ in range(2)
    )
    other = Landscape(model, DATA, seed=4).sample(SAMPLER)
    assert np.array_equal(first.coordinates, again.coordinates)
    assert np.array_equal(first.losses, again.losses)
    assert not np.array_equal(first.losses, other.losses)


def test_the_frame_has_a_row_a_sample_with_losses_metrics_and_places(land):
    frame = land.sample(SAMPLER).embed("pca").to_frame()
    assert len(frame) == len(land.cloud)
    expected = ["loss", "val_loss", "radius", "x", "y", "name", "sampler", "kind"]
    expected += ["path", "step"]
    assert list(frame.columns[:11]) == [*expected, "val_accuracy"]
    assert frame.index.name == "sample"
    np.testing.assert_array_equal(frame[["x", "y"]], land.coordinates)
    assert (frame["kind"] == "minimum").sum() == 3
    assert list(frame["name"][:5]) == ["θ*", "M1", "M2", "M3", ""]


def test_a_stopped_run_keeps_the_samples_it_has_and_can_go_on(land, model):
    seen = []
    land.sample(SAMPLER, on_chunk=seen.append, cancelled=lambda: len(seen) >= 2)
    done = int(land.evaluated.sum())
    assert 0 < done < len(land.cloud)
    assert len(land.to_frame()) == done
    land.embed("pca")
    assert np.isfinite(land.coordinates[land.evaluated]).all()
    assert np.isnan(land.coordinates[~land.evaluated]).all()
    land.evaluate_rest()
    whole = Landscape(model, DATA, val_data=VAL).sample(SAMPLER)
    np.testing.assert_allclose(land.losses, whole.losses, rtol=1e-6)


def test_a_run_cancelled_before_there_is_a_cloud_leaves_the_landscape_as_it_was(land):
    land.sample(SAMPLER)
    before = land.losses.copy()
    with pytest.raises(Cancelled):
        land.sample(samplers.Minima(n=80), cancelled=lambda: True)
    assert np.array_equal(before, land.losses)


def test_outputs_space_places_samples_by_their_predictions(land):
    land.sample(SAMPLER).embed("pca", space="outputs")
    points = land.points("outputs")
    probabilities = torch.as_tensor(land.outputs).double().softmax(-1)
    expected = (
        (probabilities[3].sqrt() - probabilities[9].sqrt()).square().sum(-1).mean().sqrt().item()
    )
    assert np.linalg.norm(points[3] - points[9]) == pytest.approx(expected, rel=1e-6)
    assert land.space == "outputs"


def test_standardised_space_gives_every_parameter_the_same_spread(land):
    land.sample(SAMPLER)
    points = land.points("weights", standardise=True)
    vectors = np.stack([land.cloud.displacement(i).double() for i in range(len(land.cloud))])
    spread = vectors.std(axis=0)
    scaled = vectors[:, spread > 0] / spread[spread > 0]
    expected = np.linalg.norm(scaled[4] - scaled[20])
    assert np.linalg.norm(points[4] - points[20]) == pytest.approx(expected, rel=1e-5)


def test_samples_with_infinite_losses_are_kept_and_placed(land):
    def exploding(outputs, targets):
        loss = nn.functional.cross_entropy(outputs, targets)
        return loss / 0 if loss > 0.1 else loss

    land = Landscape(mlp_of(land), DATA, loss=exploding).sample(samplers.Subspace(k=2, n=40))
    assert np.isinf(land.losses).any()
    land.embed("pca")
    assert np.isfinite(land.coordinates).all()
    assert len(land.to_frame()) == 41


def mlp_of(land: Landscape) -> nn.Module:
    return land.objective.model_at(land.objective.anchor)


def test_refining_adds_samples_around_the_chosen_ones_and_moves_nothing(land):
    land.sample(SAMPLER).embed("pca")
    before = land.coordinates.copy(), land.losses.copy()
    n = len(before[1])
    land.refine([5, 6], n=20)
    assert len(land.cloud) == n + 20
    assert np.array_equal(land.coordinates[:n], before[0])
    assert np.array_equal(land.losses[:n], before[1])
    assert np.isfinite(land.coordinates[n:]).all()
    points = land.points()
    spread = np.linalg.norm(points[5] - points[6])
    nearest = np.linalg.norm(points[n:, None] - points[None, [5, 6]], axis=-1).min(axis=1)
    assert np.median(nearest) < spread


@pytest.mark.parametrize("reducer", [reducers.TSNE(5), reducers.UMAP(n_epochs=20), "pca", "mds"])
@pytest.mark.parametrize("components", [2, 3])
def test_refining_a_map_read_from_a_file_places_samples_as_before_it_was_saved(
    model, land, tmp_path, reducer, components
):
    land.sample(SAMPLER).embed(reducer, n_components=components, standardise=components == 3)
    land.save(tmp_path / "land.safetensors")
    again = Landscape.load(tmp_path / "land.safetensors", model, DATA, val_data=VAL)
    assert repr(again.reducer) == repr(land.reducer)
    n = len(land.losses)
    for each in (land, again):
        each.refine([5, 6], n=10)
    assert np.array_equal(again.coordinates[:n], land.coordinates[:n], equal_nan=True)
    np.testing.assert_allclose(again.coordinates[n:], land.coordinates[n:], rtol=1e-6, atol=1e-8)
    assert again.faithfulness() is not None


def test_refining_a_map_whose_making_the_file_does_not_tell_says_what_to_do(model, land, tmp_path):
    land.sample(SAMPLER).embed(PCA(n_components=2))
    land.save(tmp_path / "land.safetensors")
    again = Landscape.load(tmp_path / "land.safetensors", model, DATA, val_data=VAL)
    with pytest.raises(ValueError, match=r"Call \.embed\(\) first"):
        again.refine([5, 6], n=10)
    again.embed("pca").refine([5, 6], n=10)
    assert np.isfinite(again.coordinates[-10:]).all()


def test_refining_around_nothing_is_refused(land):
    land.sample(SAMPLER)
    with pytest.raises(ValueError, match="Select the samples"):
        land.refine([])


def test_a_map_of_few_samples_takes_fewer_neighbours_and_says_so(land):
    land.sample(samplers.Minima(n=10)).embed(reducers.TSNE(perplexity=30))
    assert np.isfinite(land.coordinates).all()
    assert land.reducer.info["perplexity"] == pytest.approx(13 / 3)
    assert any("perplexity 30 is lowered to 4.33" in said for said in land.assumptions)
    land.embed(reducers.TSNE(perplexity=4))
    assert not any("lowered" in said for said in land.assumptions)


def test_asking_before_sampling_says_what_to_do(land):
    with pytest.raises(RuntimeError, match=r"Call \.sample\(\) first"):
        land.embed()


def test_an_unknown_space_is_refused(land):
    with pytest.raises(ValueError, match="'weights' or 'outputs'"):
        land.sample(SAMPLER).embed("pca", space="wieghts")


def test_a_new_model_of_a_sample_has_its_loss(land):
    land.sample(SAMPLER)
    logits = land.model_at(7)(DATA[0])
    assert nn.functional.cross_entropy(logits, DATA[1]).item() == pytest.approx(
        land.losses[7], rel=1e-5
    )
    with pytest.raises(IndexError, match="Sample 999"):
        land.model_at(999)


class TestOnDisk:
    def test_a_saved_landscape_comes_back_as_it_was(self, land, model, tmp_path):
        land.sample(SAMPLER).embed("pca").save(tmp_path / "land.safetensors")
        again = Landscape.load(tmp_path / "land.safetensors", model, DATA, val_data=VAL)
        for name in ("losses", "val_losses", "coordinates", "evaluated", "outputs"):
            np.testing.assert_array_equal(getattr(again, name), getattr(land, name))
        assert again.to_frame().equals(land.to_frame())
        np.testing.assert_array_equal(again.slice([3]).losses, land.slice([3]).losses)

    def test_what_was_sampled_is_known_from_the_file_and_from_a_file_of_that(
        self, land, model, tmp_path
    ):
        land.sample(SAMPLER).save(tmp_path / "1")
        for number in (1, 2):
            land = Landscape.load(tmp_path / str(number), model, DATA, val_data=VAL)
            assert land.sampler == SAMPLER
            land.save(tmp_path / str(number + 1))

    def test_the_file_is_plain_safetensors(self, land, tmp_path):
        land.sample(SAMPLER).save(tmp_path / "land.safetensors")
        np.testing.assert_array_equal(
            load_file(tmp_path / "land.safetensors")["quantity:loss"], land.losses
        )

    @pytest.mark.parametrize(
        ("other", "message"),
        [
            (lambda: (ConvNet(), DATA), "other parameters"),
            (lambda: (mlp(seed=5), DATA), "other weights"),
        ],
    )
    def test_another_model_is_refused(self, land, tmp_path, other, message):
        land.sample(SAMPLER).save(tmp_path / "land.safetensors")
        wrong, data = other()
        with pytest.raises(ValueError, match=message):
            Landscape.load(tmp_path / "land.safetensors", wrong, data, val_data=VAL)

    def test_other_data_are_refused(self, land, model, tmp_path):
        land.sample(SAMPLER).save(tmp_path / "land.safetensors")
        with pytest.raises(ValueError, match="training data"):
            Landscape.load(tmp_path / "land.safetensors", model, digits(140), val_data=VAL)

    def test_a_file_of_something_else_is_refused(self, model, tmp_path):
        (tmp_path / "x.safetensors").write_bytes(b"not a landscape at all")
        with pytest.raises(ValueError, match="no safetensors file"):
            Landscape.load(tmp_path / "x.safetensors", model, DATA)
        with pytest.raises(FileNotFoundError, match="There is no file"):
            Landscape.load(tmp_path / "y.safetensors", model, DATA)

    def test_directions_that_are_seeds_are_saved_as_seeds(self, land, model, tmp_path):
        both = samplers.Subspace(k=3, n=20, basis="seeded") + samplers.Descent(runs=2, steps=4)
        land.sample(both).embed("pca").save(tmp_path / "land")
        again = Landscape.load(tmp_path / "land", model, DATA, val_data=VAL)
        seeded, paths = again.cloud.basis.parts
        assert isinstance(seeded, SeededBasis)
        assert torch.equal(seeded.row(2), land.cloud.basis.row(2))
        assert torch.equal(paths.vectors, land.cloud.basis.parts[1].vectors)
        np.testing.assert_array_equal(again.points(), land.points())
        np.testing.assert_array_equal(again.slice([3, 23]).losses, land.slice([3, 23]).losses)
        alone = Landscape(model, DATA, val_data=VAL).sample(both.samplers[0])
        alone.save(tmp_path / "alone")
        vectors = 3 * land.objective.anchor.nbytes
        assert sum(t.nbytes for n, t in load_file(tmp_path / "alone").items() if "basis" in n) < (
            0.3 * vectors
        )

    def test_seeds_that_another_version_of_torch_draws_from_are_refused(
        self, land, model, tmp_path, monkeypatch
    ):
        land.sample(samplers.Subspace(k=2, n=20, basis="seeded")).save(tmp_path / "land")
        draw = SeededBasis._draw
        monkeypatch.setattr(SeededBasis, "_draw", lambda *a: draw(*a).flip(0))
        with pytest.raises(ValueError, match=r"draws other ones from it.*Load it with that"):
            Landscape.load(tmp_path / "land", model, DATA, val_data=VAL)

    def test_a_file_of_before_there_were_seeds_still_loads(self, land, model, tmp_path):
        land.sample(SAMPLER).embed("pca").save(tmp_path / "land")
        with safe_open(tmp_path / "land", framework="pt") as file:
            metadata = file.metadata()
        document = json.loads(metadata["document"])
        del document["cloud"]["basis"]
        metadata["document"] = json.dumps(document)
        save_file(load_file(tmp_path / "land"), tmp_path / "old", metadata=metadata)
        again = Landscape.load(tmp_path / "old", model, DATA, val_data=VAL)
        np.testing.assert_array_equal(again.slice([3]).losses, land.slice([3]).losses)

    def test_a_run_of_seeded_directions_is_taken_up_where_it_ended(self, land, model, tmp_path):
        seen = []
        land.sample(
            samplers.Subspace(k=2, n=60, basis="seeded"),
            path=tmp_path / "land",
            on_chunk=seen.append,
            cancelled=lambda: len(seen) >= 2,
        )
        assert 0 < land.evaluated.sum() < 61
        resumed = Landscape(model, DATA, val_data=VAL)
        resumed.sample(samplers.Subspace(k=2, n=60, basis="seeded"), path=tmp_path / "land")
        whole = Landscape(model, DATA, val_data=VAL).sample(samplers.Subspace(k=2, n=60))
        np.testing.assert_allclose(resumed.losses, whole.losses, rtol=1e-5)

    def test_a_killed_run_resumes_and_ends_like_an_uninterrupted_one(self, tmp_path):
        script = textwrap.dedent(
            """
            import os, signal, sys, torch
            from landscape_widgets import samplers
            from landscape_widgets.landscape.landscape import Landscape
            from tests.models import digits, mlp
            model = mlp()
            model.load_state_dict(torch.load(sys.argv[3]))
            land = Landscape(model, digits(100))
            chunks = []
            def die(rows):
                chunks.append(rows)
                if sys.argv[2] == "die" and len(chunks) == 3:
                    os.kill(os.getpid(), signal.SIGKILL)
            land.sample(samplers.Minima(n=100), path=sys.argv[1], on_chunk=die)
            print(sum(map(len, chunks)))
            """
        )

        def run(path, mode):
            command = [sys.executable, "-c", script, str(path), mode, str(weights)]
            return subprocess.run(command, capture_output=True, text=True, cwd=os.getcwd())

        model, data, weights = train(mlp(), digits(100), 20), digits(100), tmp_path / "weights"
        torch.save(model.state_dict(), weights)
        killed, whole = tmp_path / "killed", tmp_path / "whole"
        assert run(killed, "die").returncode == -signal.SIGKILL
        resumed = run(killed, "live")
        assert resumed.returncode == 0, resumed.stderr
        uninterrupted = run(whole, "live")
        assert 0 < int(resumed.stdout) < int(uninterrupted.stdout) == 104
        a, b = (Landscape.load(path, model, data) for path in (killed, whole))
        assert a.evaluated.all()
        # Rounding, of losses of a hundred-thousandth among others.
        np.testing.assert_allclose(a.losses, b.losses, rtol=1e-5)

    def test_a_path_with_samples_of_another_sampler_is_refused(self, land, tmp_path):
        land.sample(SAMPLER, path=tmp_path / "land")
        with pytest.raises(ValueError, match="Give another path"):
            land.sample(samplers.Minima(n=61), path=tmp_path / "land")
