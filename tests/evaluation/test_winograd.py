"""Convolutions by the compiled kernel: torch's numbers, and what is not a number is not lost."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from landscape_widgets.basis import DenseBasis
from landscape_widgets.evaluation.kernels import zeros
from landscape_widgets.evaluation.winograd import Convolution, is_for, winograd
from landscape_widgets.objective import Objective
from tests.evaluation.arrangements import arranged, check_that_what_is_not_finite_gives_no_loss
from tests.evaluation.networks import Case, make
from tests.evaluation.test_agreement import directions, plain_losses


def by_kernel(model: nn.Module) -> nn.Module:
    return arranged(model, winograd)


def convolutions(model: nn.Module) -> list[Convolution]:
    return [module for module in model.modules() if isinstance(module, Convolution)]


@pytest.fixture
def never_plain(monkeypatch):
    """No layer falls back on torch's own convolution."""

    def refuse(*arguments):
        raise AssertionError("a layer fell back on torch's own convolution")

    monkeypatch.setattr(Convolution, "_plainly", refuse)


SHAPES = [
    (1, 16, 16, 1, 1), (3, 32, 48, 5, 7), (2, 64, 80, 1, 6), (40, 16, 64, 4, 4), (2, 144, 32, 3, 2),
    (7, 272, 64, 9, 8), (1, 16, 16, 2, 300),
]  # fmt: skip


@torch.no_grad()
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("n", "channels", "outputs", "height", "width"), SHAPES)
def test_a_convolution_and_what_follows_it_are_those_of_float64(
    n, channels, outputs, height, width, threads, never_plain
):
    torch.manual_seed(0)
    x, added = torch.randn(n, channels, height, width), torch.randn(n, outputs, height, width)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for bias in (True, False):
            layer = nn.Conv2d(channels, outputs, 3, padding=1, bias=bias)
            expected = copy.deepcopy(layer).double()(x.double())
            ours = Convolution(layer)
            torch.testing.assert_close(ours(x).double(), expected, rtol=1e-5, atol=3e-6)
            expected = expected + added
            torch.testing.assert_close(ours(x, added).double(), expected, rtol=1e-5, atol=3e-6)
            ours.rectified = True
            found = ours(x.to(memory_format=torch.channels_last), added)
            torch.testing.assert_close(found.double(), expected.relu(), rtol=1e-5, atol=3e-6)
    finally:
        torch.set_num_threads(before)


@torch.no_grad()
def test_the_error_is_of_the_size_of_that_of_torch(never_plain):
    torch.manual_seed(0)
    layer, x = nn.Conv2d(128, 128, 3, padding=1), torch.randn(4, 128, 16, 16)
    exact = copy.deepcopy(layer).double()(x.double())
    ours, torchs = (float((f(x) - exact).abs().max()) for f in (Convolution(layer), layer))
    assert 0 < ours < 3 * torchs


@torch.no_grad()
def test_weights_that_change_are_taken_anew(never_plain):
    torch.manual_seed(0)
    layer, x = nn.Conv2d(16, 16, 3, padding=1), torch.randn(2, 16, 5, 5)
    ours = Convolution(layer)
    for _ in range(2):
        torch.testing.assert_close(ours(x), layer(x), rtol=1e-5, atol=1e-5)
        layer.weight.mul_(-2)
    with torch.inference_mode():
        ours = Convolution(copy.deepcopy(layer))
        for _ in range(2):
            torch.testing.assert_close(ours(x), ours.layer(x), rtol=1e-5, atol=1e-5)
            ours.layer.weight.mul_(-2)


@torch.no_grad()
@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan, 3e38])
def test_what_is_not_finite_does_not_spread_to_its_neighbours(value):
    torch.manual_seed(0)
    layer = nn.Conv2d(16, 16, 3, padding=1)
    x = torch.randn(2, 16, 8, 8)
    x[1, 3, 4, 4:6] = value  # whose sum overflows
    ours = Convolution(layer)
    ours.rectified = True
    expected = torch.relu(layer(x))
    torch.testing.assert_close(ours(x), expected, equal_nan=True)
    assert expected.isfinite().any()


