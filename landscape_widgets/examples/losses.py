"""Which examples are lost at a parameter vector: the loss of each, and of each class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from landscape_widgets.evaluation.quantities import Split
from landscape_widgets.geometry.basis import Basis, FloatArray
from landscape_widgets.objective.objective import Objective
from landscape_widgets.progress import (
    CancelCallback,
    Cancelled,
    Progress,
    ProgressCallback,
    ignore,
    never,
)
from landscape_widgets.task.data import Batch, Examples
from landscape_widgets.task.losses import (
    BinaryCrossEntropy,
    CrossEntropy,
    call_model,
    main_output,
)

Rows = npt.NDArray[np.int64]
TILE = 256  # examples that go through the model together
HARD = 0.1  # the share of examples, those with the highest losses, that is spoken of
SPLITS = {"train": "training", "val": "validation"}


@dataclass(frozen=True, eq=False, repr=False)
class ExampleLosses:
    """The loss of each example at one parameter vector.

    Attributes
    ----------
    name : str
        What the parameter vector is called: "θ*", "M1", "sample 17".
    split : {"train", "val"}
    losses : array (m,)
        In the order of the data that are used; their mean is the loss.
    targets, predicted : array (m,) of int, or None
        The class of each example, and the one that is predicted; None where examples have not one
        class each.
    """

    name: str
    split: Split
    losses: FloatArray
    targets: Rows | None = None
    predicted: Rows | None = None

    def __len__(self) -> int:
        return len(self.losses)

    def __repr__(self) -> str:
        text = (
            f"<Losses of {len(self):,} {SPLITS[self.split]} examples at {self.name}: mean "
            f"{self.losses.mean():.4g}, median {np.median(self.losses):.4g}"
        )
        total = self.losses.sum()
        if np.isfinite(total) and total > 0 and (self.losses >= 0).all():
            count = max(1, round(HARD * len(self)))
            share = self.losses[self.hardest(count)].sum() / total
            text += f"; {share:.0%} of it is lost on {count:,} of them"
        if self.predicted is not None:
            text += f"; {len(self.wrong):,} misclassified"
        return f"{text}>"

    def hardest(self, n: int = 10) -> Rows:
        """The numbers of the n examples with the highest losses, the highest first."""
        order: Rows = np.argsort(-np.nan_to_num(self.losses, nan=np.inf), kind="stable")
        return order[:n]

    @property
    def wrong(self) -> Rows:
        """The numbers of the misclassified examples.

        Raises
        ------
        ValueError
            If examples have not one class each.
        """
        targets, predicted = self._classes()
        found: Rows = np.flatnonzero(targets != predicted)
        return found

    def _classes(self) -> tuple[Rows, Rows]:
        if self.targets is None or self.predicted is None:
            raise ValueError(
                "These examples have not one class each, so that none is misclassified. "
                "`losses` and `hardest` are there for all."
            )
        return self.targets, self.predicted

    def to_frame(self) -> pd.DataFrame:
        """One row for each example: loss, and target and predicted class where it has one."""
        columns: dict[str, FloatArray | Rows] = {"loss": self.losses}
        if self.targets is not None and self.predicted is not None:
            columns |= {"target": self.targets, "predicted": self.predicted}
        frame = pd.DataFrame(columns)
        frame.index.name = "example"
        return frame

    def by_class(self) -> pd.DataFrame:
        """One row for each class that is there: examples, mean loss, share that is right.

        Raises
        ------
        ValueError
            If examples have not one class each.
        """
        targets, predicted = self._classes()
        frame = pd.DataFrame({"loss": self.losses, "right": targets == predicted})
        by = frame.groupby(pd.Series(targets, name="class"))
        found = pd.DataFrame(
            {"examples": by.size(), "loss": by["loss"].mean(), "accuracy": by["right"].mean()}
        )
        return found

    def confusion(self) -> pd.DataFrame:
        """How many examples of each class (rows) are taken for which (columns).

        Raises
        ------
        ValueError
            If examples have not one class each.
        """
        targets, predicted = self._classes()
        classes = np.unique(np.concatenate([targets, predicted]))
        counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
        places = np.searchsorted(classes, targets), np.searchsorted(classes, predicted)
        np.add.at(counts, places, 1)
        rows, columns = pd.Index(classes, name="class"), pd.Index(classes, name="predicted")
        return pd.DataFrame(counts, index=rows, columns=columns)


def losses_at(
    objective: Objective,
    basis: Basis,
    row: FloatArray,
    buffers: Mapping[str, Tensor],
    name: str,
    split: Split = "train",
    *,
    progress: ProgressCallback = ignore,
    cancelled: CancelCallback = never,
) -> ExampleLosses:
    """The loss of each example at θ* + Σ_j c_j b_j, `row` (k,), and its class there.

    `buffers` are those that are not as at θ*, by name.

    Raises
    ------
    ValueError
        If examples have no loss of their own, or there is no validation data.
    Cancelled
    """
    examples = examples_of(objective, split)
    found = list(objective.example_losses(basis, row[None], split=split, cancelled=cancelled))
    if not found:
        raise Cancelled
    progress(Progress("losses", 1, 1))
    targets, reading = _targets(objective, examples), objective.predictions
    predicted = None
    if targets is not None:
        theta = objective.anchor + basis.combine(row).to(objective.anchor)
        model = objective.model_at(theta, buffers)
        parts = []
        with torch.no_grad():
            for tile in examples.tiles(TILE):
                if cancelled():
                    raise Cancelled
                outputs = main_output(call_model(model, tile.to(objective.device).inputs))
                parts.append(_classes_of(reading, outputs, tile))
        predicted = np.concatenate(parts)
    return ExampleLosses(name, split, found[0][1][0], targets, predicted)


def examples_of(objective: Objective, split: Split) -> Examples:
    """The examples of a split.

    Raises
    ------
    ValueError
        If there is no validation data, or no such split.
    """
    if split not in SPLITS:
        raise ValueError(f"split={split!r}; 'train' or 'val' is expected.")
    found = objective.train if split == "train" else objective.val
    if found is None:
        raise ValueError("There is no validation data. Give val_data to see its examples.")
    return found


def _targets(objective: Objective, examples: Examples) -> Rows | None:
    """The class of each example; None where they have not one each."""
    batch = examples.joined
    if batch is None or not isinstance(batch.targets, Tensor) or objective.reestimates:
        return None
    if not isinstance(objective.predictions, (CrossEntropy, BinaryCrossEntropy)):
        return None
    if batch.targets.numel() != batch.size:
        return None
    found: Rows = batch.targets.reshape(-1).long().cpu().numpy()
    return found


def _classes_of(reading: object, outputs: Tensor, tile: Batch) -> Rows:
    if isinstance(reading, BinaryCrossEntropy):
        classes = (outputs.reshape(tile.size) > reading.threshold).long()
    else:
        assert isinstance(reading, CrossEntropy)
        classes = reading.classes_last(outputs[None])[0].argmax(-1)
    found: Rows = classes.reshape(-1).cpu().numpy()
    return found
