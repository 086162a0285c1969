"""torch's own losses, as modules and as functions, as sums over examples.

Each is asked for the loss of every target apart (``reduction="none"``) and summed; what torch
divides that sum by under ``reduction="mean"`` is a sum over targets too.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.weak import WeakIdKeyDictionary

from landscape_widgets.precision import accumulated
from landscape_widgets.task.losses.cross_entropy import CrossEntropy
from landscape_widgets.task.losses.mean import MeanLoss
from landscape_widgets.task.losses.own import scalar
from landscape_widgets.task.losses.squared_error import SquaredError

Options = Mapping[str, Any]


@dataclass(frozen=True)
class Kind:
    """One of torch's losses.

    Attributes
    ----------
    name : str
    module, function
        The same loss twice.
    divisor : {"targets", "examples", "rows", "weights"}
        What ``reduction="mean"`` divides the sum by: elements of the targets, their first axis,
        elements without the axis of classes, or the weights of the targets' classes.
    fits : callable
        (shape of outputs, targets) → whether they go together without broadcasting.
    task : str
        What the outputs are; see `MeanLoss`.
    """

    name: str
    module: type[nn.Module]
    function: Callable[..., Tensor]
    divisor: str
    fits: Callable[[tuple[int, ...], Any], bool]
    task: str = "custom"


def _alike(shape: tuple[int, ...], targets: Any) -> bool:
    return isinstance(targets, Tensor) and tuple(targets.shape) == shape and len(shape) > 0


def _classes(shape: tuple[int, ...], targets: Any) -> bool:
    if not isinstance(targets, Tensor) or len(shape) < 2:
        return False
    if targets.is_floating_point():
        return tuple(targets.shape) == shape
    return tuple(targets.shape) in (shape[:1] + shape[2:], shape[:-1])


def _one_class_each(shape: tuple[int, ...], targets: Any) -> bool:
    return len(shape) == 2 and isinstance(targets, Tensor) and tuple(targets.shape) == shape[:1]


def _labelled(shape: tuple[int, ...], targets: Any) -> bool:
    return len(shape) == 2 and _alike(shape, targets)


def _sequences(shape: tuple[int, ...], targets: Any) -> bool:
    """CTC: outputs (T, m, C); padded targets (m, S), lengths of inputs and of targets (m,)."""
    return (
        len(shape) == 3
        and isinstance(targets, (tuple, list))
        and len(targets) == 3
        and all(isinstance(part, Tensor) for part in targets)
        and [part.ndim for part in targets] == [2, 1, 1]
        and all(len(part) == shape[1] for part in targets)
    )


KINDS = (
    Kind("cross-entropy", nn.CrossEntropyLoss, F.cross_entropy, "weights", _classes,
         "classification"),
    Kind("negative log-likelihood", nn.NLLLoss, F.nll_loss, "weights", _classes, "classification"),
    Kind("binary cross-entropy", nn.BCEWithLogitsLoss, F.binary_cross_entropy_with_logits,
         "targets", _alike, "binary"),
    Kind("binary cross-entropy of probabilities", nn.BCELoss, F.binary_cross_entropy, "targets",
         _alike, "binary"),
    Kind("mean squared error", nn.MSELoss, F.mse_loss, "targets", _alike, "regression"),
    Kind("mean absolute error", nn.L1Loss, F.l1_loss, "targets", _alike, "regression"),
    Kind("smooth absolute error", nn.SmoothL1Loss, F.smooth_l1_loss, "targets", _alike,
         "regression"),
    Kind("Huber loss", nn.HuberLoss, F.huber_loss, "targets", _alike, "regression"),
    Kind("Kullback-Leibler divergence", nn.KLDivLoss, F.kl_div, "targets", _alike),
    Kind("Poisson negative log-likelihood", nn.PoissonNLLLoss, F.poisson_nll_loss, "targets",
         _alike),
    Kind("hinge embedding loss", nn.HingeEmbeddingLoss, F.hinge_embedding_loss, "targets", _alike),
    Kind("soft margin loss", nn.SoftMarginLoss, F.soft_margin_loss, "targets", _alike),
    Kind("multi-label soft margin loss", nn.MultiLabelSoftMarginLoss,
         F.multilabel_soft_margin_loss, "rows", _labelled),
    Kind("multi-label margin loss", nn.MultiLabelMarginLoss, F.multilabel_margin_loss, "examples",
         _labelled),
    Kind("margin loss", nn.MultiMarginLoss, F.multi_margin_loss, "examples", _one_class_each,
         "classification"),
    Kind("connectionist temporal classification", nn.CTCLoss, F.ctc_loss, "examples", _sequences),
)  # fmt: skip


def recognise(given: Any) -> tuple[Kind, dict[str, Any]] | None:
    """Which of torch's losses was given, and its options; None where it is none of them.

    A module whose ``forward`` is torch's own, one of torch's functions, or a `functools.partial` of
    one with keywords.
    """
    if inspect.ismethod(given) and isinstance(given.__self__, nn.Module):
        if given.__name__ not in ("forward", "__call__"):
            return None
        given = given.__self__
    if isinstance(given, nn.Module):
        return _recognise_module(given)
    keywords: dict[str, Any] = {}
    if isinstance(given, functools.partial):
        if given.args:
            return None
        given, keywords = given.func, given.keywords
    for kind in KINDS:
        if given is kind.function:
            known = _options(kind)
            return (kind, {**known, **keywords}) if keywords.keys() <= known.keys() else None
    return None


def _recognise_module(given: nn.Module) -> tuple[Kind, dict[str, Any]] | None:
    own = {"forward", "__call__"} & vars(given).keys()
    hooked = given._forward_hooks or given._forward_pre_hooks
    for kind in KINDS:
        if isinstance(given, kind.module) and not own and not hooked:
            # A subclass may set options, but not compute something else.
            same = type(given).forward is kind.module.forward
            if same and type(given).__call__ is nn.Module.__call__:
                options = _options(kind).items()
                return kind, {name: getattr(given, name, default) for name, default in options}
    return None


def _options(kind: Kind) -> dict[str, Any]:
    """Keywords of a torch loss with their defaults, without the deprecated ones."""
    parameters = inspect.signature(kind.function).parameters.values()
    return {
        p.name: p.default
        for p in parameters
        if p.default is not p.empty and p.name not in ("size_average", "reduce")
    }


def loss_of_torch(
    kind: Kind, options: Options, outputs: Tensor, targets: Any, device: torch.device
) -> MeanLoss | None:
    """The loss as a sum over examples; None where these outputs and targets do not add up so."""
    shape = tuple(outputs.shape)
    if not kind.fits(shape, targets) or _by_position(options, shape):
        return None
    if kind.task == "regression" and options.get("weight") is not None:
        return None  # divided by the sum of weights
    if kind.function is F.mse_loss and options["reduction"] == "mean":
        return SquaredError(len(shape))
    own: dict[str, Any] = {
        name: value.detach().clone().to(device) if isinstance(value, Tensor) else value
        for name, value in options.items()
    }
    loss = TorchLoss(kind, own, outputs, targets)
    exact = kind.function is F.cross_entropy and options["label_smoothing"] == 0
    if exact and not targets.is_floating_point():
        ignored, weight = own["ignore_index"], own["weight"]
        accurate = CrossEntropy(len(shape), loss.class_axis, ignored=ignored, weight=weight)
        accurate.name, accurate.summed = loss.name, loss.summed
        return accurate
    return loss


def value_of_torch(kind: Kind, options: Options, outputs: Tensor, targets: Any) -> Tensor:
    """What torch itself gives for a batch, with weights in the outputs' precision."""
    own = {name: _like(value, outputs) for name, value in options.items()}
    given = targets if isinstance(targets, (tuple, list)) else (targets,)
    return scalar(kind.function(outputs, *given, **own), kind.module.__name__)


