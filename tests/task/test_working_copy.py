"""Models and losses as people have them: each works on a copy, or is refused with a reason."""

import copy
import functools
import threading

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.utils import prune

from landscape_widgets.landscape.landscape import Landscape
from landscape_widgets.objective.objective import Objective
from landscape_widgets.samplers import Minima
from tests.models import digits


def tiny(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 10))


def assert_follows(objective, expected):
    """Loss and gradient at other weights are those of `expected(weights by name)`."""
    for scale in (1.0, 1.2):
        theta = (objective.anchor * scale).clone().requires_grad_()
        value = expected(objective.layout.unflatten(theta))
        (gradient,) = torch.autograd.grad(value, theta)
        found, at = objective.loss_and_gradient(theta)
        assert found == pytest.approx(float(value.detach()), rel=1e-5)
        assert objective.loss(theta) == pytest.approx(float(value.detach()), rel=1e-5)
        torch.testing.assert_close(at, gradient, rtol=1e-4, atol=1e-6)


def assert_untouched(before, after):
    for (name, one), (_, other) in zip(before.items(), after.items(), strict=True):
        assert torch.equal(one, other), name


def cross_entropy(model, weights, x, y):
    return nn.functional.cross_entropy(functional_call(model, weights, (x,)), y)


def test_a_loss_that_uses_the_model_around_it_follows_the_weights():
    x, y = digits(50)
    model = tiny()

    def loss(outputs, targets):
        penalty = sum(p.square().sum() for p in model.parameters())
        return nn.functional.cross_entropy(outputs, targets) + 1e-2 * penalty

    def expected(weights):
        penalty = sum(p.square().sum() for p in weights.values())
        return cross_entropy(tiny(), weights, x, y) + 1e-2 * penalty

    assert_follows(Objective(model, (x, y), loss=loss), expected)


class Penalty:
    def __init__(self, model):
        self.model, self.calls = model, []

    def __call__(self, outputs, targets):
        self.calls.append(float(outputs.detach().mean()))
        return nn.functional.cross_entropy(outputs, targets) + self.model[0].weight.square().sum()

    def method(self, outputs, targets):
        return self(outputs, targets)


@pytest.mark.parametrize("form", ["object", "method", "partial", "lambda"])
def test_an_object_that_holds_the_model_follows_the_weights_and_is_not_written_to(form):
    x, y = digits(50)
    model = tiny()
    penalty = Penalty(model)
    loss = {
        "object": penalty,
        "method": penalty.method,
        "partial": functools.partial(penalty),
        "lambda": lambda outputs, targets: penalty(outputs, targets),
    }[form]
    objective = Objective(model, (x, y), loss=loss)

    def expected(weights):
        return cross_entropy(tiny(), weights, x, y) + weights["0.weight"].square().sum()

    assert_follows(objective, expected)
    assert penalty.calls == []


_global_model = tiny()
_global_calls = []
_global_generator = torch.Generator()


def global_loss(model, batch):
    global _global_count
    _global_calls.append(1)
    return nn.functional.cross_entropy(_global_model(batch[0]), batch[1])


def test_a_loss_that_calls_a_global_model_follows_the_weights():
    x, y = digits(50)
    assert_follows(
        Objective(_global_model, (x, y), loss=global_loss),
        lambda weights: cross_entropy(tiny(), weights, x, y),
    )
    assert _global_calls == []


def test_a_loss_that_draws_from_a_global_generator_draws_the_same_each_time():
    x, y = digits(50)
    before = _global_generator.get_state()

    def loss(outputs, targets):
        noise = torch.randn(outputs.shape, generator=_global_generator)
        return nn.functional.cross_entropy(outputs + noise, targets)

    objective = Objective(tiny(), (x, y), loss=loss)
    assert objective.stochastic
    assert objective.loss(objective.anchor) == objective.anchor_loss
    assert torch.equal(before, _global_generator.get_state())


