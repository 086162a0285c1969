"""Small networks trained on real data: what maps are judged on.

Six to choose defaults by, and three that were not looked at while choosing. Each trains in
seconds, the same each time, and is kept in a folder of temporary files.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn import datasets
from torch import Tensor, nn

Split = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Task:
    """How a network is trained.

    Attributes
    ----------
    model : function without arguments
        Makes the network.
    data : function without arguments
        Gives inputs and targets, standardised.
    steps, learning_rate
        Of Adam on batches of 128.
    chosen_by : bool
        Whether the defaults were chosen by it, or only confirmed.
    """

    model: Callable[[], nn.Module]
    data: Callable[[], tuple[Any, Any]]
    steps: int
    learning_rate: float = 0.005
    chosen_by: bool = True


@dataclass(frozen=True)
class Trained:
    """A trained network with its data, a fifth of them held out."""

    name: str
    model: nn.Module
    train: Split
    val: Split


class Rows(nn.Module):
    """Digits as sequences of eight rows, through an encoder or a recurrent layer."""

    def __init__(self, kind: str, width: int = 24) -> None:
        super().__init__()
        self.kind = kind
        self.embed = nn.Linear(8, width)
        self.place = nn.Parameter(torch.randn(8, width) * 0.1)
        self.core: nn.Module
        if kind == "transformer":
            layer = nn.TransformerEncoderLayer(width, 2, 2 * width, 0.0, batch_first=True)
            self.core = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        else:
            self.core = nn.LSTM(width, width, batch_first=True)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        z = self.embed(x) + self.place
        read = self.core(z).mean(1) if self.kind == "transformer" else self.core(z)[0][:, -1]
        logits: Tensor = self.head(read)
        return logits


def mlp(*widths: int, activation: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    """Linear layers with a nonlinearity in between."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out), activation()]
    return nn.Sequential(*layers[:-1])


def cnn() -> nn.Module:
    """Two convolutions with batch normalisation, and a linear layer."""
    return nn.Sequential(
        nn.Unflatten(1, (1, 8)),
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(16 * 4, 10),
    )  # fmt: skip


def digits() -> tuple[Any, Any]:
    """Pixels in [0, 1], flat."""
    x, y = datasets.load_digits(return_X_y=True)
    return x / 16, y


def rows() -> tuple[Any, Any]:
    """The same as images of eight rows."""
    x, y = digits()
    return x.reshape(-1, 8, 8), y


def pixels() -> tuple[Any, Any]:
    """Digits to be reproduced."""
    x, _ = digits()
    return x, x


def standardised(load: Callable[..., Any], regression: bool = False) -> tuple[Any, Any]:
    """Columns, and numbers to be predicted, in units of their standard deviation."""
    x, y = load(return_X_y=True)
    x = (x - x.mean(0)) / x.std(0)
    return (x, ((y - y.mean()) / y.std())[:, None]) if regression else (x, y)


TASKS: dict[str, Task] = {
    "digits MLP": Task(lambda: mlp(64, 32, 32, 10), digits, 2000),
    "digits CNN": Task(cnn, rows, 900),
    "breast cancer": Task(
        lambda: mlp(30, 16, 16, 2), lambda: standardised(datasets.load_breast_cancer), 600
    ),
    "wine": Task(lambda: mlp(13, 16, 3), lambda: standardised(datasets.load_wine), 600),
    "diabetes": Task(
        lambda: mlp(10, 32, 32, 1), lambda: standardised(datasets.load_diabetes, True), 400
    ),
    "digits transformer": Task(lambda: Rows("transformer"), rows, 1500),
    # Not looked at while choosing.
    "digits LSTM": Task(lambda: Rows("lstm"), rows, 1500, chosen_by=False),
    "digits autoencoder": Task(
        lambda: mlp(64, 32, 8, 32, 64, activation=nn.Tanh), pixels, 2000, chosen_by=False
    ),
    "iris": Task(
        lambda: mlp(4, 12, 12, 3, activation=nn.GELU),
        lambda: standardised(datasets.load_iris),
        600,
        chosen_by=False,
    ),
}


def trained(name: str, seed: int = 0) -> Trained:
    """A network of `TASKS`, trained once and then read back."""
    task = TASKS[name]
    inputs, targets = task.data()
    x = torch.tensor(inputs, dtype=torch.float32)
    y = torch.tensor(targets)
    y = y.to(torch.float32) if y.is_floating_point() else y.to(torch.int64)
    order = np.random.default_rng(seed).permutation(len(x))
    held, kept = order[: len(x) // 5], order[len(x) // 5 :]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = task.model()
        folder = Path(tempfile.gettempdir()) / f"landscape-widgets-trained-{torch.__version__}"
        folder.mkdir(exist_ok=True)
        file = folder / f"{name.replace(' ', '-')}-{seed}.pt"
        if not file.exists():
            _fit(model, x[kept], y[kept], task)
            torch.save(model.state_dict(), file)
        model.load_state_dict(torch.load(file, weights_only=True))
    return Trained(name, model.eval(), (x[kept], y[kept]), (x[held], y[held]))


def _fit(model: nn.Module, x: Tensor, y: Tensor, task: Task) -> None:
    loss = nn.functional.mse_loss if y.is_floating_point() else nn.functional.cross_entropy
    optimiser = torch.optim.Adam(model.parameters(), lr=task.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, task.steps)
    model.train()
    for _ in range(task.steps):
        some = torch.randperm(len(x))[:128]
        optimiser.zero_grad()
        loss(model(x[some]), y[some]).backward()
        optimiser.step()
        schedule.step()
