"""What setting up and a few losses allocate, counted operation by operation, over a plain loop."""

import numpy as np
import torch
from torch import nn

from landscape_widgets.evaluation.live_bytes import LiveBytes
from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.objective.objective import Objective

F = nn.functional
MIB = 1 << 20


class Words(nn.Module):
    """A language model whose predictions for a text are much longer than the text."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20_000, 4)
        self.head = nn.Linear(4, 20_000)

    def forward(self, words):
        return self.head(self.embed(words))


def peak(work) -> int:
    with LiveBytes() as counted:
        work()
    return counted.peak


def three_rows(model, data) -> int:
    def work():
        objective = Objective(model, data, metrics=[], strategy="inplace")
        direction = torch.randn(objective.size, generator=torch.Generator().manual_seed(0))
        rows = np.array([[1.0], [2.0], [3.0]])
        objective.evaluate(DenseBasis(direction[None]), rows, outputs=True)

    return peak(work)


def plain(model, data, size) -> int:
    def work():
        with torch.no_grad():
            for x, y in zip(data[0].split(size), data[1].split(size), strict=True):
                z = model(x)
                F.cross_entropy(z.movedim(-1, 1) if z.ndim == 3 else z, y)

    return peak(work)


def test_predictions_of_many_words_are_probed_on_few_texts():
    torch.manual_seed(0)
    data = torch.randint(0, 20_000, (200, 12)), torch.randint(0, 20_000, (200, 12))
    model = Words()
    whole = 200 * 12 * 20_000 * 4  # 183 MiB: predictions for all texts
    found = three_rows(model, data)
    assert found < plain(model, data, 8) + 60 * MIB < whole / 2
    objective = Objective(model, data, metrics=[])
    assert objective.outputs_shape is not None
    assert np.prod(objective.outputs_shape) * 4 <= 4 * MIB


def test_large_pictures_go_through_a_few_at_a_time():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
        nn.Conv2d(8, 2, 1),
    )  # fmt: skip
    data = torch.randn(100, 1, 160, 160), torch.randint(0, 2, (100, 160, 160))
    each = 8 * 160 * 160 * 4
    found = three_rows(model, data)
    # Several layers and the loss are held at a time: of all examples that would be more.
    assert found < plain(model, data, 10) + 128 * MIB < 2 * 100 * each


def test_a_gradient_and_a_product_take_as_many_examples_as_their_graphs_may_hold(monkeypatch):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 2000), nn.Tanh(), nn.Linear(2000, 2))
    data = torch.randn(256, 4), torch.randint(0, 2, (256,))
    objective = Objective(model, data, metrics=[], loss=nn.CrossEntropyLoss(label_smoothing=0.1))
    expected = objective.gradient(objective.anchor)
    v = torch.ones_like(expected)
    product = objective.hvp(objective.anchor, v)
    each = 2000 * 4
    for module in ("gradient", "hessian_product"):
        monkeypatch.setattr(f"landscape_widgets.objective.{module}.GRAPH_BYTES", 16 * each)
    monkeypatch.setattr("landscape_widgets.objective.hessian_product.TILE_BYTES", 16 * each)
    small = Objective(model, data, metrics=[], loss=nn.CrossEntropyLoss(label_smoothing=0.1))
    small.gradient(small.anchor), small.hvp(small.anchor, v)  # what is weighed once is weighed
    found = []
    assert peak(lambda: found.append(small.gradient(small.anchor))) < 64 * each
    assert peak(lambda: found.append(small.hvp(small.anchor, v))) < 128 * each
    torch.testing.assert_close(found[0], expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found[1], product, rtol=1e-4, atol=1e-5)
