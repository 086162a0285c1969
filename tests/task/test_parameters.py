import pytest
import torch
from torch import nn

from landscape_widgets.geometry.seeded import SeededBasis
from landscape_widgets.task.parameters import (
    ParameterLayout,
    filter_normalise,
    random_direction,
    random_directions,
    reinitialise,
)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 5), nn.Linear(5, 2)
    )


def anchor_of(model: nn.Module) -> tuple[torch.Tensor, ParameterLayout]:
    layout = ParameterLayout.of(model)
    return layout.flatten(dict(model.named_parameters())), layout


def test_flattening_and_unflattening_give_the_same_tensors_back():
    model = network()
    anchor, layout = anchor_of(model)
    assert layout.size == sum(p.numel() for p in model.parameters())
    for name, tensor in layout.unflatten(anchor).items():
        assert torch.equal(tensor, model.get_parameter(name))


def test_frozen_parameters_and_buffers_are_no_part_of_the_vector():
    model = network()
    model[3].requires_grad_(False)
    layout = ParameterLayout.of(model)
    assert not any(name.startswith("3.") or "running" in name for name in layout.names)


def test_tied_parameters_stand_in_the_vector_once():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    assert ParameterLayout.of(model).size == 16 + 4 + 4


def test_filter_normalised_directions_agree_with_a_loop_over_filters():
    model = network()
    anchor, layout = anchor_of(model)
    generator = torch.Generator().manual_seed(3)
    raw = torch.randn(layout.size, generator=generator)
    ours = layout.unflatten(filter_normalise(raw, anchor, layout))
    for name, d in layout.unflatten(raw.clone()).items():
        weight = model.get_parameter(name).detach()
        expected = torch.zeros_like(d)
        if d.ndim > 1:
            for i in range(len(d)):
                expected[i] = d[i] / d[i].norm() * weight[i].norm()
        torch.testing.assert_close(ours[name], expected)


def test_random_directions_are_nearly_orthogonal_unlike_uniform_draws():
    anchor, layout = anchor_of(nn.Linear(200, 50))
    a, b = random_directions(2, anchor, layout, torch.Generator().manual_seed(0))
    assert abs(torch.cosine_similarity(a, b, dim=0)) < 0.05


def test_a_model_of_vectors_only_still_has_directions():
    anchor, layout = anchor_of(nn.LayerNorm(8))
    assert random_direction(anchor, layout, torch.Generator().manual_seed(0)).norm() > 0


def test_reinitialising_draws_like_torch_and_leaves_the_global_random_state_alone():
    model = nn.Sequential(nn.Linear(400, 100), nn.LayerNorm(100))
    anchor, layout = anchor_of(model)
    before = torch.get_rng_state()
    fresh = layout.unflatten(reinitialise(anchor, layout, torch.Generator().manual_seed(0)))
    assert torch.equal(torch.get_rng_state(), before)
    assert fresh["0.weight"].std().item() == pytest.approx(model[0].weight.std().item(), rel=0.02)
    assert torch.equal(fresh["1.weight"], torch.ones(100))


def test_a_model_without_parameters_is_refused():
    with pytest.raises(ValueError, match="has no parameters"):
        ParameterLayout.of(nn.ReLU())


def test_a_wholly_frozen_model_is_refused():
    with pytest.raises(ValueError, match="frozen"):
        ParameterLayout.of(nn.Linear(2, 2).requires_grad_(False))


def test_weights_of_another_model_are_refused_by_name_and_shape():
    _, layout = anchor_of(nn.Linear(3, 2))
    with pytest.raises(ValueError, match=r"missing bias.*weight: \(4, 3\) instead of \(2, 3\)"):
        layout.flatten({"weight": torch.zeros(4, 3)})


def test_a_tensor_of_zeros_moves_as_far_as_typical_weights_do():
    """A fresh low-rank adapter: the product of its factors is zero, and B alone makes it move."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 4, bias=False), nn.Linear(4, 6, bias=False))
    nn.init.zeros_(model[1].weight)
    layout = ParameterLayout.of(model)
    anchor = layout.flatten(dict(model.named_parameters()))
    generator = torch.Generator().manual_seed(0)
    views = layout.unflatten(random_direction(anchor, layout, generator))
    expected = float(model[0].weight.detach().square().mean().sqrt()) * 4**0.5
    torch.testing.assert_close(views["1.weight"].norm(dim=1), torch.full((6,), expected))
    torch.testing.assert_close(views["0.weight"].norm(dim=1), model[0].weight.detach().norm(dim=1))
    seeded = SeededBasis(2, 0, anchor, layout).row(0)
    torch.testing.assert_close(
        layout.unflatten(seeded)["1.weight"].norm(dim=1), torch.full((6,), expected)
    )
