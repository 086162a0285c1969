"""Transformer encoders by the compiled kernel are torch's own."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from landscape_widgets.basis import DenseBasis
from landscape_widgets.evaluation.encoder import Encoder, is_for, with_encoders
from landscape_widgets.evaluation.tracing import trace
from landscape_widgets.objective import Objective
from tests.evaluation.networks import Case, make
from tests.evaluation.test_agreement import directions, plain_losses

FORMS = [
    # features, heads, hidden, length, sequences
    (128, 4, 512, 32, 5),
    (24, 3, 40, 7, 9),
    (40, 5, 17, 33, 3),
    (16, 2, 300, 100, 2),
    (8, 1, 8, 1, 70),
]


def encoder(features: int, heads: int, hidden: int, layers: int = 2, **options) -> nn.Module:
    options = {"batch_first": True} | options
    layer = nn.TransformerEncoderLayer(features, heads, hidden, **options)
    norm = nn.LayerNorm(features) if options.get("norm_first") else None
    found = nn.TransformerEncoder(layer, layers, norm, enable_nested_tensor=False).eval()
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return found


def count(monkeypatch) -> list[Tensor]:
    seen: list[Tensor] = []
    encode = Encoder._encode
    monkeypatch.setattr(Encoder, "_encode", lambda self, x: seen.append(x) or encode(self, x))
    return seen


@torch.no_grad()
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize(("features", "heads", "hidden", "length", "sequences"), FORMS)
def test_an_encoder_is_as_near_to_float64_as_torchs_own(
    features, heads, hidden, length, sequences, norm_first, threads, monkeypatch
):
    torch.manual_seed(0)
    module = encoder(features, heads, hidden, norm_first=norm_first)
    x = torch.randn(sequences, length, features) * 3
    expected = copy.deepcopy(module).double()(x.double())
    seen, before = count(monkeypatch), torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        ours, torchs = (float((f(x) - expected).abs().max()) for f in (Encoder(module), module))
    finally:
        torch.set_num_threads(before)
    assert 0 < ours < 3 * torchs
    assert torchs < 1e-3
    assert len(seen) == 1


@torch.no_grad()
@pytest.mark.parametrize("bias", [True, False])
def test_layers_alone_without_biases_and_with_sequences_first_are_taken(bias, monkeypatch):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 4, 24, bias=bias, batch_first=False).eval()
    model, x, seen = nn.Sequential(layer, nn.Linear(16, 3)), torch.randn(5, 6, 16), []
    expected, seen = copy.deepcopy(model).double()(x.double()), count(monkeypatch)
    found = with_encoders(model)
    torch.testing.assert_close(found(x).double(), expected, rtol=1e-5, atol=1e-5)
    assert len(seen) == 1


@torch.no_grad()
def test_scores_that_are_large_do_not_overflow():
    torch.manual_seed(0)
    module = encoder(16, 2, 8, layers=1)
    x = torch.randn(3, 9, 16) * 500
    expected = copy.deepcopy(module).double()(x.double())
    torch.testing.assert_close(Encoder(module)(x).double(), expected, rtol=1e-3, atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_what_is_not_a_number_is_not_lost_and_stays_in_its_sequence(value):
    torch.manual_seed(0)
    module = encoder(16, 2, 8)
    x = torch.randn(4, 5, 16)
    x[2, 1, 3] = value
    found, expected = Encoder(module)(x), module(x)
    assert not found[2].isfinite().any()
    torch.testing.assert_close(found[[0, 1, 3]], expected[[0, 1, 3]], rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_masks_other_precisions_and_long_sequences_are_left_to_torch(monkeypatch):
    torch.manual_seed(0)
    module, seen = encoder(16, 2, 8), count(monkeypatch)
    ours, x = Encoder(module), torch.randn(2, 6, 16)
    mask = nn.Transformer.generate_square_subsequent_mask(6)
    torch.testing.assert_close(ours(x, mask=mask), module(x, mask=mask))
    torch.testing.assert_close(ours(x, mask), module(x, mask))
    padding = torch.zeros(2, 6, dtype=torch.bool)
    padding[:, 4:] = True
    masked = module(x, src_key_padding_mask=padding)
    torch.testing.assert_close(ours(x, src_key_padding_mask=padding), masked)
    long = torch.randn(1, 600, 16)
    torch.testing.assert_close(ours(long), module(long))
    module.double()
    torch.testing.assert_close(ours(x.double()), module(x.double()))
    assert seen == []
    module.float()
    torch.testing.assert_close(ours(x, None, is_causal=False), module(x), rtol=1e-4, atol=1e-5)
    assert len(seen) == 1


def test_the_kernel_is_for_one_kind_of_layer_alone():
    assert is_for(encoder(16, 2, 8))
    assert is_for(encoder(16, 2, 8, norm_first=True))
    assert not is_for(encoder(16, 2, 8, activation="gelu"))
    assert not is_for(encoder(16, 2, 8).train())
    hooked = encoder(16, 2, 8)
    hooked.layers[0].linear1.register_forward_hook(lambda *arguments: None)
    assert not is_for(hooked)
    assert not is_for(nn.Linear(16, 16))
    plain = encoder(16, 2, 8)
    plain.layers[1].norm2 = nn.LayerNorm(16, elementwise_affine=False).eval()
    assert not is_for(plain)
    mixed = encoder(16, 2, 8)
    mixed.layers[1] = encoder(16, 4, 8).layers[0]
    assert not is_for(mixed)
    assert with_encoders(nn.Sequential(nn.Linear(2, 2), mixed.layers[1])) is not None


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("norm1", nn.RMSNorm(16)),
        ("linear1", nn.utils.parametrizations.weight_norm(nn.Linear(16, 8))),
        ("self_attn", nn.MultiheadAttention(16, 2, batch_first=True, add_zero_attn=True)),
        ("self_attn", nn.MultiheadAttention(16, 2, batch_first=True, add_bias_kv=True)),
    ],
)  # fmt: skip
def test_layers_with_parts_of_their_own_are_left_to_torch(name, part):
    module = encoder(16, 2, 8)
    for layer in module.layers:
        setattr(layer, name, copy.deepcopy(part).eval())
    assert not is_for(module)
    data = torch.randn(20, 5, 16), torch.randint(0, 4, (20,))
    model = nn.Sequential(module, nn.Flatten(), nn.Linear(80, 4)).eval()
    expected = float(nn.functional.cross_entropy(model(data[0]), data[1]))
    objective = Objective(model, data)
    still = DenseBasis(torch.zeros(1, objective.layout.size))
    assert objective.evaluate(still, np.ones((1, 1))).losses[0] == pytest.approx(expected, rel=1e-5)
    assert with_encoders(nn.Sequential(nn.Linear(2, 2))) is None


def test_a_model_with_an_encoder_by_the_kernel_can_still_be_read_as_a_graph():
    case = make("transformer")
    model = with_encoders(copy.deepcopy(case.model))
    graph = trace(model)
    assert [str(node.target) for node in graph.nodes if node.op == "call_module"] == [
        "embed", "encoder", "head"
    ]  # fmt: skip


@pytest.mark.parametrize("strategy", ["auto", "fused", "shared"])
def test_transformers_are_evaluated_by_the_kernel(strategy, monkeypatch):
    case, seen = make("transformer"), count(monkeypatch)
    objective = Objective(case.model, (case.inputs, case.targets), strategy=strategy)
    vectors = directions(case, 2)
    rows = np.random.default_rng(0).normal(size=(40, 2))
    found = objective.evaluate(DenseBasis(vectors), rows).losses
    np.testing.assert_allclose(found, plain_losses(case, vectors, rows), rtol=2e-5)
    assert len(seen) >= 40


def test_an_encoder_that_is_the_whole_model_is_evaluated_too(monkeypatch):
    torch.manual_seed(0)
    model = nn.Sequential(encoder(8, 2, 8, layers=1), nn.Flatten(), nn.Linear(24, 4)).eval()
    inputs, targets = torch.randn(20, 3, 8), torch.randint(0, 4, (20,))
    case, seen = Case(model, inputs, targets, model), count(monkeypatch)
    objective = Objective(model, (inputs, targets), strategy="fused")
    vectors, rows = directions(case, 2), np.random.default_rng(0).normal(size=(5, 2))
    found = objective.evaluate(DenseBasis(vectors), rows).losses
    np.testing.assert_allclose(found, plain_losses(case, vectors, rows), rtol=2e-5)
    assert len(seen) >= 5
    assert isinstance(model[0], nn.TransformerEncoder)  # the user's own is as it was
