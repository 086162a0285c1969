"""The data a landscape is drawn over: read once, into fixed batches.

Every parameter vector sees the same examples in the same order; a shuffled loader would add
noise to the landscape.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, SequentialSampler

ACCEPTED = (
    "a pair (inputs, targets) of tensors or arrays, a torch Dataset, a DataLoader, "
    "or a list of batches"
)


@dataclass(frozen=True)
class Batch:
    """Some examples; `raw` is the batch as the user's own loss function gets it."""

    inputs: Any
    targets: Any
    raw: Any
    size: int

    def to(self, device: torch.device) -> Batch:
        def move(leaf: Any) -> Any:
            return leaf.to(device) if isinstance(leaf, Tensor) else leaf

        inputs, targets, raw = tree_map(move, (self.inputs, self.targets, self.raw))
        return Batch(inputs, targets, raw, self.size)


@dataclass
class Examples:
    """Fixed batches, and whether they are all of the data that was given.

    Attributes
    ----------
    batches : list of Batch
        As the user made them: a loss that is a function of a whole batch is asked on these.
    capped : bool
        Only a part was taken, drawn with the seed.
    given_whole : bool
        The data came as tensors, and nobody has said what a batch of them is: there is one.
    """

    batches: list[Batch]
    capped: bool
    given_whole: bool = False

    @cached_property
    def joined(self) -> Batch | None:
        """All examples in one batch, for tiles of any size; None where shapes do not allow it."""
        whole = _join(self.batches)
        if whole is not None and len(self.batches) > 1:
            # Views of what was joined: the examples lie in memory once.
            ends = np.cumsum([batch.size for batch in self.batches]).tolist()
            starts = [0, *ends[:-1]]
            self.batches = [
                take(whole, slice(*bounds)) for bounds in zip(starts, ends, strict=True)
            ]
        return whole

    @property
    def size(self) -> int:
        """Number of examples."""
        return sum(batch.size for batch in self.batches)

    def tiles(self, size: int | None) -> Iterator[Batch]:
        """Yield the examples in tiles of `size`, or in the batches as they came where it is None.

        Batches that cannot be joined are yielded as they came.
        """
        whole = None if size is None else self.joined
        if size is None or whole is None:
            yield from self.batches
            return
        for start in range(0, whole.size, size):
            yield take(whole, slice(start, start + size))


def take(batch: Batch, index: slice | Tensor) -> Batch:
    """Some examples of a batch, along the first axis of all of its tensors."""

    def pick(leaf: Any) -> Any:
        return leaf[index] if isinstance(leaf, Tensor) and leaf.ndim > 0 else leaf

    inputs, targets, raw = tree_map(pick, (batch.inputs, batch.targets, batch.raw))
    return Batch(inputs, targets, raw, _length(raw))


def _length(tree: Any) -> int:
    lengths = [len(x) for x in tree_flatten(tree)[0] if isinstance(x, Tensor) and x.ndim > 0]
    return lengths[0] if lengths else 1


def _as_tensor(leaf: Any, dtype: torch.dtype) -> Any:
    """Arrays and tensors as tensors; floating ones in the model's own precision."""
    if hasattr(leaf, "to_numpy"):
        leaf = leaf.to_numpy()
    if isinstance(leaf, np.ndarray):
        if leaf.dtype == object:
            raise TypeError(
                "The data holds an array of Python objects (dtype object). "
                "Numbers are expected: convert it with .astype(numpy.float32) first."
            )
        leaf = torch.from_numpy(np.ascontiguousarray(leaf))
    if isinstance(leaf, Tensor):
        leaf = leaf.detach()
        if leaf.is_floating_point():
            leaf = leaf.to(dtype)
    return leaf


def _batch(raw: Any, dtype: torch.dtype) -> Batch:
    return split(tree_map(lambda leaf: _as_tensor(leaf, dtype), raw))


def split(raw: Any) -> Batch:
    """A batch of two parts is (inputs, targets); any other is inputs alone."""
    if isinstance(raw, (tuple, list)) and len(raw) == 2:
        return Batch(raw[0], raw[1], raw, _length(raw))
    return Batch(raw, None, raw, _length(raw))


def _is_array(value: Any) -> bool:
    return isinstance(value, (Tensor, np.ndarray)) or hasattr(value, "to_numpy")


def _is_pair(data: Any) -> bool:
    return isinstance(data, (tuple, list)) and len(data) == 2 and _is_array(data[1])


