import ast
import os
import re
import tomllib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import landscape_widgets as lw
from landscape_widgets.geometry.seeded import SeededBasis
from tests.models import digits, mlp, train

REPOSITORY = Path(__file__).parents[1]
LONG_RUNS = REPOSITORY / "docs" / "long-runs.md"
TEXTS = [
    *REPOSITORY.glob("*.md"),
    *(
        path
        for name in ("docs", "benchmarks", "tests", "landscape_widgets", "js/src")
        for path in (REPOSITORY / name).rglob("*")
        if path.suffix in (".md", ".py", ".ts")
    ),
]


def snippets(section: str) -> list[str]:
    """The Python code of one section."""
    text = LONG_RUNS.read_text(encoding="utf-8").split(f"## {section}\n")[1].split("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", text, re.S)


def test_the_snippets_on_large_models_do_what_is_said_of_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkdir("scratch")
    data, model = digits(64), mlp()
    names = {"lw": lw, "torch": torch, "model": model, "data": data, "batches": [data] * 6}
    names["optimiser"] = torch.optim.SGD(model.parameters(), lr=0.1)
    seeded, recorded = snippets("Large models")
    exec(compile(seeded, str(LONG_RUNS), "exec"), names)
    assert isinstance(names["land"].cloud.basis, SeededBasis)
    assert names["land"].evaluated.sum() == 1000
    exec(compile(recorded, str(LONG_RUNS), "exec"), names)
    assert names["land"].evaluated.sum() == 7
    checkpoints = load_file("checkpoints.safetensors")["directions"]
    assert checkpoints.shape == (7, names["land"].objective.size)
    assert os.listdir("scratch") == []


@pytest.mark.parametrize("page", ["regularisation", "examples"])
def test_the_snippets_of_a_page_run(page):
    text = (REPOSITORY / "docs" / f"{page}.md").read_text(encoding="utf-8")
    names = {"lw": lw, "model": mlp(4), "data": digits(40), "val": digits(60)}
    for snippet in re.findall(r"```python\n(.*?)```", text, re.S):
        exec(compile(snippet, f"{page}.md", "exec"), names)


def test_the_snippets_on_curvature_run():
    text = (REPOSITORY / "docs" / "curvature.md").read_text(encoding="utf-8")
    model, data = mlp(2), digits(40)
    names = {"model": train(model, data, 30), "data": data}
    for snippet in re.findall(r"```python\n(.*?)```", text, re.S):
        if "learning_coefficient" in snippet:  # whose chains take long
            snippet = snippet.replace("()", "(lw.samplers.Langevin(chains=2, draws=9))")
        exec(compile(snippet, "curvature.md", "exec"), names)
    assert names["curvature"].sharpness == names["curvature"].eigenpairs.values[0]
    assert names["along"].quadratic([0.0]).shape == (len(names["land"].cloud), 1)
    assert len(names["found"].chains) == 2


def test_the_layout_in_the_contributing_guide_names_each_file_of_the_package():
    guide = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    layout = guide.split("## Layout")[1].split("## ")[0]
    package = REPOSITORY / "landscape_widgets"
    there = {path.name for path in package.glob("*.py") if not path.name.startswith("_")}
    named = set(re.findall(r"\w+\.py\b", layout))
    assert named == there
    folders = {path.name for path in package.iterdir() if (path / "__init__.py").exists()}
    assert folders <= set(re.findall(r"(\w+)/", layout))


def test_tests_and_files_of_this_repository_that_texts_name_are_there():
    there = {path.name for path in (REPOSITORY / "tests").rglob("test_*.py")}
    benchmarks = {path.stem for path in (REPOSITORY / "benchmarks").glob("*.py")}
    gone = []
    for path in TEXTS:
        text = path.read_text(encoding="utf-8")
        gone += [
            (path.name, name) for name in re.findall(r"\btest_\w+\.py", text) if name not in there
        ]
        for name in re.findall(
            r"(?:nox -s bench -- |python -m benchmarks\.|benchmarks/)(\w+)", text
        ):
            if name not in benchmarks and name != "RESULTS":
                gone.append((path.name, name))
    assert gone == []


def test_the_lowest_python_is_the_same_in_all_texts():
    declared = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    lowest = re.fullmatch(r">=(3\.\d+)", declared["project"]["requires-python"])[1]
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"Python (3\.\d+)", readme)) == {lowest}
    assert declared["tool"]["mypy"]["python_version"] == lowest
    assert declared["tool"]["ruff"]["target-version"] == "py" + lowest.replace(".", "")
    workflow = (REPOSITORY / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
    assert min(re.findall(r'"3\.(\d+)"', workflow), key=int) == lowest.split(".")[1]


@pytest.mark.parametrize("path", sorted((REPOSITORY / "docs").glob("*.md")), ids=lambda p: p.stem)
def test_the_code_in_the_docs_is_python_and_names_what_there_is(path):
    text = path.read_text(encoding="utf-8")
    for code in re.findall(r"```python\n(.*?)```", text, re.S):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.Attribute) and ast.unparse(node).startswith("lw."):
                found = lw
                for name in ast.unparse(node).split("(")[0].split(".")[1:]:
                    found = getattr(found, name)
    # Keywords that a sentence gives with a value are of some class or function.
    source = "".join(
        p.read_text(encoding="utf-8") for p in (REPOSITORY / "landscape_widgets").rglob("*.py")
    )
    keywords = set(re.findall(r"`(?:\w+\()?(\w+)=[^`]*`", text))
    assert [name for name in keywords if not re.search(rf"\b{name}\b", source)] == []
