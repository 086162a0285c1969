"""What is left of the widgets of a cell that is run again, in a real kernel without a browser."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

MAKE = """
import gc, json, threading, time, weakref
import ipywidgets
import landscape_widgets as lw
from landscape_widgets.widget import slices
from tests.models import digits, mlp
slices.PROFILE_SECONDS = 0.0
model, data = mlp(), digits(50)
widgets, landscapes = weakref.WeakSet(), weakref.WeakSet()

def follow(widget):
    widget.wait(120)
    widgets.add(widget)
    landscapes.add(widget.landscape)
    return widget

def counted():
    gc.collect()
    return [len(landscapes), len(widgets), len(ipywidgets.widgets.widget._instances)]
"""
NEW = (
    "lw.LandscapeWidget(model, data, sampler=lw.samplers.Subspace(n=60, radius=1.0), reducer='pca')"
)
MODELS = 29  # of one widget: layouts, figures, axes, scales, marks


class Kernel:
    """A kernel, and cells that are run in it as JupyterLab runs them."""

    def __init__(self, client: BlockingKernelClient) -> None:
        self.client = client

    def run(self, code: str, cell: str = "", *, keep: bool = True) -> str:
        """What the code prints."""
        content = {
            "code": code, "silent": False, "store_history": keep, "user_expressions": {},
            "allow_stdin": False, "stop_on_error": True,
        }  # fmt: skip
        message = self.client.session.msg("execute_request", content)
        message["metadata"] = {"cellId": cell, "deletedCells": []} if cell else {}
        self.client.shell_channel.send(message)
        text = ""
        while True:
            said = self.client.get_iopub_msg(timeout=120)
            if said["parent_header"].get("msg_id") != message["header"]["msg_id"]:
                continue
            if said["msg_type"] == "stream":
                text += said["content"]["text"]
            if said["msg_type"] == "error":
                raise AssertionError("\n".join(said["content"]["traceback"]))
            if said["content"].get("execution_state") == "idle":
                return text

    def ask(self, expression: str) -> Any:
        """The value of an expression, by way of JSON."""
        return json.loads(self.run(f"print(json.dumps({expression}))", keep=False))


@pytest.fixture(scope="module")
def started() -> Iterator[Kernel]:
    manager = KernelManager(kernel_name="python3")
    here = str(Path(__file__).parents[2])
    path = os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])
    manager.start_kernel(env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"})
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    try:
        yield Kernel(client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.fixture
def kernel(started: Kernel) -> Kernel:
    started.run("%reset -f\n" + MAKE)
    started.run("ipywidgets.Widget.close_all()")
    return started


def test_a_cell_that_is_run_again_leaves_one_widget_and_its_landscape(kernel: Kernel) -> None:
    for _ in range(10):
        kernel.run(f"w = follow({NEW})\nw", "cell")
    landscapes, widgets, models = kernel.ask("counted()")
    assert landscapes <= 2
    assert widgets <= 2
    assert models == MODELS
    assert kernel.ask("w in widgets and w is _") is True  # the last result is still IPython's
    kernel.run("w.close(); del w; _ = __ = ___ = None; Out.clear()")


def test_so_does_one_that_gives_its_widget_no_name(kernel: Kernel) -> None:
    for _ in range(3):
        kernel.run(f"follow({NEW})", "cell")
        kernel.run("1 + 1", "other")
    landscapes, widgets, models = kernel.ask("counted()")
    assert landscapes <= 2
    assert widgets <= 2
    assert models == MODELS


@pytest.mark.parametrize("box", ["HBox", "Tab"])
def test_and_one_that_lays_its_widget_out_in_a_box(kernel: Kernel, box: str) -> None:
    for _ in range(3):
        made = f"ipywidgets.{box}([ipywidgets.Label('map'), follow({NEW})])"
        kernel.run(f"box = ipywidgets.VBox([{made}])\nbox", "cell")
    assert kernel.ask("counted()[:2]") == [1, 1]
    assert kernel.ask("[type(c).__name__ for c in box.children[0].children]") == [
        "Label",
        "LandscapeWidget",
    ]


def test_and_one_that_was_at_work(kernel: Kernel) -> None:
    kernel.run(
        "def slow(model, batch):\n"
        "    time.sleep(0.01)\n"
        "    return model(batch[0]).square().mean()\n"
        "def at_work():\n"
        "    return sum(t.name == 'landscape-widgets' for t in threading.enumerate())\n"
        "def until_one():\n"
        "    ends = time.monotonic() + 60\n"
        "    while at_work() > 1 and time.monotonic() < ends: time.sleep(0.05)\n"
        "    return at_work()\n"
    )
    more = NEW.replace("n=60", "n=6000").replace("data,", "data, loss=slow,")
    for _ in range(4):
        kernel.run(f"w = {more}\nwidgets.add(w); landscapes.add(w.landscape)\nw", "cell")
    assert kernel.ask("until_one()") == 1
    assert kernel.ask("counted()") == [1, 1, MODELS]
    kernel.run("w.close()")


def test_a_widget_that_the_user_keeps_stays_with_its_landscape(kernel: Kernel) -> None:
    kernel.run("kept = []")
    for _ in range(3):
        kernel.run(f"w = follow({NEW})\nkept.append(w)\nw", "cell")
    assert kernel.ask("[len(k.landscape.cloud) for k in kept]") == [61, 61, 61]
    assert kernel.ask("[k.comm is None for k in kept]") == [True, True, False]
    assert kernel.ask("counted()") == [3, 3, MODELS]
    assert kernel.ask("[k in Out.values() for k in kept]") == [False, False, True]


def test_widgets_of_other_cells_stay(kernel: Kernel) -> None:
    kernel.run(f"first = follow({NEW})\nfirst", "first")
    for _ in range(3):
        kernel.run(f"w = follow({NEW})\nw", "second")
    assert kernel.ask("first.comm is None") is False
    assert kernel.ask("counted()") == [2, 2, 2 * MODELS]
