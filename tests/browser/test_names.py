"""What samples are called on the map and around it, in real JupyterLab 4."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser import jupyter
from tests.browser.landscape import LandscapeNotebook
from tests.browser.test_work import QUICK

pytestmark = pytest.mark.timeout(240)

CELL = """
other = train(mlp(seed=1), data, 60)
w = lw.LandscapeWidget(
    model, data, sampler=lw.samplers.Minima(n=40, steps=5, finish=1), reducer='pca'
)
w
"""
FALLING = "end of a descent, still falling"


@pytest.fixture(scope="module")
def small(browser: Browser, url: str, kind: str, root: Path) -> Iterator[LandscapeNotebook]:
    """A widget of few samples, for all tests of this file."""
    jupyter.write_notebook(root / "names.ipynb", QUICK, CELL)
    notebook = LandscapeNotebook(browser, url, kind, "names.ipynb")
    notebook.run_until_done()
    yield notebook
    errors = notebook.take_errors()
    notebook.close()
    assert errors == []


@pytest.mark.parametrize(
    ("sampler", "legend", "marks", "rows"),
    [
        (
            "Minima(n=40, steps=5, finish=1)",
            [FALLING],
            ["E1", "E2", "E3"],
            [f"#{i} E{i}, {FALLING}" for i in (1, 2, 3)],
        ),
        (
            "Interpolation([other], points=4, curve=False)",
            ["model 0", "model 0, units matched"],
            ["model 0", "model 0, units matched"],
            ["#4 model 0", "#8 model 0, units matched"],
        ),
        ("Subspace(n=40)", [], [], []),
    ],
)
def test_samples_are_called_what_they_are_in_legend_map_table_and_tooltip(
    small: LandscapeNotebook, sampler: str, legend: list[str], marks: list[str], rows: list[str]
) -> None:
    small.ask(f"setattr(w, 'sampler', lw.samplers.{sampler})")
    small.wait_until_done()
    entries = small.page.locator(".lw-map-colours .lw-legend-entry")
    expect(entries).to_have_text(["trained weights θ*", *legend])
    shown = small.part("map").locator(".dot_text:visible").all_text_contents()
    assert [text for text in shown if text] == marks
    numbers = [int(row.split(" ")[0][1:]) for row in rows]
    small.select(*numbers)
    expect(small.part("selection").locator("tbody th")).to_have_text(rows)
    small.scroll_to_map()
    for number, row in zip(numbers, rows, strict=True):
        small.point_at(small.pixels()[number])
        expect(small.part("map").locator(".lw-tooltip > :first-child")).to_have_text(row)
    small.page.mouse.move(2, 2)


def test_a_model_is_switched_off_and_on_in_the_legend(small: LandscapeNotebook) -> None:
    small.ask("setattr(w, 'sampler', lw.samplers.Models(other, names=['decay'], n=30))")
    small.wait_until_done()
    names = small.part("map").locator(".dot_text:visible")
    button = small.page.locator(".lw-map-colours").get_by_role("button", name="decay")
    small.select()
    lines = small.page.locator(".lw-slice-legend .lw-legend-entry")
    expect(lines.first).to_contain_text("decay")
    for on in (False, True):
        button.focus()
        small.page.keyboard.press("Enter")
        expect(button).to_have_attribute("aria-pressed", str(on).lower())
        expect(button).to_be_focused()
        small.draw()
        assert [text for text in names.all_text_contents() if text] == ["decay"] * on
        expect(lines).to_have_count(int(on))


def test_what_descents_have_reached_is_a_minimum_only_where_the_kernel_says_so(
    small: LandscapeNotebook,
) -> None:
    small.ask("setattr(w, 'sampler', lw.samplers.Minima(n=40))")
    small.wait_until_done()
    table = "w.landscape.cloud.table"
    minima, ends = small.ask(f"[int(({table}['kind'] == k).sum()) for k in ('minimum', 'end')]")
    assert minima + ends > 0
    shown = small.part("map").locator(".dot_text:visible").all_text_contents()
    named = sorted(text for text in shown if text)
    assert named == sorted(
        [f"E{i + 1}" for i in range(ends)] + [f"M{i + 1}" for i in range(minima)]
    )


def test_the_caption_counts_what_was_sampled_more(small: LandscapeNotebook) -> None:
    before = small.ask("len(w.landscape.cloud)")
    caption = small.page.locator(".lw-caption")
    expect(caption).to_contain_text(f"{before} samples")
    small.select(1, 2, 3)
    small.part("refine").click()
    expect(caption).to_contain_text(f"{before + 100} samples", timeout=30_000)
    small.wait_until_done()
    assert small.ask("len(w.landscape.cloud)") == before + 100
