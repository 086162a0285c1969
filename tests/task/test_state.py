"""What a model or its loss keeps between calls must not show in the landscape."""

import queue
import random
from collections import deque

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call

from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.objective.objective import Objective
from landscape_widgets.task.noise import same_state
from tests.models import digits


def tiny(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 10))


class Counting(nn.Module):
    """Scales by how often it was called, in every way that a module can count."""

    def __init__(self, how):
        super().__init__()
        self.inner = tiny()
        self.how, self.step, self.seen, self.cache = how, 0, [], {}
        self.history = np.zeros(1)
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x):
        if self.how == "attribute":
            self.step += 1
            times = self.step
        elif self.how == "list":
            self.seen.append(1)
            times = len(self.seen)
        elif self.how == "dict":
            self.cache[len(self.cache)] = 1
            times = len(self.cache)
        elif self.how == "array":
            self.history += 1
            times = float(self.history[0])
        elif self.how == "buffer":
            self.count += 1
            times = self.count
        elif self.how == "data":  # which autograd does not notice
            self.count.data += 1
            times = self.count
        else:
            self.count = self.count + 1
            times = self.count
        return self.inner(x) * (1 + 0.1 * times)


HOW = ["attribute", "list", "dict", "array", "buffer", "data", "replaced"]


@pytest.mark.parametrize("how", HOW)
def test_a_model_that_counts_its_calls_has_one_loss_at_each_vector(how):
    x, y = digits(40)
    model = Counting(how)
    objective = Objective(model, (x, y), probe_examples=4)
    vectors = [objective.anchor * scale for scale in (1.0, 1.3, 0.5)]

    def expected(theta):
        fresh = Counting(how)  # called for the first time
        weights = objective.layout.unflatten(theta)
        return float(nn.functional.cross_entropy(functional_call(fresh, weights, (x,)), y))

    for index in (0, 1, 0, 2, 1, 0):
        assert objective.loss(vectors[index]) == pytest.approx(expected(vectors[index]), rel=1e-5)
    loss, gradient = objective.loss_and_gradient(vectors[1])
    assert loss == pytest.approx(expected(vectors[1]), rel=1e-5)
    assert torch.equal(gradient, objective.gradient(vectors[1]))
    rows = np.array([[0.0], [0.3], [-0.5], [0.3]])
    found = objective.evaluate(DenseBasis(objective.anchor[None]), rows).losses
    assert found == pytest.approx([expected(objective.anchor * (1 + c)) for c in rows[:, 0]], 1e-5)
    assert (model.step, model.seen, model.cache, float(model.count)) == (0, [], {}, 0.0)
    assert float(model.history[0]) == 0


def test_a_loss_that_puts_the_model_into_training_mode_hangs_on_no_order():
    x, y = digits(60)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 10))
    model(x)  # statistics

    def loss(model, batch):
        model.eval()
        value = nn.functional.cross_entropy(model(batch[0]), batch[1])
        model.train()
        return value + nn.functional.cross_entropy(model(batch[0]), batch[1])

    objective = Objective(model, (x, y), loss=loss)
    there = objective.anchor * 1.5
    first = objective.loss(objective.anchor)
    at = objective.loss(there)
    assert objective.loss(objective.anchor) == first
    assert objective.loss(there) == at
    model.eval()
    with torch.no_grad():
        evaluated = float(nn.functional.cross_entropy(model(x), y))
        model.train()
        trained = float(nn.functional.cross_entropy(model(x), y))
    assert first == pytest.approx(evaluated + trained, rel=1e-5)


class CountingLoss(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, outputs, targets):
        self.calls += 1
        return nn.functional.cross_entropy(outputs, targets) * self.calls


def test_a_loss_that_counts_its_calls_is_put_back_and_the_users_own_never_called():
    loss = CountingLoss()
    objective = Objective(tiny(), digits(30), loss=loss)
    assert objective.loss(objective.anchor) == objective.loss(objective.anchor)
    assert float(loss.calls) == 0
    objective = Objective(tiny(), digits(30), loss=loss.forward)
    assert objective.loss(objective.anchor) == objective.anchor_loss
    assert float(loss.calls) == 0


class Slot:
    __slots__ = ("value",)

    def __init__(self):
        self.value = 0


