"""Batches one after the other, from Datasets, loaders, lists and streams of the user's."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from operator import getitem
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    SequentialSampler,
    Subset,
)

from landscape_widgets.progress import (
    CancelCallback,
    Cancelled,
    Progress,
    ProgressCallback,
    ignore,
    never,
)
from landscape_widgets.task.data import Batch, Form
from landscape_widgets.task.kinds_of_data import (
    advice,
    all_at_once,
    are_single,
    brings_batches,
    is_read,
)
from landscape_widgets.task.randomness import Randomness, in_main_thread
from landscape_widgets.task.structure import is_array, map_arrays, tensors
from landscape_widgets.task.to_tensors import as_tensor, collate

ACCEPTED = (
    "a pair (inputs, targets) of tensors or arrays, a Dataset, a DataLoader or another iterable "
    "of batches, or a list of batches"
)
BATCH_SIZE = 256  # examples of a Dataset that are put together where nobody says how many


class BatchStream:
    """The user's batches as they come, their arrays as tensors; their kind is known at once.

    Parameters
    ----------
    data, max_examples, seed, dtype, batch_size
        As for `sources.Source`.

    Attributes
    ----------
    whole : bool
        All of the data was given at once, and comes as one batch.
    total : int or None
        Examples, where their number is known beforehand.
    done : int
        Those of the batches that were counted so far, as whoever reads them says.
    left_out : bool
        Some examples are not read, since there are too many.
    said : list of str
        What there is to say of how they are drawn, as sentences.

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
        self._as_tensor = partial(as_tensor, dtype=dtype)
        self.total: int | None = None
        self.done, self.left_out, self.said = 0, False, list[str]()
        self._given = 0
        self.watch(ignore, never)
        self._next: Callable[[], Any]
        self._randomness = Randomness(data, seed)
        with self._randomness.in_place():
            self.whole = self._open(data)

    def watch(self, progress: ProgressCallback, cancelled: CancelCallback) -> None:
        """Tell these from now on."""
        self._progress, self._cancelled = progress, cancelled

    def step(self, number: int) -> None:
        """`number` examples of the batch under way were read.

        Raises
        ------
        Cancelled
        """
        if self._cancelled():
            raise Cancelled
        total = self.max_examples if self.total is None else min(self.total, self.max_examples)
        self._progress(Progress("reading", min(self.done + number, total), total))

    def following(self) -> Any:
        """The next batch.

        Raises
        ------
        StopIteration
            If there is none.
        TypeError
            If it is none.
        """
        # In one go where nobody waits, else example by example: see `Randomness`.
        with self._randomness.in_place() if in_main_thread() else nullcontext():
            raw = self._next()
        known = is_array(raw) or isinstance(raw, (tuple, list, Mapping)) or bool(tensors(raw))
        if not known or brings_batches(raw):
            raise TypeError(
                f"A batch of type {type(raw).__name__} was given; expected is a pair "
                "(inputs, targets), a mapping, a tensor, or an object that holds tensors."
            )
        self._given += 1
        return map_arrays(self._as_tensor, raw)

    # What kind of data it is

    def _open(self, data: Any) -> bool:
        """See what kind it is and set `_next`; True where all of it was given at once."""
        if isinstance(data, DataLoader):
            self._refuse_batch_size("A DataLoader")
            self._next = self._of_loader(data)
            return False
        if isinstance(data, IterableDataset):
            self._next = self._collated(iter(data))
            return False
        if isinstance(data, Dataset):
            self._next = self._of_dataset(data)
            return False
        whole = all_at_once(data)
        if whole is not None:
            self._next = iter([whole]).__next__
            return True
        if isinstance(data, (str, bytes, type, nn.Module, Mapping)) or not is_read(data):
            raise TypeError(
                f"Data of type {type(data).__name__} was given; expected is {ACCEPTED}."
                + advice(data)
            )
        if isinstance(data, Sequence):
            few = list(itertools.islice(data, 3))
            if few and are_single(few):
                self._next = self._of_dataset(data)
            else:
                self._refuse_batch_size("A list of batches")
                self._next = self._of_list(data)
            return False
        if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
            # A Dataset of another package: Hugging Face's has named columns.
            if brings_batches(data) or (len(data) and are_single([data[0]])):
                self._next = self._of_dataset(data)
            else:
                self._refuse_batch_size(f"{type(data).__name__} (batches by number)")
                self._next = partial(self._read, next, (data[i] for i in range(len(data))))
            return False
        items = iter(data)
        few = list(itertools.islice(items, 1))
        items = itertools.chain(few, items)
        if few and are_single(few):
            self._next = self._collated(items)
        else:
            self._refuse_batch_size(f"An iterable of batches ({type(data).__name__})")
            self._next = partial(self._read, next, items)
        return False

    def _refuse_batch_size(self, what: str) -> None:
        if self.batch_size is not None:
            raise ValueError(
                f"batch_size={self.batch_size} was given. {what} brings its own batches, which "
                "stay as they are: leave batch_size out."
            )

    def _of_dataset(self, dataset: Any) -> Callable[[], Any]:
        if not hasattr(dataset, "__len__"):
            raise TypeError(
                f"{type(dataset).__name__} has no length. Give a Dataset with __len__, an "
                "IterableDataset, or a list of batches."
            )
        self.total = total = len(dataset)
        self.left_out = total > self.max_examples
        picked: Sequence[int] = range(total)
        if self.left_out:
            picked = draw(total, self.max_examples, self.seed).tolist()
        size = self.batch_size or BATCH_SIZE
        plan = (list(picked[start : start + size]) for start in range(0, len(picked), size))
        return self._fetching(dataset, plan, collate)

    def _of_list(self, batches: Sequence[Any]) -> Callable[[], Any]:
        """Batches in memory, in their order; some drawn where there are too many."""
        sizes = [Batch.of(map_arrays(self._as_tensor, raw), Form()).size for raw in batches]
        return (batches[number] for number in self._drawn(sizes)).__next__

    def _drawn(self, sizes: Sequence[int]) -> list[int]:
        """Numbers of whole batches of at most `max_examples` examples in all, in order."""
        self.total = sum(sizes)
        if self.total <= self.max_examples:
            return list(range(len(sizes)))
        self.left_out = True
        chosen: list[int] = []
        room = self.max_examples
        generator = torch.Generator().manual_seed(self.seed)
        for number in torch.randperm(len(sizes), generator=generator).tolist():
            if sizes[number] <= room or not chosen:
                chosen.append(number)
                room -= sizes[number]
        return sorted(chosen)

    def _of_loader(self, loader: DataLoader[Any]) -> Callable[[], Any]:
        """Batches as the loader makes them.

        Examples are taken from the data set itself where that gives the same: no worker starts.
        """
        if getattr(loader.sampler, "replacement", False):
            self.said.append(
                f"The loader's {type(loader.sampler).__name__} draws examples at random, some more "
                f"than once: the loss is of one draw, that of seed {self.seed}, the same at every "
                "parameter vector."
            )
        overridden = type(loader).__iter__ is not DataLoader.__iter__
        prepared = loader.num_workers > 0 and loader.worker_init_fn is not None
        if overridden or prepared:
            own = copy.copy(loader)
            own.__dict__["_iterator"] = None  # workers that persist are not left to the user's
            return partial(self._read, next, iter(own))
        if isinstance(loader.dataset, IterableDataset):
            twin: DataLoader[Any] = DataLoader(
                loader.dataset,
                batch_size=loader.batch_size,
                collate_fn=loader.collate_fn,
                drop_last=loader.drop_last,
                generator=loader.generator,
            )
            return partial(self._read, next, iter(twin))
        if loader.batch_sampler is None:  # each item is a batch already
            plan = ([index] for index in loader.sampler)
            return self._fetching(loader.dataset, plan, lambda items: loader.collate_fn(items[0]))
        sequential = type(loader.sampler) is SequentialSampler
        indices: Iterator[list[Any]] = iter(loader.batch_sampler)
        if sequential and type(loader.batch_sampler) is BatchSampler:
            every = list(indices)
            indices = (every[number] for number in self._drawn([len(one) for one in every]))
        elif hasattr(loader.sampler, "__len__") and loader.batch_size:
            self.total = len(loader.sampler)  # type: ignore[arg-type]
        return self._fetching(loader.dataset, map(list, indices), loader.collate_fn)

    def _fetching(
        self, dataset: Any, plan: Iterator[list[Any]], collate: Callable[[list[Any]], Any]
    ) -> Callable[[], Any]:
        """Take the examples of one batch after the other out of a data set."""

        def following() -> Any:
            indices = self._read(next, plan)
            if not self._given and len(indices) > self.max_examples:
                self.left_out = True
                few = draw(len(indices), self.max_examples, self.seed)
                indices = [indices[number] for number in few.tolist()]
            if callable(getattr(dataset, "__getitems__", None)) and type(dataset) is not Subset:
                items = self._read(dataset.__getitems__, indices)
            else:
                items = []
                for index in indices:
                    items.append(self._read(getitem, dataset, index))
                    self.step(len(items))
            return self._read(collate, items)

        return following

    def _collated(self, items: Iterator[Any]) -> Callable[[], Any]:
        """Single examples of a stream, put together."""
        size = min(self.batch_size or BATCH_SIZE, self.max_examples)

        def following() -> Any:
            wanted = min(size, max(1, self.max_examples - self.done))  # one more, to know
            taken: list[Any] = []
            while len(taken) < wanted:
                try:
                    taken.append(self._read(next, items))
                except StopIteration:
                    break
                self.step(len(taken))
            if not taken:
                raise StopIteration
            return collate(taken)

        return following

    def _read(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call what belongs to the user's data."""
        with self._randomness.in_place():
            return function(*arguments)


def draw(total: int, count: int, seed: int) -> Tensor:
    """`count` of `total` numbers, drawn with the seed, in order."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(total, generator=generator)[:count].sort().values
