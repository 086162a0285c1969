"""Where data lie: on the device as a whole, if they fit, or tile by tile."""

from __future__ import annotations

from dataclasses import replace

import torch

from landscape_widgets.task.data import Examples
from landscape_widgets.task.structure import tensors

SHARE = 1 / 4  # of what is free there


def placed(examples: Examples, device: torch.device) -> Examples:
    """The examples on the device, or as they are where they do not fit there."""
    if device.type == "cuda" and not _fits(examples, device):
        return examples  # moved tile by tile
    return replace(examples, batches=[batch.to(device) for batch in examples.batches])


def _fits(examples: Examples, device: torch.device) -> bool:
    held = [leaf for batch in examples.batches for leaf in tensors(batch.raw)]
    needed = sum(leaf.nbytes for leaf in held if leaf.layout == torch.strided)
    return needed < torch.cuda.mem_get_info(device)[0] * SHARE
