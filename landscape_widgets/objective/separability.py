"""Whether examples may be cut into tiles: asked of the model and its loss, not guessed.

The loss of some examples, drawn from all of the data, is taken of them together and of parts of
them: a quarter and the rest in another order, halves, and halves sorted by target; at moved
weights, and at the trained ones, where all losses may be alike and small. A loss with weights of
classes, of tokens or of pairs of examples differs in one of these. Among the examples are those
whose targets are rare. A function of outputs and targets is asked once more of all of the data. Of
a loss that is known to be a mean over examples, only the model can join them: a few, cut once,
tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from landscape_widgets.evaluation.accumulate import Accumulator
from landscape_widgets.evaluation.in_place import InPlace, add_losses
from landscape_widgets.task.data import Batch, row_sums, take
from landscape_widgets.task.losses import BatchLoss, Loss, MeanLoss, call_model
from landscape_widgets.task.structure import tensors

MOVES = (0.1, 0.5)  # root mean square of a move, as a share of that of each tensor
AGREEMENT = 2e-5  # relative difference of losses in float32 that rounding explains
MOST_BYTES = 64 << 20  # of outputs that are held for that
SMALL = 1e-2  # share of the largest loss below which rounding is measured against that share


def moved_vectors(inplace: InPlace, shares: Sequence[float] = MOVES) -> Iterator[Tensor]:
    """Parameter vectors (P,) at random around the trained weights, always the same ones."""
    generator = torch.Generator().manual_seed(0)
    anchor = inplace.anchor
    overall = anchor.square().mean().sqrt()
    for share in shares:
        noise = torch.randn(anchor.numel(), generator=generator, dtype=torch.float32).to(anchor)
        for _, place, _ in inplace.layout.slices():
            size = anchor[place].square().mean().sqrt()
            noise[place] *= share * (size if size > 0 else overall)
        yield anchor + noise


@torch.no_grad()
def adds_up(inplace: InPlace, loss: Loss, examples: Batch) -> bool:
    """Whether the loss of `examples` is the mean of its parts' losses, however they are cut."""
    if examples.size < 2:
        return True
    if not examples.cuttable:
        return False
    mixed, *others = _cuts(examples)
    near, far = moved_vectors(inplace)
    # What differs does so at once far off, where losses are large and of all kinds.
    plan = [(far, [mixed, others[-1]]), (inplace.anchor, [mixed]), (near, others)]
    if isinstance(loss, MeanLoss):  # only the model can join what the loss keeps apart
        plan = [(far, [mixed]), (inplace.anchor, [mixed])]
    found: list[list[float]] = []
    try:
        for vector, cuts in plan:
            found.append([_loss_at(inplace, loss, vector, tiles) for tiles in ([examples], *cuts)])
            if not _agree(found):
                return False
            if len(found) > 1 and all(len(set(values)) == 1 for values in found):
                return True  # to the bit, as where a loss does not hang on its examples
    except (RuntimeError, ValueError, IndexError, AssertionError):
        return False  # a loss or a model that wants its batches whole
    finally:
        inplace.load(inplace.anchor)
    return True


def _loss_at(inplace: InPlace, loss: Loss, vector: Tensor, tiles: Sequence[Batch]) -> float:
    accumulator = Accumulator(loss, {}, None, 1)
    with inplace.alone(watched=True):
        add_losses(inplace.load(vector), tiles, accumulator, 0)
    return float(accumulator.finish()["loss"][0])


@torch.no_grad()
def adds_up_over_all(inplace: InPlace, loss: BatchLoss, examples: Batch, tile: int) -> bool:
    """Whether the loss of all outputs together is the mean over tiles; where outputs are small.

    Of a model whose outputs do not hang on the batch.
    """
    parts = [take(examples, slice(start, start + tile)) for start in range(0, examples.size, tile)]
    found: list[list[float]] = []
    try:
        for vector in (inplace.anchor, *moved_vectors(inplace, MOVES[-1:])):
            with inplace.alone(watched=True):
                model = inplace.load(vector)
                outputs: list[Tensor] = []
                for part in parts:
                    got = call_model(model, part.to(inplace.anchor.device).inputs)
                    if not isinstance(got, Tensor) or got.nbytes * len(parts) > MOST_BYTES:
                        return True  # as far as the examples tell
                    outputs.append(got)
                whole = examples.to(inplace.anchor.device)
                together = float(loss(torch.cat(outputs), whole.targets))
                apart = sum(
                    float(loss(got, part.to(inplace.anchor.device).targets)) * part.size
                    for got, part in zip(outputs, parts, strict=True)
                )
                found.append([together, apart / examples.size])
    except (RuntimeError, ValueError, IndexError):
        return False
    finally:
        inplace.load(inplace.anchor)
    return _agree(found)


def _agree(found: Sequence[Sequence[float]]) -> bool:
    """Whether values, for each vector by its cuts, are those of the first cut but for rounding."""
    wholes = torch.tensor([values[0] for values in found], dtype=torch.float64)
    sizes = wholes.where(wholes.isfinite(), 0.0).abs()
    for values, size in zip(found, sizes, strict=True):
        parts = torch.tensor(values, dtype=torch.float64)
        finite = parts.isfinite()
        if bool((finite != finite[0]).any()):
            return False
        scale = torch.maximum(size, SMALL * sizes.max())
        if bool(finite[0]) and bool(((parts - parts[0]).abs() > AGREEMENT * scale + 1e-12).any()):
            return False
    return True


def _cuts(examples: Batch) -> Iterator[list[Batch]]:
    """The examples in parts, in several ways."""
    n = examples.size
    generator = torch.Generator().manual_seed(0)
    middle, quarter = (n + 1) // 2, (n + 3) // 4
    yield _parts(examples, torch.randperm(n, generator=generator), quarter)
    yield _parts(examples, torch.arange(n), middle)
    last = tensors(examples.raw)[-1]
    if len(last) == n:
        by_target = row_sums(last).argsort(stable=True)
        yield _parts(examples, by_target, middle)


def _parts(examples: Batch, order: Tensor, cut: int) -> list[Batch]:
    where = tensors(examples.raw)[0].device
    parts = (order[:cut].to(where), order[cut:].to(where))
    return [take(examples, part) for part in parts if len(part)]