class Keeping(nn.Module):
    """What people keep: a running mean, a moving teacher, a codebook, a short memory."""

    def __init__(self, what):
        super().__init__()
        self.inner, self.what = tiny(), what
        self.teacher = tiny(1).requires_grad_(False)
        self.mean = torch.zeros(64)
        self.memory, self.slot = deque(maxlen=3), Slot()
        self.register_buffer("codes", torch.linspace(-1, 1, 40).view(4, 10))

    def forward(self, x):
        if self.what == "normaliser":
            self.mean = 0.9 * self.mean + 0.1 * x.mean(0)
            return self.inner(x - self.mean)
        z = self.inner(x)
        if self.what == "teacher":
            for ours, theirs in zip(self.teacher.parameters(), self.inner.parameters()):  # noqa: B905
                ours.data.mul_(0.5).add_(theirs.data, alpha=0.5)
            return z + self.teacher(x)
        if self.what == "codebook":
            nearest = torch.cdist(z, self.codes).argmin(1)
            self.codes.mul_(0.9).index_add_(0, nearest, z.detach() * 0.01)
            return z + self.codes[nearest]
        self.memory.append(float(z.detach().mean()))
        self.slot.value += 1
        return z * (1 + len(self.memory) + self.slot.value + sum(self.memory))


@pytest.mark.parametrize("what", ["normaliser", "teacher", "codebook", "memory"])
def test_what_models_keep_is_put_back_and_the_users_own_stays(what):
    x, y = digits(40)
    model = Keeping(what)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    objective = Objective(model, (x, y), probe_examples=4)
    for scale in (1.0, 1.4, 1.0, 0.7):
        theta = objective.anchor * scale
        fresh = Keeping(what)
        with torch.no_grad():
            for name, value in objective.layout.unflatten(theta).items():
                fresh.get_parameter(name).copy_(value)
            expected = float(nn.functional.cross_entropy(fresh(x), y))
        assert objective.loss(theta) == pytest.approx(expected, rel=1e-5)
        assert objective.loss_and_gradient(theta)[0] == pytest.approx(expected, rel=1e-5)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert len(model.memory) == 0
    assert model.slot.value == 0


