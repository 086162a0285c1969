"""Kernels compiled by numba beside ordinary torch, on networks as people have them.

    python -m benchmarks.kernels

Each is measured as this machine is, and in processes that are told to leave AVX-512 alone. The
time is that of this thread: what other programs take of the machine does not count.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import measure
from benchmarks.networks import Block, mlp, resnet18
from landscape_widgets.basis import DenseBasis
from landscape_widgets.evaluation.kernels import SWITCH
from landscape_widgets.objective import Objective

AVX2 = "+avx2,+avx,+fma,+f16c,+bmi,+bmi2,+lzcnt,+popcnt,+movbe,+sse4.2,+sse4.1,+ssse3,+sse3,+sse2"
WITHOUT_AVX512 = {
    "NUMBA_CPU_NAME": "haswell",
    "NUMBA_CPU_FEATURES": AVX2,
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}
STAYS = 1.3  # times as fast as the best of ordinary torch, for a kernel to stay

Made = tuple[nn.Module, Tensor, Tensor]


class UNet(nn.Module):
    """A U-Net of three levels, with normalisation (Ronneberger et al. 2015)."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.down1, self.down2 = _double(3, width), _double(width, 2 * width)
        self.bottom = _double(2 * width, 4 * width)
        self.up2 = nn.ConvTranspose2d(4 * width, 2 * width, 2, 2)
        self.right2 = _double(4 * width, 2 * width)
        self.up1 = nn.ConvTranspose2d(2 * width, width, 2, 2)
        self.right1 = _double(2 * width, width)
        self.head = nn.Conv2d(width, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.down1(x)
        b = self.down2(nn.functional.max_pool2d(a, 2))
        c = self.bottom(nn.functional.max_pool2d(b, 2))
        b = self.right2(torch.cat([self.up2(c), b], dim=1))
        return self.head(self.right1(torch.cat([self.up1(b), a], dim=1)))


def _double(fan_in: int, fan_out: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(fan_in, fan_out, 3, padding=1, bias=False), nn.BatchNorm2d(fan_out), nn.ReLU(),
        nn.Conv2d(fan_out, fan_out, 3, padding=1, bias=False), nn.BatchNorm2d(fan_out), nn.ReLU(),
    )  # fmt: skip


def vgg16() -> nn.Module:
    """VGG-16 with normalisation, as it is used on 32×32 images (Simonyan and Zisserman 2015)."""
    layers: list[nn.Module] = []
    fan_in = 3
    for depth, fan_out in ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)):
        for _ in range(depth):
            layers += [nn.Conv2d(fan_in, fan_out, 3, padding=1), nn.BatchNorm2d(fan_out), nn.ReLU()]
            fan_in = fan_out
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, 10))


def resnet18_large() -> nn.Module:
    """ResNet-18 as it is used on 224×224 images (He et al. 2016)."""
    layers: list[nn.Module] = [
        nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
    ]  # fmt: skip
    fan_in = 64
    for fan_out, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [Block(fan_in, fan_out, stride), Block(fan_out, fan_out, 1)]
        fan_in = fan_out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))


def _images(model: nn.Module, count: int, side: int, classes: int = 10) -> Made:
    return model.eval(), torch.randn(count, 3, side, side), torch.randint(0, classes, (count,))


def _rows(widths: tuple[int, ...], count: int, numbers: bool = False) -> Made:
    y = torch.randn(count, 1) if numbers else torch.randint(0, widths[-1], (count,))
    return mlp(*widths).eval(), torch.randn(count, widths[0]), y


def _segmented() -> Made:
    return UNet().eval(), torch.randn(2, 3, 128, 128), torch.randint(0, 4, (2, 128, 128))


class Bert(nn.Module):
    """An encoder as in BERT: GELU, a padding mask; torch's layers."""

    def __init__(self, width: int = 256, layers: int = 4, norm_first: bool = False) -> None:
        super().__init__()
        self.embed = nn.Embedding(5000, width)
        layer = nn.TransformerEncoderLayer(
            width, width // 64, 4 * width, activation="gelu", batch_first=True,
            norm_first=norm_first,
        )  # fmt: skip
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(self.embed(x), src_key_padding_mask=x == 0)[:, 0])


