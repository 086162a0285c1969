"""Where data come from: tensors, Datasets, loaders, streams; read once, into fixed batches."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import numbers
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from operator import getitem
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    SequentialSampler,
    Subset,
    default_collate,
)

from landscape_widgets.errors import brief
from landscape_widgets.progress import (
    CancelCallback,
    Cancelled,
    Progress,
    ProgressCallback,
    ignore,
    never,
)
from landscape_widgets.resources import free_memory
from landscape_widgets.task.data import Batch, Examples, Form, is_sequence, take
from landscape_widgets.task.randomness import Randomness, in_main_thread
from landscape_widgets.task.structure import (
    attribute,
    describe,
    is_array,
    leaves,
    map_arrays,
    tensors,
)

ACCEPTED = (
    "a pair (inputs, targets) of tensors or arrays, a Dataset, a DataLoader or another iterable "
    "of batches, or a list of batches"
)
BATCH_SIZE = 256  # examples of a Dataset that are put together where nobody says how many
_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.uint8, torch.int8, torch.bool)
_WIDE_UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)
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
        self.max_examples = max_examples
        self.seed = seed
        self.dtype = dtype
        self.batch_size = batch_size
        self._pulled: list[Any] = []
        self._bytes = 0
        self._budget = int(free_memory(torch.device("cpu")) * MEMORY)
        self._watch(ignore, never)
        self._done = 0
        self._total: int | None = None  # examples, where it is known beforehand
        self._next: Callable[[], Any]
        self._randomness = Randomness(data, seed)
        with self._randomness.in_place():
            self.whole = self._open(data)

    def first(self, progress: ProgressCallback = ignore, cancelled: CancelCallback = never) -> Any:
        """The first batch as it came, its floating-point tensors in `dtype`.

        Raises
        ------
        ValueError
            If there is none.
        """
        self._watch(progress, cancelled)
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
        if self.whole:
            return self._cut(Batch.of(first, form))
        batches: list[Batch] = []
        exhausted = full = False
        while not (exhausted or full):
            batches += [Batch.of(raw, form) for raw in self._pulled[len(batches) :]]
            self._done = done = sum(batch.size for batch in batches)
            self._step(0)
            full = done > self.max_examples or self._bytes >= self._budget
            if done == self.max_examples and self._total is not None:
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
        said = tuple(self._said)
        if not exhausted and self._bytes >= self._budget:
            said = (
                *said,
                f"Only the first {sum(b.size for b in batches):,} examples are used: they take "
                f"{self._bytes / 2**30:.1f} GiB, a quarter of the memory that was free.",
            )
        capped = self._left_out or not exhausted
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

    # Batch by batch

    def _pull(self) -> bool:
        """Read one more batch; False where there is none."""
        try:
            # In one go where nobody waits, else example by example: see `Randomness`.
            with self._randomness.in_place() if in_main_thread() else nullcontext():
                raw = self._next()
        except StopIteration:
            return False
        known = is_array(raw) or isinstance(raw, (tuple, list, Mapping)) or bool(tensors(raw))
        if not known or _brings_batches(raw):
            raise TypeError(
                f"A batch of type {type(raw).__name__} was given; expected is a pair "
                "(inputs, targets), a mapping, a tensor, or an object that holds tensors."
            )
        raw = map_arrays(self._as_tensor, raw)
        self._bytes += sum(leaf.nbytes for leaf in tensors(raw) if leaf.layout == torch.strided)
        self._pulled.append(raw)
        return True

    def _as_tensor(self, leaf: Any) -> Tensor:
        """Arrays and tensors as tensors; floating ones in the precision to work in."""
        if hasattr(leaf, "to_numpy"):
            leaf = leaf.to_numpy()
        if not isinstance(leaf, Tensor):
            leaf = np.ascontiguousarray(leaf) if np.ndim(leaf) else np.asarray(leaf)
            if leaf.dtype.kind not in "biufc":
                raise TypeError(
                    f"The data holds an array of {leaf.dtype.name} (Python objects or text). "
                    f"Numbers are expected: {_as_numbers(leaf)}."
                )
            writable = leaf if leaf.flags.writeable else leaf.copy()
            leaf = torch.from_numpy(writable.astype(writable.dtype.newbyteorder("="), copy=False))
        tensor: Tensor = leaf.clone() if leaf.is_inference() else leaf.detach()
        if tensor.dtype in _WIDE_UNSIGNED:  # which torch holds, and does little with
            tensor = tensor.long()
        return tensor.to(self.dtype) if tensor.is_floating_point() else tensor

    def _watch(self, progress: ProgressCallback, cancelled: CancelCallback) -> None:
        self._progress, self._cancelled = progress, cancelled

    def _step(self, number: int) -> None:
        """`number` examples of the batch under way were read."""
        if self._cancelled():
            raise Cancelled
        total = self.max_examples if self._total is None else min(self._total, self.max_examples)
        self._progress(Progress("reading", min(self._done + number, total), total))

    # What kind of data it is

    def _open(self, data: Any) -> bool:
        """See what kind it is and set `_next`; True where all of it was given at once."""
        self._left_out = False
        self._said: list[str] = []
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
        whole = _given_whole(data)
        if whole is not None:
            self._next = iter([whole]).__next__
            return True
        if isinstance(data, (str, bytes, type, nn.Module, Mapping)) or not _is_read(data):
            raise TypeError(
                f"Data of type {type(data).__name__} was given; expected is {ACCEPTED}."
                + _advice(data)
            )
        if isinstance(data, Sequence):
            few = list(itertools.islice(data, 3))
            if few and _are_single(few):
                self._next = self._of_dataset(data)
            else:
                self._refuse_batch_size("A list of batches")
                self._next = self._of_list(data)
            return False
        if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
            # A Dataset of another package: Hugging Face's has named columns.
            if _brings_batches(data) or (len(data) and _are_single([data[0]])):
                self._next = self._of_dataset(data)
            else:
                self._refuse_batch_size(f"{type(data).__name__} (batches by number)")
                self._next = partial(self._read, next, (data[i] for i in range(len(data))))
            return False
        items = iter(data)
        few = list(itertools.islice(items, 1))
        items = itertools.chain(few, items)
        if few and _are_single(few):
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
        self._total = total = len(dataset)
        self._left_out = total > self.max_examples
        picked: Sequence[int] = range(total)
        if self._left_out:
            picked = draw(total, self.max_examples, self.seed).tolist()
        size = self.batch_size or BATCH_SIZE
        plan = (list(picked[start : start + size]) for start in range(0, len(picked), size))
        return self._fetching(dataset, plan, _collate)

    def _of_list(self, batches: Sequence[Any]) -> Callable[[], Any]:
        """Batches in memory, in their order; some drawn where there are too many."""
        sizes = [Batch.of(map_arrays(self._as_tensor, raw), Form()).size for raw in batches]
        return (batches[number] for number in self._drawn(sizes)).__next__

    def _drawn(self, sizes: Sequence[int]) -> list[int]:
        """Numbers of whole batches of at most `max_examples` examples in all, in order."""
        self._total = sum(sizes)
        if self._total <= self.max_examples:
            return list(range(len(sizes)))
        self._left_out = True
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
            self._said.append(
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
            self._total = len(loader.sampler)  # type: ignore[arg-type]
        return self._fetching(loader.dataset, map(list, indices), loader.collate_fn)

    def _fetching(
        self, dataset: Any, plan: Iterator[list[Any]], collate: Callable[[list[Any]], Any]
    ) -> Callable[[], Any]:
        """Take the examples of one batch after the other out of a data set."""

        def following() -> Any:
            indices = self._read(next, plan)
            if not self._pulled and len(indices) > self.max_examples:
                self._left_out = True
                few = draw(len(indices), self.max_examples, self.seed)
                indices = [indices[number] for number in few.tolist()]
            if callable(getattr(dataset, "__getitems__", None)) and type(dataset) is not Subset:
                items = self._read(dataset.__getitems__, indices)
            else:
                items = []
                for index in indices:
                    items.append(self._read(getitem, dataset, index))
                    self._step(len(items))
            return self._read(collate, items)

        return following

    def _collated(self, items: Iterator[Any]) -> Callable[[], Any]:
        """Single examples of a stream, put together."""
        size = min(self.batch_size or BATCH_SIZE, self.max_examples)

        def following() -> Any:
            wanted = min(size, max(1, self.max_examples - self._done))  # one more, to know
            taken: list[Any] = []
            while len(taken) < wanted:
                try:
                    taken.append(self._read(next, items))
                except StopIteration:
                    break
                self._step(len(taken))
            if not taken:
                raise StopIteration
            return _collate(taken)

        return following

    def _read(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call what belongs to the user's data."""
        with self._randomness.in_place():
            return function(*arguments)


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


