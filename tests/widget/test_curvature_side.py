import numpy as np
import pytest
import torch

import landscape_widgets as lw
from tests.models import OnceDifferentiable, digits, mlp, train
from tests.widget.page import floats, say, state

DATA = digits(120)


def asked(widget, sample: int) -> tuple[dict, dict]:
    """What the page is sent of the curvature at a sample, and how the work on it ended."""
    say(widget, "ask", name="curvature", of={"sample": sample})
    widget.wait(60)
    return state(widget, "answers").get("curvature", {}), state(widget, "asked")["curvature"]


def test_the_page_is_sent_the_curvature_of_the_landscape_coarse_to_fine():
    widget = lw.LandscapeWidget(
        train(mlp(8), DATA, 60), DATA, sampler=lw.samplers.Subspace(n=20), reducer="pca"
    )
    widget.wait(60)
    seen = []
    widget.observe(lambda change: seen.append(change.new["curvature"]), "_answers")
    for sample in (0, 7):
        told, work = asked(widget, sample)
        assert work["state"] == "done"
        assert told["of"] == {"sample": sample}
        expected = widget.landscape.curvature(sample)
        np.testing.assert_allclose(floats(told["eigenvalues"]), expected.eigenpairs.values, 1e-5)
        assert told["top"] == 5
        assert told["trace"]["value"] == pytest.approx(expected.trace.value)
        assert told["trace"]["layers"] == ["0", "2"]
        np.testing.assert_allclose(floats(told["trace"]["values"]), expected.trace.of_layers, 1e-5)
        counts = floats(told["density"]["counts"])
        assert counts.sum() == pytest.approx(widget.landscape.objective.size, rel=1e-4)
        assert len(floats(told["density"]["edges"])) == len(counts) + 1
        assert "stable here up to steps of" in told["text"][0]
        expected = widget.landscape.critical_sharpness(sample)
        assert told["critical"]["value"] == pytest.approx(expected.value, rel=1e-3)
    assert seen[0]["trace"] is None  # the eigenvalues were there first
    widget.close()


def test_quadratics_of_slices_come_for_all_samples_or_for_those_that_are_asked_for():
    model = train(mlp(4), DATA, 20)
    for sampler, is_narrow in (
        (lw.samplers.Subspace(k=3, n=20), True),
        (lw.samplers.Rays(20), False),
    ):
        widget = lw.LandscapeWidget(model, DATA, sampler=sampler, reducer="pca")
        widget.wait(60)
        n = len(widget.landscape.cloud)
        say(widget, "ask", name="quadratics", of={"samples": n})
        say(widget, "ask", name="quadratics along", of={"rows": [2, 5]})
        widget.wait(60)
        told = state(widget, "answers")
        expected = widget.landscape.curvature_along()
        assert told["quadratics"]["all"] == is_narrow
        if is_narrow:
            assert told["quadratics"]["indices"] == list(range(n))
            np.testing.assert_allclose(
                floats(told["quadratics"]["curvatures"]), expected.curvatures, rtol=1e-4, atol=1e-6
            )
        few = told["quadratics along"]
        assert few["indices"] == [2, 5]
        assert few["loss"] == pytest.approx(widget.landscape.losses[0], rel=1e-5)
        np.testing.assert_allclose(floats(few["slopes"]), expected.slopes[[2, 5]], 1e-3, 1e-6)
        np.testing.assert_allclose(floats(few["curvatures"]), expected.curvatures[[2, 5]], 1e-3)
        widget.close()


def test_the_learning_coefficient_comes_with_what_is_wrong_with_its_chains(monkeypatch):
    few = lw.samplers.Langevin(chains=2, draws=8, every=1, batch_size=None)
    monkeypatch.setattr("landscape_widgets.landscape.inspected.CHAINS", few)
    widget = lw.LandscapeWidget(
        train(mlp(4), DATA, 20), DATA, sampler=lw.samplers.Subspace(n=10), reducer="pca"
    )
    widget.wait(60)
    say(widget, "ask", name="learning coefficient", of={"samples": 11})
    widget.wait(60)
    told = state(widget, "answers")["learning coefficient"]
    expected = widget.landscape.learning_coefficient()
    assert told["value"] == pytest.approx(expected.value)
    assert told["error"] == pytest.approx(expected.error)
    assert told["problems"] == list(expected.problems)
    widget.close()


def test_where_there_is_no_hessian_the_critical_sharpness_stands_in():
    torch.manual_seed(0)
    data = torch.randn(20, 3), torch.ones(20, 1)
    widget = lw.LandscapeWidget(
        OnceDifferentiable(), data, sampler=lw.samplers.Subspace(n=10), reducer="pca", metrics=[]
    )
    widget.wait(60)
    told, work = asked(widget, 0)
    assert work["state"] == "done"
    assert told["critical"]["value"] == pytest.approx(widget.landscape.critical_sharpness().value)
    assert "second derivative" in told["text"][0]
    assert "eigenvalues" not in told
    widget.close()


def test_a_sample_that_there_is_not_is_told():
    widget = lw.LandscapeWidget(
        train(mlp(4), DATA, 20), DATA, sampler=lw.samplers.Subspace(n=10), reducer="pca"
    )
    widget.wait(60)
    _, work = asked(widget, 99)
    assert work["state"] == "error"
    assert "Sample 99" in work["message"]
    widget.close()
