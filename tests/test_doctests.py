"""The examples in docstrings run, and print what they say."""

import doctest
import importlib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "landscape_widgets"
WITH_EXAMPLES = sorted(
    path.relative_to(PACKAGE.parent).with_suffix("")
    for path in PACKAGE.rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_of_a_module_print_what_they_say(path):
    module = importlib.import_module(".".join(path.parts))
    assert doctest.testmod(module).failed == 0
