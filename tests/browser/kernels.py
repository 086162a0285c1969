"""Kernels that have imported torch and the like already: copies of one process that did so once.

A notebook's imports take four seconds of CPU, and the browser tests open some forty. The kernels
are ordinary ones otherwise, with processes of their own. Notebooks in kernels that start from
nothing: tests/test_notebooks.py.

python -m tests.browser.kernels SOCKET    # the process that is copied
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.browser import jupyter

STAND_IN = str(Path(__file__).with_name("stand_in.py"))
IMPORTED = (
    "ipykernel.kernelapp",
    "ipywidgets",
    "openTSNE",
    "sklearn.datasets",
    "sklearn.ensemble",
    "torch._dynamo",  # which any optimiser imports
    "landscape_widgets.evaluation.kernels.loops",
    "landscape_widgets.widget.widget",
    "tests.models",
)


@contextlib.contextmanager
def copied(root: Path, **environment: str) -> Iterator[None]:
    """Let the server of this folder, yet to be started, have such kernels.

    Where processes cannot be copied, Jupyter starts its own.
    """
    if not hasattr(os, "fork"):
        yield
        return
    environment = jupyter.server_environment(root, **environment)
    # Jupyter looks here before it looks into the environment that it is installed in.
    folder = Path(environment["JUPYTER_PATH"]) / "kernels" / "python3"
    folder.mkdir(parents=True)
    # The path of a socket may have some hundred characters, and a test's folder has as many.
    with tempfile.TemporaryDirectory(prefix="lw-") as short:
        path = f"{short}/kernels"
        spec = {
            "argv": [sys.executable, "-I", "-S", STAND_IN, path, "-f", "{connection_file}"],
            "display_name": "Python 3 (ipykernel)",
            "language": "python",
            "interrupt_mode": "message",
        }
        (folder / "kernel.json").write_text(json.dumps(spec))
        command = [sys.executable, "-m", "tests.browser.kernels", path]
        # ipykernel watches over its parent, unless that is said to be the first of all processes.
        environment["JPY_PARENT_PID"] = "1"
        said = folder / "said.log"
        with said.open("w") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            yield
            assert process.poll() is None, said.read_text()
        finally:
            process.terminate()
            process.wait()


def serve(path: str) -> None:
    """Import once; then become a kernel for each that asks, in a copy."""
    for name in IMPORTED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # what is shared stays so
    assert threading.active_count() == 1  # others would be missing in the copies
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(16)
        while True:
            asking, _ = listener.accept()
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            if os.fork() == 0:
                listener.close()
                become_kernel(asking)
            asking.close()


def become_kernel(asking: socket.socket) -> None:
    """Be the kernel that is asked for until it ends, or whoever asked does."""
    from ipykernel.kernelapp import IPKernelApp

    with asking.makefile() as lines:
        wanted = json.loads(lines.readline())
    os.chdir(wanted["folder"])
    sys.path.insert(0, "")

    def end_together() -> None:
        asking.recv(1)
        os._exit(1)

    threading.Thread(target=end_together, daemon=True).start()
    IPKernelApp.launch_instance(wanted["arguments"])
    os._exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started this
    serve(sys.argv[1])
