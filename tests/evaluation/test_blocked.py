"""Images in oneDNN's layout: the same numbers, and what is not a number is not lost."""

import copy
import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from landscape_widgets.evaluation.graph import blocked as layout
from landscape_widgets.evaluation.graph.blocked import Blocked, Convolution, blocked
from landscape_widgets.evaluation.graph.tracing import trace
from tests.evaluation.arrangements import arranged, check_that_what_is_not_finite_gives_no_loss
from tests.evaluation.networks import Case


class Mixed(nn.Module):
    """Sums in place, of an image with itself and with what is spread over it; outputs of two."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.pool = nn.Conv2d(3, 8, 5, padding="same"), nn.MaxPool2d(3, 2, 1)
        self.grouped = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
        self.norm, self.relu = nn.BatchNorm2d(8), nn.ReLU(inplace=True)
        self.strided, self.short = nn.Conv2d(8, 20, 3, 2, 1), nn.Conv2d(8, 20, 1, 2)
        self.last, self.mean = nn.Conv2d(20, 5, 2), nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.relu(self.stem(x)))
        y = self.norm(self.grouped(x))
        y += x
        x = self.relu(y)
        x = F.relu(self.strided(x) + self.short(x))
        z = self.mean(x)
        gate = torch.sigmoid(z)
        return self.last(torch.add(x + z, x).relu() * gate).flatten(1) + z.flatten(1)[:, :1]


def plain_cnn(*widths: int) -> nn.Module:
    layers: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(widths):
        layers += [nn.Conv2d(fan_in, fan_out, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.MaxPool2d(2), nn.Flatten(), nn.LazyLinear(4))


def case_of(model: nn.Module, channels: int, count: int = 40) -> Case:
    inputs = torch.randn(count, channels, 9, 9)
    model.eval()(inputs)
    return Case(model, inputs, torch.randint(0, 4, (count,)), model)


def in_blocks(model: nn.Module) -> nn.Module:
    return arranged(model, blocked)


def outputs_of_convolutions(model: nn.Module, x: Tensor) -> list:
    seen: list = []
    for module in model.modules():
        if isinstance(module, Convolution):
            module.register_forward_hook(lambda module, inputs, output: seen.append(output))
    model(x)
    return seen


@torch.no_grad()
def test_layers_in_blocks_give_what_they_give_on_plain_tensors():
    torch.manual_seed(0)
    model = Mixed().eval()
    model.norm.running_mean.normal_()
    x = torch.randn(6, 3, 17, 13)
    rewritten = in_blocks(model)
    expected = copy.deepcopy(model).double()(x.double())
    torch.testing.assert_close(rewritten(x).double(), expected, rtol=1e-5, atol=1e-5)
    seen = outputs_of_convolutions(rewritten, x)
    assert len(seen) == 5
    assert all(isinstance(output, Blocked) for output in seen)
    # In another precision the same program runs on plain tensors.
    torch.testing.assert_close(in_blocks(model.double())(x.double()), expected)


def test_images_stay_plain_where_they_would_go_in_and_out_for_every_layer():
    layers = [nn.Conv2d(3, 3, 3), nn.SiLU(), nn.Conv2d(3, 3, 3), nn.SiLU()]
    program = torch.fx.GraphModule(nn.Sequential(*layers), trace(nn.Sequential(*layers)))
    assert blocked(program) is None
    assert blocked(program, part=True) is not None


@pytest.mark.parametrize("strategy", ["fused", "shared", "prefix"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_not_numbers_give_no_loss(strategy, value):
    torch.manual_seed(0)
    case = case_of(plain_cnn(2, 8, 16, 8), 2)
    check_that_what_is_not_finite_gives_no_loss(case, strategy, "2.weight", value, still=True)


@torch.no_grad()
def test_activations_that_overflow_are_not_lost():
    torch.manual_seed(0)
    case = case_of(plain_cnn(2, 8, 8, 8, 8), 2)
    for layer in (0, 2, 4):
        case.model[layer].weight.mul_(1e14)
    expected = case.model(case.inputs)
    assert not expected.isfinite().any()
    assert not in_blocks(case.model)(case.inputs).isfinite().any()


@torch.no_grad()
def test_deep_networks_whose_bound_overflows_are_looked_at_and_stay_in_blocks(monkeypatch):
    torch.manual_seed(0)
    case = case_of(plain_cnn(2, *[16] * 40), 2)
    for layer in case.model:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
    looked: list[Tensor] = []
    largest = layout._largest
    monkeypatch.setattr(layout, "_largest", lambda x: looked.append(x) or largest(x))
    rewritten = in_blocks(case.model)
    expected = copy.deepcopy(case.model).double()(case.inputs.double())
    torch.testing.assert_close(rewritten(case.inputs).double(), expected, rtol=1e-3, atol=1e-3)
    assert 1 < len(looked) < 5
    seen = outputs_of_convolutions(rewritten, case.inputs)
    assert all(isinstance(output, Blocked) for output in seen)
    assert all(output.value.to_dense().abs().max() <= output.bound for output in seen)
