"""Losses: the ones inferred from the targets, and the user's own.

The inferred ones are sums over examples, so that data may be cut into tiles of any size, and
take outputs with any leading axes, so that many parameter vectors may be handled at once.
"""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.weak import WeakIdKeyDictionary

from landscape_widgets.inner_gradients import recorded_of
from landscape_widgets.structure import fresh

LOG2_E = math.log2(math.e)
FEW_CLASSES = 128  # with more, a mask of the targets would take as much memory as the outputs
IGNORED = -100  # torch's own default for targets that count for nothing


def call_model(model: Callable[..., Any], inputs: Any) -> Any:
    """Run a model on inputs: a mapping as keywords, a tuple as arguments, else as one argument."""
    recorded = recorded_of(model)
    if recorded is None or not isinstance(model, nn.Module):
        return _call(model, inputs)
    return recorded.call(lambda given: _call(model, given), model, inputs)


def _call(model: Callable[..., Any], inputs: Any) -> Any:
    if isinstance(inputs, Mapping):
        return model(**inputs)
    if isinstance(inputs, (tuple, list)):
        return model(*inputs)
    return model(inputs)


def call_watched(
    model: nn.Module,
    inputs: Any,
    modules: Iterable[nn.Module],
    watch: Callable[[Any, tuple[Any, ...], Any], None],
) -> None:
    """Run a model while `watch(module, arguments, output)` is called for some of its modules."""
    handles = [
        module.register_forward_hook(watch)
        for module in modules
        if not isinstance(module, torch.jit.ScriptModule)  # they take no hooks
    ]
    try:
        call_model(model, inputs)
    finally:
        for handle in handles:
            handle.remove()


def main_output(outputs: Any) -> Tensor:
    """The tensor of predictions among a model's outputs.

    A tensor is itself; of an object or a mapping it is ``logits`` or else the first tensor; of a
    tuple the first.

    Raises
    ------
    TypeError
        If there is no tensor.
    """
    if isinstance(outputs, Tensor):
        return outputs
    logits = getattr(outputs, "logits", None)
    if isinstance(logits, Tensor):
        return logits
    if isinstance(outputs, Mapping):
        outputs = [outputs["logits"]] if "logits" in outputs else list(outputs.values())
    if isinstance(outputs, (tuple, list)):
        for part in outputs:
            if isinstance(part, Tensor):
                return part
    raise TypeError(
        f"The model returned {type(outputs).__name__}; a tensor of predictions is expected. "
        "Give loss=function(model, batch) to compute the loss from what it returns."
    )