def read_data(
    data: Any, *, max_examples: int, seed: int, dtype: torch.dtype, batch_size: int = 256
) -> Examples:
    """Read `data` into fixed batches, at most `max_examples` examples drawn with `seed`.

    Raises
    ------
    TypeError
        If `data` is none of the accepted forms.
    ValueError
        If it is empty, or inputs and targets differ in length.
    """
    if isinstance(data, DataLoader):
        batches, capped = _read_loader(data, max_examples, seed, dtype)
    elif isinstance(data, Dataset):
        batches, capped = _read_dataset(data, None, batch_size, max_examples, seed, dtype)
    elif _is_pair(data):
        batches, capped = _read_pair(tuple(data), max_examples, seed, dtype)
    elif isinstance(data, Mapping):
        batches, capped = _read_batches([data], max_examples, dtype)
    elif isinstance(data, (list, tuple)):
        batches, capped = _read_batches(data, max_examples, dtype)
    else:
        raise TypeError(f"Data of type {type(data).__name__} was given; expected is {ACCEPTED}.")
    batches = [batch for batch in batches if batch.size > 0]
    if not batches:
        raise ValueError(f"The data is empty. Give at least one example, as {ACCEPTED}.")
    return Examples(batches, capped, given_whole=_is_pair(data))


def _read_pair(
    pair: tuple[Any, Any], max_examples: int, seed: int, dtype: torch.dtype
) -> tuple[list[Batch], bool]:
    batch = _batch(pair, dtype)
    of_inputs, of_targets = (
        sorted({len(x) for x in tree_leaves(part) if isinstance(x, Tensor) and x.ndim > 0})
        for part in (batch.inputs, batch.targets)
    )
    if len({*of_inputs, *of_targets}) > 1:
        raise ValueError(
            "Inputs and targets must have one row for each example; inputs of length "
            f"{' and '.join(map(str, of_inputs))} and targets of length "
            f"{' and '.join(map(str, of_targets))} were given. Put the example axis first in both."
        )
    if batch.size <= max_examples:
        return [batch], False
    return [take(batch, _draw(batch.size, max_examples, seed))], True


def _draw(total: int, count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(total, generator=generator)[:count].sort().values


def _read_dataset(
    dataset: Any, collate: Any, batch_size: int, max_examples: int, seed: int, dtype: torch.dtype
) -> tuple[list[Batch], bool]:
    from torch.utils.data import default_collate

    collate = collate or default_collate
    capped = False
    items: Iterator[Any]
    if isinstance(dataset, IterableDataset):
        items = iter(dataset)
    else:
        if not hasattr(dataset, "__len__"):
            raise TypeError(
                f"{type(dataset).__name__} has no length. Give a Dataset with __len__, an "
                "IterableDataset, or a list of batches."
            )
        total = len(dataset)
        capped = total > max_examples
        picked = _draw(total, max_examples, seed).tolist() if capped else range(total)
        items = (dataset[i] for i in picked)
    batches: list[Batch] = []
    pending: list[Any] = []
    for number, item in enumerate(items):
        if number == max_examples:
            capped = True
            break
        pending.append(item)
        if len(pending) == batch_size:
            batches.append(_batch(collate(pending), dtype))
            pending = []
    if pending:
        batches.append(_batch(collate(pending), dtype))
    return batches, capped


def _read_loader(
    loader: DataLoader[Any], max_examples: int, seed: int, dtype: torch.dtype
) -> tuple[list[Batch], bool]:
    plain = type(loader.sampler) in (SequentialSampler, RandomSampler)
    if plain and loader.batch_size and not isinstance(loader.dataset, IterableDataset):
        # Taken from the data set itself: no worker starts, no shuffling, no random state is used.
        return _read_dataset(
            loader.dataset, loader.collate_fn, loader.batch_size, max_examples, seed, dtype
        )
    # A sampler of the user's own decides what is seen: iterate, and give back the random state
    # that the loader draws its workers' seed from.
    with torch.random.fork_rng(devices=[]):
        return _read_batches(loader, max_examples, dtype)


def _read_batches(source: Any, max_examples: int, dtype: torch.dtype) -> tuple[list[Batch], bool]:
    batches: list[Batch] = []
    count = 0
    for raw in source:
        if not isinstance(raw, (tuple, list, Mapping)) and not _is_array(raw):
            raise TypeError(
                f"A batch of type {type(raw).__name__} was given; expected is a pair "
                "(inputs, targets), a mapping, or a tensor."
            )
        batch = _batch(raw, dtype)
        if count + batch.size > max_examples:
            if max_examples > count:
                batches.append(take(batch, slice(0, max_examples - count)))
            return batches, True
        batches.append(batch)
        count += batch.size
    return batches, False


def _join(batches: list[Batch]) -> Batch | None:
    """All batches in one, or None where their shapes do not allow it."""
    flat = [tree_flatten(batch.raw) for batch in batches]
    leaves, specs = zip(*flat, strict=True)
    if any(spec != specs[0] for spec in specs[1:]):
        return None
    columns = list(zip(*leaves, strict=True))
    for column in columns:
        first = column[0]
        if not isinstance(first, Tensor) or first.ndim == 0:
            return None
        if any(leaf.shape[1:] != first.shape[1:] for leaf in column):
            return None
    if len({len(column[0]) for column in columns}) > 1:
        return None
    if len(batches) == 1:
        return batches[0]
    raw = tree_unflatten([torch.cat(column) for column in columns], specs[0])
    return split(raw)
