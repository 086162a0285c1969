"""Which tensors a penalty counts, and what torch's weight_decay stands for."""

import pytest
import torch
from torch import nn

from landscape_widgets.task.parameters import ParameterLayout
from landscape_widgets.task.regularisers import counted, of_weight_decay
from tests.models import ConvNet, mlp


class Odd(nn.Module):
    """Biases and normalisation that have several axes, as some models have them."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 8)
        self.norm = nn.LayerNorm((2, 4))
        self.attention = nn.MultiheadAttention(8, 2, add_bias_kv=True)
        self.recurrent = nn.LSTM(8, 4)
        self.relative_position_bias_table = nn.Parameter(torch.zeros(3, 2))
        self.scale = nn.Parameter(torch.ones(()))


class Line(nn.Module):
    """y = w·x + b, of tensors with one axis and none."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.b = nn.Parameter(torch.randn(3)), nn.Parameter(torch.zeros(()))


def names(model: nn.Module, tensors="weights") -> tuple[str, ...]:
    return counted(ParameterLayout.of(model), tensors).names


def test_biases_and_normalisation_do_not_count_however_many_axes_they_have():
    assert names(mlp()) == ("0.weight", "2.weight")
    assert names(ConvNet()) == ("conv.weight", "head.weight")
    assert names(Odd()) == (
        "embed.weight", "attention.in_proj_weight", "attention.out_proj.weight",
        "recurrent.weight_ih_l0", "recurrent.weight_hh_l0",
    )  # fmt: skip
    # Counted as in the loop that people write by hand.
    model = ConvNet()
    by_hand = sum(
        p.numel() for module in model.modules() if isinstance(module, (nn.Linear, nn.Conv2d))
        for name, p in module.named_parameters(recurse=False) if name == "weight"
    )  # fmt: skip
    assert counted(ParameterLayout.of(model)).size == by_hand


def test_where_nothing_else_is_there_tensors_with_one_axis_count_and_then_all():
    assert names(Line()) == ("w",)
    assert names(nn.BatchNorm1d(3)) == ("weight", "bias")


def test_places_are_where_the_tensors_lie_in_the_parameter_vector():
    model = ConvNet()
    layout = ParameterLayout.of(model)
    vector = layout.flatten(dict(model.named_parameters()))
    chosen = counted(layout, ["conv.*", "head.weight"])
    assert chosen.names == ("conv.weight", "conv.bias", "head.weight")
    assert len(chosen.places) == 2  # neighbours are one place
    expected = [model.conv.weight, model.conv.bias, model.head.weight]
    joined = torch.cat([vector[place] for place in chosen.places])
    assert torch.equal(joined, torch.cat([p.detach().reshape(-1) for p in expected]))
    assert counted(layout, "all").places == (slice(0, layout.size),)


def test_an_unknown_tensor_is_refused_and_near_ones_are_named():
    layout = ParameterLayout.of(ConvNet())
    with pytest.raises(ValueError, match=r"'head.wieght' is no trainable.*'head.weight'"):
        counted(layout, ["head.wieght"])
    with pytest.raises(ValueError, match=r"Did you mean 'weights'"):
        counted(layout, "weigths")
    with pytest.raises(ValueError, match="nothing to be penalised"):
        counted(layout, [])


@pytest.mark.parametrize("optimiser", [torch.optim.SGD, torch.optim.Adam])
def test_weight_decay_is_the_gradient_of_half_of_it_times_the_squared_norm(optimiser):
    decayed, penalised = Line(), Line()
    penalised.load_state_dict(decayed.state_dict())
    x, y = torch.randn(20, 3), torch.randn(20)
    steps = (
        optimiser(decayed.parameters(), lr=0.1, weight_decay=0.3),
        optimiser(penalised.parameters(), lr=0.1),
    )
    for _ in range(5):
        for model, step, strength in zip(
            (decayed, penalised), steps, (0.0, of_weight_decay(0.3)), strict=True
        ):
            step.zero_grad()
            loss = (x @ model.w + model.b - y).square().mean()
            (loss + strength * sum(p.square().sum() for p in model.parameters())).backward()
            step.step()
    torch.testing.assert_close(decayed.w, penalised.w)
    torch.testing.assert_close(decayed.b, penalised.b)
