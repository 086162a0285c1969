"""Gradients of models of many kinds against autograd on the user's own model."""

import copy

import pytest
import torch
from torch import Tensor, nn

import landscape_widgets as lw
from landscape_widgets.evaluation.live_bytes import LiveBytes
from landscape_widgets.objective.objective import Objective


class Words(nn.Module):
    """Embedding, recurrence and output, which may share the embedding's weights."""

    def __init__(self, sparse: bool = False, tied: bool = False):
        super().__init__()
        self.embed = nn.Embedding(11, 6, sparse=sparse)
        self.rnn = nn.LSTM(6, 6, batch_first=True)
        self.out = nn.Linear(6, 11)
        self.unused = nn.Linear(6, 2)
        if tied:
            self.out.weight = self.embed.weight

    def forward(self, words: Tensor) -> Tensor:
        return self.out(self.rnn(self.embed(words))[0][:, -1])


class Clamped(nn.Module):
    """Writes to its own weights before it uses them, as constrained layers do."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(6, 11)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.inner.weight.clamp_(-0.2, 0.2)
        return self.inner(x)


def make(kind: str) -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    words, y = torch.randint(0, 11, (40, 5)), torch.randint(0, 11, (40,))
    if kind == "clamped":
        return Clamped(), torch.randn(40, 6), y
    if kind == "attention":
        layer = nn.TransformerEncoderLayer(6, 2, 12, batch_first=True)
        model = nn.Sequential(nn.Embedding(11, 6), layer, nn.Flatten(), nn.Linear(30, 11))
        return model.eval(), words, y
    if kind == "parametrised":
        layer = nn.utils.parametrizations.weight_norm(nn.Linear(6, 8))
        last = nn.utils.parametrizations.spectral_norm(nn.Linear(8, 11))
        return nn.Sequential(layer, nn.Tanh(), last).eval(), torch.randn(40, 6), y
    model = Words(sparse=kind == "sparse", tied=kind == "tied")
    if kind == "frozen":
        model.embed.requires_grad_(False)
        model.out.bias.requires_grad_(False)
    return model, words, y


KINDS = ("plain", "sparse", "tied", "frozen", "attention", "parametrised", "clamped")


def gradient_of(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    weights = [p for p in model.parameters() if p.requires_grad]
    loss = nn.functional.cross_entropy(model(x), y)
    loss.backward()
    parts = [torch.zeros_like(p) if p.grad is None else p.grad.to_dense() for p in weights]
    return torch.cat([part.reshape(-1) for part in parts])


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_is_the_one_of_the_users_own_loop(kind):
    model, x, y = make(kind)
    objective = Objective(model, (x, y), metrics=[])
    theta = objective.anchor * 1.5
    given = theta.clone()
    expected_at = copy.deepcopy(model)
    for name, part in objective.layout.unflatten(theta).items():
        expected_at.get_parameter(name).data.copy_(part)
    expected = gradient_of(expected_at, x, y)
    torch.testing.assert_close(objective.gradient(theta), expected, rtol=1e-4, atol=1e-6)
    assert torch.equal(theta, given)
    assert all(p.grad is None for p in model.parameters())
    # What the working copy gathered is gone, and the next evaluation records nothing.
    assert objective.outputs(objective.anchor).requires_grad is False


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "clamped"])
def test_hessian_products_are_differences_of_gradients(kind):
    model, x, y = make(kind)
    if kind == "sparse":
        x = x[:, :3]
    data = (x.double() if x.is_floating_point() else x, y)
    objective = Objective(model.double(), data, metrics=[])
    generator = torch.Generator().manual_seed(1)
    v = torch.randn(objective.size, dtype=torch.float64, generator=generator)
    step = 1e-6
    ahead, behind = (objective.gradient(objective.anchor + s * step * v) for s in (1, -1))
    expected = (ahead - behind) / (2 * step)
    for found in (objective.hvp(objective.anchor, v), objective.hessian(objective.anchor)(v)):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)


def test_a_gradient_holds_one_vector_of_all_parameters_and_no_more():
    torch.manual_seed(0)
    model = nn.Sequential(*(nn.Linear(100, 100) for _ in range(30)))
    objective = Objective(model, (torch.randn(8, 100), torch.randn(8, 100)), metrics=[])
    whole = objective.anchor.nbytes
    layer = 100 * 101 * 4
    with LiveBytes() as counted:
        gradient = objective.gradient(objective.anchor)
    assert gradient.nbytes == whole
    # The vector itself is not counted, since NumPy asks for it.
    assert counted.peak < 4 * layer < whole / 5


class Once(torch.autograd.Function):
    """A sine whose derivative cannot be differentiated."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        return gradient * ctx.saved_tensors[0].cos()


