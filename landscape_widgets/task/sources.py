"""Where data come from: tensors, Datasets, loaders, streams; read once, into fixed batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from landscape_widgets.progress import CancelCallback, ProgressCallback, ignore, never
from landscape_widgets.resources import free_memory
from landscape_widgets.task.batch_stream import ACCEPTED, BatchStream, draw
from landscape_widgets.task.data import Batch, Examples, Form, is_sequence, take
from landscape_widgets.task.structure import is_array, tensors

MEMORY = 1 / 4  # of what is free, for data that are read: joining them takes as much again


class Source:
    """Data on their way: their kind is known at once, and they are read batch by batch.

    Parameters
    ----------
    data
        As given by the user.
    max_examples : int
        At most so many are read: of tensors, Datasets and lists drawn with the seed, of streams
        the first. Batches stay whole, but for one that has more than that by itself.
    seed : int
        Of what is drawn, by us or by the data's own augmentations; see `Randomness`.
    dtype
        Of floating-point tensors; all others stay as they are.
    batch_size : int, optional
        How tensors, Datasets and single examples are put into batches.

    Raises
    ------
    TypeError, ValueError
        If `data` is none of the accepted forms, or brings batches and `batch_size` is given.
    """

    def __init__(
        self,
        data: Any,
        *,
        max_examples: int,
        seed: int,
        dtype: torch.dtype,
        batch_size: int | None = None,
    ) -> None:
        self.max_examples, self.seed, self.batch_size = max_examples, seed, batch_size
        self._pulled: list[Any] = []
        self._bytes = 0
        self._budget = int(free_memory(torch.device("cpu")) * MEMORY)
        self._stream = BatchStream(
            data, max_examples=max_examples, seed=seed, dtype=dtype, batch_size=batch_size
        )

    def first(self, progress: ProgressCallback = ignore, cancelled: CancelCallback = never) -> Any:
        """The first batch as it came, its floating-point tensors in `dtype`.

        Raises
        ------
        ValueError
            If there is none.
        """
        self._stream.watch(progress, cancelled)
        if not self._pulled and not self._pull():
            raise ValueError(f"The data is empty. Give at least one example, as {ACCEPTED}.")
        return self._pulled[0]

    def read(
        self,
        form: Form,
        progress: ProgressCallback = ignore,
        cancelled: CancelCallback = never,
    ) -> Examples:
        """Read what is left, and count it as `form` says.

        Raises
        ------
        ValueError
            If there is nothing, or inputs and targets differ in length.
        Cancelled
            If `cancelled` said yes.
        """
        first = self.first(progress, cancelled)
        if self._stream.whole:
            return self._cut(Batch.of(first, form))
        batches: list[Batch] = []
        exhausted = full = False
        while not (exhausted or full):
            batches += [Batch.of(raw, form) for raw in self._pulled[len(batches) :]]
            self._stream.done = done = sum(batch.size for batch in batches)
            self._stream.step(0)
            full = done > self.max_examples or self._bytes >= self._budget
            if done == self.max_examples and self._stream.total is not None:
                exhausted = True
            elif not full:
                exhausted = not self._pull()
        return self._chosen([batch for batch in batches if batch.size], exhausted)

    # What became of it

    def _cut(self, whole: Batch) -> Examples:
        """Tensors that came as a whole: drawn from, and cut where a batch size is given."""
        _check_lengths(whole)
        if whole.size == 0:
            raise ValueError(f"The data is empty. Give at least one example, as {ACCEPTED}.")
        capped = whole.cuttable and whole.size > self.max_examples
        if capped:
            whole = take(whole, draw(whole.size, self.max_examples, self.seed))
        if self.batch_size is None or not whole.cuttable:
            return Examples([whole], capped, given_whole=self.batch_size is None)
        starts = range(0, whole.size, self.batch_size)
        return Examples([take(whole, slice(i, i + self.batch_size)) for i in starts], capped)

    def _chosen(self, batches: list[Batch], exhausted: bool) -> Examples:
        """Leave out what is too much, and say so."""
        if not batches:
            raise ValueError(f"The data is empty. Give at least one example, as {ACCEPTED}.")
        said = tuple(self._stream.said)
        if not exhausted and self._bytes >= self._budget:
            said = (
                *said,
                f"Only the first {sum(b.size for b in batches):,} examples are used: they take "
                f"{self._bytes / 2**30:.1f} GiB, a quarter of the memory that was free.",
            )
        capped = self._stream.left_out or not exhausted
        kept: list[Batch] = []
        room = self.max_examples
        for batch in batches:
            if batch.size <= room:
                kept.append(batch)
                room -= batch.size
            else:
                capped = True
                if not kept:
                    few = draw(batch.size, room, self.seed) if batch.cuttable else slice(None)
                    kept.append(take(batch, few))
                break
        return Examples(kept, capped, assumptions=said)

    def _pull(self) -> bool:
        """Read one more batch; False where there is none."""
        try:
            raw = self._stream.following()
        except StopIteration:
            return False
        self._bytes += sum(leaf.nbytes for leaf in tensors(raw) if leaf.layout == torch.strided)
        self._pulled.append(raw)
        return True


class _Again:
    """An iterator that can be iterated over again: it keeps what it has given."""

    def __init__(self, iterator: Iterator[Any]) -> None:
        self._iterator = iterator
        self._given: list[Any] = []

    def __iter__(self) -> Iterator[Any]:
        number = 0
        while True:
            if number == len(self._given):
                try:
                    self._given.append(next(self._iterator))
                except StopIteration:
                    return
            yield self._given[number]
            number += 1


def replayable(data: Any) -> Any:
    """Data that may be read again after reading was stopped: iterators give their items once."""
    return _Again(data) if isinstance(data, Iterator) else data


def _check_lengths(whole: Batch) -> None:
    """Raise a ValueError where inputs and targets that were given at once do not fit together."""
    inputs, targets = whole.form.divide(whole.raw)
    if not (is_array(inputs) or is_sequence(inputs)) or not is_array(targets) or whole.cuttable:
        return
    of_inputs, of_targets = (
        sorted({len(leaf) for leaf in tensors(part) if leaf.ndim > 0}) for part in (inputs, targets)
    )
    if whole.size == len(targets) or len({*of_inputs, *of_targets}) == 1:
        return
    raise ValueError(
        "Inputs and targets must have one row for each example; inputs of length "
        f"{' and '.join(map(str, of_inputs))} and targets of length "
        f"{' and '.join(map(str, of_targets))} were given. Put the example axis first in both, "
        "or say where it lies by batch_axis."
    )
