"""How often a diagnosis is right: 20 seeds of each kind of network in `tests.diagnosis.known`.

    python -m benchmarks.diagnosis [seeds]

and how long it takes, in units of one loss on all of the data, at 11 million parameters.
"""

from __future__ import annotations

import sys
import time
from collections import Counter

import torch
from torch import Tensor, nn

from landscape_widgets.diagnosis import diagnose
from landscape_widgets.objective.objective import Objective
from tests.diagnosis.known import NETWORKS


class Block(nn.Module):
    """A residual block, as of ResNet-18."""

    def __init__(self, fan_in: int, fan_out: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(fan_in, fan_out, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(fan_out, fan_out, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(fan_out), nn.BatchNorm2d(fan_out)])
        self.beside: nn.Module = nn.Identity()
        if fan_in != fan_out:
            self.beside = nn.Conv2d(fan_in, fan_out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norms[0](self.first(x)))
        return torch.relu(self.norms[1](self.second(y)) + self.beside(x))


def resnet() -> nn.Module:
    """ResNet-18 for images of 32 × 32 pixels: 11 million parameters."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    fan_in = 64
    for fan_out, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [Block(fan_in, fan_out, stride), Block(fan_out, fan_out, 1)]
        fan_in = fan_out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


def table(seeds: int) -> None:
    """Print how many are right of each kind, and what the others are taken for."""
    for make in NETWORKS:
        right, took, others = 0, 0.0, Counter[str]()
        for seed in range(seeds):
            case = make(seed)
            objective = Objective(case.model, case.data, val_data=case.val_data)
            start = time.process_time()
            found = getattr(diagnose(objective), case.verdict).kind
            took += time.process_time() - start
            right += found == case.kind
            others[found] += found != case.kind
        wrong = ", ".join(f"{kind} {n}" for kind, n in others.items() if n)
        print(f"{make.__name__:28} {right}/{seeds}  {1000 * took / seeds:4.0f} ms  {wrong}")


def large() -> None:
    """Print what the diagnosis of a large network costs."""
    torch.manual_seed(0)
    data = torch.randn(64, 3, 32, 32), torch.randint(0, 10, (64,))
    objective = Objective(resnet(), data)
    objective.loss(objective.anchor)
    start = time.process_time()
    for _ in range(3):
        objective.loss(objective.anchor)
    loss = (time.process_time() - start) / 3
    start = time.process_time()
    found = diagnose(objective)
    took = time.process_time() - start
    print(found)
    print(f"{objective.size:,} parameters: {took / loss:.1f} losses of {loss:.2f} s of CPU each")


def main() -> None:
    torch.set_num_threads(1)
    table(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
    large()


if __name__ == "__main__":
    main()
