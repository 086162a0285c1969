import sys

import torch

from landscape_widgets.evaluation.memory import _free_of_container, free_memory


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
