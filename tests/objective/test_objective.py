import copy
import random
import warnings

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, precision_score, r2_score, recall_score
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.objective.objective import Objective
from landscape_widgets.task.parameters import random_directions
from tests.models import ConvNet, digits, mlp, train


def plain_loss(model: nn.Module, vector: torch.Tensor, data, function=None) -> float:
    """The loop anyone would write, in float64."""
    model = copy.deepcopy(model).double().eval()
    start = 0
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p.copy_(vector[start : start + p.numel()].view_as(p))
                start += p.numel()
        function = function or nn.functional.cross_entropy
        x = data[0].double() if data[0].is_floating_point() else data[0]
        return float(function(model(x), data[1]))


def directions(objective: Objective, k: int = 3, scale: float = 0.3) -> DenseBasis:
    generator = torch.Generator().manual_seed(1)
    return DenseBasis(scale * random_directions(k, objective.anchor, objective.layout, generator))


@pytest.mark.parametrize("make", [mlp, ConvNet])
def test_losses_agree_with_a_plain_loop_in_double_precision(make):
    data, val = digits(200), tuple(t[200:] for t in digits(300))
    model = train(make(), data, 30)
    objective = Objective(model, data, val_data=val)
    basis = directions(objective)
    c = np.random.default_rng(0).normal(size=(20, 3))
    result = objective.evaluate(basis, c)
    for i in (0, 7, 19):
        theta = objective.anchor.double() + torch.tensor(c[i]) @ basis.vectors.double()
        assert result.losses[i] == pytest.approx(plain_loss(model, theta, data), rel=1e-5)
        assert result.values["val_loss"][i] == pytest.approx(
            plain_loss(model, theta, val), rel=1e-5
        )


def state_of(model: nn.Module):
    tensors = [t.clone() for t in (*model.parameters(), *model.buffers())]
    flags = [p.requires_grad for p in model.parameters()]
    modes = [m.training for m in model.modules()]
    hooks = [len(m._forward_hooks) for m in model.modules()]
    grads = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    states = (torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate())  # noqa: NPY002
    return tensors, flags, modes, hooks, grads, states


def assert_same_state(before, after):
    assert all(torch.equal(a, b) for a, b in zip(before[0], after[0], strict=True))
    assert before[1:4] == after[1:4]
    for a, b in zip(before[4], after[4], strict=True):
        assert (a is None) == (b is None)
        assert a is None or torch.equal(a, b)
    assert torch.equal(before[5][0], after[5][0])
    assert (before[5][1] == after[5][1]).all()
    assert before[5][2] == after[5][2]


@pytest.mark.parametrize("batchnorm", ["trained", "reestimate"])
def test_the_users_model_and_random_state_stay_as_they_are(batchnorm):
    data = digits(100)
    model = ConvNet().train()
    model.head.bias.requires_grad_(False)
    nn.functional.cross_entropy(model(data[0]), data[1]).backward()
    before = state_of(model)
    objective = Objective(model, data, batchnorm=batchnorm)
    basis = directions(objective)
    objective.evaluate(basis, np.ones((5, 3)), outputs=True)
    objective.gradient(objective.anchor)
    objective.hvp(objective.anchor, objective.anchor)
    objective.minibatch_gradient(objective.anchor, torch.Generator().manual_seed(0), 20)
    objective.model_at(objective.anchor * 2)
    assert_same_state(before, state_of(model))


def test_a_loss_that_raises_in_the_middle_leaves_the_model_untouched():
    model = mlp().train()
    before = state_of(model)
    largest = float(model(digits(100)[0]).detach().abs().max())

    def loss(outputs, targets):
        if outputs.abs().max() > 1.5 * largest:  # moved, not at the trained weights
            raise KeyboardInterrupt
        return nn.functional.cross_entropy(outputs, targets)

    objective = Objective(model, digits(100), loss=loss)
    with pytest.raises(KeyboardInterrupt):
        objective.evaluate(directions(objective), np.full((50, 3), 10.0))
    assert_same_state(before, state_of(model))


def test_the_gradient_agrees_with_autograd_on_the_users_model():
    data = digits(300)
    model = train(mlp(), data, 20)
    objective = Objective(model, data)
    reference = copy.deepcopy(model)
    nn.functional.cross_entropy(reference(data[0]), data[1]).backward()
    expected = torch.cat([p.grad.flatten() for p in reference.parameters()])
    torch.testing.assert_close(objective.gradient(objective.anchor), expected, rtol=1e-4, atol=1e-6)


