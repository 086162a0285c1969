"""What holds for each sampler alike."""

import copy
import random

import numpy as np
import pytest
import torch

from landscape_widgets.objective.objective import Objective
from landscape_widgets.progress import Cancelled
from landscape_widgets.samplers import (
    BY_NAME,
    Descent,
    Grid,
    HessianSubspace,
    Interpolation,
    JumpAndRetrain,
    Langevin,
    Minima,
    Models,
    Neighbourhood,
    Rays,
    Subspace,
    Trajectory,
    parsing,
)
from tests.models import ConvNet, digits, train

# A few draws of a chain are never enough, and it says so; tested in test_chains_and_grids.py.
pytestmark = pytest.mark.filterwarnings("ignore::landscape_widgets.curvature.chains.ChainWarning")


def checkpoints(objective):
    weights = [objective.anchor * share for share in (0.2, 0.5, 0.8)]
    return [objective.model_at(theta).state_dict() for theta in weights]


SAMPLERS = {
    "Minima": lambda _: Minima(n=40, steps=20),
    "Subspace": lambda _: Subspace(n=40),
    "Rays": lambda _: Rays(4, 10),
    "Descent": lambda _: Descent(runs=3, steps=10),
    "Neighbourhood": lambda _: Neighbourhood(arms=3),
    "Grid": lambda _: Grid(points=6),
    "HessianSubspace": lambda _: HessianSubspace(n=20, iterations=20),
    "JumpAndRetrain": lambda _: JumpAndRetrain(jumps=2, sizes=(0.3, 0.6), steps=6),
    "Langevin": lambda _: Langevin(chains=2, draws=8),
    "Interpolation": lambda objective: Interpolation(checkpoints(objective)[:1], 5, steps=6),
    "Models": lambda objective: Models(checkpoints(objective)[:1], n=20),
    "Trajectory": lambda objective: Trajectory(checkpoints(objective)),
}
every_sampler = pytest.mark.parametrize("name", SAMPLERS)


@every_sampler
def test_the_first_sample_is_the_trained_weights(name, objective):
    cloud = SAMPLERS[name](objective).draw(objective, seed=0)
    assert torch.equal(cloud.vector(0), objective.anchor)
    assert cloud.table["kind"][0] == "trained"
    assert (cloud.table["kind"][1:] != "trained").all()
    assert (cloud.table["sampler"] == name).all()
    assert {"kind", "path", "step", "radius"} <= set(cloud.table)
    assert cloud.table["path"].dtype.kind == "i"
    norms = [float(cloud.displacement(i).norm()) for i in range(len(cloud))]
    np.testing.assert_allclose(cloud.table["radius"], norms, rtol=1e-4, atol=1e-9)


@every_sampler
def test_the_same_seed_draws_the_same_cloud_and_another_another(name, objective):
    sampler = SAMPLERS[name](objective)
    first, again, other = (sampler.draw(objective, seed=seed) for seed in (3, 3, 4))
    everything = slice(None)
    assert torch.equal(first.basis.columns(everything), again.basis.columns(everything))
    np.testing.assert_array_equal(first.coefficients, again.coefficients)
    assert first.table.equals(again.table)
    if name != "Trajectory":
        assert not torch.equal(first.basis.columns(everything), other.basis.columns(everything))


@every_sampler
def test_the_model_and_the_global_random_state_stay_as_they_are(name):
    data = digits(200)
    model = train(ConvNet(), data, 30)
    model.train()
    before = copy.deepcopy(model.state_dict())
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    objective = Objective(model, data)
    SAMPLERS[name](objective).draw(objective, seed=0)
    after = model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert model.training
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())
    assert torch.equal(states[0], torch.get_rng_state())
    np.testing.assert_array_equal(states[1], np.random.get_state()[1])  # noqa: NPY002
    assert states[2] == random.getstate()


@every_sampler
def test_progress_never_goes_backwards_within_a_phase(name, objective):
    seen: dict[str, int] = {}

    def progress(report):
        assert seen.get(report.phase, 0) <= report.done <= report.total
        seen[report.phase] = report.done

    SAMPLERS[name](objective).draw(objective, seed=0, progress=progress)
    assert seen


@every_sampler
def test_a_sampler_that_is_stopped_at_once_says_so(name, objective):
    with pytest.raises(Cancelled):
        SAMPLERS[name](objective).draw(objective, seed=0, cancelled=lambda: True)


@pytest.mark.parametrize(
    ("sampler", "phase"), [(Descent(runs=5, steps=10), "descents"), (Neighbourhood(5), "arms")]
)
def test_a_stopped_sampler_keeps_its_whole_paths(sampler, phase, objective):
    reports = []
    cloud = sampler.draw(
        objective,
        seed=0,
        progress=reports.append,
        cancelled=lambda: bool(reports) and reports[-1].phase == phase and reports[-1].done == 2,
    )
    whole = sampler.draw(objective, seed=0)
    assert sorted(set(cloud.table["path"])) == [-1, 0, 1]
    kept = whole.table["path"] < 2
    assert len(cloud) == kept.sum()
    for i in (1, len(cloud) - 1):
        assert torch.equal(cloud.displacement(i), whole.displacement(i))


