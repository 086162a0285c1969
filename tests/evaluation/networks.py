"""One small network of each kind that strategies must agree on, with random data for it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Case(NamedTuple):
    """A network, inputs and targets; `reference` computes the same in plain eager float64."""

    model: nn.Module
    inputs: Tensor
    targets: Tensor
    reference: nn.Module


def _classes(m: int, classes: int) -> Tensor:
    return torch.randint(0, classes, (m,))


def _case(model: nn.Module, inputs: Tensor, classes: int = 4) -> Case:
    return Case(model, inputs, _classes(len(inputs), classes), model)


def _mlp() -> Case:
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 4)
    )
    return _case(model, torch.randn(70, 3, 4))


def _relu_mlp() -> Case:
    """More than a tile of examples, sizes that are multiples of nothing, targets left out."""
    model = nn.Sequential(
        nn.Linear(13, 18), nn.ReLU(), nn.Linear(18, 7, bias=False), nn.Identity(), nn.ReLU(),
        nn.Linear(7, 9), nn.Linear(9, 5),
    )  # fmt: skip
    model[2].weight.requires_grad_(False)
    case = _case(model, torch.randn(301, 13), classes=5)
    case.targets[::7] = -100
    return case


def _normalised_mlp() -> Case:
    model = nn.Sequential(
        nn.Linear(12, 16, bias=False), nn.BatchNorm1d(16), nn.GELU(), nn.Dropout(0.5),
        nn.Linear(16, 8), nn.LayerNorm(8), nn.SiLU(), nn.Linear(8, 4),
    )  # fmt: skip
    model[0].weight.requires_grad_(False)
    model[4].bias.requires_grad_(False)
    _stir(model)
    return _case(model, torch.randn(70, 12))


class _Written(nn.Module):
    """An MLP by a forward method, regression to one number."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 9), nn.Linear(9, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.first(x))).squeeze(-1)


def _regression() -> Case:
    model = _Written()
    return Case(model, torch.randn(70, 6), torch.randn(70), model)


class _Conv(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 5, 3, padding=1), nn.BatchNorm2d(5)
        self.second, self.head = nn.Conv2d(5, 6, 3), nn.Linear(6 * 16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.conv(x)))
        return self.head(torch.relu(self.second(x)).flatten(1))


def _conv() -> Case:
    model = _Conv()
    _stir(model)
    return _case(model, torch.randn(40, 2, 6, 6))


class _Block(nn.Module):
    def __init__(self, fan_in: int, fan_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(fan_in, fan_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(fan_out)
        self.conv2 = nn.Conv2d(fan_out, fan_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(fan_out)
        self.short = nn.Sequential(
            nn.Conv2d(fan_in, fan_out, 1, stride, bias=False), nn.BatchNorm2d(fan_out)
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + self.short(x))


class _ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.layer1, self.layer2 = _Block(4, 4, 1), _Block(4, 8, 2)
        self.fc = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        x = self.layer2(self.layer1(x)).mean((2, 3))
        return self.fc(x.view(x.size(0), -1))


def _resnet() -> Case:
    model = _ResNet()
    _stir(model)
    return _case(model, torch.randn(40, 3, 8, 8))


class _Wide(nn.Module):
    """Residual blocks of as many channels as are worth another algorithm, on odd images."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 64, 3, padding=1)
        self.first, self.norm = nn.Conv2d(64, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64)
        self.second = nn.Conv2d(64, 64, 3, padding="same")
        self.strided, self.third = nn.Conv2d(64, 80, 3, 2, 1), nn.Conv2d(80, 80, 3, 1, 1)
        self.head = nn.Linear(80, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        x = torch.relu(x + self.norm(self.first(x)))
        x = x + torch.relu(self.second(x))
        x = torch.relu(self.strided(x))
        y = self.third(x)
        y += x
        return self.head(y.mean((2, 3)))


def _wide() -> Case:
    model = _Wide()
    _stir(model)
    return _case(model, torch.randn(20, 3, 7, 9))


class _Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(self.embed(x)).mean(1))


def _transformer() -> Case:
    return _case(_Transformer(), torch.randint(0, 11, (40, 5)))


class _Recurrent(nn.Module):
    def __init__(self, kind: Callable[..., nn.Module]) -> None:
        super().__init__()
        self.project, self.rnn = nn.Linear(3, 5), kind(5, 6, batch_first=True)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(self.project(x))[0][:, -1])


def _scripted() -> Case:
    case = _conv()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return case._replace(model=torch.jit.script(case.model.eval()))


class _Tied(nn.Module):
    """The first layer's weights are also the last one's."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.out = nn.Embedding(9, 5), nn.Linear(5, 9, bias=False)
        self.out.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.embed(x).sum(1))


class _Twice(nn.Module):
    """The first layer is used a second time, further up."""

    def __init__(self) -> None:
        super().__init__()
        self.square, self.head = nn.Linear(7, 7), nn.Linear(7, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.square(torch.relu(self.square(x)))))


class _Unused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pooler, self.first = nn.Linear(4, 4), nn.Linear(7, 8)
        self.head, self.other = nn.Linear(8, 4), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.first(x)))


class _Branching(nn.Module):
    """Which way the data take depends on their values."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(7, 8), nn.Linear(8, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.first(x))
        if h.mean() > 0.4:
            h = torch.relu(self.second(h))
        return self.head(h)


def _stir(model: nn.Module) -> None:
    """Running statistics as of a trained network."""
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 1.5)


MAKERS: dict[str, Callable[[], Any]] = {
    "mlp": _mlp,
    "relu mlp": _relu_mlp,
    "normalised mlp": _normalised_mlp,
    "regression": _regression,
    "cnn": _conv,
    "resnet": _resnet,
    "wide": _wide,
    "transformer": _transformer,
    "lstm": lambda: _case(_Recurrent(nn.LSTM), torch.randn(40, 4, 3)),
    "gru": lambda: _case(_Recurrent(nn.GRU), torch.randn(40, 4, 3)),
    "torchscript": _scripted,
    "tied": lambda: _case(_Tied(), torch.randint(0, 9, (40, 3)), 9),
    "twice": lambda: _case(_Twice(), torch.randn(40, 7)),
    "unused": lambda: _case(_Unused(), torch.randn(40, 7)),
    "branching": lambda: _case(_Branching(), torch.randn(40, 7)),
}


def make(name: str) -> Case:
    """A network in evaluation mode and its data, the same each time."""
    torch.manual_seed(0)
    case: Case = MAKERS[name]()
    case.model.eval()
    case.reference.eval()
    return case
