"""Running, stopping, changing and reloading the widget, in real JupyterLab 4 and Notebook 7."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.landscape import DOTS, LandscapeNotebook

pytestmark = pytest.mark.timeout(240)

SLOW = """
import time, torch, landscape_widgets as lw
from torch import nn
from tests.models import digits, mlp, train
data = digits(300)
model = train(mlp(), data, 80)
def slow_loss(model, batch):
    time.sleep(0.005)
    return nn.functional.cross_entropy(model(batch[0]), batch[1])
"""
SLOW_WIDGET = "w = lw.LandscapeWidget(model, data, loss=slow_loss, sampler='subspace')\nw"
# The default widget, of few samples and with no slices ahead.
QUICK = """
import landscape_widgets as lw
from landscape_widgets.widget import slices
from tests.models import digits, mlp, train
slices.PROFILE_SECONDS, slices.AT_ONCE = 0.0, 1e9
data, val = digits(200), tuple(t[200:] for t in digits(300))
model = train(mlp(), data, 60)
"""
QUICK_WIDGET = """
sampler = lw.samplers.Minima(n=300)
w = lw.LandscapeWidget(model, data, val_data=val, sampler=sampler, start=False)
w
"""
# Readouts of which each has the longest word that it may have.
LONGEST = """
from landscape_widgets.trust.thresholds import Scores
from landscape_widgets.trust.words import judge
from landscape_widgets.widget import wire
kept, w._trust = w._trust, wire.trust(judge(Scores(
    trust=0.6, honest=1.0, by_radius=1.0, by_change=1.0, beyond_radius=0.25, beyond_both=0.25,
    contrast=1.0, dimension=100.0, directedness=float('nan'), has_paths=False, aligned=0.5,
    shared=0.8,
)))
"""


@pytest.mark.in_both_applications
def test_the_quickstart_runs_and_maps_every_sample(notebook: LandscapeNotebook) -> None:
    cells = [cell for cell in notebook.cells() if cell["cell_type"] == "code"]
    assert [cell["execution_count"] is not None for cell in cells] == [True] * len(cells)
    assert not [o for cell in cells for o in cell["outputs"] if o["output_type"] == "error"]
    assert len(notebook.pixels()) == notebook.ask("len(w.landscape.cloud)") == 1004
    expect(notebook.part("trust")).to_contain_text("trustworthiness")


def test_changing_the_map_or_the_colour_evaluates_no_loss_again(
    notebook: LandscapeNotebook,
) -> None:
    with notebook.no_losses():
        stage = notebook.part("map").locator("xpath=..")
        notebook.part("colour-by").select_option("val_loss")
        notebook.part("reducer").select_option("pca")
        expect(stage).to_contain_text("PCA of weights", timeout=30_000)
        notebook.wait_until_done()
        notebook.part("reducer").select_option("tsne")
        expect(stage).to_contain_text("t-SNE of weights", timeout=30_000)
        notebook.wait_until_done()
        assert notebook.ask("w.colour_by") == "val_loss"
        assert notebook.part("error").is_hidden()
        notebook.part("colour-by").select_option("loss")


@pytest.mark.in_both_applications
def test_a_page_that_is_loaded_again_shows_the_widget_in_its_state(
    notebook: LandscapeNotebook,
) -> None:
    notebook.drag(notebook.box(0.3, 0.2, 0.7, 0.7))
    selected = notebook.selected()
    before = notebook.pixels() - notebook.scroll_to_map()
    notebook.save()
    notebook.open()
    notebook.wait_for_widget()
    notebook.wait_until_done()
    expect(notebook.part("selection")).to_contain_text(f"{len(selected)} samples")
    expect(notebook.page.locator(".lw-lasso")).to_have_count(1)
    after = notebook.pixels() - notebook.scroll_to_map()
    np.testing.assert_allclose(after, before, atol=1.0)
    assert len(notebook.curves(3.0)) == 1  # the median
    # And it goes on answering to the hand.
    notebook.drag(notebook.box(0.1, 0.1, 0.5, 0.9))
    assert notebook.selected() != selected


def test_stop_keeps_what_is_done_and_start_goes_on(
    opened: Callable[..., LandscapeNotebook],
) -> None:
    notebook = opened(SLOW, SLOW_WIDGET)
    expect(notebook.part("status")).to_contain_text("evaluating losses", timeout=60_000)
    notebook.wait_for_answer("bool(w.landscape.evaluated.any())", True)
    notebook.part("stop").click()
    notebook.wait_for_state("stopped")
    done, n = notebook.ask("[int(w.landscape.evaluated.sum()), len(w.landscape.cloud)]")
    assert 0 < done < n
    expect(notebook.page.get_by_text(f"not evaluated yet ({n - done})")).to_be_visible()
    assert notebook.page.locator(DOTS).count() == n
    assert notebook.ask("[w.wait(30), int(w.landscape.evaluated.sum())]") == [None, done]
    notebook.part("start").click()
    notebook.wait_for_state("running")
    notebook.wait_for_answer(f"int(w.landscape.evaluated.sum()) > {done}", True)
    assert notebook.ask("w.close() or int(w.session.worker.busy)") == 0


# A layout that takes its time at each frame, until it is told to hurry.
SLOW_LAYOUT = """
import time
class Leisurely(lw.reducers.TSNE):
    pause = 0.5
    def fit(self, points, *, on_frame, **options):
        def show(frame):
            on_frame(frame)
            time.sleep(Leisurely.pause)
        return super().fit(points, on_frame=show, **options)