class MeanLoss(ABC):
    """A mean over examples of a loss of each example's own.

    Parameters
    ----------
    output_axes
        Axes of the outputs for one parameter vector; any further ones lead.
    """

    name: str
    task: str

    def __init__(self, output_axes: int) -> None:
        self.output_axes = output_axes

    def check(self, outputs: Tensor, targets: Tensor) -> None:  # noqa: B027
        """Raise a ValueError where the targets' values do not fit the outputs."""

    @abstractmethod
    def total(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Sum over examples: outputs (..., m, *) and targets (m, *) give a float64 (...)."""

    @abstractmethod
    def each(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The terms of `total`, one an example: float64 (..., m)."""

    def count(self, targets: Tensor) -> float:
        """How many examples the sum is over."""
        return float(len(targets))

    def curvature(self, outputs: Tensor, targets: Tensor) -> Callable[[Tensor], Tensor] | None:
        """u → ∇²ℓ u, for ℓ the `total` and u of the outputs' shape; None where not written out."""
        return None

    def mean(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean over these examples, differentiable, a scalar."""
        return self.total(outputs, targets) / self.count(targets)


@dataclass(frozen=True)
class _Aims:
    """What a cross-entropy needs to know of its targets, whatever the outputs."""

    kept: Tensor | None  # positions that count, where some do not
    index: Tensor  # (M, 1)
    count: float
    masks: dict[tuple[bool, torch.dtype], Tensor] = field(default_factory=dict)

    def but_own(self, margins: Tensor) -> Tensor:
        """0, and −∞ at each position's own class, (M, C), laid out in memory as `margins` are."""
        feature_major = margins.stride(-1) != 1
        key = (feature_major, margins.dtype)
        if key not in self.masks:
            shape = (margins.shape[-1], len(self.index)) if feature_major else margins.shape[-2:]
            mask = margins.new_zeros(shape)
            mask = mask.T if feature_major else mask
            self.masks[key] = mask.scatter_(-1, self.index, float("-inf"))
        return self.masks[key]


class CrossEntropy(MeanLoss):
    """−log softmax(z)_y, accurate also where it is as small as 1e-8.

    Taken as log1p(Σ_{c≠y} exp(z_c − z_y)): the textbook logsumexp(z) − z_y loses all digits in
    float32 once the loss is near 1e-7. Where that sum overflows, logsumexp takes its place.

    Parameters
    ----------
    class_axis
        Of outputs without leading axes: 1 for (m, C, ...), -1 for (m, ..., C).
    """

    name = "cross-entropy"
    task = "classification"

    def __init__(self, output_axes: int, class_axis: int) -> None:
        super().__init__(output_axes)
        self.class_axis = class_axis
        self._known: WeakIdKeyDictionary = WeakIdKeyDictionary()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_known"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _known=WeakIdKeyDictionary())

    def check(self, outputs: Tensor, targets: Tensor) -> None:
        classes = outputs.shape[self.class_axis]
        counted = targets[targets != IGNORED]
        if counted.numel() and (int(counted.min()) < 0 or int(counted.max()) >= classes):
            raise ValueError(
                f"Targets from 0 to {classes - 1} are expected for the model's {classes} outputs; "
                f"they range from {int(counted.min())} to {int(counted.max())}. "
                "Renumber the classes or give the model as many outputs as there are classes."
            )

    def classes_last(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Outputs as (..., M, C), with M = all target positions."""
        if self.output_axes == 2:
            return outputs
        lead = outputs.ndim - self.output_axes
        if self.class_axis == 1:
            outputs = outputs.movedim(lead + 1, -1)
        return outputs.flatten(lead, -2)

    def total(self, outputs: Tensor, targets: Tensor) -> Tensor:
        logits = self.classes_last(outputs, targets)
        aims = self._aims(targets)
        if aims.kept is not None:
            logits = logits[..., aims.kept, :]
        index = aims.index.expand(*logits.shape[:-1], 1)
        margins = logits - logits.gather(-1, index)
        if logits.shape[-1] <= FEW_CLASSES:
            # In powers of 2, which vectorise better; −∞ is added, which costs less than scattering.
            others = torch.add(aims.but_own(margins), margins, alpha=LOG2_E)
            total = others.exp2_().sum(-1).log1p_().sum(-1, dtype=torch.float64)
            if bool(total.isfinite().all()):
                return total
        margins = margins.scatter(-1, index, float("-inf"))
        return F.softplus(margins.logsumexp(-1)).sum(-1, dtype=torch.float64)

    def each(self, outputs: Tensor, targets: Tensor) -> Tensor:
        logits, flat = self.classes_last(outputs, targets), targets.reshape(-1).long()
        index = flat.clamp(min=0).view(-1, 1).expand(*logits.shape[:-1], 1)
        margins = (logits - logits.gather(-1, index)).scatter(-1, index, float("-inf"))
        losses = F.softplus(margins.logsumexp(-1)).double().where(flat != IGNORED, 0.0)
        return losses.reshape(*losses.shape[:-1], len(targets), -1).sum(-1)

    def curvature(self, outputs: Tensor, targets: Tensor) -> Callable[[Tensor], Tensor] | None:
        if outputs.ndim != 2:
            return None
        p = outputs.softmax(-1)
        kept, own = self._aims(targets).kept, targets.view(-1, 1).long().clamp(min=0)

        def along(u: Tensor) -> Tensor:
            # (diag p − p pᵀ) u is the same with any number added to u. With 0 at each example's own
            # class, whose p may be 1 but for rounding, nothing large has to cancel.
            product = p * (u - u.gather(-1, own))
            product.addcmul_(p, product.sum(-1, keepdim=True), value=-1.0)
            return product if kept is None else product.mul_(kept.view(-1, 1))

        return along

    def _aims(self, targets: Tensor) -> _Aims:
        # The same tiles come back for every parameter vector.
        known: _Aims | None = self._known.get(targets, None)  # type: ignore[no-untyped-call]
        if known is None:
            flat = targets.reshape(-1).long()
            kept = flat != IGNORED
            count = int(kept.sum())
            every = count == len(flat)
            index = (flat if every else flat[kept]).view(-1, 1)
            known = _Aims(None if every else kept, index, float(count))
            self._known[targets] = known
        return known

    def count(self, targets: Tensor) -> float:
        return self._aims(targets).count


class BinaryCrossEntropy(MeanLoss):
    """log(1 + exp(∓z)) for one logit an example and targets 0 or 1."""

    name = "binary cross-entropy"
    task = "binary"

    def check(self, outputs: Tensor, targets: Tensor) -> None:
        low, high = float(targets.min()), float(targets.max())
        if low < 0 or high > 1:
            raise ValueError(
                f"Targets 0 and 1 are expected for a model with one output; they range from "
                f"{low:g} to {high:g}. Give the model as many outputs as there are classes."
            )

    def total(self, outputs: Tensor, targets: Tensor) -> Tensor:
        lead = outputs.ndim - self.output_axes
        signs = 1 - 2 * targets.reshape(-1).to(outputs.dtype)
        return F.softplus(outputs.flatten(lead) * signs).sum(-1, dtype=torch.float64)

    def each(self, outputs: Tensor, targets: Tensor) -> Tensor:
        lead = outputs.ndim - self.output_axes
        signs = 1 - 2 * targets.reshape(-1).to(outputs.dtype)
        losses = F.softplus(outputs.flatten(lead) * signs).double()
        return losses.reshape(*losses.shape[:-1], len(targets), -1).sum(-1)

    def count(self, targets: Tensor) -> float:
        return float(targets.numel())


class SquaredError(MeanLoss):
    """Mean squared error over all elements of the targets."""

    name = "mean squared error"
    task = "regression"

    def total(self, outputs: Tensor, targets: Tensor) -> Tensor:
        # Flattened on both sides: (m, 1) against (m,) must not broadcast to (m, m).
        lead = outputs.ndim - self.output_axes
        errors = outputs.flatten(lead) - targets.reshape(-1).to(outputs.dtype)
        return errors.square().sum(-1, dtype=torch.float64) * (len(targets) / targets.numel())

    def each(self, outputs: Tensor, targets: Tensor) -> Tensor:
        lead = outputs.ndim - self.output_axes
        errors = outputs.flatten(lead) - targets.reshape(-1).to(outputs.dtype)
        return errors.square().double().reshape(*errors.shape[:-1], len(targets), -1).mean(-1)

    def curvature(self, outputs: Tensor, targets: Tensor) -> Callable[[Tensor], Tensor] | None:
        scale = 2.0 * len(targets) / targets.numel()
        return lambda u: u * scale


class BatchLoss:
    """The user's own ``loss(outputs, targets)``: a scalar for a batch, taken as it is.

    Batches count by their number of examples.
    """

    task = "custom"

    def __init__(self, function: Callable[[Any, Any], Any]) -> None:
        self.function = function
        self.name = getattr(function, "__name__", type(function).__name__)

    def __call__(self, outputs: Any, targets: Any) -> Tensor:
        return scalar(self.function(outputs, targets), self.name)


class ModelLoss:
    """The user's own ``loss(model, batch)``: the model is a working copy, the batch as it came."""

    task = "custom"

    def __init__(self, function: Callable[[nn.Module, Any], Any]) -> None:
        self.function = function
        self.name = getattr(function, "__name__", type(function).__name__)

    def __call__(self, model: nn.Module, batch: Any) -> Tensor:
        # In containers of its own: a loss may take its batch apart.
        return scalar(self.function(model, fresh(batch)), self.name)


Loss = MeanLoss | BatchLoss | ModelLoss


def scalar(value: Any, name: str) -> Tensor:
    """The loss as a scalar tensor, or a ValueError that says what came instead."""
    if isinstance(value, Tensor) and value.numel() == 1:
        return value.reshape(())
    if isinstance(value, Tensor):
        got, advice = f"shape {tuple(value.shape)}", "Average it over the batch (reduction='mean')."
    elif isinstance(value, (float, int)):
        got, advice = f"the number {value:g}", "Return the tensor itself, without .item()."
    else:
        got, advice = type(value).__name__, "Return the mean loss of the batch."
    raise ValueError(f"The loss {name} returned {got}; a scalar tensor is expected. {advice}")


def own_loss(function: Callable[..., Any]) -> BatchLoss | ModelLoss:
    """Wrap the user's loss by the form of its arguments.

    A function whose first argument is called model, module, net or network, or whose second is
    called batch, is ``loss(model, batch)``; any other ``loss(outputs, targets)``.

    Raises
    ------
    TypeError
        If it cannot be called with two arguments.
    """
    if not callable(function):
        raise TypeError(
            f"loss={function!r} was given; a function loss(outputs, targets) or "
            "loss(model, batch) is expected."
        )
    try:
        names = list(inspect.signature(function).parameters)
        inspect.signature(function).bind(None, None)
    except TypeError as error:
        raise TypeError(
            f"The loss {getattr(function, '__name__', function)} takes {len(names)} arguments "
            f"({', '.join(names)}) and cannot be called with two; "
            "loss(outputs, targets) or loss(model, batch) is expected."
        ) from error
    except ValueError:  # built-in functions without a signature
        return BatchLoss(function)
    if names[0] in ("model", "module", "net", "network") or names[1:2] == ["batch"]:
        return ModelLoss(function)
    return BatchLoss(function)


def is_plain(function: Any, targets: Any) -> bool:
    """Whether the user's loss is the very one that `infer_loss` finds for these targets."""
    if not isinstance(targets, Tensor):
        return False
    if type(function) is nn.MSELoss:
        return function.reduction == "mean" and targets.is_floating_point()
    if function is F.mse_loss:
        return targets.is_floating_point()
    if type(function) is nn.CrossEntropyLoss:
        return (
            function.weight is None
            and function.label_smoothing == 0
            and function.reduction == "mean"
            and function.ignore_index == IGNORED
            and not targets.is_floating_point()
        )
    return function is F.cross_entropy and not targets.is_floating_point()


def infer_loss(outputs: Tensor, targets: Any) -> MeanLoss:
    """Cross-entropy for integer targets, mean squared error for floating ones.

    Integer targets with one output an example are taken as 0 or 1, for binary cross-entropy.

    Raises
    ------
    ValueError, TypeError
        If there are no targets, or their shape fits neither.
    """
    if not isinstance(targets, Tensor):
        raise TypeError(
            f"Targets of type {type(targets).__name__} were given; a tensor is expected to infer "
            "the loss. Give data as (inputs, targets), or loss=function(model, batch)."
        )
    out, aim, axes = tuple(outputs.shape), tuple(targets.shape), outputs.ndim
    if targets.is_floating_point():
        if out[:1] == aim[:1] and outputs.numel() == targets.numel():
            return SquaredError(axes)
    elif len(aim) > 0:
        if axes > 1 and out[:1] + out[2:] == aim and out[1] > 1:
            return CrossEntropy(axes, class_axis=1)
        if out[:-1] == aim and out[-1] > 1:
            return CrossEntropy(axes, class_axis=-1)
        if out in (aim, (*aim, 1)):
            return BinaryCrossEntropy(axes)
    raise ValueError(
        f"The model's outputs have shape {out}, the targets {aim} ({targets.dtype}). Expected are "
        "integer targets (m,) for outputs (m, classes), or floating targets of the outputs' own "
        "shape. For anything else give loss=function(outputs, targets)."
    )
