import subprocess
import sys

MEANWHILE = """
import threading
from torch import nn
from landscape_widgets.evaluation.graph.tracing import trace

model = nn.Sequential(*[nn.Linear(2, 2) for _ in range(30)])
over = threading.Event()

def again():
    while not over.is_set():
        trace(model)

thread = threading.Thread(target=again)
thread.start()
try:
    import math
    import numba

    length = numba.njit("f8(f8)")(lambda x: abs(x) + math.sqrt(x))
finally:
    over.set()
    thread.join()
print(length(4.0))
"""


def test_numba_learns_its_mathematics_while_another_thread_traces_a_model():
    done = subprocess.run([sys.executable, "-c", MEANWHILE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "6.0"
