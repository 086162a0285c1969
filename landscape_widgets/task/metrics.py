"""How good predictions are, besides their loss: named metrics and the user's own functions.

Named ones are computed from sums over examples (class counts, squared errors), so that they too
may be gathered tile by tile for many parameter vectors at once.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from landscape_widgets.errors import brief, did_you_mean
from landscape_widgets.precision import accumulated
from landscape_widgets.task.data import Batch
from landscape_widgets.task.losses import BinaryCrossEntropy, CrossEntropy, MeanLoss
from landscape_widgets.task.losses.own import name_of
from landscape_widgets.task.structure import describe

Metric = Callable[[Tensor, Tensor], float]

OF_CLASSES = ("accuracy", "precision", "recall", "f1")
OF_NUMBERS = ("r2", "mae")
# Columns of the table of samples that a metric of the same name would be taken for.
TAKEN = (
    *("loss", "loss_error", "gap", "radius", "l1", "l2", "distortion", "x", "y", "z"),
    *("sample", "sampler", "kind", "path", "step"),
)
DEFAULT = {"classification": ("accuracy",), "binary": ("accuracy",), "regression": ("r2",)}


def check_metrics(batch: Batch, has_outputs: bool) -> None:
    """Raise a ValueError where no metric can be asked for, whichever it is.

    `has_outputs` says whether the model gives outputs when it is called on inputs alone.
    """
    if batch.targets is None or not has_outputs:
        lacking = "has no targets of its own" if has_outputs else "gives no outputs by itself"
        raise ValueError(
            f"metrics= was given; metrics are taken of outputs and targets, and a batch "
            f"{describe(batch.raw)} {lacking}. Give data as pairs (inputs, targets), such that "
            "model(inputs) gives outputs, or leave metrics out."
        )


def resolve_metrics(
    metrics: Sequence[str | Metric] | Mapping[str, Metric] | str | None,
    task: str,
    *,
    sure: bool = True,
) -> dict[str, str | Metric]:
    """Metrics by the name of their column.

    Parameters
    ----------
    metrics
        Names, functions ``metric(outputs, targets) -> float``, or a mapping of names to functions.
        None takes accuracy for classes and R² for numbers.
    task
        What outputs are read as: "classification", "binary", "regression" or "custom".
    sure
        Whether that is known: else no metric is taken that was not asked for.

    Raises
    ------
    ValueError
        If a name is unknown, is of another task, or means something else already.
    """
    if metrics is None:
        return {name: name for name in DEFAULT.get(task, ())} if sure else {}
    if isinstance(metrics, str):
        metrics = [metrics]
    found: dict[str, str | Metric] = (
        {**metrics} if isinstance(metrics, Mapping) else _by_name(metrics, task)
    )
    for name in found:
        if name in TAKEN or name.startswith("val_"):
            raise ValueError(
                f"A metric is called {name!r}, which is the name of something else: "
                + ("a quantity on validation data" if name not in TAKEN else "a column of samples")
                + '. Give metrics={"another name": function}.'
            )
    return found


def _by_name(metrics: Sequence[str | Metric], task: str) -> dict[str, str | Metric]:
    resolved: dict[str, str | Metric] = {}
    for metric in metrics:
        if callable(metric):
            resolved[name_of(metric)] = metric
            continue
        name = str(metric).lower()
        if name not in OF_CLASSES + OF_NUMBERS:
            raise ValueError(
                f"There is no metric {metric!r}. {did_you_mean(name, OF_CLASSES + OF_NUMBERS)} "
                "Or give a function metric(outputs, targets) that returns a number."
            )
        fits = OF_NUMBERS if task == "regression" else OF_CLASSES
        if name not in fits or task == "custom":
            raise ValueError(
                f"The metric {name!r} does not fit this data ({task}). "
                "Give a function metric(outputs, targets) instead."
            )
        resolved[name] = name
    return resolved


def of_scikit_learn(metric: Metric) -> str | None:
    """What a metric of scikit-learn's kind, ``metric(y_true, y_pred)``, takes after the targets.

    "y_pred" for classes or numbers, "y_score" for probabilities of classes; None of any other
    metric.
    """
    try:
        names = list(inspect.signature(metric).parameters)
    except (TypeError, ValueError):
        return None
    if names[:1] != ["y_true"] or len(names) < 2:
        return None
    scores = names[1] != "y_pred" or "log_loss" in name_of(metric)
    return "y_score" if scores else "y_pred"


def _read(reading: MeanLoss | None, outputs: Tensor, *, labels: bool) -> Tensor:
    """Outputs as the classes that they predict, or as probabilities; numbers as they are."""
    if isinstance(reading, CrossEntropy):
        probabilities = reading.probabilities(outputs)
        if outputs.ndim > 2:
            return outputs.argmax(reading.class_axis) if labels else probabilities
        if labels:
            return outputs.argmax(-1)
        return probabilities[:, 1] if probabilities.shape[1] == 2 else probabilities
    if isinstance(reading, BinaryCrossEntropy):
        read = outputs > reading.threshold
        found = read.long() if labels else reading.probabilities(outputs)[..., 1]
        return found.reshape(outputs.shape).squeeze(-1) if outputs.shape[-1:] == (1,) else found
    return outputs


def class_counts(predicted: Tensor, targets: Tensor, classes: int) -> Tensor:
    """How often each class was predicted rightly, predicted at all, and there: (..., 3, C)."""
    hits = predicted == targets
    wrong = predicted.new_full((), classes)  # a bin of its own, cut off below
    true_positives = _count(torch.where(hits, predicted, wrong), classes)
    there = torch.bincount(targets, minlength=classes)
    counts = [true_positives, _count(predicted, classes), there.expand_as(true_positives)]
    return accumulated(torch.stack(counts, dim=-2))


def _count(values: Tensor, classes: int) -> Tensor:
    counts = values.new_zeros(*values.shape[:-1], classes + 1)
    counts.scatter_add_(-1, values, torch.ones_like(values))
    return counts[..., :classes]


def from_class_counts(name: str, counts: Tensor) -> Tensor:
    """Accuracy, or the unweighted mean over classes of precision, recall or F1.

    `counts` (..., 3, C) give a result (...). A class that was never predicted has precision 0,
    one that never occurred recall 0, and one that neither occurred nor was predicted does not
    count, as in scikit-learn.
    """
    hits, predicted, there = counts.unbind(-2)
    if name == "accuracy":
        return hits.sum(-1) / there.sum(-1)
    of = {"precision": predicted, "recall": there, "f1": (predicted + there) / 2}[name]
    scores = torch.where(of > 0, hits / of.clamp(min=1e-300), 0.0)
    present = (predicted + there) > 0
    return (scores * present).sum(-1) / present.sum(-1)


def label_counts(predicted: Tensor, targets: Tensor, kept: Tensor) -> Tensor:
    """Of each label of yes and no: rightly said, said, there, and targets: (..., L, 4).

    `predicted` (..., m, L), `targets` and `kept` (m, L), all of bool.
    """
    said, there = predicted & kept, targets & kept
    counts = [said & there, said, there.expand_as(said), kept.expand_as(said)]
    return accumulated(torch.stack([count.sum(-2) for count in counts], dim=-1))


def from_label_counts(name: str, counts: Tensor) -> Tensor:
    """Accuracy of single labels, or means of precision, recall or F1: (...) for (..., L, 4).

    Of a single label they are means over its two classes, as `from_class_counts` has them; of
    several over the labels, as in scikit-learn, where a label that is never there counts as 0.
    """
    hits, said, there, n = counts.unbind(-1)
    if name == "accuracy":
        return (n - said - there + 2 * hits).sum(-1) / n.sum(-1)
    if counts.shape[-2] == 1:
        both = [(n - said - there + hits, hits), (n - said, said), (n - there, there)]
        classes = torch.stack([torch.cat(pair, dim=-1) for pair in both], dim=-2)
        return from_class_counts(name, classes)
    of = {"precision": said, "recall": there, "f1": (said + there) / 2}[name]
    return torch.where(of > 0, hits / of.clamp(min=1e-300), 0.0).mean(-1)


def squared_sums(outputs: Tensor, targets: Tensor) -> Tensor:
    """Sums for R² and mean |e| of outputs (..., m, D) and targets (m, D): (..., D, 5)."""
    errors = accumulated(outputs - targets)
    aim = accumulated(targets)
    shape = (*errors.shape[:-2], errors.shape[-1])
    return torch.stack(
        [
            errors.square().sum(-2),
            errors.abs().sum(-2),
            aim.sum(0).expand(shape),
            aim.square().sum(0).expand(shape),
            errors.new_full(shape, len(aim)),
        ],
        dim=-1,
    )


def from_squared_sums(name: str, sums: Tensor) -> Tensor:
    """Means over the D outputs of R² = 1 − Σe²/Σ(y − ȳ)², or of mean |e|: (...) for (..., D, 5).

    Where all targets of an output are the same, its R² is 1 without an error, and else 0, as in
    scikit-learn.
    """
    squared, absolute, total, total_squared, n = sums.unbind(-1)
    if name == "mae":
        return (absolute / n).mean(-1)
    spread = total_squared - total.square() / n
    # Of equal targets rounding may leave a little of it.
    same = spread <= 1e-14 * total_squared
    of_same = (squared == 0).to(squared.dtype)
    return torch.where(same, of_same, 1 - squared / torch.where(same, 1.0, spread)).mean(-1)


def _by_output(reading: MeanLoss, values: Tensor) -> Tensor:
    """Values (r, m, ...) as (r, m, D): of targets with two axes each output by itself, else all."""
    if values.ndim != 3:
        return values.flatten(1)[..., None]
    return values.mT if getattr(reading, "axis", 0) == 1 else values


class MetricSums:
    """Gathers what the metrics need, tile by tile, for n parameter vectors.

    Parameters
    ----------
    metrics : as from `resolve_metrics`
    reading
        Knows where the classes are in the outputs; None where outputs are not read by name.
    n : int
    """

    def __init__(
        self, metrics: Mapping[str, str | Metric], reading: MeanLoss | None, n: int
    ) -> None:
        self.metrics = metrics
        self.reading = reading
        self.n = n
        self._sums: Tensor | None = None
        self._outputs: list[list[Tensor]] = [[] for _ in range(n)]
        self._targets: list[Tensor] = []
        self._named = any(isinstance(metric, str) for metric in metrics.values())
        self._own = any(callable(metric) for metric in metrics.values())

    def add(self, first: int, outputs: Tensor, targets: Tensor) -> None:
        """Take in outputs (r, m, ...) of the parameter vectors first … first + r − 1."""
        rows = slice(first, first + len(outputs))
        if self._named and self.reading is not None:
            self._take(rows, self._part(self.reading, outputs, targets))
        if self._own:
            for row, output in enumerate(outputs, start=first):
                self._outputs[row].append(output)
            if first == 0:
                self._targets.append(targets)

    def _take(self, rows: slice, part: Tensor) -> None:
        sums = part.new_zeros(self.n, *part.shape[1:]) if self._sums is None else self._sums
        if sums.shape[1:] != part.shape[1:]:  # batches of sequences that are not equally long
            sums, part = sums.sum(1, keepdim=True), part.sum(1, keepdim=True)
        sums[rows] += part
        self._sums = sums

    @staticmethod
    def _part(reading: MeanLoss, outputs: Tensor, targets: Tensor) -> Tensor:
        if isinstance(reading, CrossEntropy):
            flat = targets.reshape(-1).long()
            logits = reading.classes_last(outputs)
            predicted, kept = logits.argmax(-1), flat != reading.ignored
            return class_counts(predicted[..., kept], flat[kept], logits.shape[-1])
        aim = _by_output(reading, targets[None])[0]
        # Outputs may have an axis more, or one less: (m, 1) and (m,).
        found = _by_output(reading, outputs.reshape(len(outputs), *targets.shape))
        if reading.task == "regression":
            return squared_sums(found, aim)
        assert isinstance(reading, BinaryCrossEntropy)
        return label_counts(found > reading.threshold, aim > 0.5, aim >= 0)

    def _of_own(self, name: str, metric: Metric, outputs: list[Tensor]) -> float:
        """Of all examples at once; of several shapes the mean over batches, by examples."""
        pairs = list(zip(outputs, self._targets, strict=True))
        wanted = of_scikit_learn(metric)
        try:
            return self._called(metric if wanted is None else self._turned(metric, wanted), pairs)
        except Exception as error:  # whatever the user's code does
            shapes = [tuple(part.shape) for part in pairs[0]]
            how = "outputs, targets" if wanted is None else f"y_true, {wanted}"
            raise ValueError(
                f"The metric {name}, called as metric({how}) with outputs of shape {shapes[0]} and "
                f"targets of shape {shapes[1]}, raised {type(error).__name__}: "
                f"{brief(str(error).rstrip('.'))}. Give a function metric(outputs, targets) that "
                "returns a number."
            ) from error

    def _turned(self, metric: Metric, wanted: str) -> Metric:
        """A function of targets and predictions, in that order, as one of outputs and targets."""

        def call(outputs: Tensor, targets: Tensor) -> float:
            read = _read(self.reading, outputs, labels=wanted == "y_pred")
            arrays: list[Any] = [part.detach().cpu().numpy() for part in (targets, read)]
            return float(metric(*arrays))

        return call

    @staticmethod
    def _called(metric: Metric, pairs: list[tuple[Tensor, Tensor]]) -> float:
        shapes = {(output.shape[1:], targets.shape[1:]) for output, targets in pairs}
        if len(shapes) == 1:
            return float(metric(*(torch.cat(parts) for parts in zip(*pairs, strict=True))))
        total = sum(float(metric(output, targets)) * len(targets) for output, targets in pairs)
        return total / sum(len(targets) for _, targets in pairs)

    def _finish(self, metric: str, sums: Tensor) -> Tensor:
        if metric in OF_NUMBERS:
            return from_squared_sums(metric, sums)
        if isinstance(self.reading, CrossEntropy):
            return from_class_counts(metric, sums)
        return from_label_counts(metric, sums)

    def finish(self) -> dict[str, Tensor]:
        """Each metric by name, float64, shape (n,)."""
        result: dict[str, Tensor] = {}
        for name, metric in self.metrics.items():
            if not isinstance(metric, str):
                values = [self._of_own(name, metric, parts) for parts in self._outputs]
                result[name] = torch.tensor(values, dtype=torch.float64)
            elif self._sums is not None:
                result[name] = self._finish(metric, self._sums).cpu()
        return result
