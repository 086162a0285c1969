import os
import re
from pathlib import Path

import torch
from safetensors.torch import load_file

import landscape_widgets as lw
from landscape_widgets.seeded import SeededBasis
from tests.models import digits, mlp

LONG_RUNS = Path(__file__).parents[1] / "docs" / "long-runs.md"


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
