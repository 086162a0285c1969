"""Ways between samples, and the numbers that they hang on, through a landscape."""

import numpy as np
import pytest
import torch
from torch import nn

from landscape_widgets import Landscape, samplers
from landscape_widgets.progress import Cancelled
from landscape_widgets.samplers import Recorder
from landscape_widgets.samplers.matching import apply, symmetries
from tests.models import ConvNet, digits, mlp, train

DATA = digits(150)


class Counted(Landscape):
    """A landscape that says how many losses were asked for."""

    def counting(self):
        evaluate, self.asked = self.objective.evaluate, 0

        def counted(basis, rows, **keywords):
            self.asked += len(rows)
            return evaluate(basis, rows, **keywords)

        self.objective.evaluate = counted
        return self


@pytest.fixture(scope="module")
def model():
    return train(mlp(), DATA, 60)


@pytest.fixture
def land(model):
    return Counted(model, DATA).sample(samplers.Minima(n=80)).counting()


def loss_by_hand(model, land, row):
    theta = land.objective.anchor + land.cloud.basis.combine(row)
    outputs = torch.func.functional_call(model, land.objective.layout.unflatten(theta), (DATA[0],))
    return nn.functional.cross_entropy(outputs, DATA[1]).item()


def test_losses_along_both_ways_are_those_of_the_model(model, land):
    way = land.way(2)
    assert way.names == ("θ*", land.cloud.names[2])
    assert way.height <= way.straight.height
    for path in (way.easiest, way.straight):
        assert (path.losses[0], path.losses[-1]) == (land.losses[0], land.losses[2])
        for place in range(0, len(path), 5):
            expected = loss_by_hand(model, land, path.coefficients[place])
            assert path.losses[place] == pytest.approx(expected, rel=1e-4)
    length = float(land.cloud.displacement(2).norm())
    assert way.straight.length == pytest.approx(length, rel=1e-5)
    frame = way.to_frame()
    assert (frame["way"] == "straight").sum() == len(way.straight)
    assert frame.loc[frame["way"] == "easiest", "loss"].max() == way.height


def test_what_was_found_for_one_way_is_there_for_all_and_is_forgotten_with_its_samples(land):
    land.way(1)
    first = land.asked
    assert first < 8 * len(land.cloud)
    land.way(5)
    second = land.asked - first
    assert second < first / 2
    assert land.way(5) is land.way(5)
    assert land.asked == first + second
    graph = land._ways.graph
    land.refine([1], n=5)
    assert land._ways.graph is not graph
    assert len(land._ways.graph.rows) == len(land.cloud) == len(graph.rows) + 5


def test_a_permuted_copy_is_behind_a_barrier_that_matching_takes_away():
    data = digits(600)
    model = train(mlp(), data, 200)
    groups = symmetries(model)
    order = [np.random.default_rng(0).permutation(group.size) for group in groups]
    copy = apply({name: p.detach() for name, p in model.named_parameters()}, groups, order)
    land = Landscape(model, data).sample(samplers.Interpolation([copy], points=10, steps=40))
    numbers = {name: i for i, name in land.cloud.names.items()}
    straight, matched = numbers["model 0"], numbers["model 0, units matched"]
    assert land.losses[straight] == pytest.approx(land.losses[0], rel=1e-4)
    way = land.way(straight)
    assert way.straight_barrier > 0.5
    # There is a lower way in the cloud: to where the units are matched, and by the curve.
    assert way.barrier < way.straight_barrier
    assert land.way(matched).straight_barrier == pytest.approx(0, abs=1e-5)


def test_a_way_may_start_at_any_sample(land):
    there, back = land.way(2, start=1), land.way(1, start=2)
    assert there.straight.losses == pytest.approx(back.straight.losses[::-1], rel=1e-4)
    assert there.height == pytest.approx(back.height, rel=0.05)


def test_where_no_way_can_lead_is_said(land):
    with pytest.raises(IndexError, match="Sample 999 was asked for"):
        land.way(999)
    with pytest.raises(ValueError, match="0 was given as both"):
        land.way(0)
    with pytest.raises(RuntimeError, match=r"Call \.sample\(\) first"):
        Landscape(mlp(), DATA).way(1)


def test_samples_without_a_loss_are_refused_and_are_on_no_way(model):
    land = Landscape(model, DATA)
    seen = []
    land.sample(samplers.Minima(n=80), cancelled=lambda: len(seen) > 0, on_chunk=seen.append)
    with pytest.raises(ValueError, match="is not evaluated yet"):
        land.way(int(np.flatnonzero(~land.evaluated)[0]))
    known = np.flatnonzero(land.evaluated)
    assert 0 < len(known) < len(land.cloud)
    way = land.way(int(known[-1]))
    assert set(way.easiest.samples) <= {-1, *known.tolist()}