def test_hessian_products_agree_with_finite_differences_and_a_dense_hessian():
    torch.manual_seed(0)
    x, y = torch.randn(40, 3).double(), torch.randint(0, 3, (40,))
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    objective = Objective(model, (x, y))
    theta, v = objective.anchor, torch.randn(objective.size, dtype=torch.float64)
    product = objective.hvp(theta, v)
    step = 1e-5
    difference = objective.gradient(theta + step * v) - objective.gradient(theta - step * v)
    torch.testing.assert_close(product, difference / (2 * step), rtol=1e-6, atol=1e-8)

    def loss_at(vector):
        weights = objective.layout.unflatten(vector)
        return nn.functional.cross_entropy(torch.func.functional_call(model, weights, (x,)), y)

    hessian = torch.autograd.functional.hessian(loss_at, theta)
    torch.testing.assert_close(product, hessian @ v, rtol=1e-9, atol=1e-11)


def test_hessian_products_work_through_attention():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.Sequential(layer, nn.Flatten(), nn.Linear(40, 2))
    objective = Objective(model, (torch.randn(10, 5, 8), torch.randint(0, 2, (10,))))
    v = torch.randn(objective.size, generator=torch.Generator().manual_seed(0))
    product = objective.hvp(objective.anchor, v)
    assert product.isfinite().all()
    assert product.norm() > 0


def test_every_form_of_data_gives_the_same_loss():
    x, y = digits(100)
    model = train(mlp(), (x, y), 20)
    dataset = TensorDataset(x, y)
    torch.manual_seed(5)
    forms = {
        "pair": (x, y),
        "numpy": (x.numpy().astype(np.float64), y.numpy()),
        "list pair": [x, y],
        "dataset": dataset,
        "loader": DataLoader(dataset, batch_size=7, shuffle=True),
        "batches": [(x[:30], y[:30]), (x[30:], y[30:])],
    }
    before = torch.get_rng_state()
    losses = {name: Objective(model, form).anchor_loss for name, form in forms.items()}
    assert torch.equal(before, torch.get_rng_state())
    expected = plain_loss(model, torch.cat([p.flatten() for p in model.parameters()]), (x, y))
    assert losses == pytest.approx(dict.fromkeys(forms, expected), rel=1e-5)


def test_capped_data_are_drawn_with_the_seed():
    data = digits(300)
    model = mlp()
    first, again = (Objective(model, data, max_examples=50, seed=3) for _ in range(2))
    other = Objective(model, data, max_examples=50, seed=4)
    assert first.capped
    assert first.n_examples == 50
    assert first.anchor_loss == again.anchor_loss != other.anchor_loss


def test_floating_targets_mean_squared_error_and_one_column_does_not_broadcast():
    torch.manual_seed(0)
    x, y = torch.randn(50, 4), torch.randn(50)
    model = nn.Linear(4, 1)
    objective = Objective(model, (x, y))
    expected = nn.functional.mse_loss(model(x).squeeze(1), y).item()
    assert objective.anchor_loss == pytest.approx(expected, rel=1e-6)
    result = objective.evaluate(DenseBasis(objective.anchor[None]), np.ones((1, 1)))
    doubled = objective.model_at(2 * objective.anchor)
    score = r2_score(y.numpy(), doubled(x).detach().squeeze(1).numpy())
    assert result.values["r2"][0] == pytest.approx(score, rel=1e-5)


def test_one_logit_and_integer_targets_mean_binary_cross_entropy():
    torch.manual_seed(0)
    x, y = torch.randn(50, 4), torch.randint(0, 2, (50,))
    model = nn.Linear(4, 1)
    expected = nn.functional.binary_cross_entropy_with_logits(model(x)[:, 0], y.float())
    assert Objective(model, (x, y)).anchor_loss == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("class_last", [True, False])
def test_sequences_and_pixels_of_classes_are_read_either_way_round(class_last):
    torch.manual_seed(0)
    tokens = torch.randint(0, 11, (6, 9))

    class Tagger(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(11, 7)

        def forward(self, x):
            return self.embed(x) if class_last else self.embed(x).transpose(1, 2)

    targets = torch.randint(0, 7, (6, 9))
    targets[0, :4] = -100
    model = Tagger()
    logits = model(tokens) if not class_last else model(tokens).transpose(1, 2)
    expected = nn.functional.cross_entropy(logits, targets).item()
    assert Objective(model, (tokens, targets)).anchor_loss == pytest.approx(expected, rel=1e-6)


def test_cross_entropy_is_accurate_where_it_is_tiny():
    model = nn.Linear(1, 3, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[18.0], [0.0], [-1.0]]))
    x, y = torch.ones(1, 1), torch.zeros(1, dtype=torch.long)
    expected = nn.functional.cross_entropy(model(x).double(), y).item()
    assert 1e-8 < expected < 1e-7
    assert Objective(model, (x, y)).anchor_loss == pytest.approx(expected, rel=1e-5)


