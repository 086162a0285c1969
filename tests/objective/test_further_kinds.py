"""Models and losses of kinds that no other test names, each against a plain loop of torch."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from landscape_widgets.objective.objective import Objective

torch.manual_seed(0)
X, Y = torch.randn(48, 4), torch.randint(0, 3, (48,))
BATCHES = list(zip(X.split(16), Y.split(16), strict=True))
cross_entropy = F.cross_entropy


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))


class Queue(nn.Module):
    """Contrasts with the examples of batches before, as MoCo does."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 6)
        self.register_buffer("queue", F.normalize(torch.randn(6, 20), dim=0))
        self.register_buffer("next", torch.zeros((), dtype=torch.long))

    def forward(self, x):
        z = F.normalize(self.inner(x), dim=1)
        found = torch.cat([(z * z.flip(0)).sum(1, keepdim=True), z @ self.queue.clone()], 1)
        places = (self.next + torch.arange(len(z))) % 20
        self.queue[:, places] = z.detach().T
        self.next += len(z)
        return 10 * found


class Remembers(nn.Module):
    """A recurrent layer that goes on from the batch before."""

    def __init__(self):
        super().__init__()
        self.rnn, self.head, self.state = nn.LSTM(4, 5), nn.Linear(5, 3), None

    def forward(self, x):
        found, state = self.rnn(x[None], self.state)
        self.state = tuple(part.detach() for part in state)
        return self.head(found[0])


class Hyper(nn.Module):
    """Its weights are what another layer makes."""

    def __init__(self):
        super().__init__()
        self.maker, self.code = nn.Linear(2, 15), nn.Parameter(torch.randn(2))

    def forward(self, x):
        made = self.maker(self.code)
        return F.linear(x, made[:12].view(3, 4), made[12:])


class Delegates(nn.Module):
    """Answers for the model inside."""

    def __init__(self):
        super().__init__()
        self.inner = perceptron()

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("inner"), name)

    def forward(self, x):
        return self.inner(x)


class Caches(nn.Module):
    """Normalises its weights as it is first called, and keeps that for all batches."""

    def __init__(self):
        super().__init__()
        self.inner, self.kept = nn.Linear(4, 3), {}

    def forward(self, x):
        if "weight" not in self.kept:
            self.kept["weight"] = self.inner.weight / self.inner.weight.norm()
        return F.linear(x, self.kept["weight"], self.inner.bias)


class Values(nn.Module):
    """A network of values, and the one before that its targets are of."""

    def __init__(self):
        super().__init__()
        self.online = perceptron()
        self.target = copy.deepcopy(self.online).requires_grad_(False)


def of_values(model, batch):
    wanted = 1 + 0.9 * model.target(batch[0]).max(1).values
    return F.smooth_l1_loss(model.online(batch[0]).gather(1, batch[1][:, None])[:, 0], wanted)


def after_a_step(model, batch):
    """The loss after one step of descent on half of the batch, as meta-learning takes it."""
    weights = dict(model.named_parameters())
    with torch.enable_grad():
        first = cross_entropy(
            torch.func.functional_call(model, weights, (batch[0][:8],)), batch[1][:8]
        )
        slopes = torch.autograd.grad(first, list(weights.values()), create_graph=True)
        moved = {n: w - 0.5 * g for (n, w), g in zip(weights.items(), slopes, strict=True)}
        return cross_entropy(
            torch.func.functional_call(model, moved, (batch[0][8:],)), batch[1][8:]
        )


def with_a_tangent(model, batch):
    _, tangent = torch.func.jvp(model, (batch[0],), (torch.ones_like(batch[0]),))
    return cross_entropy(model(batch[0]), batch[1]) + 0.1 * tangent.square().mean()


def attacked(model, batch):
    with torch.enable_grad():
        x = batch[0].clone().requires_grad_()
        (slope,) = torch.autograd.grad(cross_entropy(model(x), batch[1]), x)
    return cross_entropy(model(batch[0] + 0.1 * slope.sign()), batch[1])


def decorrelated(model, batch):
    a, b = model(batch[0]), model(batch[0] + 0.1)
    a, b = ((z - z.mean(0)) / z.std(0) for z in (a, b))
    return (a.T @ b / len(a) - torch.eye(3)).square().sum()


def nearest_first(model, batch):
    return cross_entropy(model(batch[0]), torch.zeros(len(batch[0]), dtype=torch.long))


def supervised(model, batch):
    return cross_entropy(model(batch[0]), batch[1])


CASES = {
    "queue": (Queue, nearest_first),
    "state": (Remembers, supervised),
    "hypernetwork": (Hyper, supervised),
    "delegates": (Delegates, supervised),
    "caches": (Caches, supervised),
    "orthogonal": (
        lambda: nn.Sequential(
            nn.utils.parametrizations.orthogonal(nn.Linear(4, 4)), nn.Tanh(), nn.Linear(4, 3)
        ),
        supervised,
    ),
    "target network": (Values, of_values),
    "meta-learning": (perceptron, after_a_step),
    "tangents": (perceptron, with_a_tangent),
    "attack": (perceptron, attacked),
    "decorrelation": (perceptron, decorrelated),
}


@pytest.mark.parametrize("name", CASES)
def test_loss_and_gradient_are_those_of_a_plain_loop(name):
    make, each = CASES[name]
    torch.manual_seed(1)
    model = make().eval()
    objective = Objective(model, BATCHES, loss=each)
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    for scale in (0.0, 0.3, 0.1):
        theta = objective.anchor + scale * torch.sin(torch.arange(objective.size))
        fresh = copy.deepcopy(model)
        weights = [p for n, p in fresh.named_parameters() if n in trained]
        nn.utils.vector_to_parameters(theta, weights)
        plain = sum(each(fresh, batch) * len(batch[0]) for batch in BATCHES) / len(X)
        slopes = torch.autograd.grad(plain, weights, allow_unused=True, materialize_grads=True)
        expected = torch.cat([slope.reshape(-1) for slope in slopes])
        assert objective.loss(theta) == pytest.approx(plain.item(), rel=1e-5)
        torch.testing.assert_close(objective.gradient(theta), expected, rtol=1e-4, atol=1e-6)