def _like(value: Any, outputs: Tensor) -> Any:
    if isinstance(value, Tensor):
        floating = value.is_floating_point()
        return value.detach().to(outputs.device, outputs.dtype if floating else None)
    return value


def _by_position(options: Options, shape: tuple[int, ...]) -> bool:
    """Whether a weight goes with an example's place in its batch."""
    weights = [options.get("weight"), options.get("pos_weight")]
    return any(
        isinstance(w, Tensor) and (w.ndim > len(shape) or (w.ndim == len(shape) and len(w) != 1))
        for w in weights
    )


class TorchLoss(MeanLoss):
    """One of torch's losses with its options, summed.

    Parameters
    ----------
    kind, options
    outputs, targets
        Of some examples: their shapes and types say what is computed.
    """

    def __init__(self, kind: Kind, options: dict[str, Any], outputs: Tensor, targets: Any) -> None:
        super().__init__(outputs.ndim)
        self.kind, self.task = kind, kind.task
        reduction = options.pop("reduction")
        self.options = options
        self.summed = reduction == "sum"
        self.examples_first = kind.function is not F.ctc_loss
        self.by_length = reduction == "mean" and not self.examples_first
        self.divisor = "examples" if reduction == "batchmean" else kind.divisor
        self.class_axis = 1
        if kind.fits is _classes and not targets.is_floating_point():
            first = tuple(outputs.shape[:1]) + tuple(outputs.shape[2:])
            self.class_axis = 1 if first == tuple(targets.shape) else -1
        self.name = _name(kind, options, reduction)
        self._typed: dict[torch.dtype, dict[str, Any]] = {}
        self._counts: WeakIdKeyDictionary = WeakIdKeyDictionary()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_counts"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _counts=WeakIdKeyDictionary())

    def total(self, outputs: Tensor, targets: Any) -> Tensor:
        return self._of_rows(outputs, lambda row: self._terms(row, targets).sum())

    def each(self, outputs: Tensor, targets: Any) -> Tensor:
        return self._of_rows(outputs, lambda row: self._terms(row, targets).flatten(1).sum(1))

    def _of_rows(self, outputs: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        lead = outputs.shape[: outputs.ndim - self.output_axes]
        if not lead:
            return function(outputs)
        rows = outputs.flatten(0, len(lead) - 1)
        found = torch.stack([function(row) for row in rows])
        return found.reshape(*lead, *found.shape[1:])

    def _terms(self, outputs: Tensor, targets: Any) -> Tensor:
        """Loss of every target apart, float64, (m, ...)."""
        options = self._in(outputs.dtype)
        if self.class_axis == -1:
            outputs = outputs.movedim(-1, 1)
        if isinstance(targets, (tuple, list)):
            terms = self.kind.function(outputs, *targets, **options, reduction="none")
            if self.by_length:
                terms = terms / targets[-1].clamp(min=1).to(terms)
        else:
            if targets.is_floating_point():
                targets = targets.to(outputs.dtype)
            terms = self.kind.function(outputs, targets, **options, reduction="none")
        return accumulated(terms).reshape(len(terms), -1)

    def _in(self, dtype: torch.dtype) -> dict[str, Any]:
        """The options, with floating-point tensors in the outputs' precision."""
        if dtype not in self._typed:
            self._typed[dtype] = {
                name: value.to(dtype)
                if isinstance(value, Tensor) and value.is_floating_point()
                else value
                for name, value in self.options.items()
            }
        return self._typed[dtype]

    def count(self, targets: Any) -> float:
        if isinstance(targets, (tuple, list)):
            return float(len(targets[0]))
        known: float | None = self._counts.get(targets, None)  # type: ignore[no-untyped-call]
        if known is None:
            known = self._counts[targets] = self._count(targets)
        return known

    def _count(self, targets: Tensor) -> float:
        if self.divisor == "examples":
            return float(len(targets))
        if self.divisor == "targets":
            return float(targets.numel())
        if self.divisor == "rows":
            return float(targets[..., 0].numel())
        if targets.is_floating_point():  # probabilities of classes
            return float(targets.select(1, 0).numel())
        counted = targets[targets != self.options["ignore_index"]]
        weight = self.options["weight"]
        if weight is None:
            return float(counted.numel())
        return float(accumulated(weight[counted.long()]).sum())

    def check(self, outputs: Tensor, targets: Any) -> None:
        if self.kind.fits is _classes and not targets.is_floating_point():
            CrossEntropy(
                self.output_axes, self.class_axis, ignored=self.options["ignore_index"]
            ).check(outputs, targets)


def _name(kind: Kind, options: Options, reduction: str) -> str:
    """The loss with the options that are not torch's own defaults."""
    defaults = _options(kind)
    said = [
        name if isinstance(value, Tensor) else f"{name}={value}"
        for name, value in [*options.items(), ("reduction", reduction)]
        if isinstance(value, Tensor) or value != defaults[name]
    ]
    return f"{kind.name} ({', '.join(said)})" if said else kind.name
