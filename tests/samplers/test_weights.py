"""Checkpoints come in many forms; all of them are the same weights."""

import copy

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from landscape_widgets.objective.objective import Objective
from landscape_widgets.samplers import Trajectory
from landscape_widgets.samplers.weights import Fitted
from tests.models import digits


def network(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(64, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 10)).eval()


class Wrapped(nn.Module):
    """As a LightningModule holds its network, beside a loss with weights of its own."""

    def __init__(self, net):
        super().__init__()
        self.model, self.criterion = net, nn.CrossEntropyLoss(weight=torch.ones(10))

    def forward(self, x):
        return self.model(x)


def prefixed(state, prefix):
    return {prefix + name: value for name, value in state.items()}


def forms(tmp_path):
    other = network(1)
    state = other.state_dict()
    torch.save(state, tmp_path / "a.pt")
    torch.save(
        {"epoch": 3, "model_state_dict": state, "optimizer_state_dict": {}}, tmp_path / "b.pt"
    )
    save_file(state, tmp_path / "c.safetensors")
    np.savez(tmp_path / "d.npz", **{name: value.numpy() for name, value in state.items()})
    lightning = {"state_dict": Wrapped(other).state_dict(), "epoch": 1, "callbacks": {}}
    torch.save(lightning, tmp_path / "e.ckpt")
    return {
        "state dict": state,
        "model": other,
        "compiled": torch.compile(other),
        "parallel": nn.DataParallel(other),
        "averaged": torch.optim.swa_utils.AveragedModel(other).state_dict(),
        "file": tmp_path / "a.pt",
        "name of a file": str(tmp_path / "a.pt"),
        "model_state_dict": tmp_path / "b.pt",
        "safetensors": tmp_path / "c.safetensors",
        "npz": tmp_path / "d.npz",
        "lightning": tmp_path / "e.ckpt",
        "arrays": {name: value.numpy() for name, value in state.items()},
        "module.": prefixed(state, "module."),
        "_orig_mod.module.": prefixed(state, "_orig_mod.module."),
        "net.encoder.": prefixed(state, "net.encoder."),
        "nested": {"model": {"ema": state}},
        "held model": {"model": other, "epoch": 2},
        "half": {name: v.half() if v.is_floating_point() else v for name, v in state.items()},
    }


@pytest.mark.parametrize("wrapped", [False, True])
def test_every_form_gives_the_same_sample(tmp_path, wrapped):
    x, y = digits(40)
    model = Wrapped(network(0)) if wrapped else network(0)
    objective = Objective(model, (x, y), loss=nn.functional.cross_entropy)
    with torch.no_grad():
        expected = float(nn.functional.cross_entropy(network(1)(x), y))
    for name, form in forms(tmp_path).items():
        cloud = Trajectory([form]).draw(objective, seed=0)
        found = objective.evaluate(cloud.basis, cloud.coefficients[1:]).losses
        assert found == pytest.approx([expected], rel=1e-5 if name != "half" else 1e-2), name


def test_a_vector_of_all_parameters_is_a_checkpoint():
    model, other = network(0), network(1)
    objective = Objective(model, digits(40))
    vector = nn.utils.parameters_to_vector(other.parameters())
    for form in (vector.detach(), vector.detach().numpy()):
        cloud = Trajectory([form]).draw(objective, seed=0)
        torch.testing.assert_close(cloud.vector(1), vector.detach(), rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="a vector of the"):
        Trajectory([vector.detach()[:-1]]).draw(objective, seed=0)


def test_what_cannot_be_read_says_so(tmp_path):
    (tmp_path / "bad.pt").write_bytes(b"nothing of the kind")
    objective = Objective(network(0), digits(40))
    with pytest.raises(ValueError, match=r"bad\.pt' cannot be read"):
        Trajectory([tmp_path / "bad.pt"]).draw(objective, seed=0)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        Trajectory([tmp_path / "none.pt"])
    other = copy.deepcopy(network(0).state_dict())
    other["1.weight"] = other["1.weight"][:3]
    with pytest.raises(ValueError, match=r"1\.weight has shape \(3,\) for \(6,\)"):
        Trajectory([{"state_dict": other}]).draw(objective, seed=0)