class ViT(nn.Module):
    """A vision transformer, small, on 32×32 images."""

    def __init__(self, width: int = 192, layers: int = 6) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.place = nn.Parameter(torch.randn(1, 64, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, 3, 4 * width, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2) + self.place
        return self.head(self.encoder(x).mean(1))


def _tokens(model: nn.Module, count: int = 32, length: int = 64) -> Made:
    x = torch.randint(1, 1000, (count, length))
    x[::2, length // 2 :] = 0
    return model.eval(), x, torch.randint(0, 2, (count,))


NETWORKS: dict[tuple[str, str], Callable[[], Made]] = {
    ("compiled", "digits MLP 64-64-64-10"): lambda: _rows((64, 64, 64, 10), 1797),
    ("compiled", "MNIST MLP 784-256-128-10"): lambda: _rows((784, 256, 128, 10), 2000),
    ("compiled", "MNIST MLP 784-512-512-10"): lambda: _rows((784, 512, 512, 10), 1000),
    ("compiled", "tabular MLP 30-64-32-2"): lambda: _rows((30, 64, 32, 2), 569),
    ("compiled", "regression MLP 8-64-64-1"): lambda: _rows((8, 64, 64, 1), 5000, True),
    ("winograd", "ResNet-18, 32²"): lambda: _images(resnet18(), 32, 32),
    ("winograd", "ResNet-18, 224²"): lambda: _images(resnet18_large(), 4, 224, 1000),
    ("winograd", "VGG-16, 32²"): lambda: _images(vgg16(), 32, 32),
    ("winograd", "U-Net, 128²"): _segmented,
    ("encoder", "BERT-like, GELU and mask"): lambda: _tokens(Bert()),
    ("encoder", "the same, norm_first"): lambda: _tokens(Bert(norm_first=True)),
    ("encoder", "ViT"): lambda: _images(ViT(), 32, 32),
}


def compared(kernel: str, name: str, budget: float, repetitions: int) -> list[tuple[str, ...]]:
    """Lines of the table: seconds with the kernel and without, of one parameter vector."""
    torch.manual_seed(0)
    model, x, y = NETWORKS[kernel, name]()
    named = "compiled" if kernel == "compiled" else "auto"
    with_kernel = Objective(model, (x, y), metrics=[], strategy=named)
    with mock.patch.dict(os.environ, {SWITCH: "0"}):
        without = Objective(model, (x, y), metrics=[])
    lines = []
    for kind, k, n in (("random", 128, 128), ("plane", 2, 1024)):
        if kernel != "compiled" and kind == "plane":
            continue
        k = min(k, max(2, (1 << 26) // with_kernel.size))
        rows = np.eye(k) if kind == "random" else np.random.default_rng(0).normal(size=(n, k))
        vectors = torch.randn(k, with_kernel.size) * 0.05
        each: list[tuple[float, ...]] = []
        count = len(rows)
        for go in range(repetitions + 1):
            taken = []
            for objective in (without, with_kernel):
                start = time.thread_time()
                done: list[int] = []
                found = objective.evaluate(
                    DenseBasis(vectors.clone()), rows[:count], metrics=False,
                    on_chunk=lambda _, part, done=done: done.append(len(part)),
                    cancelled=lambda done=done, go=go: not go and sum(done) >= 33,
                )  # fmt: skip
                taken.append((time.thread_time() - start) / len(found))
            if go == 0:
                count = int(min(len(rows), max(4, budget / taken[0])))
            else:
                each.append(tuple(taken))
        lines.append((
            kernel, name, kind,
            f"{1e3 * statistics.median(t[0] for t in each):.3g}",
            f"{1e3 * statistics.median(t[1] for t in each):.3g}",
            f"**{measure.median_ratio(each):.2f}**",
            f"{without.engine.last}, {with_kernel.engine.last}",
        ))  # fmt: skip
        print("|", " | ".join(lines[-1]), "|", flush=True)
    return lines


HEAD = ("kernel", "network", "vectors", "torch, ms", "kernel, ms", "ratio", "strategies")


def main() -> None:
    """Print the table, for this machine and for one without AVX-512."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=float, default=3.0, help="seconds of each measurement")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--here", action="store_true", help="in this process, as it is")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.here:
        print("| " + " | ".join(HEAD) + " |\n" + "| --- " * len(HEAD) + "|")
        for kernel, name in NETWORKS:
            if not options.only or kernel in options.only:
                compared(kernel, name, options.budget, options.repetitions)
        return
    for title, environment in (("As it is", {}), ("Without AVX-512", WITHOUT_AVX512)):
        print(f"\n{title}:\n", flush=True)
        command = [sys.executable, "-m", "benchmarks.kernels", *sys.argv[1:], "--here"]
        found = subprocess.run(
            command, env=os.environ | environment, check=True, capture_output=True, text=True
        )
        print(found.stdout, flush=True)


if __name__ == "__main__":
    main()
