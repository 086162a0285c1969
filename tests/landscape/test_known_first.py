"""What is known of a cloud while it is drawn: the first points, long before the others."""

import numpy as np
import pytest
import torch
from torch import nn

from landscape_widgets import samplers
from landscape_widgets.landscape.landscape import Landscape
from landscape_widgets.objective.objective import Objective
from landscape_widgets.progress import Cancelled
from landscape_widgets.samplers.base import Work
from tests.models import digits, mlp, train

DATA = digits(150)
SAMPLER = samplers.Minima(n=40)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return train(mlp(), DATA, 60)


@pytest.fixture
def worked(monkeypatch) -> list[str]:
    """What a sampler has asked for."""
    asked: list[str] = []
    for kind, name in ((Work, "losses"), (Objective, "gradient"), (Objective, "loss")):
        plain = getattr(kind, name)

        def watched(self, *args, plain=plain, name=name, **keywords):
            asked.append(name)
            return plain(self, *args, **keywords)

        monkeypatch.setattr(kind, name, watched)
    return asked


@pytest.mark.parametrize("sampler", [SAMPLER, samplers.Subspace(n=10), SAMPLER + samplers.Rays(2)])
def test_the_trained_weights_are_there_before_a_sampler_begins(model, sampler, worked):
    land, seen = Landscape(model, DATA), []

    def known(cloud) -> None:
        seen.append((len(cloud), land.losses.copy(), len(worked)))

    land.sample(sampler, on_known=known)
    n, losses, before = seen[0]
    assert (n, before) == (1, 0)
    assert len(worked) > 20
    with torch.no_grad():
        plain = nn.functional.cross_entropy(model(DATA[0]), DATA[1])
    assert losses == pytest.approx([float(plain)], rel=1e-5)


def test_ends_of_descents_are_there_as_they_are_found_and_the_cloud_begins_with_them(model):
    land, told, chunks = Landscape(model, DATA), [], []

    def known(cloud) -> None:
        vectors = torch.stack([cloud.vector(i) for i in range(len(cloud))])
        told.append((vectors, land.losses.copy(), list(cloud.table["kind"])))

    land.sample(SAMPLER, on_known=known, on_chunk=chunks.append)
    kinds = list(land.cloud.table["kind"])
    assert [len(vectors) for vectors, _, _ in told] == [1, 2, 3, 4]
    for vectors, losses, some in told:
        whole = torch.stack([land.cloud.vector(i) for i in range(len(vectors))])
        torch.testing.assert_close(vectors, whole)
        np.testing.assert_array_equal(losses, land.losses[: len(losses)])
        assert some == kinds[: len(some)]
    for i in range(4):
        with torch.no_grad():
            plain = nn.functional.cross_entropy(land.model_at(i)(DATA[0]), DATA[1])
        assert land.losses[i] == pytest.approx(float(plain), rel=1e-4, abs=1e-7)
    # And none is evaluated twice.
    assert np.concatenate(chunks).tolist() == list(range(4, len(land.cloud)))


def test_it_makes_no_difference_to_the_landscape(model):
    told = Landscape(model, DATA).sample(SAMPLER, on_known=lambda cloud: None)
    untold = Landscape(model, DATA).sample(SAMPLER)
    np.testing.assert_array_equal(told.cloud.coefficients, untold.cloud.coefficients)
    np.testing.assert_allclose(told.losses, untold.losses, rtol=1e-4, atol=1e-7)
    assert told.cloud.assumptions == untold.cloud.assumptions


def test_a_model_of_few_weights_begins_with_the_ends_too():
    torch.manual_seed(0)
    x = torch.randn(50, 2)
    data = x, (x.sum(1, keepdim=True) > 0.3 * torch.randn(50, 1)).float()
    land, told = Landscape(nn.Linear(2, 1), data, loss=nn.BCEWithLogitsLoss()), []
    land.sample(SAMPLER, on_known=lambda cloud: told.append(cloud.vector(len(cloud) - 1)))
    for i, vector in enumerate(told):
        torch.testing.assert_close(vector, land.cloud.vector(i))


def test_a_stopped_draw_keeps_what_was_known_and_can_be_done_again(model, tmp_path):
    land, told = Landscape(model, DATA), []
    with pytest.raises(Cancelled):
        land.sample(SAMPLER, on_known=told.append, cancelled=lambda: len(told) == 2)
    assert len(land.cloud) == 2
    assert land.evaluated.all()
    land.save(tmp_path / "some")
    again = Landscape.load(tmp_path / "some", model, DATA)
    np.testing.assert_array_equal(again.losses, land.losses)
    land.sample(SAMPLER, on_known=told.append)
    assert len(told) == 2  # what is there stays until all of the other cloud is
    np.testing.assert_allclose(
        land.losses, Landscape(model, DATA).sample(SAMPLER).losses, rtol=1e-4
    )
