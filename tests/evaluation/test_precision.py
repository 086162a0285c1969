import numpy as np
import pytest

from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.objective.objective import Objective
from tests.evaluation.networks import make
from tests.evaluation.test_agreement import directions, plain_losses


@pytest.mark.parametrize(
    ("name", "strategy"),
    [("mlp", "stacked"), ("mlp", "shared"), ("cnn", "fused"), ("cnn", "shared"), ("gru", "auto")],
)
def test_reduced_precision_states_the_error_that_it_makes(name, strategy):
    case = make(name)
    data = (case.inputs, case.targets)
    objective = Objective(case.model, data, strategy=strategy, precision="bf16")
    vectors, rows = directions(case, 2), np.random.default_rng(0).normal(size=(40, 2))
    found = objective.evaluate(DenseBasis(vectors), rows).losses
    errors = np.abs(found / plain_losses(case, vectors, rows) - 1)
    assert 1e-6 < errors.max() < 3e-2
    stated = objective.engine.error
    assert 0.1 * errors.max() < stated < 10 * errors.max()
    assert f"bf16, error up to {stated:.1g}" in objective.strategy
    exact = Objective(case.model, data)
    assert objective.anchor_loss == pytest.approx(exact.anchor_loss, rel=1e-6)


def test_the_models_own_precision_is_the_default():
    case = make("mlp")
    objective = Objective(case.model, (case.inputs, case.targets))
    assert "bf16" not in objective.strategy


def test_an_unknown_precision_names_what_there_is():
    case = make("mlp")
    with pytest.raises(ValueError, match="'bf16'"):
        Objective(case.model, (case.inputs, case.targets), precision="fp8")