class Adapter(nn.Module):
    """Low-rank matrices under an adapter's name, as peft keeps them; its files leave it out."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.base_layer = nn.Linear(64, 10).requires_grad_(False)
        self.lora_A = nn.ModuleDict({"default": nn.Linear(64, 2, bias=False)})
        self.lora_B = nn.ModuleDict({"default": nn.Linear(2, 10, bias=False)})
        nn.init.zeros_(self.lora_B["default"].weight)

    def forward(self, x):
        return self.base_layer(x) + self.lora_B["default"](self.lora_A["default"](x))


def test_an_adapters_file_leaves_the_adapters_name_out():
    x, y = digits(40)
    other = Adapter()
    nn.init.normal_(other.lora_B["default"].weight)
    file = {
        f"base_model.model.{name.replace('.default', '')}": value.detach()
        for name, value in other.named_parameters()
        if "lora" in name
    }
    inside = {name.removeprefix("base_model.model."): value for name, value in file.items()}
    objective = Objective(Adapter(), (x, y))
    with torch.no_grad():
        expected = float(nn.functional.cross_entropy(other(x), y))
    for form in (file, inside):
        cloud = Trajectory([form]).draw(objective, seed=0)
        found = objective.evaluate(cloud.basis, cloud.coefficients[1:]).losses
        assert found == pytest.approx([expected], rel=1e-5)


def test_frozen_weights_that_a_checkpoint_brings_along_are_its_own():
    x, y = torch.randn(30, 4), torch.randint(0, 3, (30,))
    model, other = (nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)) for _ in range(2))
    model[0].requires_grad_(False)
    objective = Objective(model, (x, y))
    cloud = Trajectory([other.state_dict(), model.state_dict()]).draw(objective, seed=0)
    losses = objective.evaluate(cloud.basis, cloud.coefficients).losses
    expected = [float(nn.functional.cross_entropy(m(x), y).detach()) for m in (model, other)]
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    shorter = {name: value.bfloat16() for name, value in model.state_dict().items()}
    shorter["2.bias"] = shorter["2.bias"] + 1
    assert Trajectory([shorter]).draw(objective, seed=0).basis.buffers is None


def test_layers_that_are_numbered_over_all_models_are_told_by_their_order():
    objective = Objective(Numbered(0, 1), (torch.randn(20, 4), torch.randint(0, 3, (20,))))
    other = {name: torch.full_like(value, 0.5) for name, value in Numbered(9, 10).pairs()}
    cloud = Trajectory([{f"held.sequential_3/{name}": v for name, v in other.items()}]).draw(
        objective, seed=0
    )
    torch.testing.assert_close(cloud.vector(1), torch.full((objective.size,), 0.5))


class Numbered(nn.Module):
    """Names its weights as Keras does: "dense_9/kernel"."""

    def __init__(self, *numbers: int) -> None:
        super().__init__()
        self.names = [f"dense_{n}/kernel" if n else "dense/kernel" for n in numbers]
        self.held = nn.ParameterDict()
        for name, shape in zip(self.names, ((4, 5), (5, 3)), strict=True):
            self.held[name] = nn.Parameter(torch.randn(shape))

    def pairs(self):
        return [(name, self.held[name].detach()) for name in self.names]

    def forward(self, x):
        first, second = (self.held[name] for name in self.names)
        return torch.tanh(x @ first) @ second


@pytest.mark.parametrize(
    ("change", "message"),
    [(lambda v: v.int(), "of type torch.int32"), (lambda v: v.to("meta"), "device 'meta'")],
)
def test_checkpoints_that_hold_no_real_numbers_are_refused(change, message):
    model = nn.Linear(3, 2)
    objective = Objective(model, (torch.randn(9, 3), torch.randn(9, 2)))
    given = {name: change(value) for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        Trajectory([given]).draw(objective, seed=0)


def test_a_state_dict_is_found_deep_inside_a_checkpoint():
    model = nn.Linear(3, 2)
    objective = Objective(model, (torch.randn(9, 3), torch.randn(9, 2)))
    moved = {name: value + 1 for name, value in model.state_dict().items()}
    cloud = Trajectory([{"state": {"model": {"net": moved}}}]).draw(objective, seed=0)
    torch.testing.assert_close(cloud.vector(1), objective.anchor + 1)


def held(other):
    """Checkpoints that hold the weights of two models, with what tells them apart."""
    one, two = {}, {}
    for name, value in other.state_dict().items():
        one[name], two[name] = value, value + 1
    flat = {f"student.{k}": v for k, v in one.items()} | {f"teacher.{k}": v for k, v in two.items()}
    return [
        ({"model": one, "model_ema": two}, ("'model'", "'model_ema'")),
        ({"epoch": 3, "state_dict": flat}, ("'state_dict: student....'", "teacher....'")),
        ({"net": one, "best": {"net": two}}, ("'net'", "'best.net'")),
    ]


@pytest.mark.parametrize("number", range(3))
def test_a_checkpoint_that_holds_two_of_the_model_is_refused_with_both_names(number):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 4), nn.Tanh(), nn.Linear(4, 10))
    objective = Objective(model, digits(20))
    given, names = held(model)[number]
    with pytest.raises(ValueError, match="more than once") as refused:
        Fitted(given, objective, "Checkpoint 0")
    assert all(name in str(refused.value) for name in names)


def test_the_same_weights_twice_are_no_two():
    model = nn.Linear(64, 10)
    objective, own = Objective(model, digits(20)), model.state_dict()
    again = {name: value.clone() for name, value in own.items()}
    fitted = Fitted({"model": own, "best": again}, objective, "Checkpoint 0")
    assert fitted.displacement(objective).abs().max() == 0


def test_weights_of_keras_without_names_are_refused_with_what_has_them(tmp_path):
    model = nn.Linear(64, 10)
    objective = Objective(model, digits(20))
    arrays = [value.detach().numpy() for value in model.parameters()]
    with pytest.raises(ValueError, match="set_weights"):
        Fitted(arrays[0], objective, "Checkpoint 0")
    (tmp_path / "a.weights.h5").touch()
    with pytest.raises(ValueError, match="load_weights"):
        Fitted(tmp_path / "a.weights.h5", objective, "Checkpoint 0")


def test_counters_under_other_names_are_no_other_model():
    model = nn.Linear(64, 10)
    objective = Objective(model, digits(20))
    given = {**model.state_dict(), "seed_generator_7/seed_generator_state": torch.zeros(2)}
    assert Fitted(given, objective, "Checkpoint 0").displacement(objective).abs().max() == 0