@pytest.mark.parametrize(
    ("loss", "cause"),
    [
        (nn.MultiMarginLoss(), "multi_margin_loss_backward of torch"),
        (lambda z, y: nn.functional.cross_entropy(Once.apply(z), y), "once_differentiable"),
    ],
)
def test_a_loss_without_a_second_derivative_is_refused_where_one_is_needed(loss, cause):
    torch.manual_seed(0)
    x, y = torch.randn(20, 3), torch.arange(20) % 4
    land = lw.Landscape(nn.Linear(3, 4), (x, y), loss=loss)
    assert torch.isfinite(land.objective.gradient(land.objective.anchor)).all()
    for ask in (
        lambda: land.objective.hvp(land.objective.anchor, land.objective.anchor),
        lambda: land.sample(lw.samplers.HessianSubspace(n=4)),
        lambda: land.sample(lw.samplers.Langevin(draws=4)),
    ):
        with pytest.raises(ValueError, match=f"no second derivative: .*{cause}"):
            ask()
    samplers = lw.samplers
    for sampler in (
        samplers.Subspace(n=4),
        samplers.Minima(n=4, k=2),
        samplers.Rays(rays=2, points=3),
    ):
        assert land.sample(sampler).evaluated.all()


class Cut(nn.Module):
    """A model whose outputs do not tell torch what they were computed from."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.inner = how, nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "no_grad":
            with torch.no_grad():
                return self.inner(x)
        if self.how == "numpy":
            return torch.from_numpy(self.inner(x).detach().numpy())
        return self.inner(x).detach() if self.how == "detach" else self.inner(x)


SCALE = torch.ones(4, requires_grad=True)
CUT = {
    "no_grad": nn.functional.cross_entropy,
    "numpy": nn.functional.cross_entropy,
    "detach": nn.functional.cross_entropy,
    "argmax": lambda z, y: (z.argmax(1) != y).float().mean(),
    "item": lambda z, y: torch.tensor(nn.functional.cross_entropy(z, y).item()),
    # It requires a gradient, of something else than the weights.
    "scaled": lambda z, y: nn.functional.cross_entropy(z.detach() * SCALE, y),
}


@pytest.mark.parametrize("how", CUT)
def test_a_loss_from_which_no_way_leads_to_the_weights_is_refused_where_a_gradient_is_asked(how):
    torch.manual_seed(0)
    x, y = torch.randn(20, 3), torch.arange(20) % 4
    model, loss = Cut(how), CUT[how]
    land = lw.Landscape(model, (x, y), loss=loss)
    objective, theta = land.objective, land.objective.anchor
    samplers = lw.samplers
    for ask in (
        lambda: objective.gradient(theta),
        lambda: objective.hvp(theta, theta),
        lambda: land.sample(samplers.Minima(n=4, k=2)),
        lambda: land.sample(samplers.Subspace(n=4) + samplers.Langevin(draws=4)),
        lambda: land.sample(samplers.Interpolation(Cut(how), points=3, align=False)),
    ):
        with pytest.raises(ValueError, match="has no gradient: every way back"):
            ask()
    for sampler in (
        samplers.Subspace(n=4),
        samplers.Rays(rays=2, points=3),
        samplers.Interpolation(Cut(how), points=3, align=False, curve=False),
    ):
        assert land.sample(sampler).evaluated.all()
    assert SCALE.grad is None