def test_a_stopped_way_raises_and_goes_on_from_what_was_evaluated(land):
    told = []
    with pytest.raises(Cancelled):
        land.way(3, cancelled=lambda: len(told) >= 1, progress=told.append)
    halfway = land.asked
    whole = Counted(train(mlp(), DATA, 60), DATA).sample(samplers.Minima(n=80)).counting()
    expected = whole.way(3)
    assert land.way(3).height == pytest.approx(expected.height, rel=1e-6)
    assert land.asked < 1.05 * whole.asked
    assert 0 < halfway < land.asked / 2


def test_batch_statistics_on_a_way_are_those_that_samples_have():
    data = digits(100)
    land = Landscape(train(ConvNet(), data, 20), data, batchnorm="reestimate")
    land.sample(samplers.Minima(n=12))
    way = land.way(1)
    row = way.straight.coefficients[10]
    assert way.straight.losses[10] == land.evaluator.evaluate(land.cloud.basis, row[None]).losses[0]


def test_the_sentence_names_both_heights(land):
    way = land.way(int(np.argmax(land.losses)))
    assert f"{way.straight.height:.4g}" in way.sentence
    assert repr(way) == f"<Way: {way.sentence}>"
    assert "points" in repr(way.easiest)


def test_the_loss_along_a_route_has_the_barrier_of_its_samples(model):
    other = train(mlp(seed=1), DATA, 60)
    land = Landscape(model, DATA, val_data=digits(200))
    land.sample(samplers.Interpolation(other, points=8, steps=30))
    table = land.to_frame()
    for number, route in enumerate(("linear", "aligned", "curve")):
        rows = table.index[table["route"] == route]
        coarse, fine = land.along(number, points=0), land.along(number, metrics=True)
        assert coarse.samples.tolist() == [0, *rows]
        np.testing.assert_array_equal(coarse.losses, [land.losses[0], *table["loss"][rows]])
        assert fine.height >= coarse.height
        assert len(fine) == 4 * 8 + 1
        np.testing.assert_array_equal(fine.losses[::4], coarse.losses)
        np.testing.assert_array_equal(
            fine.values["val_accuracy"][4::4], table["val_accuracy"][rows]
        )
        expected = loss_by_hand(model, land, fine.coefficients[9])
        assert fine.losses[9] == pytest.approx(expected, rel=1e-4)
    straight = land.along(0)
    assert straight.length == pytest.approx(float(land.cloud.displacement(8).norm()), rel=1e-5)
    # Along the straight route the points are those of the slice to its end.
    line = land.slice(8, np.linspace(0, 1, 33))
    np.testing.assert_allclose(straight.losses, line.losses[0], rtol=1e-4)


def test_the_loss_along_a_trajectory_goes_through_its_checkpoints_in_order(model):
    trained = mlp()
    recorder = Recorder(trained)
    optimiser = torch.optim.SGD(trained.parameters(), lr=0.1)
    for _ in range(6):
        optimiser.zero_grad()
        nn.functional.cross_entropy(trained(DATA[0]), DATA[1]).backward()
        optimiser.step()
        recorder.step()
    land = Landscape(trained, DATA).sample(samplers.Trajectory(recorder))
    path = land.along(0, points=1)
    through = path.samples[path.samples >= 0]
    steps = land.cloud.table["step"].to_numpy()[through]
    assert (np.diff(steps) > 0).all()
    assert (np.diff(path.losses[::2]) < 0).all()
    assert list(path.to_frame().columns) == ["sample", "distance", "share", "loss"]


def test_a_path_that_is_not_there_is_refused(land):
    with pytest.raises(ValueError, match="There is no path 3; of these samples there are: none"):
        land.along(3)
    with pytest.raises(IndexError, match="Sample 9999 was asked for"):
        land.along([0, 9999])
    with pytest.raises(ValueError, match="2 samples or more; 1 were given"):
        land.along([4])
    with pytest.raises(ValueError, match="points=-1"):
        land.along([0, 1], points=-1)
    with pytest.raises(Cancelled):
        land.along([0, 1, 2], cancelled=lambda: True)
    back = land.along([2, 1, 0])
    assert back.losses[0] == land.losses[2]
    np.testing.assert_allclose(back.losses[::-1], land.along([0, 1, 2]).losses, rtol=1e-4)


def test_slices_of_a_landscape_start_where_they_are_told(land):
    line = land.slice([1, 2], [0, 0.5, 1], start=3)
    np.testing.assert_allclose(line.losses[:, 0], land.losses[3], rtol=1e-5)
    np.testing.assert_allclose(line.losses[:, 2], land.losses[[1, 2]], rtol=1e-5)
    penalised = land.penalised(l2=0.1).along(line)
    theta = land.cloud.vector(3) + 0.5 * (land.cloud.vector(1) - land.cloud.vector(3))
    weights = land.objective.layout.unflatten(theta)
    norm = sum(float(w.square().sum()) for name, w in weights.items() if name.endswith("weight"))
    assert penalised.losses[0, 1] == pytest.approx(line.losses[0, 1] + 0.1 * norm, rel=1e-5)