def test_a_loss_of_model_and_batch_and_one_of_outputs_and_targets_both_work():
    data = digits(100)
    model = mlp()
    smooth = nn.CrossEntropyLoss(label_smoothing=0.1)

    def whole(model, batch):
        return smooth(model(batch[0]), batch[1]) + 0.01 * sum(
            p.square().sum() for p in model.parameters()
        )

    expected = smooth(model(data[0]), data[1]).item()
    assert Objective(model, data, loss=smooth).anchor_loss == pytest.approx(expected, rel=1e-6)
    penalty = 0.01 * sum(p.square().sum().item() for p in model.parameters())
    objective = Objective(model, data, loss=whole)
    assert objective.anchor_loss == pytest.approx(expected + penalty, rel=1e-5)
    reference = copy.deepcopy(model)
    whole(reference, data).backward()
    grad = torch.cat([p.grad.flatten() for p in reference.parameters()])
    torch.testing.assert_close(objective.gradient(objective.anchor), grad, rtol=1e-4, atol=1e-6)


def test_a_loss_that_does_not_add_up_over_examples_sees_its_batches_whole():
    x, y = digits(300)
    model = mlp()

    def spread(outputs, targets):
        return outputs.std()

    expected = model(x).std().item()
    assert Objective(model, (x, y), loss=spread).anchor_loss == pytest.approx(expected, rel=1e-6)


def test_a_model_that_returns_its_own_loss_takes_batches_of_keywords():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 2)

        def forward(self, x, labels):
            logits = self.linear(x)
            return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}

    torch.manual_seed(0)
    model, x, y = Own(), torch.randn(20, 4), torch.randint(0, 2, (20,))
    objective = Objective(model, {"x": x, "labels": y})
    assert objective.anchor_loss == pytest.approx(model(x, y)["loss"].item(), rel=1e-6)
    assert objective.outputs(objective.anchor).shape == (20, 2)


def test_metrics_agree_with_scikit_learn():
    data, val = digits(150), tuple(t[150:] for t in digits(300))
    model = train(mlp(), data, 15)

    def confidence(outputs, targets):
        return outputs.softmax(-1).max(-1).values.mean()

    objective = Objective(
        model, data, val_data=val, metrics=["accuracy", "precision", "recall", "f1", confidence]
    )
    basis = directions(objective, scale=0.8)
    result = objective.evaluate(basis, np.eye(3))
    for i in range(3):
        logits = objective.model_at(objective.anchor + basis.row(i))(val[0]).detach()
        predicted = logits.argmax(-1)
        options = {"average": "macro", "zero_division": 0}
        assert result.values["val_accuracy"][i] == pytest.approx(accuracy_score(val[1], predicted))
        for name, score in (
            ("precision", precision_score),
            ("recall", recall_score),
            ("f1", f1_score),
        ):
            found = result.values[f"val_{name}"][i]
            assert found == pytest.approx(score(val[1], predicted, **options))
        expected = logits.softmax(-1).max(-1).values.mean().item()
        assert result.values["val_confidence"][i] == pytest.approx(expected, rel=1e-5)


def test_tied_weights_move_together():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(9, 5)
            self.out = nn.Linear(5, 9, bias=False)
            self.out.weight = self.embed.weight

        def forward(self, x):
            return self.out(self.embed(x))

    torch.manual_seed(0)
    model = Tied()
    tokens, targets = torch.randint(0, 9, (8, 3)), torch.randint(0, 9, (8, 3))
    objective = Objective(model, (tokens, targets))
    assert objective.size == 45
    moved = copy.deepcopy(model)
    with torch.no_grad():
        moved.embed.weight.mul_(3)
    logits = moved(tokens)
    expected = nn.functional.cross_entropy(logits.transpose(1, 2), targets).item()
    theta = 3 * objective.anchor
    assert objective.loss(theta) == pytest.approx(expected, rel=1e-6)
    rebuilt = objective.model_at(theta)
    assert rebuilt.out.weight is rebuilt.embed.weight
    reference = copy.deepcopy(model)
    nn.functional.cross_entropy(reference(tokens).transpose(1, 2), targets).backward()
    gradient = objective.gradient(objective.anchor)
    torch.testing.assert_close(gradient, reference.embed.weight.grad.flatten())


