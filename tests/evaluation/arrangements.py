"""What tests of other layouts of a network's images have in common."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
from torch import nn
from torch.fx import GraphModule

from landscape_widgets.evaluation.graph.rewrite import rewrite
from landscape_widgets.evaluation.graph.tracing import trace
from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.objective.objective import Objective
from tests.evaluation.networks import Case
from tests.evaluation.test_agreement import directions, plain_losses


def arranged(model: nn.Module, arrange: Callable[[GraphModule], GraphModule]) -> nn.Module:
    """A copy of a model, rewritten, that calls another arrangement of its program."""
    rewritten = rewrite(copy.deepcopy(model), trace(model))
    rewritten.called = arrange(rewritten.program)
    rewritten.refresh()
    return rewritten


def check_that_what_is_not_finite_gives_no_loss(
    case: Case, strategy: str, name: str, value: float, *, still: bool = False
) -> None:
    """Of two directions the second has `value` in a weight; before it nothing moves if `still`."""
    objective = Objective(case.model, (case.inputs, case.targets), strategy=strategy)
    vectors = directions(case, 2)
    place = {name: place for name, place, _ in objective.layout.slices()}[name]
    if still:
        vectors[:, : place.start] = 0
    vectors[1, place.start] = value
    rows = np.zeros((40, 2))
    rows[np.arange(40), np.arange(40) % 2] = np.linspace(0.1, 1, 40)
    found = objective.evaluate(DenseBasis(vectors), rows).losses
    expected = plain_losses(case, vectors[:1], rows[::2, :1])
    np.testing.assert_allclose(found[::2], expected, rtol=2e-5)
    assert not np.isfinite(found[1::2]).any()
