"""Less precision where it was asked for, and full precision where it is needed all the same."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from landscape_widgets.errors import did_you_mean

PRECISIONS = {"bf16": torch.bfloat16}
WITHOUT_DOUBLE = {"mps"}  # types of devices that have no tensors in float64: Apple's


def check_precision(name: str | None) -> None:
    """Raise a ValueError that names the near ones if there is no such precision."""
    if name is not None and name not in PRECISIONS:
        raise ValueError(
            f"precision={name!r}; expected is None, for the model's own, or a reduced one. "
            f"{did_you_mean(str(name), PRECISIONS)}"
        )


def reduced(name: str | None, device: torch.device) -> AbstractContextManager[Any]:
    """Within it, matrix products and convolutions are taken in the named precision."""
    if name is None:
        return nullcontext()
    return torch.autocast(device.type, PRECISIONS[name])


def exact(device: torch.device) -> AbstractContextManager[Any]:
    """Within it, everything is in the precision of its tensors again."""
    if device.type not in ("cpu", "cuda") or not torch.is_autocast_enabled(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def widened(outputs: Any) -> Any:
    """Outputs that came in half precision, in float32, for the loss to be taken of."""
    half = isinstance(outputs, Tensor) and outputs.dtype in (torch.bfloat16, torch.float16)
    return outputs.float() if half else outputs


def holds_double(device: torch.device) -> bool:
    """Whether a device has tensors in float64."""
    return device.type not in WITHOUT_DOUBLE


def accumulated(values: Tensor) -> Tensor:
    """The same numbers in float64; on the CPU, where the device has none."""
    return (values if holds_double(values.device) else values.cpu()).double()


def summed(values: Tensor) -> Tensor:
    """Sums over the last axis in float64; where the device has none, sums of its own, widened."""
    if holds_double(values.device):
        return values.sum(-1, dtype=torch.float64)
    return accumulated(values.sum(-1))