def test_reestimated_batch_statistics_are_those_of_the_moved_network():
    x, y = digits(200)
    model = train(ConvNet(), (x, y), 30)
    theta = Objective(model, (x, y)).anchor * 1.5
    ours = Objective(model, (x, y), batchnorm="reestimate").loss(theta)
    moved = copy.deepcopy(model)
    with torch.no_grad():
        for p in moved.parameters():
            p.mul_(1.5)
    moved.norm.reset_running_stats()
    moved.norm.momentum = None
    moved.norm.train()
    moved(x)
    moved.eval()
    expected = nn.functional.cross_entropy(moved(x), y).item()
    assert ours == pytest.approx(expected, rel=1e-4)  # float32, by a batch or by parts of it


def test_batch_statistics_that_are_not_tracked_see_the_batch_whole():
    torch.manual_seed(0)
    x, y = digits(300)
    model = nn.Sequential(
        nn.Linear(64, 8), nn.BatchNorm1d(8, track_running_stats=False), nn.Linear(8, 10)
    ).eval()
    expected = nn.functional.cross_entropy(model(x), y).item()
    assert Objective(model, (x, y)).anchor_loss == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_half_and_double_models_keep_their_weights_exactly(dtype):
    x, y = digits(100)
    model = mlp().to(dtype)
    objective = Objective(model, (x, y))
    assert objective.anchor.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    weights = torch.cat([p.flatten() for p in model.parameters()])
    assert torch.equal(objective.anchor.to(dtype), weights)
    expected = plain_loss(model, weights.double(), (x, y))
    assert objective.anchor_loss == pytest.approx(expected, rel=1e-5)


def test_integer_inputs_and_integer_buffers_stay_integers():
    class Bag(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("shift", torch.tensor(1))
            self.embed = nn.Embedding(12, 4)

        def forward(self, x):
            return self.embed(x + self.shift).mean(1)

    torch.manual_seed(0)
    model = Bag().double()
    x, y = torch.randint(0, 11, (10, 3)), torch.randint(0, 4, (10,))
    expected = nn.functional.cross_entropy(model(x), y).item()
    assert Objective(model, (x, y)).anchor_loss == pytest.approx(expected)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_recurrent_networks_have_losses_gradients_and_hessian_products(kind):
    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = kind(3, 5, batch_first=True)
            self.head = nn.Linear(5, 2)

        def forward(self, x):
            return self.head(self.rnn(x)[0][:, -1])

    torch.manual_seed(0)
    objective = Objective(Reader(), (torch.randn(12, 4, 3), torch.randint(0, 2, (12,))))
    v = torch.ones(objective.size)
    assert objective.hvp(objective.anchor, v).norm() > 0
    step = 1e-2
    slope = (
        objective.loss(objective.anchor + step * v) - objective.loss(objective.anchor - step * v)
    ) / (2 * step)
    assert slope == pytest.approx(float(objective.gradient(objective.anchor) @ v), rel=1e-2)


def test_a_model_that_draws_random_numbers_gets_the_same_ones_each_time():
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 2)

        def forward(self, x):
            return self.linear(x + torch.randn_like(x))

    x, y = torch.randn(20, 4), torch.randint(0, 2, (20,))
    model = Noisy()
    before = torch.get_rng_state()
    objective = Objective(model, (x, y))
    assert objective.loss(objective.anchor) == objective.loss(objective.anchor)
    assert torch.equal(before, torch.get_rng_state())


def test_a_torchscript_module_is_evaluated():
    data = digits(60)
    model = mlp().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch from 2.9 on
        scripted = torch.jit.script(model)
    ours, plain = Objective(scripted, data), Objective(model, data)
    assert ours.loss(ours.anchor * 1.1) == pytest.approx(plain.loss(plain.anchor * 1.1), rel=1e-6)
    torch.testing.assert_close(ours.gradient(ours.anchor), plain.gradient(plain.anchor))


def test_a_new_model_has_the_weights_of_the_vector_and_shares_nothing():
    model = ConvNet()
    objective = Objective(model, digits(50))
    rebuilt = objective.model_at(2 * objective.anchor)
    assert type(rebuilt) is ConvNet
    torch.testing.assert_close(rebuilt.head.weight, 2 * model.head.weight)
    objective.loss(objective.anchor)
    torch.testing.assert_close(rebuilt.head.weight, 2 * model.head.weight)
    assert all(p.requires_grad for p in rebuilt.parameters())


def test_cancelling_keeps_the_rows_that_are_done():
    objective = Objective(mlp(), digits(50))
    seen = []
    result = objective.evaluate(
        directions(objective),
        np.ones((200, 3)),
        cancelled=lambda: len(seen) >= 2,
        on_chunk=lambda start, part: seen.append((start, len(part))),
    )
    assert 0 < len(result) < 200
    assert len(result) == sum(count for _, count in seen)


