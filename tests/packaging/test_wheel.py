import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "landscape_widgets"


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with the source distribution, and the wheel that is built from it."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--outdir", str(out), str(REPOSITORY)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return out


@pytest.fixture(scope="module")
def wheel(built) -> Path:
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def sizes(wheel) -> dict[str, int]:
    with zipfile.ZipFile(wheel) as archive:
        return {info.filename: info.file_size for info in archive.infolist()}


def test_the_wheel_holds_the_built_front_end_and_the_types(sizes):
    for name in ("widget.js", "widget.css"):
        path = f"landscape_widgets/static/{name}"
        assert sizes[path] == (REPOSITORY / path).stat().st_size > 1_000
    assert "landscape_widgets/py.typed" in sizes


def test_the_wheel_holds_every_module_and_nothing_but_the_package(sizes):
    modules = {path.relative_to(REPOSITORY).as_posix() for path in PACKAGE.rglob("*.py")}
    assert modules <= sizes.keys()
    folders = {name.split("/")[0] for name in sizes}
    assert {re.sub(r"-.*", "", folder) for folder in folders} == {"landscape_widgets"}


def test_the_front_end_is_small(sizes):
    assert sizes["landscape_widgets/static/widget.js"] < 200_000


def test_the_source_distribution_holds_what_the_tests_need_and_no_leftovers(built):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    needed = ["LICENSE", "README.md", "pyproject.toml", "noxfile.py", "constraints.txt"]
    needed += ["js/package-lock.json", "js/src/main.ts", "notebooks/quickstart.ipynb"]
    needed += ["tests/models.py", "tests/browser/jupyter.py", ".pre-commit-config.yaml", ".ci/run"]
    assert set(needed) <= names
    assert not [name for name in names if "node_modules" in name or "__pycache__" in name]


def test_the_installed_wheel_works_by_itself(wheel, tmp_path):
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", tmp_path]
    subprocess.run([*command, wheel], check=True)
    code = (
        "import landscape_widgets as lw, torch\n"
        f"assert lw.__file__.startswith({str(tmp_path)!r}), lw.__file__\n"
        "data = torch.randn(9, 3), torch.arange(9) % 2\n"
        "w = lw.LandscapeWidget(torch.nn.Linear(3, 2), data, start=False)\n"
        "assert len(w._esm) > 1000 and len(w._css) > 1000\n"
    )
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env=env)


def test_the_core_is_importable_without_jupyter():
    code = (
        "import sys\n"
        "for name in ('ipywidgets', 'bqplot', 'anywidget', 'IPython'): sys.modules[name] = None\n"
        "import landscape_widgets as lw, torch\n"
        "land = lw.Landscape(torch.nn.Linear(3, 2), (torch.randn(9, 3), torch.arange(9) % 2))\n"
        "land.sample(lw.samplers.Subspace(k=2, n=10)).embed('pca').to_frame()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)