class Queueing(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.steps = tiny(), queue.SimpleQueue()
        for step in range(100):
            self.steps.put(step)

    def forward(self, x):
        return self.inner(x) * self.steps.get_nowait()


def test_what_cannot_be_put_back_is_refused():
    model = Queueing()
    with pytest.raises(ValueError, match="something from steps, of type SimpleQueue"):
        Objective(model, digits(20))
    assert model.steps.get_nowait() == 0


def test_what_becomes_of_noise_and_state_is_said():
    said = Objective(Noisy("generator"), digits(20)).assumptions
    assert any("Random numbers are drawn (from generator)" in sentence for sentence in said)
    said = Objective(Counting("buffer"), digits(20)).assumptions
    assert any("A call changes the model (count)" in sentence for sentence in said)


class Noisy(nn.Module):
    def __init__(self, source):
        super().__init__()
        self.inner, self.source = tiny(), source
        self.generator = torch.Generator()
        self.rng = np.random.default_rng(5)

    def forward(self, x):
        z = self.inner(x)
        if self.source == "torch":
            noise = torch.randn_like(z)
        elif self.source == "numpy":
            noise = torch.from_numpy(np.random.randn(*z.shape)).to(z)  # noqa: NPY002
        elif self.source == "random":
            noise = torch.tensor([random.gauss(0, 1) for _ in range(z.numel())]).view(z.shape)
        elif self.source == "generator":
            noise = torch.randn(z.shape, generator=self.generator)
        else:
            noise = torch.from_numpy(self.rng.normal(size=z.shape)).to(z)
        return z + noise


@pytest.mark.parametrize("source", ["torch", "numpy", "random", "generator", "rng"])
def test_every_row_sees_the_same_noise_however_rows_are_cut_into_chunks(source):
    model = Noisy(source)
    before = (torch.get_rng_state(), np.random.get_state(legacy=False), random.getstate())  # noqa: NPY002
    own = model.generator.get_state(), model.rng.bit_generator.state
    objective = Objective(model, digits(30))
    assert objective.stochastic
    rows = np.linspace(-0.5, 0.5, 7)[:, None]
    basis = DenseBasis(objective.anchor[None])
    together = objective.evaluate(basis, rows).losses
    apart = np.concatenate([objective.evaluate(basis, row[None]).losses for row in rows])
    np.testing.assert_array_equal(together, apart)
    assert together[3] == objective.anchor_loss
    loss, gradient = objective.loss_and_gradient(objective.anchor)
    assert loss == pytest.approx(objective.anchor_loss, rel=1e-5)
    assert torch.equal(gradient, objective.gradient(objective.anchor))
    v = torch.randn(objective.size, generator=torch.Generator().manual_seed(1)) * 1e-2
    ahead, behind = (objective.gradient(objective.anchor + s * v) for s in (0.1, -0.1))
    product = objective.hvp(objective.anchor, v)
    assert (product - (ahead - behind) / 0.2).norm() < 0.02 * product.norm()
    assert torch.equal(before[0], torch.get_rng_state())
    assert same_state(before[1], np.random.get_state(legacy=False))  # noqa: NPY002
    assert before[2] == random.getstate()
    assert torch.equal(own[0], model.generator.get_state())
    assert own[1] == model.rng.bit_generator.state


class LargeBase(nn.Module):
    """Frozen weights and a buffer of 4 MiB each; writes to the first, if told."""

    def __init__(self, writes):
        super().__init__()
        torch.manual_seed(0)
        self.base = nn.Linear(64, 1 << 14, bias=False).requires_grad_(False)
        self.register_buffer("table", torch.randn(1 << 14, 64))
        self.head, self.writes = nn.Linear(64, 10), writes

    def forward(self, x):
        if self.writes == "in place":
            self.base.weight.mul_(1.5)
        elif self.writes:  # as momentum encoders do, which autograd does not notice
            self.base.weight.data = self.base.weight.data * 1.5
        return self.head(torch.tanh(self.base(x)) @ self.table / 1000)


@pytest.mark.parametrize("writes", ["", "in place", "data"])
def test_a_large_frozen_base_is_copied_once_more_only_where_it_is_written_to(writes):
    x, y = digits(20)
    model = LargeBase(writes)
    before = model.base.weight.clone()
    objective = Objective(model, (x, y), strategy="inplace")
    places = {place.path: place for place in objective._working.state._places}
    assert (places["base.weight"]._saved is not None) == bool(writes)
    assert places["table"]._saved is None
    losses = [objective.loss(objective.anchor) for _ in range(3)]
    assert losses == [losses[0]] * 3
    assert torch.equal(model.base.weight, before)
    with torch.no_grad():
        assert losses[0] == pytest.approx(float(nn.functional.cross_entropy(model(x), y)), rel=1e-5)


class DrawsAnew(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = tiny()

    def forward(self, x):
        return self.inner(x) * (1 + np.random.default_rng().random())


def test_a_generator_made_at_each_call_is_named_with_what_to_do():
    with pytest.raises(ValueError, match=r"calls default_rng in forward.*with a seed"):
        Objective(DrawsAnew(), digits(20))


SCALE = torch.ones(3)
OF_THE_NOTEBOOK = [0]


def scaled(outputs, targets):
    return nn.functional.cross_entropy(outputs * SCALE, targets)


def test_variables_beside_those_that_a_loss_uses_are_not_put_back():
    objective = Objective(nn.Linear(4, 3), (torch.randn(9, 4), torch.arange(9) % 3), loss=scaled)
    OF_THE_NOTEBOOK[0] = 1
    try:
        objective.evaluate(DenseBasis(objective.anchor[None]), np.ones((3, 1)))
        assert OF_THE_NOTEBOOK == [1]
    finally:
        OF_THE_NOTEBOOK[0] = 0


class Records(nn.Module):
    """Registers, as it is first called, hooks that collect what its layers return."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(64, 12), nn.Linear(12, 10)])
        self.ready, self.seen = False, []

    def forward(self, x):
        if not self.ready:
            for layer in self.layers:
                layer.register_forward_hook(lambda module, inputs, output: self.seen.append(output))
            self.ready = True
        self.seen.clear()
        for layer in self.layers:
            x = layer(x).tanh()
        return x + sum(outputs.mean() for outputs in self.seen)


def test_hooks_that_a_model_registers_as_it_is_called_are_taken_off_again():
    torch.manual_seed(0)
    model, data = Records(), digits(20)
    objective = Objective(model, data)
    for theta in objective.anchor + 0.1 * torch.arange(3.0)[:, None]:
        fresh = Records()
        nn.utils.vector_to_parameters(theta, fresh.parameters())
        plain = nn.functional.cross_entropy(fresh(data[0]), data[1]).item()
        for _ in range(2):
            assert objective.loss(theta) == pytest.approx(plain, rel=1e-5)
            assert objective.loss_and_gradient(theta)[0] == pytest.approx(plain, rel=1e-5)
    assert not any(layer._forward_hooks for layer in model.layers)
