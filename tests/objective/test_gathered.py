"""Gradients of large weights against autograd's, whatever the model does with them."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from landscape_widgets.evaluation.live_bytes import LiveBytes
from landscape_widgets.objective import gathered
from landscape_widgets.objective.objective import Objective

WORDS, WIDTH = 23, 6


class Model(nn.Module):
    """Embeds words, mixes them, and predicts the next by the same table if it is `tied`."""

    def __init__(self, kind: str = "plain", dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.kind = kind
        self.embed = nn.Embedding(WORDS, WIDTH, padding_idx=-2 if kind == "padded" else None)
        self.mix = nn.Linear(WIDTH, WIDTH, bias=kind != "without bias")
        self.out = nn.Linear(WIDTH, WORDS)
        self.unused = nn.Linear(WIDTH, WIDTH)
        if kind == "tied":
            self.out.weight = self.embed.weight
        if kind == "frozen":
            self.embed.requires_grad_(False)
            self.mix.weight.requires_grad_(False)
        if kind == "parametrised":
            self.mix = nn.utils.parametrizations.weight_norm(self.mix)
        self.to(dtype)

    def forward(self, words: Tensor) -> Tensor:
        x = self.embed(words)
        if self.kind == "written over":  # an embedding is differentiated without its numbers
            with torch.no_grad():
                self.embed.weight.clamp_(-1.0, 1.0)
        if self.kind == "repeated":
            x = self.mix(self.mix(x).tanh())
        elif self.kind.startswith("checkpointed"):
            x = checkpoint(self.mix, x, use_reentrant=self.kind.endswith("reentrant"))
        elif self.kind == "vmap":
            x = torch.func.vmap(self.mix)(x)
        elif self.kind == "autocast":
            with torch.autocast("cpu", torch.bfloat16):
                x = self.mix(x)
        elif self.kind == "equilibrium":
            x = _equilibrium(self.mix, x)
        else:
            x = self.mix(x)
        return self.out(x.to(self.out.weight.dtype).tanh().mean(1))


def _equilibrium(mix: nn.Module, x: Tensor) -> Tensor:
    """z = tanh(mix(z) + x) to second order, whose pass back takes passes back of its own."""
    z = torch.zeros_like(x)
    again = z.requires_grad_()
    f = torch.tanh(0.3 * mix(again) + x)
    if f.requires_grad:
        inner = again.detach().requires_grad_()
        g = torch.tanh(0.3 * mix(inner) + x.detach())
        f.register_hook(
            lambda grad: grad + torch.autograd.grad(g, inner, grad, retain_graph=True)[0]
        )
    return f


def _penalised(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Cross-entropy, and the squared gradient of it with respect to what is embedded."""
    words, targets = batch
    with torch.enable_grad():
        x = model.embed(words).detach().requires_grad_()
        value = F.cross_entropy(model.out(model.mix(x).mean(1)), targets)
        (slope,) = torch.autograd.grad(value, x, create_graph=True)
        return value + 10 * slope.square().sum() + F.cross_entropy(model(words), targets)


def _plain(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return F.cross_entropy(model(batch[0]), batch[1])


KINDS = (
    "plain", "tied", "padded", "frozen", "without bias", "parametrised", "repeated",
    "checkpointed", "checkpointed, reentrant", "vmap", "autocast", "equilibrium", "written over",
)  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", [*KINDS, "penalised"])
def test_gradients_of_large_weights_are_those_of_autograd(kind, dtype, monkeypatch):
    monkeypatch.setattr(gathered, "LARGE", WORDS)  # so that these tables count as large
    if kind == "autocast" and dtype == torch.float64:
        pytest.skip("autocast leaves float64 alone")
    torch.manual_seed(0)
    model = Model(kind, dtype)
    words, targets = torch.randint(0, WORDS, (300, 4)), torch.randint(0, WORDS, (300,))
    loss = _penalised if kind == "penalised" else _plain
    objective = Objective(
        model, (words, targets), loss=None if loss is _plain else loss, metrics=[]
    )
    weights = [p for p in model.parameters() if p.requires_grad]
    loss(model, (words, targets)).backward()
    expected = [torch.zeros_like(p) if p.grad is None else p.grad for p in weights]
    found = objective.layout.unflatten(objective.gradient(objective.anchor))
    assert all(
        type(layer) is nn.Linear
        for layer in (objective._working.copy.mix, objective._working.copy.out)
        if not nn.utils.parametrize.is_parametrized(layer)
    )
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    exact = (
        {"rtol": 1e-9, "atol": 1e-11} if dtype == torch.float64 else {"rtol": 1e-4, "atol": 1e-6}
    )
    if kind == "autocast":  # sums of fewer digits, over tiles and over all
        exact = {"rtol": 0.03, "atol": 1e-3}
    assert list(found) == names
    for name, right in zip(names, expected, strict=True):
        torch.testing.assert_close(found[name], right, **exact)


@pytest.mark.parametrize("wide", ["embedding", "linear"])
def test_a_large_weights_gradient_is_held_once(wide):
    torch.manual_seed(0)
    if wide == "embedding":
        model = nn.Sequential(nn.Embedding(80_000, 16), nn.Flatten(), nn.Linear(64, 7))
        x = torch.randint(0, 80_000, (6, 4))
    else:
        model = nn.Sequential(nn.Linear(2000, 600), nn.ReLU(), nn.Linear(600, 7))
        x = torch.randn(6, 2000)
    objective = Objective(model, (x, torch.randint(0, 7, (6,))), metrics=[])
    objective.gradient(objective.anchor)  # what is weighed once is weighed
    with LiveBytes() as counted:
        objective.gradient(objective.anchor)
    # The vector itself is not counted, since NumPy asks for it.
    assert counted.peak < objective.anchor.nbytes / 20


@pytest.mark.parametrize("kind", ["checkpointed", "checkpointed, reentrant"])
def test_second_derivatives_of_checkpointed_models_are_refused_with_the_cure(kind):
    torch.manual_seed(0)
    data = torch.randint(0, WORDS, (20, 4)), torch.randint(0, WORDS, (20,))
    objective = Objective(Model(kind), data, metrics=[])
    with pytest.raises(ValueError, match=r"checkpointed .*Switch that off in the model"):
        objective.hvp(objective.anchor, objective.anchor)


def test_tensors_beside_the_model_gather_nothing_in_a_checkpointed_one():
    torch.manual_seed(0)
    scale = torch.ones(WORDS, requires_grad=True)
    data = torch.randint(0, WORDS, (20, 4)), torch.randint(0, WORDS, (20,))
    objective = Objective(
        Model("checkpointed, reentrant"), data, metrics=[],
        loss=lambda outputs, targets: F.cross_entropy(outputs * scale, targets),
    )  # fmt: skip
    assert bool(objective.gradient(objective.anchor).any())
    assert scale.grad is None
