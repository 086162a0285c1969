"""The examples of one split, cut into tiles that are made once and looked at many times."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from landscape_widgets.task.data import Batch, Examples, take
from landscape_widgets.task.structure import tensors


class TiledExamples:
    """Examples that every parameter vector sees, in tiles of whatever size a strategy asks for.

    Parameters
    ----------
    examples
    device
        Where tiles are wanted; examples that do not fit there are moved tile by tile.
    separable
        Examples do not see each other, so that batches may be cut at will.

    Attributes
    ----------
    on_device : bool
        The examples lie where they are worked on.
    """

    def __init__(self, examples: Examples, device: torch.device, separable: bool) -> None:
        self.examples = examples
        self.device = device
        joined = examples.joined if separable else None
        # Outputs of several tiles are put together along the first axis.
        self.separable = joined is not None and joined.form.axes == (0, 0)
        first = examples.batches[0]
        self.on_device = _device_of(first) in (None, device.type)
        self._tiles: dict[int | None, list[Batch]] = {}
        self._parts: dict[int, TiledExamples] = {}

    @property
    def size(self) -> int:
        """Number of examples."""
        return self.examples.size

    def tiles(self, size: int | None) -> Iterable[Batch]:
        """Tiles of `size` examples, or the batches as they came where they may not be cut.

        The same objects each time where the data lie on the device, so that what is derived from
        a tile can be kept with it.
        """
        size = size if self.separable else None
        if not self.on_device:
            return (tile.to(self.device) for tile in self.examples.tiles(size))
        if size not in self._tiles:
            self._tiles[size] = list(self.examples.tiles(size))
        return self._tiles[size]

    def part(self, count: int) -> TiledExamples:
        """The first examples, at most `count` where they may be cut: to try something on."""
        if count >= self.size:
            return self
        if count not in self._parts:
            whole = self.examples.joined if self.separable else None
            batch = self.examples.batches[0] if whole is None else take(whole, slice(0, count))
            few = Examples([batch], capped=True)
            self._parts[count] = TiledExamples(few, self.device, self.separable)
        return self._parts[count]

    def spread(self, count: int) -> TiledExamples:
        """At most `count` examples from all over the data, where they may be cut."""
        whole = self.examples.joined if self.separable else None
        if whole is None or count >= self.size:
            return self.part(count)
        if -count not in self._parts:
            places = torch.linspace(0, self.size - 1, count).round().long()
            few = Examples([take(whole, places)], capped=True)
            self._parts[-count] = TiledExamples(few, self.device, self.separable)
        return self._parts[-count]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_tiles": {}, "_parts": {}}


def _device_of(batch: Batch) -> str | None:
    return next((leaf.device.type for leaf in tensors(batch.raw)), None)
