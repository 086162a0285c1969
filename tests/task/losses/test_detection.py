"""Detectors, as torchvision has them: losses in training mode from pictures of any sizes and their
boxes, lists of boxes in evaluation mode."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.objective.objective import Objective


class Detector(nn.Module):
    """One box and its class for each picture."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Conv2d(3, 8, 3, 2, 1)
        self.boxes, self.classes = nn.Linear(8, 4), nn.Linear(8, 2)

    def forward(self, images, targets=None):
        seen = torch.stack([self.body(image[None]).relu().mean((0, 2, 3)) for image in images])
        boxes, classes = self.boxes(seen), self.classes(seen)
        if not self.training:
            found = zip(boxes, classes.argmax(-1, keepdim=True), strict=True)
            return [{"boxes": box[None], "labels": label} for box, label in found]
        if targets is None:
            raise ValueError("targets should not be none when in training mode")
        wanted = torch.stack([target["boxes"].mean(0) for target in targets])
        labels = torch.stack([target["labels"][0] for target in targets])
        return {
            "loss_box_reg": F.mse_loss(boxes, wanted),
            "loss_classifier": F.cross_entropy(classes, labels),
        }


def examples(*sizes):
    generator = torch.Generator().manual_seed(len(sizes))
    images = [torch.rand(3, size, size, generator=generator) for size in sizes]
    targets = [
        {
            "boxes": torch.rand(k + 1, 4, generator=generator),
            "labels": torch.tensor([k % 2] * (k + 1)),
        }
        for k in range(len(sizes))
    ]
    return list(zip(images, targets, strict=True))


ALL = examples(16, 20, 24, 18, 16)


def together(batch):
    return tuple(zip(*batch, strict=True))


def in_lists(batch):
    return [list(part) for part in zip(*batch, strict=True)]


def summed(model, batch):
    """The loop of a training script."""
    model.train()
    return sum(model(*batch).values())


@pytest.mark.parametrize("collate", [together, in_lists])
def test_its_losses_are_those_of_the_training_loop(collate):
    loader = torch.utils.data.DataLoader(ALL, batch_size=2, collate_fn=collate)
    model = Detector()
    objective = Objective(model, loader, loss=summed, metrics=[])
    direction = 0.1 * torch.randn(objective.size, generator=torch.Generator().manual_seed(1))
    rows = np.array([[0.0], [1.0]])
    found = objective.evaluate(DenseBasis(direction[None]), rows).losses
    for c, loss in zip(rows[:, 0], found, strict=True):
        moved = objective.model_at(objective.anchor + c * direction)
        with torch.no_grad():
            parts = [(float(summed(moved, batch)), len(batch[0])) for batch in loader]
        plain = sum(value * n for value, n in parts) / len(ALL)
        assert loss == pytest.approx(plain, rel=1e-5)
    assert model.training


@pytest.mark.parametrize("form", [together, in_lists])
def test_a_detector_without_a_loss_is_told_how_its_losses_are_asked_for(form):
    model, batches = Detector(), [form(ALL[:3]), form(ALL[3:])]
    with pytest.raises(ValueError, match=r"return sum\(model\.train\(\)\(\*batch\)\.values\(\)\)"):
        Objective(model, batches)

    # And that works.
    def loss(model, batch):
        return sum(model.train()(*batch).values())

    with torch.no_grad():
        losses = [float(sum(Detector()(*form(part)).values())) for part in (ALL[:3], ALL[3:])]
    expected = (3 * losses[0] + 2 * losses[1]) / 5
    assert Objective(model, batches, loss=loss).anchor_loss == pytest.approx(expected, rel=1e-6)
