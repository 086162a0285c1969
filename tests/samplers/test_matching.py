"""Units that may trade places, and networks that are matched to each other."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from landscape_widgets.samplers.matching import apply, match, symmetries


class Residual(nn.Module):
    """Convolutions with batch statistics, a residual sum, pooling, a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.inner, self.back = nn.Conv2d(6, 5, 3, padding=1), nn.Conv2d(5, 6, 3, padding=1)
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        x = torch.relu(self.norm(self.first(x)))
        x = x + self.back(torch.relu(self.inner(x)))
        return self.head(x.mean([2, 3]))


def perceptron():
    return nn.Sequential(nn.Linear(7, 9), nn.Tanh(), nn.LayerNorm(9), nn.Linear(9, 5, bias=False),
                         nn.ReLU(), nn.Linear(5, 3))  # fmt: skip


def flattened():
    return nn.Sequential(nn.Conv2d(1, 5, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                         nn.Linear(5 * 9, 6), nn.ReLU(), nn.Linear(6, 3))  # fmt: skip


NETWORKS = {
    "perceptron": (perceptron, (20, 7), [5, 9]),
    "flattened": (flattened, (20, 1, 8, 8), [5, 6]),
    "residual": (Residual, (20, 1, 8, 8), [5, 6]),
}
every_network = pytest.mark.parametrize("name", NETWORKS)


def made(name):
    torch.manual_seed(0)
    make, shape, sizes = NETWORKS[name]
    return make().eval(), torch.randn(shape), sizes


def shuffled(groups, seed=1):
    rng = np.random.default_rng(seed)
    return [rng.permutation(group.size) for group in groups]


@every_network
def test_permuting_a_group_leaves_what_the_network_computes_as_it_is(name):
    model, x, sizes = made(name)
    groups = symmetries(model)
    assert sorted(group.size for group in groups) == sizes
    other = copy.deepcopy(model)
    tensors = apply(dict(model.named_parameters()), groups, shuffled(groups))
    other.load_state_dict({**model.state_dict(), **tensors})
    with torch.no_grad():
        pairs = zip(model.parameters(), other.parameters(), strict=True)
        moved = sum(float((a - b).norm()) for a, b in pairs)
    assert moved > 1
    # The batch statistics of a fresh network are the same for all units.
    torch.testing.assert_close(other(x), model(x))


@every_network
def test_a_shuffled_copy_is_put_in_order_again(name):
    model, _, _ = made(name)
    groups = symmetries(model)
    reference = dict(model.named_parameters())
    tensors = apply(reference, groups, shuffled(groups))
    back = apply(tensors, groups, match(reference, tensors, groups))
    for key, tensor in reference.items():
        torch.testing.assert_close(back[key], tensor)


def test_matching_brings_other_networks_closer_and_never_further():
    model, _, _ = made("perceptron")
    groups = symmetries(model)
    reference = dict(model.named_parameters())
    for seed in range(5):
        torch.manual_seed(100 + seed)
        other = dict(perceptron().named_parameters())
        matched = apply(other, groups, match(reference, other, groups, seed))
        before, after = (
            sum(float((reference[k] - tensors[k]).detach().square().sum()) for k in reference)
            for tensors in (other, matched)
        )
        assert after < before


class Odd(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x):
        x = torch.relu(self.one(x))
        x = torch.cumsum(self.two(self.two(x)), dim=1)  # used twice, and units that see each other
        return self.three(x)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_units_that_are_not_free_stay_where_they_are():
    assert symmetries(Odd()) == []
    assert symmetries(nn.LSTM(3, 4)) == []
    frozen = perceptron()
    frozen[0].bias.requires_grad_(False)
    assert [group.size for group in symmetries(frozen)] == [5]
    assert symmetries(torch.jit.trace(perceptron(), torch.randn(2, 7))) == []