w = lw.LandscapeWidget(model, data, sampler=lw.samplers.Minima(n=200), reducer=Leisurely())
w
"""


def test_going_on_after_a_stop_of_the_layout_finishes_the_map_and_judges_that(
    opened: Callable[..., LandscapeNotebook],
) -> None:
    notebook = opened(QUICK, SLOW_LAYOUT)
    reading, title = notebook.part("objective"), notebook.page.locator(".lw-title").first
    expect(reading).to_contain_text("iteration", timeout=60_000)
    notebook.part("stop").click()
    notebook.wait_for_state("stopped")
    expect(title).to_contain_text("stopped at iteration")
    expect(notebook.part("trust")).to_contain_text("Measured once the map is there.")
    expect(notebook.part("start")).to_have_text("Go on")
    unfinished = np.array(notebook.ask("w.landscape.coordinates.tolist()"))
    notebook.ask("setattr(Leisurely, 'pause', 0.0)")
    notebook.part("start").click()
    notebook.wait_for_state("running")
    notebook.wait_until_done()
    expect(title).not_to_contain_text("stopped")
    _, done, of = re.split("iteration | of ", reading.inner_text())
    assert done == of
    finished = np.array(notebook.ask("w.landscape.coordinates.tolist()"))
    assert not np.allclose(finished, unfinished)
    judged = notebook.ask("w.landscape.faithfulness(seeds=1)['neighbourhoods (trustworthiness)']")
    shown = notebook.part("trust").locator("tr", has_text="trustworthiness").locator(".lw-number")
    expect(shown).to_have_text(f"{judged:.2f}")


def test_a_widget_that_was_not_started_tells_of_no_samples(
    opened: Callable[..., LandscapeNotebook],
) -> None:
    notebook = opened(QUICK, QUICK_WIDGET)
    expect(notebook.page.get_by_text("No samples yet")).to_be_visible()
    expect(notebook.part("colour-by").locator("option")).to_have_text(["training loss"])
    expect(notebook.page.locator(".lw-colourbar")).to_have_count(0)


def test_the_bar_is_one_row_and_headings_and_readouts_are_one_line_where_there_is_room(
    notebook: LandscapeNotebook,
) -> None:
    try:
        for width, rows in ((1400, 1), (1150, 1), (1030, 1), (900, 2)):
            notebook.set_width(width)
            boxes = notebook.page.evaluate(
                """(all) => all.map((parts) =>
                  [...document.querySelectorAll(parts)].map((part) => {
                    const {left, right, top, height} = part.getBoundingClientRect();
                    return [left, right, top + height / 2, height];
                  }))""",
                [".lw-bar > *", ".lw-trust .lw-heading-row > *", ".lw-trust tr:not(.lw-meaning)"],
            )
            bar, heading, readouts = (np.array(part) for part in boxes)
            for row in (*(bar[np.abs(bar[:, 2] - y) < 3] for y in np.unique(bar[:, 2])), heading):
                assert (row[1:, 0] >= row[:-1, 1]).all()  # no part lies over the next
            assert len(np.unique(np.round(bar[:, 2] / 10))) == rows
            assert bar[:, 3].max() < 30
            assert heading[:, 3].max() < 30
            assert readouts[:, 3].max() < 30
    finally:
        notebook.set_width(None)


def test_no_readout_wraps_and_no_choice_beside_them_is_cut_off_at_any_width(
    notebook: LandscapeNotebook,
) -> None:
    notebook.tell(LONGEST)
    trust = notebook.part("trust")
    expect(trust).to_contain_text("explains 100% of the loss")
    try:
        selects = []
        for width in (*range(480, 1401, 40), 739, 740, 741, 879, 881):
            notebook.set_width(width)
            panel, select, *rows = np.array(
                notebook.page.evaluate(
                    """() => ['', ' select', ' tr:not(.lw-meaning)']
                      .flatMap((part) => [...document.querySelectorAll('.lw-trust' + part)])
                      .map((part) => part.getBoundingClientRect())
                      .map(({left, right, height}) => [left, right, height])"""
                )
            )
            assert len(rows) == 10
            assert np.ptp([height for _, _, height in rows]) < 1
            assert max(right for _, right, _ in rows) <= panel[1]
            assert panel[0] < select[0] < select[1] <= panel[1]
            selects.append(select[1] - select[0])
        assert np.ptp(selects) < 1  # as wide as its longest choice asks for
    finally:
        notebook.tell("w._trust = kept")
        notebook.set_width(None)


WIDTHS = (480, 900, 1400)
# More neighbours are asked for than there are samples: the map says so once it is there.
VIEWS = f"""
import ipywidgets
w = lw.LandscapeWidget(
    model, data, val_data=val, sampler=lw.samplers.Minima(n=300),
    reducer=lw.reducers.TSNE(perplexity=500), start=False,
)
ipywidgets.VBox([
    ipywidgets.Box([w], layout=ipywidgets.Layout(width=f"{{width}}px")) for width in {WIDTHS}
])
"""


def test_the_widget_is_as_high_from_the_first_frame_as_when_it_is_done(
    opened: Callable[..., LandscapeNotebook],
) -> None:
    notebook = opened(QUICK, VIEWS, width=1700)
    expect(notebook.page.locator(".lw-root[data-ready]")).to_have_count(len(WIDTHS))
    notebook.page.evaluate(
        """() => {
          const roots = [...document.querySelectorAll('.lw-root')];
          window.heights = roots.map(() => new Set());
          roots.forEach((root, n) => {
            new ResizeObserver(() => window.heights[n].add(root.offsetHeight)).observe(root);
          });
        }"""
    )
    notebook.part("start").click()
    expect(notebook.part("trust")).to_contain_text("Measured once the map is there.")
    notebook.wait_for_state("running")
    notebook.wait_until_done()
    expect(notebook.part("trust")).to_contain_text("layout of other maps")
    expect(notebook.view(0).locator(".lw-caption")).to_contain_text("perplexity 500 is lowered")
    notebook.part("compare-with").select_option("walk")
    expect(notebook.part("trust")).to_contain_text("directedness of paths", timeout=60_000)
    notebook.wait_until_done()
    notebook.part("compare-with").select_option("nothing")
    notebook.part("dimensions").select_option("3")
    notebook.wait_for_state("running")
    notebook.wait_until_done()
    expect(notebook.part("trust")).to_contain_text("layout of other maps")
    notebook.ask("setattr(w, 'selected', tuple(range(1, 7)))")
    expect(notebook.part("selection")).to_contain_text("6 samples")
    notebook.ask("setattr(w, 'sampler', lw.samplers.Descent(runs=4, steps=30))")
    notebook.wait_for_state("running")
    notebook.wait_until_done()
    expect(notebook.part("trust")).to_contain_text("directedness of paths")
    heights = notebook.page.evaluate("() => window.heights.map((seen) => [...seen])")
    assert [len(seen) for seen in heights] == [1] * len(WIDTHS), heights


def test_sentences_for_which_the_caption_has_no_room_are_a_press_away(
    notebook: LandscapeNotebook,
) -> None:
    said = [f"Assumption {n} of many, which takes a line of its own." for n in range(12)]
    height = "() => document.querySelector('.lw-root').offsetHeight"
    before = notebook.page.evaluate(height)
    last, more = notebook.page.locator(".lw-assumption").last, notebook.part("caption-more")
    expect(more).to_be_hidden()
    notebook.tell(f"kept, w._info = w._info, {{**w._info, 'assumptions': {said!r}}}")
    try:
        expect(more).to_have_text("Show all")
        assert notebook.page.evaluate(height) == before
        more.click()
        expect(last).to_have_text(said[-1])
        caption, end = notebook.view(0).locator(".lw-caption").bounding_box(), last.bounding_box()
        assert caption is not None
        assert end is not None
        assert end["y"] + end["height"] <= caption["y"] + caption["height"]
        more.click()
        assert notebook.page.evaluate(height) == before
    finally:
        notebook.tell("w._info = kept")
    expect(more).to_be_hidden()