class Summing(nn.Module):
    """Sums of either order, in place, of a convolution with itself, and spread over an image."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.relu = nn.Conv2d(3, 32, 5, padding=2), nn.ReLU(inplace=True)
        self.up, self.norm = nn.Conv2d(32, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64)
        self.a, self.b, self.c, self.d, self.e = (nn.Conv2d(64, 64, 3, padding=1) for _ in range(5))
        self.gate = nn.Conv2d(64, 64, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.up(self.relu(self.stem(x))))
        y = self.a(x)
        y += x
        x = F.relu(x + self.b(y))
        z = self.c(x)
        x = torch.add(z, z).relu() + self.d(x)  # z is read twice
        spread = self.gate(x.mean((2, 3), keepdim=True))
        x = self.e(x) + spread
        return x.relu().mean((2, 3)) + x.amax((2, 3))  # before and behind the ReLU


@torch.no_grad()
def test_sums_and_relus_are_taken_with_the_convolution_before_them():
    torch.manual_seed(0)
    model = Summing().eval()
    model.norm.running_mean.normal_()
    x = torch.randn(3, 3, 9, 6)
    rewritten = by_kernel(model)
    expected = copy.deepcopy(model).double()(x.double())
    torch.testing.assert_close(rewritten(x).double(), expected, rtol=1e-5, atol=1e-5)
    taken = {
        str(node.target): (len(node.args), rewritten.called.get_submodule(node.target).rectified)
        for node in rewritten.called.graph.nodes
        if str(node.target).startswith("convolution")
        and isinstance(rewritten.called.get_submodule(node.target), Convolution)
    }
    # up; a and b with what is added, b with a ReLU; c, read twice; d; e, its sum with the gate
    assert sorted(taken.values()) == sorted(
        [(1, False), (2, False), (2, True), (1, False), (2, False), (2, False)]
    )


@torch.no_grad()
def test_a_program_in_another_precision_runs_on_torchs_own_convolutions():
    case = make("wide")
    double = by_kernel(case.model.double())
    expected = case.model(case.inputs.double())
    torch.testing.assert_close(double(case.inputs.double()), expected)


@pytest.mark.parametrize("strategy", ["fused", "shared", "prefix"])
def test_wide_networks_are_evaluated_by_the_kernel(strategy, monkeypatch):
    case, calls = make("wide"), []
    convolve = Convolution._convolve

    def count(*arguments):
        calls.append(arguments)
        return convolve(*arguments)

    monkeypatch.setattr(Convolution, "_convolve", count)
    objective = Objective(case.model, (case.inputs, case.targets), strategy=strategy)
    vectors = directions(case, 2)
    if strategy == "prefix":
        first = next(
            place for name, place, _ in objective.layout.slices() if name == "first.weight"
        )
        vectors[:, : first.start] = 0
    rows = np.random.default_rng(0).normal(size=(40, 2))
    found = objective.evaluate(DenseBasis(vectors), rows).losses
    np.testing.assert_allclose(found, plain_losses(case, vectors, rows), rtol=2e-5)
    assert objective.engine.last == strategy
    assert len(calls) >= 40 * 3


@pytest.mark.parametrize("strategy", ["fused", "shared"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_not_numbers_give_no_loss(strategy, value):
    check_that_what_is_not_finite_gives_no_loss(make("wide"), strategy, "second.weight", value)


def cnn(*layers: nn.Module) -> Case:
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LazyLinear(4)).eval()
    inputs = torch.randn(8, 3, 8, 8)
    model(inputs)
    return Case(model, inputs, torch.randint(0, 4, (8,)), model)


def is_by_winograd(case: Case) -> bool:
    data = case.inputs.to(next(case.model.parameters()).dtype), case.targets
    return Objective(case.model, data).engine._by_winograd


def test_the_kernel_is_taken_where_it_does_most_of_the_work():
    torch.manual_seed(0)
    stem, wide = nn.Conv2d(3, 64, 3, padding=1), nn.Conv2d(64, 64, 3, padding=1)
    assert is_by_winograd(cnn(stem, wide))
    assert not is_by_winograd(cnn(stem, nn.MaxPool2d(8), wide))
    assert not is_by_winograd(cnn(stem, nn.Conv2d(64, 64, 5), wide))
    assert not is_by_winograd(cnn(nn.Conv2d(3, 16, 3), nn.Conv2d(16, 16, 3)))
    double = cnn(copy.deepcopy(stem), copy.deepcopy(wide))
    double.model.double()
    assert not is_by_winograd(double)


@pytest.mark.parametrize(
    "changed",
    [
        {"stride": 2}, {"dilation": 2}, {"groups": 2}, {"padding": 0}, {"padding": 2},
        {"padding_mode": "reflect"}, {"kernel_size": 5}, {"in_channels": 40}, {"in_channels": 16},
        {"out_channels": 48},
    ],
)  # fmt: skip
def test_the_kernel_is_for_one_kind_of_convolution_alone(changed):
    arguments = {"in_channels": 64, "out_channels": 64, "kernel_size": 3, "padding": 1}
    assert is_for(nn.Conv2d(**arguments))
    assert is_for(nn.Conv2d(**arguments | {"padding": "same", "in_channels": 32}))
    assert not is_for(nn.Conv2d(**arguments | changed))
    assert not is_for(nn.Conv3d(64, 64, 3, padding=1))


def test_what_the_kernels_work_in_begins_where_a_line_of_the_cache_does():
    for shape in [(1,), (5, 7), (1, 16, 33, 3)]:
        room = zeros(*shape)
        assert (room.shape, room.dtype) == (shape, np.float32)
        assert room.flags.c_contiguous
        assert room.ctypes.data % 64 == 0
        assert not room.any()