def draw(total: int, count: int, seed: int) -> Tensor:
    """`count` of `total` numbers, drawn with the seed, in order."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(total, generator=generator)[:count].sort().values


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


def _brings_batches(part: Any) -> bool:
    """Whether this is data of its own, and no part of a batch."""
    return isinstance(part, (Dataset, DataLoader)) or attribute(part, "column_names") is not None


def _is_read(data: Any) -> bool:
    """Whether data can be iterated over, or looked up by number."""
    return isinstance(data, Iterable) or (hasattr(data, "__getitem__") and hasattr(data, "__len__"))


def _advice(data: Any) -> str:
    """What to do, for a form that is nearly right."""
    if isinstance(data, Mapping) and data:
        names = brief(", ".join(map(repr, data)), 100)
        return f" It holds {names}: choose one of them, data[{next(iter(data))!r}]."
    return ""


def _given_whole(data: Any) -> Any:
    """Data whose tensors are there all at once, as one batch; None where it is of another kind."""
    if is_array(data) or isinstance(data, PackedSequence):
        return data
    if isinstance(data, Mapping):
        if any(map(_brings_batches, data.values())):
            return None
        parts = {key: _numbers(value) for key, value in data.items()}
        if any(value is not data[key] for key, value in parts.items()):
            return parts
        return data if _holds_arrays(data) else None
    if isinstance(data, (tuple, list)):
        if len(data) == 2:
            return _pair(data)
        return tuple(data) if _are_columns(data) else None
    if callable(attribute(data, "to")) or dataclasses.is_dataclass(data):
        return data if _holds_arrays(data) and not isinstance(data, type) else None
    return None


def _holds_arrays(tree: Any) -> bool:
    """Whether there is any tensor or array in it."""
    return any(is_array(leaf) for leaf in leaves(tree))


def _pair(data: Any) -> Any:
    """(inputs, targets), if two parts are that and not two batches."""
    inputs, targets = (_numbers(part) for part in data)
    if is_array(targets):
        return (inputs, targets)
    if is_sequence(inputs) and is_sequence(targets) and len(inputs) == len(targets):
        # A member an example: images of several sizes beside what is seen in each.
        if all(map(is_array, inputs)) and all(isinstance(one, Mapping) for one in targets):
            return (inputs, targets)
        return None
    if isinstance(targets, Mapping) and isinstance(inputs, Mapping):
        return None if isinstance(data, list) or inputs.keys() == targets.keys() else data
    if is_array(inputs) and isinstance(targets, (tuple, list, Mapping)):
        values = list(targets.values()) if isinstance(targets, Mapping) else targets
        same = all(is_array(part) and np.shape(part)[:1] == np.shape(inputs)[:1] for part in values)
        return (inputs, targets) if same and values else None
    return None


def _as_numbers(array: np.ndarray[Any, Any]) -> str:
    """How to make numbers of an array of Python objects or text."""
    try:
        array.astype(np.float32)
    except (TypeError, ValueError):
        if array.ndim == 1:
            return "of names of classes take numpy.unique(targets, return_inverse=True)[1]"
        return "leave out the columns that hold text, or encode them as the model was trained on"
    return "convert it with .astype(numpy.float32) first"


def _are_columns(data: Sequence[Any]) -> bool:
    """Whether three arrays or more are parts of one batch: as long as each other, of two kinds."""
    if len(data) < 3 or not all(is_array(part) and np.ndim(part) > 0 for part in data):
        return False
    kinds = {(np.ndim(part), getattr(part, "dtype", None)) for part in data}
    return len({len(part) for part in data}) == 1 and len(kinds) > 1


def _numbers(part: Any) -> Any:
    """A list of numbers, or of such lists of one length, as an array; anything else as it is."""
    if not isinstance(part, (list, tuple)) or not part:
        return part
    first = part
    while isinstance(first, (list, tuple)) and first:
        first = first[0]
    if not isinstance(first, (numbers.Number, np.generic)):
        return part
    try:
        array = np.asarray(part)
    except ValueError:
        array = np.empty(0, dtype=object)
    if array.dtype.kind not in "biufc":
        raise ValueError(
            f"The data holds a list of {len(part):,} lists that are not of one length, or not of "
            f"numbers alone ({describe(part)}). Pad them to one length, or give a DataLoader "
            "whose collate_fn puts them into tensors."
        )
    return array


def _are_single(items: Sequence[Any]) -> bool:
    """Whether these are examples one by one, and not batches of them.

    They are where a target is a single number, or where a part is a list of numbers, or where
    inputs and targets are of different lengths, each the same in all of them, that fit no batch.
    """
    first = items[0]
    values = list(first.values()) if isinstance(first, Mapping) else first
    if not isinstance(values, (tuple, list)):
        return _is_number(first)
    scalars = [v for v in (values if isinstance(first, Mapping) else values[1:]) if _is_number(v)]
    if scalars:
        return not _have_rows(values)
    if isinstance(first, Mapping):
        return any(_is_numbers(value) for value in values)
    if len(values) != 2 or not all(isinstance(part, (Tensor, np.ndarray)) for part in values):
        return False
    shapes = {tuple(tuple(np.shape(part)) for part in item) for item in items}
    if len(shapes) > 1 or len(items) < 2:
        return False
    x, y = shapes.pop()
    if x == y == (1,):  # a line through points: (x, y) each
        return True
    return len(y) == 1 and x[0] != y[0] and (y[0] % x[0] != 0 or len(x) == 1) and x[1:2] != y


def _have_rows(values: Sequence[Any]) -> bool:
    """Whether what stands beside a number is a batch: of examples and a class for each of them."""
    arrays = [v for v in values if isinstance(v, (Tensor, np.ndarray)) and np.ndim(v) > 0]
    if len({len(array) for array in arrays}) != 1:
        return False
    integers = [torch.as_tensor(a[:0]).dtype in _INTEGERS for a in arrays if np.ndim(a) == 1]
    return any(np.ndim(array) > 1 for array in arrays) and any(integers)


def _is_number(value: Any) -> bool:
    return isinstance(value, (numbers.Number, np.generic)) or (
        isinstance(value, (Tensor, np.ndarray)) and np.ndim(value) == 0
    )


def _is_numbers(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and _is_number(value[0])


def _collate(items: Sequence[Any]) -> Any:
    """Put single examples together, one row each.

    Raises
    ------
    ValueError
        If they are of different shapes.
    """
    try:
        return default_collate([_tensors_of_lists(item) for item in items])
    except (RuntimeError, TypeError, KeyError) as error:
        raise ValueError(
            f"Examples such as {describe(items[0])} could not be put together "
            f"({type(error).__name__}: {brief(str(error))}). Give a DataLoader whose collate_fn "
            "makes batches of them."
        ) from error


def _tensors_of_lists(item: Any) -> Any:
    if isinstance(item, Mapping):
        return {key: _tensors_of_lists(value) for key, value in item.items()}
    if isinstance(item, list):
        converted = _numbers(item)
        return item if converted is item else torch.as_tensor(converted)
    if isinstance(item, tuple) and type(item) is tuple:
        return tuple(map(_tensors_of_lists, item))
    if hasattr(item, "to_numpy"):
        return torch.as_tensor(item.to_numpy())
    return item