@every_sampler
def test_the_space_is_the_samplers_own(name, objective):
    cloud = SAMPLERS[name](objective).draw(objective, seed=0)
    assert cloud.space == ("outputs" if name == "Neighbourhood" else "weights")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Minima(k=0), ValueError, r"Minima\(k=0\).*1 or more"),
        (lambda: Minima(n=0), ValueError, r"Minima\(n=0\)"),
        (lambda: Minima(k=2.5), TypeError, "whole number.*float was given"),
        (lambda: Minima(radius=-1.0), ValueError, "above 0 is expected, or None"),
        (lambda: Minima(radius="big"), TypeError, "str was given"),
        (lambda: Minima(extent=(1, 0)), ValueError, "low < high"),
        (lambda: Subspace(radius=float("nan")), ValueError, "above 0"),
        (lambda: Subspace(n=True), TypeError, "bool was given"),
        (lambda: Rays(rays=0), ValueError, r"Rays\(rays=0\)"),
        (lambda: Rays(radius=0), ValueError, "above 0"),
        (lambda: Descent(steps=-3), ValueError, "1 or more"),
        (lambda: Descent(optimiser="adamm"), ValueError, "Did you mean 'adam'"),
        (lambda: Descent(learning_rate=-0.1), ValueError, "above 0"),
        (lambda: Neighbourhood(arms=0), ValueError, "1 or more"),
        (lambda: Minima(raduis=1.0), TypeError, "'raduis'.*Did you mean 'radius'"),
        (lambda: Rays(ray=1), TypeError, "Did you mean 'rays'"),
    ],
)
def test_wrong_parameters_are_refused_when_they_are_given(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("sampler", [Minima(k=4), Subspace(k=4), Rays(rays=4)])
def test_more_directions_than_parameters_are_refused_before_work(sampler, linear):
    reports = []
    with pytest.raises(ValueError, match="only 3 trainable parameters"):
        sampler.draw(linear, seed=0, progress=reports.append)
    assert not reports


def test_paths_too_long_for_the_memory_are_refused_before_work(objective):
    with pytest.raises(ValueError, match=r"of memory, .* GiB of disk in .*fewer runs"):
        Descent(runs=10**9).draw(objective, seed=0)


def test_samplers_show_their_parameters():
    assert repr(Rays(5, 3)) == "Rays(rays=5, points=3, radius=None, filter_normalised=True)"
    assert repr(Rays(5) + Subspace()).startswith("Rays(rays=5, points=20")


def test_added_samplers_draw_into_one_cloud(objective):
    combined = Rays(3, 4) + Rays(2, 5) + Subspace(n=7)
    cloud = combined.draw(objective, seed=1)
    assert len(cloud) == 1 + 12 + 10 + 7
    assert (cloud.table["kind"] == "trained").sum() == 1
    assert sorted(set(cloud.table["path"])) == [-1, 0, 1, 2, 3, 4]
    alone = Rays(3, 4).draw(objective, seed=1)
    for i in range(len(alone)):
        assert torch.equal(cloud.displacement(i), alone.displacement(i))
    # The second sampler of the same kind has random numbers of its own.
    assert not torch.equal(cloud.displacement(13), cloud.displacement(1))


def test_a_combination_stopped_in_its_second_part_keeps_the_first(objective):
    reports = []
    cloud = (Subspace(n=7) + Descent(runs=3, steps=5)).draw(
        objective,
        seed=0,
        progress=reports.append,
        cancelled=lambda: bool(reports) and reports[-1].phase == "descents",
    )
    assert len(cloud) == 8


@every_sampler
def test_a_sampler_is_read_from_its_repr_unless_it_took_models(name, objective):
    sampler = SAMPLERS[name](objective)
    found = parsing.parse(repr(sampler), BY_NAME)
    assert repr(found) == repr(sampler)
    assert found.name == sampler.name
    assert (type(found) is type(sampler)) == (name not in ("Interpolation", "Models", "Trajectory"))
    if isinstance(found, parsing.Unparsed):
        with pytest.raises(ValueError, match="not how to draw them again"):
            found.draw(objective, seed=0)


def test_samplers_that_were_added_up_are_read_and_named_as_such(objective):
    for name, known in (("Rays", True), ("Trajectory", False)):
        sampler = Minima(n=40, extent=(-0.5, 1.0)) + SAMPLERS[name](objective)
        found = parsing.parse(repr(sampler), BY_NAME)
        assert (found == sampler) == known
        assert found.name == sampler.name == f"Minima + {name}"


@pytest.mark.parametrize("text", ["Minima(k=[].append)", "Minima(j=3)", "Own(n=3)", "print(1)"])
def test_what_is_no_sampler_of_ours_is_kept_as_text(text, capsys):
    assert repr(parsing.parse(text, BY_NAME)) == text
    assert capsys.readouterr().out == ""
