import ast
import re
import time
from pathlib import Path

import numpy as np

README = Path(__file__).parents[1] / "README.md"


def test_the_example_in_the_readme_shows_a_widget_that_finishes_its_map():
    code = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.S)[0]
    *lines, last = ast.parse(code).body
    assert isinstance(last, ast.Expr)
    names: dict[str, object] = {}
    exec(compile(ast.Module(lines, []), str(README), "exec"), names)
    widget = eval(compile(ast.Expression(last.value), str(README), "eval"), names)

    def failed() -> bool:
        return widget.get_state("_progress")["_progress"]["state"] == "error"

    try:
        land = widget.landscape
        for _ in range(1200):
            if failed() or np.isfinite(land.coordinates).any():
                break
            time.sleep(0.1)
        assert not failed()
        assert np.isfinite(land.coordinates).all()
        assert land.evaluated.sum() == 1004
    finally:
        widget.close()


def test_the_links_in_the_readme_lead_somewhere():
    text = README.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert links
    assert [link for link in links if not (README.parent / link).exists()] == []
