"""What a landscape is drawn over: the user's data, read as their own loop would see them."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from landscape_widgets.objective import Objective


def contrast(outputs, targets):
    """A loss of whole batches: each example is told from the others of its batch."""
    z = F.normalize(outputs, dim=1)
    return F.cross_entropy(z @ z.roll(1, 0).T / 0.1, torch.arange(len(z)))


def test_a_loss_of_whole_batches_is_asked_on_the_loaders_own_batches():
    torch.manual_seed(0)
    model = nn.Linear(5, 4)
    loader = DataLoader(TensorDataset(torch.randn(70, 5), torch.randn(70, 1)), batch_size=16)
    objective = Objective(model, loader, loss=contrast)
    with torch.no_grad():
        losses = [(float(contrast(model(x), y)), len(x)) for x, y in loader]
    expected = sum(value * size for value, size in losses) / 70
    assert abs(objective.anchor_loss - expected) < 1e-6
    assert [batch.size for batch in objective.train.batches] == [16, 16, 16, 16, 6]


def test_examples_taken_in_tiles_lie_in_memory_once():
    x, y = torch.randn(50, 3), torch.randint(0, 3, (50,))
    objective = Objective(nn.Linear(3, 3), DataLoader(TensorDataset(x, y), batch_size=20))
    whole = objective.train.joined
    assert torch.equal(whole.inputs, x)
    assert [len(batch.inputs) for batch in objective.train.batches] == [20, 20, 10]
    assert all(
        batch.inputs.untyped_storage().data_ptr() == whole.inputs.untyped_storage().data_ptr()
        for batch in objective.train.batches
    )
