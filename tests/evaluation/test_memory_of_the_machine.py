import os
import subprocess
import sys
import textwrap

import pytest
import torch

from landscape_widgets.resources import _free_of_container, free_memory


def test_a_container_has_no_more_memory_than_it_was_given(tmp_path):
    (tmp_path / "memory.max").write_text("8000\n")
    (tmp_path / "memory.current").write_text("5000\n")
    (tmp_path / "memory.stat").write_text("anon 3000\ninactive_file 1500\nactive_file 500\n")
    assert _free_of_container(tmp_path) == 4500
    (tmp_path / "memory.max").write_text("max\n")
    assert _free_of_container(tmp_path) == sys.maxsize
    assert _free_of_container(tmp_path / "none") == sys.maxsize


def test_this_machine_has_some_memory_free_and_not_more_than_there_is():
    with open("/proc/meminfo") as file:
        total = int(file.readline().split()[1]) * 1024
    assert 0 < free_memory(torch.device("cpu")) < total


@pytest.mark.skipif(sys.platform != "linux", reason="counts page faults as Linux does")
def test_a_worker_that_may_keep_no_memory_does_not_fetch_each_activation_page_by_page():
    script = textwrap.dedent(
        """
        import resource, threading, torch
        from landscape_widgets.resources import keep_freed_memory

        def faults():
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            for _ in range(20):
                torch.zeros(6 << 18)  # 6 MiB
            return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

        def work():
            faults()
            print(faults())
            keep_freed_memory()
            faults()
            print(faults())

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        """
    )
    env = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "65536"}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=env, check=True
    )
    before, after = map(int, done.stdout.split())
    assert after < before / 10