def test_output_features_are_hellinger_distances_of_predictions():
    data = digits(100)
    model = train(mlp(), data, 30)
    objective = Objective(model, data, probe_examples=40)
    outputs = objective.evaluate(directions(objective), np.eye(3), outputs=True).outputs
    features = objective.output_features(outputs)
    p, q = (torch.tensor(outputs[i]).double().softmax(-1).sqrt() for i in (0, 1))
    squared_hellinger = 0.5 * (p - q).square().sum(-1)
    expected = (2 * squared_hellinger.mean()).sqrt().item()
    assert np.linalg.norm(features[0] - features[1]) == pytest.approx(expected, rel=1e-6)


class TestBadInput:
    def test_a_model_that_is_none(self):
        with pytest.raises(TypeError, match=r"torch\.nn\.Module is expected"):
            Objective(lambda x: x, digits(10))

    def test_data_of_the_wrong_type(self):
        with pytest.raises(TypeError, match="a pair"):
            Objective(mlp(), 3)

    def test_empty_data(self):
        x, y = digits(10)
        with pytest.raises(ValueError, match="empty"):
            Objective(mlp(), (x[:0], y[:0]))
        with pytest.raises(ValueError, match="empty"):
            Objective(mlp(), [])

    def test_inputs_and_targets_of_different_length(self):
        x, y = digits(10)
        said = "one row for each example; inputs of length 10 and targets of length 5"
        with pytest.raises(ValueError, match=said):
            Objective(mlp(), (x, y[:5]))
        with pytest.raises(ValueError, match=f"val_data: .*{said}"):
            Objective(mlp(), (x, y), val_data=(x, y[:5]))

    def test_inputs_of_the_wrong_shape_are_named(self):
        with pytest.raises(ValueError, match=r"inputs \(10, 3\) float32"):
            Objective(mlp(), (torch.zeros(10, 3), digits(10)[1]))

    def test_a_loss_that_returns_a_vector(self):
        with pytest.raises(ValueError, match=r"shape \(\d+,\); a scalar"):
            Objective(mlp(), digits(10), loss=nn.CrossEntropyLoss(reduction="none"))

    def test_a_loss_that_returns_a_number(self):
        with pytest.raises(ValueError, match=r"a scalar tensor .* without \.item\(\)"):
            Objective(mlp(), digits(10), loss=lambda z, y: nn.functional.cross_entropy(z, y).item())

    def test_a_loss_of_three_arguments(self):
        def weighted(outputs, targets, weights):
            raise AssertionError

        with pytest.raises(TypeError, match=r"weighted takes 3 arguments \(outputs, targets, w"):
            Objective(mlp(), digits(10), loss=weighted)

    def test_a_loss_that_is_nan_at_the_trained_weights(self):
        model = mlp()
        with torch.no_grad():
            model[0].weight[0, 0] = float("nan")
        with pytest.raises(ValueError, match=r"nan at .* Weights are not finite: 0\.weight\."):
            Objective(model, digits(50))

    def test_data_that_are_not_finite_are_pointed_at(self):
        x, y = digits(50)
        x[[7, 9], 3] = float("nan")
        said = "inputs are not finite in 2 rows, the first of which is 7"
        with pytest.raises(ValueError, match=f"training {said}"):
            Objective(mlp(), (x, y))
        with pytest.raises(ValueError, match=f"validation {said}"):
            Objective(mlp(), digits(50), val_data=(x, y))
        with pytest.raises(ValueError, match="Weights and data are finite: look into the loss"):
            Objective(mlp(), digits(50), loss=lambda z, y: z.mean() * float("nan"))

    def test_targets_out_of_range(self):
        x, y = digits(10)
        with pytest.raises(ValueError, match="from 0 to 9"):
            Objective(mlp(), (x, y + 5))

    def test_targets_that_fit_no_loss(self):
        with pytest.raises(ValueError, match="integer targets"):
            Objective(mlp(), (digits(10)[0], torch.zeros(10, 3)))

    def test_an_unknown_metric_names_the_near_one(self):
        with pytest.raises(ValueError, match="Did you mean 'accuracy'"):
            Objective(mlp(), digits(10), metrics=["acuracy"])


def test_what_was_inferred_is_said_and_what_was_given_is_not():
    data = digits(50)
    inferred = Objective(mlp(), data)
    assert inferred.assumptions[0] == "The loss is cross-entropy, inferred from the targets."
    assert Objective(mlp(), data, loss=nn.CrossEntropyLoss()).assumptions == ()
