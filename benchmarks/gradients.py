"""Time and memory of a gradient, against `torch.autograd.grad` on the user's own model.

    python -m benchmarks.gradients

Both take all examples; ours may cut them into tiles. Times are interleaved in one process. Memory
is what the peak of the resident size was over what there was before, of one gradient, each in a
process of its own (Linux).
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks import measure
from benchmarks.networks import resnet18
from landscape_widgets.objective.objective import Objective

TARGET = 1.2
HEAD = (
    "network", "parameters", "autograd.grad, s", "ours, s", "time", f"at most {TARGET}",
    "autograd.grad, MiB", "ours, MiB", "memory", f"at most {TARGET}",
)  # fmt: skip


class Bottleneck(nn.Module):
    """A residual block of ResNet-50 (He et al. 2016)."""

    def __init__(self, fan_in: int, width: int, stride: int) -> None:
        super().__init__()
        out = 4 * width
        self.layers = nn.Sequential(
            nn.Conv2d(fan_in, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, out, 1, bias=False), nn.BatchNorm2d(out),
        )  # fmt: skip
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or fan_in != out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(fan_in, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.layers(x) + self.shortcut(x))


def resnet50() -> nn.Module:
    """ResNet-50 as it is used on photographs: 25.6 million parameters."""
    layers: list[nn.Module] = [
        nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
    ]  # fmt: skip
    fan_in = 64
    for width, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for number in range(blocks):
            layers.append(Bottleneck(fan_in, width, stride if number == 0 else 1))
            fan_in = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000))


class Encoder(nn.Module):
    """Six encoder layers over words, as in MiniLM (Wang et al. 2020): 22 million parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(30_522, 384)
        layer = nn.TransformerEncoderLayer(384, 12, 1536, activation="gelu", batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 6, enable_nested_tensor=False)
        self.head = nn.Linear(384, 10)

    def forward(self, words: Tensor) -> Tensor:
        return self.head(self.encoder(self.embed(words)).mean(1))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor]]] = {
    "ResNet-18, 4 images of 32²": (resnet18, lambda: torch.rand(4, 3, 32, 32)),
    "ResNet-18, 64 images of 32²": (resnet18, lambda: torch.rand(64, 3, 32, 32)),
    "ResNet-50, 4 images of 224²": (resnet50, lambda: torch.rand(4, 3, 224, 224)),
    "encoder, 8 texts of 32 words": (Encoder, lambda: torch.randint(0, 30_522, (8, 32))),
    "encoder, 64 texts of 64 words": (Encoder, lambda: torch.randint(0, 30_522, (64, 64))),
}


def entrants(name: str) -> tuple[nn.Module, Callable[[], object], Callable[[], object]]:
    """A network, a gradient by `torch.autograd.grad`, and one by the objective."""
    torch.manual_seed(0)
    make, draw = NETWORKS[name]
    model, x = make().eval(), draw()
    y = torch.randint(0, 10, (len(x),))
    weights = list(model.parameters())
    objective = Objective(model, (x, y), metrics=[])
    theta = objective.anchor * 1.001

    def plain() -> object:
        return torch.autograd.grad(nn.functional.cross_entropy(model(x), y), weights)

    return model, plain, lambda: objective.gradient(theta)


def peak(name: str, which: int) -> None:
    """Print how many bytes the peak of one gradient lies over what there was before."""
    work = entrants(name)[1 + which]

    def status(field: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))

    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak is reset: see proc(5)
    work()
    print(status("VmHWM") - before)


def peak_elsewhere(name: str, which: int) -> int:
    """`peak` in a process of its own."""
    code = f"from benchmarks.gradients import peak; peak({name!r}, {which})"
    return int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)


def compared(name: str, repetitions: int) -> tuple[str, ...]:
    """A line of the table."""
    model, plain, ours = entrants(name)
    times = []
    for _ in range(repetitions + 1):
        row = []
        for work in (plain, ours):
            start = time.thread_time()
            work()
            row.append(time.thread_time() - start)
        times.append(tuple(row))
    times = times[1:]
    ratio = measure.median_ratio(times, 1, 0)
    memory = [peak_elsewhere(name, which) for which in (0, 1)]
    more = memory[1] / memory[0]
    size = sum(p.numel() for p in model.parameters())
    return (
        name, f"{size / 1e6:.1f} million",
        *(f"{statistics.median(column):.3g}" for column in zip(*times, strict=True)),
        f"**{ratio:.2f}**", measure.verdict(ratio <= TARGET),
        *(f"{bytes_ / 2**20:.0f}" for bytes_ in memory),
        f"**{more:.2f}**", measure.verdict(more <= TARGET),
    )  # fmt: skip


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=list(NETWORKS), default=list(NETWORKS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(measure.table(HEAD, [compared(name, options.repetitions) for name in options.only]))


if __name__ == "__main__":
    main()
