"""The networks and data that are measured.

Weights and inputs are random where speed does not mind, and trained on digits where it does.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Task:
    """A network with its data.

    Attributes
    ----------
    name : str
    model, inputs, targets
    flops : float
        Of one pass over all examples, two for each multiplication with a weight.
    """

    name: str
    model: nn.Module
    inputs: Tensor
    targets: Tensor
    flops: float


def mlp(*widths: int) -> nn.Module:
    """Linear layers with ReLU in between."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def cnn(side: int) -> nn.Module:
    """Two convolutions and a linear layer on one-channel images."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * (side // 4) ** 2, 10),
    )  # fmt: skip


class Block(nn.Module):
    """A residual block of two convolutions (He et al. 2016)."""

    def __init__(self, fan_in: int, fan_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(fan_in, fan_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(fan_out)
        self.conv2 = nn.Conv2d(fan_out, fan_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(fan_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or fan_in != fan_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(fan_in, fan_out, 1, stride, bias=False), nn.BatchNorm2d(fan_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + self.shortcut(x))


def resnet18() -> nn.Module:
    """ResNet-18 as it is used on 32×32 images: 11.2 million parameters."""
    layers: list[nn.Module] = [
        nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()
    ]  # fmt: skip
    fan_in = 64
    for fan_out, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [Block(fan_in, fan_out, stride), Block(fan_out, fan_out, 1)]
        fan_in = fan_out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


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


class Transformer(nn.Module):
    """Two encoder layers over 32 tokens."""

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.embed = nn.Embedding(1000, width)
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(self.embed(x)).mean(1))


SPREAD = 3.0  # standard deviation of the logits


@torch.no_grad()
def _calibrate(model: nn.Module, inputs: Tensor) -> None:
    """Make a random network answer as decidedly as a trained one.

    Fresh networks give nearly the same outputs for all weights nearby, where losses are taken in
    float64; no landscape that anybody looks at is that flat.
    """
    for norm in (m for m in model.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.momentum = 1.0
    model.train()(inputs)
    spread = model.eval()(inputs).std()
    last = [m for m in model.modules() if isinstance(m, nn.Linear)][-1]
    last.weight.mul_(SPREAD / spread)
    last.bias.mul_(SPREAD / spread)


def _task(name: str, model: nn.Module, inputs: Tensor) -> Task:
    targets = torch.randint(0, 10, (len(inputs),))
    model = model.eval()
    return Task(name, model, inputs, targets, _flops(model, inputs[:1]) * len(inputs))


def _flops(model: nn.Module, one: Tensor) -> float:
    from torch.utils.flop_counter import FlopCounterMode

    # The fused encoder layer is one operation that the counter does not know.
    torch.backends.mha.set_fastpath_enabled(False)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(one)
    torch.backends.mha.set_fastpath_enabled(True)
    return float(counter.get_total_flops())


MAKERS: dict[str, Callable[[], Task]] = {
    "digits MLP 64-32-32-10": lambda: _task(
        "digits MLP 64-32-32-10", mlp(64, 32, 32, 10), torch.rand(1797, 64)
    ),
    "digits MLP 64-64-64-10": lambda: _task(
        "digits MLP 64-64-64-10", mlp(64, 64, 64, 10), torch.rand(1797, 64)
    ),
    "MLP 784-256-128-10": lambda: _task(
        "MLP 784-256-128-10", mlp(784, 256, 128, 10), torch.rand(5000, 784)
    ),
    "CNN 8×8": lambda: _task("CNN 8×8", cnn(8), torch.rand(1797, 1, 8, 8)),
    "CNN 28×28": lambda: _task("CNN 28×28", cnn(28), torch.rand(1000, 1, 28, 28)),
    "ResNet-18": lambda: _task("ResNet-18", resnet18(), torch.rand(128, 3, 32, 32)),
    "transformer": lambda: _task("transformer", Transformer(), torch.randint(0, 1000, (256, 32))),
}


def _made(name: str) -> Task:
    torch.manual_seed(0)
    return MAKERS[name]()


def make(name: str) -> Task:
    """A task by its name, the same each time; of "trained ..." see `trained`."""
    if name.startswith("trained "):
        return trained(name.removeprefix("trained "))
    task = _made(name)
    _calibrate(task.model, task.inputs)
    return task


def trained(name: str, steps: int = 300) -> Task:
    """A network fitted to the digits of scikit-learn, drawn as large as it wants its images."""
    from sklearn.datasets import load_digits

    task = _made(name)
    x, y = load_digits(return_X_y=True)
    shape = task.inputs.shape[1:]
    side = round(shape.numel() ** 0.5)
    images = torch.tensor(x / 16, dtype=torch.float32).view(-1, 1, 8, 8)
    if side != 8:
        images = nn.functional.interpolate(images, (side, side), mode="bilinear")
    inputs, targets = images.reshape(-1, *shape), torch.tensor(y)
    model = task.model.train()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.003)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        some = torch.randperm(len(inputs), generator=generator)[:128]
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(inputs[some]), targets[some]).backward()
        optimiser.step()
    flops = task.flops / len(task.inputs) * len(inputs)
    return dataclasses.replace(
        task,
        name=f"trained {name}",
        model=model.eval(),
        inputs=inputs,
        targets=targets,
        flops=flops,
    )
