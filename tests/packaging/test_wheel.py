import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def names(tmp_path_factory) -> dict[str, int]:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(out), str(REPOSITORY)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    (wheel,) = out.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return {info.filename: info.file_size for info in archive.infolist()}


def test_the_wheel_holds_the_built_front_end_and_the_types(names):
    assert names["landscape_widgets/static/widget.js"] > 10_000
    assert names["landscape_widgets/static/widget.css"] > 1_000
    assert "landscape_widgets/py.typed" in names


def test_the_wheel_holds_nothing_but_the_package(names):
    folders = {name.split("/")[0] for name in names}
    assert {re.sub(r"-.*", "", folder) for folder in folders} == {"landscape_widgets"}


def test_the_front_end_is_small(names):
    assert names["landscape_widgets/static/widget.js"] < 100_000


def test_the_core_is_importable_without_jupyter():
    code = (
        "import sys\n"
        "for name in ('ipywidgets', 'bqplot', 'anywidget', 'IPython'): sys.modules[name] = None\n"
        "import landscape_widgets as lw, torch\n"
        "land = lw.Landscape(torch.nn.Linear(3, 2), (torch.randn(9, 3), torch.arange(9) % 2))\n"
        "land.sample(lw.samplers.Subspace(k=2, n=10)).embed('pca').to_frame()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)
