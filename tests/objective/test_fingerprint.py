"""A file knows whether it was made of these data, whatever holds them."""

import collections
import dataclasses
import subprocess
import sys
import textwrap

import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

from landscape_widgets.objective.fingerprint import _digest


@dataclasses.dataclass
class Record:
    x: torch.Tensor
    note: str = "a"


class Thing:
    """An object whose repr holds where it is in memory."""

    def __init__(self, x, note=None):
        self.x, self.note = x, note


X = torch.arange(12.0).reshape(4, 3)
CHANGED = X.clone()
CHANGED[3, 2] += 1e-6

KINDS = {
    "tensor": lambda x: x,
    "pair": lambda x: (x, torch.ones(4)),
    "UserDict": lambda x: collections.UserDict(x=x, n=3),
    "dataclass": Record,
    "object": Thing,
    "nested": lambda x: {"a": [Thing((x, None))], "b": {"s"}},
    "packed": lambda x: pack_sequence([x[:, 0], x[:3, 2], x[3:, 2]]),
    "sparse": lambda x: x.to_sparse(),
    "csr": lambda x: x.to_sparse_csr(),
    "transposed": lambda x: x.T,
    "bfloat16": lambda x: (x * 2**20).bfloat16(),
    "complex": lambda x: torch.complex(x, x).conj(),
}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "bfloat16"])
def test_one_changed_number_in_any_container_changes_it(kind):
    made = KINDS[kind]
    assert _digest([made(X.clone())]) == _digest([made(X.clone())])
    assert _digest([made(X)]) != _digest([made(CHANGED)])


def test_the_structure_and_what_is_no_tensor_count():
    found = [
        [(X, X)],
        [X, X],
        [{"x": X, "y": X}],
        [{"x": X, "z": X}],
        [Record(X)],
        [Record(X, "b")],
        [Thing(X, {"b", "a"})],
        [Thing(X, {"b"})],
        [torch.cat([X, X])],
    ]
    assert len({_digest(batches) for batches in found}) == len(found)


def test_it_is_the_same_in_another_process():
    script = """
        from tests.objective.test_fingerprint import KINDS, X, _digest
        print([_digest([made(X)]) for made in KINDS.values()])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str([_digest([made(X)]) for made in KINDS.values()])
