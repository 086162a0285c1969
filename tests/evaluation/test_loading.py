"""Kernels that are loaded while something else is being imported."""

from __future__ import annotations

import subprocess
import sys

RACE = """
import sys, threading
from landscape_widgets.evaluation.kernels import loading as kernels
other = threading.Thread(target=__import__, args=("numba",), daemon=True)
other.start()
while "numba" not in sys.modules:
    pass
kernels.settle("loops")
other.join()
print(kernels.load("loops").result().__name__)
"""


def test_a_kernel_is_loaded_while_another_thread_imports_numba():
    # In a process of its own: numba is imported once.
    found = subprocess.run(
        [sys.executable, "-c", RACE], capture_output=True, text=True, timeout=240
    )
    assert found.stdout.strip() == "landscape_widgets.evaluation.kernels.loops", found.stderr