class KeepsGraphs(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = tiny()
        self.kl, self.hidden, self.losses = None, [], {}

    def forward(self, x):
        self.hidden.append(self.inner[0](x))
        z = self.inner(x)
        self.kl = z.square().mean()
        self.losses["aux"] = self.kl * 0.1
        return z


def test_computed_tensors_among_the_attributes_do_not_hinder():
    x, y = digits(50)
    model = KeepsGraphs()
    model(x)
    kl = model.kl

    def loss(model, batch):
        outputs = model(batch[0])
        return nn.functional.cross_entropy(outputs, batch[1]) + model.losses["aux"]

    def expected(weights):
        z = functional_call(tiny(), {k.removeprefix("inner."): v for k, v in weights.items()}, (x,))
        return nn.functional.cross_entropy(z, y) + 0.1 * z.square().mean()

    assert_follows(Objective(model, (x, y), loss=loss), expected)
    assert model.kl is kl
    assert len(model.hidden) == 1


def test_hooks_write_to_nothing_of_the_users():
    x, y = digits(50)
    model, seen, counts = tiny(), [], {"n": 0}

    def watch(module, arguments, output):
        seen.append(output)
        counts["n"] += 1

    model[0].register_forward_hook(watch)
    model[1].register_full_backward_hook(lambda module, g, h: seen.append(g))
    model[2].register_forward_hook(lambda module, arguments, output: output * 2)  # counts
    expected_model = tiny()
    assert_follows(
        Objective(model, (x, y)),
        lambda w: nn.functional.cross_entropy(functional_call(expected_model, w, (x,)) * 2, y),
    )
    assert seen == []
    assert counts == {"n": 0}


@pytest.mark.parametrize("kind", ["weight_norm", "spectral_norm", "parametrized", "pruned"])
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_reparametrised_weights_are_evaluated(kind):
    x, y = digits(50)
    wrap = {
        "weight_norm": nn.utils.weight_norm,
        "spectral_norm": nn.utils.spectral_norm,
        "parametrized": nn.utils.parametrizations.weight_norm,
        "pruned": lambda layer: prune.l1_unstructured(layer, "weight", amount=0.5),
    }[kind]
    model = tiny()
    wrap(model[0])
    model(x)  # leaves a computed weight behind
    model.eval()
    buffers = copy.deepcopy(dict(model.named_buffers()))
    reference = tiny()
    wrap(reference[0])
    reference.load_state_dict(model.state_dict())
    reference.eval()
    assert_follows(
        Objective(model, (x, y)), lambda weights: cross_entropy(reference, weights, x, y)
    )
    assert_untouched(buffers, dict(model.named_buffers()))


class Around(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner, self.last = inner, nn.Linear(10, 10)

    def forward(self, x):
        return self.last(self.inner(x))


def test_wrappers_are_taken_off_wherever_they_sit():
    x, y = digits(50)
    for wrap in (nn.DataParallel, torch.compile):
        torch.manual_seed(3)
        plain = Around(tiny())
        model = copy.deepcopy(plain)
        model.inner = wrap(model.inner)
        objective = Objective(model, (x, y))
        assert objective.layout.names == tuple(name for name, _ in plain.named_parameters())
        assert_follows(objective, lambda w, plain=plain: cross_entropy(plain, w, x, y))


def test_averaged_models_and_scripted_parts_are_evaluated():
    x, y = digits(50)
    averaged = torch.optim.swa_utils.AveragedModel(tiny())
    assert_follows(
        Objective(averaged, (x, y)),
        lambda w: cross_entropy(tiny(), {k.removeprefix("module."): v for k, v in w.items()}, x, y),
    )
    model = Around(torch.jit.script(tiny()))
    objective = Objective(model, (x, y))
    with torch.no_grad():
        assert objective.anchor_loss == pytest.approx(
            float(nn.functional.cross_entropy(model(x), y)), rel=1e-5
        )
    assert objective.loss(objective.anchor * 1.2) != objective.anchor_loss
    step = objective.gradient(objective.anchor) * 1e-2
    ahead, behind = (objective.loss(objective.anchor + s * step) for s in (1, -1))
    assert (ahead - behind) / 2 == pytest.approx(float(step.square().sum() * 1e2), rel=2e-2)


def test_models_made_under_inference_mode_are_evaluated():
    x, y = digits(50)
    with torch.inference_mode():
        model = tiny()
        model.append(nn.BatchNorm1d(10))
        model(x)
    reference = tiny().append(nn.BatchNorm1d(10))
    reference.load_state_dict({name: t.clone() for name, t in model.state_dict().items()})
    reference.eval()
    assert_follows(Objective(model, (x, y)), lambda w: cross_entropy(reference, w, x, y))


@pytest.mark.parametrize("made", [False, True])
def test_all_of_it_works_while_inference_mode_is_on(made):
    x, y = digits(50)
    model = tiny().append(nn.BatchNorm1d(10)).eval()
    expected = Objective(model, (x, y))
    gradient = expected.gradient(expected.anchor)
    with torch.inference_mode():
        if made:
            x, model = x + 0, copy.deepcopy(model)
        found = Objective(model, (x, y))
        assert found.anchor_loss == expected.anchor_loss
        assert torch.equal(found.gradient(found.anchor), gradient)
        product = found.hvp(found.anchor, gradient)
        landscape = Landscape(model, (x, y)).sample(Minima(k=1, n=4, steps=2))
        landscape.slice(1)
        assert torch.is_inference_mode_enabled()
    assert torch.equal(product, expected.hvp(expected.anchor, gradient))
    assert landscape.losses[0] == expected.anchor_loss


def test_what_cannot_be_copied_and_is_not_used_does_not_hinder():
    x, y = digits(50)
    model = tiny()
    model.lock, model.tell = threading.Lock(), (i for i in range(3))
    assert_follows(Objective(model, (x, y)), lambda w: cross_entropy(tiny(), w, x, y))
    assert next(model.tell) == 0


def test_a_forward_of_the_models_own_is_that_of_the_copy():
    x, y = digits(50)
    model = tiny()
    forward = model.forward
    model.forward = lambda x: forward(x) * 2
    assert_follows(
        Objective(model, (x, y)),
        lambda w: nn.functional.cross_entropy(functional_call(tiny(), w, (x,)) * 2, y),
    )


def test_devices_that_are_not_there_and_tensors_without_values_are_refused():
    x, y = digits(20)
    with pytest.raises(ValueError, match="lies on the device 'meta'"):
        Objective(tiny().to("meta"), (x, y))
    with pytest.raises(ValueError, match="device='xpu:7' cannot be used here"):
        Objective(tiny(), (x, y), device="xpu:7")
    with pytest.raises(ValueError, match="device='nonsense' cannot be used here"):
        Objective(tiny(), (x, y), device="nonsense")


def test_a_default_device_that_is_not_the_cpu_is_named():
    model, data = tiny(), digits(20)
    torch.set_default_device("meta")
    try:
        with pytest.raises(ValueError, match=r"set_default_device\('meta'\) is in force"):
            Objective(model, data)
    finally:
        torch.set_default_device(None)


def test_an_exported_program_for_batches_of_one_size_is_evaluated_on_such():
    x, y = digits(50)
    model = torch.export.export(tiny(), (x,)).module()
    assert_follows(Objective(model, (x, y)), lambda w: cross_entropy(tiny(), w, x, y))


class Adapted(nn.Module):
    """A frozen base in bfloat16 under trainable low-rank matrices in float32."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.base = nn.Linear(64, 10).to(torch.bfloat16).requires_grad_(False)
        self.a = nn.Parameter(torch.randn(4, 64) * 0.1)
        self.b = nn.Parameter(torch.zeros(10, 4))

    def forward(self, x):
        return self.base(x.to(torch.bfloat16)).float() + x @ self.a.T @ self.b.T


def test_a_frozen_base_keeps_its_precision():
    x, y = digits(50)
    model = Adapted()
    assert_follows(Objective(model, (x, y)), lambda w: cross_entropy(Adapted(), w, x, y))


class TwoPrecisions(nn.Module):
    """Features in float32, a head in float64, as of a solver that is trained behind them."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh())
        self.head = nn.Linear(5, 3).double()

    def forward(self, x):
        return self.head(self.features(x).double())


def test_a_model_of_two_precisions_comes_back_in_its_own():
    torch.manual_seed(0)
    model, data = TwoPrecisions().eval(), (torch.randn(50, 4), torch.randint(0, 3, (50,)))
    objective = Objective(model, data)
    theta = objective.anchor + 0.1 * torch.randn_like(objective.anchor)
    other = objective.model_at(theta)
    mine = {name: tensor.dtype for name, tensor in model.state_dict().items()}
    assert {name: tensor.dtype for name, tensor in other.state_dict().items()} == mine
    assert all(parameter.requires_grad for parameter in other.parameters())
    with torch.no_grad():
        plain = nn.functional.cross_entropy(other(data[0]), data[1])
    assert objective.loss(theta) == pytest.approx(float(plain), rel=1e-6)
    assert objective.loss(theta) != pytest.approx(objective.anchor_loss, rel=1e-3)
    assert objective.model_at(theta).features[0].weight.dtype == torch.float32  # each time
