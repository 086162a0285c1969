"""Batches of examples: counted, moved, cut and joined, whatever they are made of.

Every parameter vector sees the same batches in the same order; a shuffled loader would add noise
to the landscape.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from landscape_widgets.precision import accumulated
from landscape_widgets.task.structure import (
    attribute,
    is_array,
    leaves,
    map_arrays,
    named_leaves,
    tensors,
)


@dataclass(frozen=True)
class Form:
    """How the parts of a batch are read.

    Attributes
    ----------
    last_is_target : bool
        Of three parts or more the last is the targets, the others are arguments of the model.
    as_one : bool
        The model takes inputs of several parts (a tuple, a mapping) as one argument.
    axes : (int, int)
        Along which axis of the inputs, and of the targets, the examples lie.
    """

    last_is_target: bool = False
    as_one: bool = False
    axes: tuple[int, int] = (0, 0)

    def divide(self, raw: Any) -> tuple[Any, Any]:
        """Inputs and targets of a batch; None for targets where there are none.

        Two parts are a pair (inputs, targets). The `y` of an object that is no container is its
        targets, as of PyTorch Geometric's batches.
        """
        targets = None
        inputs = raw
        if is_sequence(raw) and len(raw) == 2:
            inputs, targets = raw
        elif is_sequence(raw) and self.last_is_target:
            inputs, targets = tuple(raw[:-1]), raw[-1]
        elif not is_array(raw) and not isinstance(raw, (tuple, list, Mapping)):
            found = attribute(raw, "y")
            targets = found if isinstance(found, Tensor) else None
        return inputs, targets

    def arguments(self, inputs: Any) -> Any:
        """Inputs such that `call_model` hands them over in the way the model takes them."""
        one = self.as_one or isinstance(inputs, PackedSequence)
        return (inputs,) if one and not is_array(inputs) else inputs


@dataclass(frozen=True)
class Batch:
    """Some examples.

    Attributes
    ----------
    inputs, targets
        What the model is called with, and what its outputs are compared with.
    raw
        The batch as the user's own ``loss(model, batch)`` gets it.
    size : int
        How many examples it is of.
    form : Form
    cuttable : bool
        Each of its leaves is a tensor with one row an example.
    """

    inputs: Any
    targets: Any
    raw: Any
    size: int
    form: Form = Form()
    cuttable: bool = True

    @classmethod
    def of(cls, raw: Any, form: Form) -> Batch:
        """A batch as it came, its examples counted."""
        inputs, targets = form.divide(raw)
        size, cuttable = count_examples(raw, form)
        return cls(form.arguments(inputs), targets, raw, size, form, cuttable)

    def map(self, function: Callable[[Tensor], Tensor]) -> Batch:
        """The same examples with another tensor for each tensor."""
        raw = map_arrays(function, self.raw)
        inputs, targets = self.form.divide(raw)
        return replace(self, inputs=self.form.arguments(inputs), targets=targets, raw=raw)

    def to(self, device: torch.device) -> Batch:
        """The same examples on a device."""
        return self.map(lambda leaf: leaf.to(device))


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
    assumptions : tuple of str
        What had to be assumed to read them, as sentences for the user.
    """

    batches: list[Batch]
    capped: bool
    given_whole: bool = False
    assumptions: tuple[str, ...] = ()

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
    """Some examples of a batch, along the axis of examples of each of its tensors.

    A batch that cannot be cut is itself.
    """
    if not batch.cuttable:
        return batch
    axes = _axes(batch.raw, batch.form, batch.size)

    def pick(leaf: Tensor) -> Tensor:
        return leaf[(slice(None),) * axes[id(leaf)] + (index,)]

    part = batch.map(pick)
    if isinstance(index, slice):
        return replace(part, size=len(range(*index.indices(batch.size))))
    return replace(part, size=int(index.sum()) if index.dtype == torch.bool else len(index))


def row_sums(leaf: Tensor) -> Tensor:
    """One number for each row of a tensor, on the CPU, float64."""
    if leaf.is_complex():
        leaf = torch.view_as_real(leaf.resolve_conj())
    return accumulated(leaf.reshape(len(leaf), -1)).sum(1).cpu()


def target_axis(batch: Batch) -> int:
    """Along which axis of a tensor of targets the examples lie."""
    axes = _axes(batch.raw, batch.form, batch.size)
    return axes.get(id(batch.targets), 0)


def is_sequence(raw: Any) -> bool:
    """Whether a batch is a tuple or list of parts."""
    return isinstance(raw, (tuple, list)) and not isinstance(raw, PackedSequence)


def count_examples(raw: Any, form: Form) -> tuple[int, bool]:
    """How many examples a batch is of, and whether it can be cut into them.

    Batches of graphs and packed sequences say it themselves. Else it is the length that all
    tensors share; where they share none (images of several sizes in a tuple beside a tuple of
    their boxes), the length that most of the batch's parts have.
    """
    inputs, targets = form.divide(raw)
    own = _own_count(inputs)
    if own is not None:
        return own, False
    if _are_members(inputs, targets, form):
        return len(inputs), False
    lengths = [_length(leaf, axis) for leaf, axis in _with_axes(raw, form)]
    known = {length for length in lengths if length is not None}
    first = next((length for length in lengths if length is not None), 1)
    cuttable = all(_is_cuttable(leaf) for leaf in leaves(raw))
    if form.axes != (0, 0):
        # Targets that have no such axis have one row an example.
        return first, cuttable and len(_axes(raw, form, first)) == len({*map(id, tensors(raw))})
    if len(known) == 1:
        return first, cuttable
    if isinstance(raw, Mapping):
        pieces = list(raw.values())
    elif targets is None:
        pieces = list(raw) if is_sequence(raw) else [raw]
    else:
        pieces = [inputs, targets]
    outer = [_outer_length(piece, form.axes[0]) for piece in pieces]
    common = Counter(length for length in outer if length is not None).most_common(1)
    if common:
        return common[0][0], False
    return first, False


def _own_count(inputs: Any) -> int | None:
    """The number of examples that one of the parts says it holds."""
    for part in inputs if is_sequence(inputs) else (inputs,):
        if isinstance(part, PackedSequence):
            return int(part.batch_sizes[0]) if len(part.batch_sizes) else 0
        graphs = None if is_array(part) else attribute(part, "num_graphs")
        if isinstance(graphs, int):
            return graphs
    return None


def _are_members(inputs: Any, targets: Any, form: Form) -> bool:
    """Whether inputs and targets are both lists with one member an example."""
    if not (is_sequence(inputs) and is_sequence(targets) and len(inputs) == len(targets) > 0):
        return False
    return form.as_one or not any(is_array(member) for member in targets)


def _with_axes(raw: Any, form: Form) -> list[tuple[Tensor, int]]:
    """Each tensor of a batch that has axes, with the axis along which its examples should lie."""
    of_targets = {id(leaf) for leaf in tensors(form.divide(raw)[1])}
    return [
        (leaf, form.axes[1 if id(leaf) in of_targets else 0])
        for leaf in tensors(raw)
        if leaf.ndim > 0
    ]


def _length(leaf: Tensor, axis: int) -> int | None:
    if leaf.is_nested and axis > 0:
        return None  # of several lengths
    return int(leaf.size(axis)) if axis < leaf.ndim else None


def _axes(raw: Any, form: Form, size: int) -> dict[int, int]:
    """By identity of each tensor the axis along which it has `size` rows, where it has one."""
    return {
        id(leaf): next(a for a in (axis, 0) if _length(leaf, a) == size)
        for leaf, axis in _with_axes(raw, form)
        if size in (_length(leaf, axis), _length(leaf, 0))
    }


def _outer_length(piece: Any, axis: int) -> int | None:
    if isinstance(piece, Tensor):
        return _length(piece, axis)
    return len(piece) if is_sequence(piece) else None


def _is_cuttable(leaf: Any) -> bool:
    return (
        isinstance(leaf, Tensor)
        and leaf.ndim > 0
        and leaf.layout == torch.strided
        and not leaf.is_nested
    )


def _join(batches: list[Batch]) -> Batch | None:
    """All batches in one, or None where their shapes do not allow it."""
    if not all(batch.cuttable for batch in batches):
        return None
    if len(batches) == 1:
        return batches[0]
    # A tensor that is there twice may be two in other batches.
    first = batches[0].map(lambda leaf: leaf[...])
    named = [list(named_leaves(batch.raw)) for batch in (first, *batches[1:])]
    names = [[name for name, _ in batch] for batch in named]
    if any(other != names[0] for other in names[1:]):
        return None
    columns = list(zip(*([leaf for _, leaf in batch] for batch in named), strict=True))
    if len({id(leaf) for _, leaf in named[0]}) < len(named[0]):
        return None
    axes = _axes(first.raw, first.form, first.size)
    whole: dict[int, Tensor] = {}
    for column in columns:
        axis = axes[id(column[0])]
        if len({(_but(leaf.shape, axis), leaf.dtype) for leaf in column}) > 1:
            return None
        whole[id(column[0])] = torch.cat(column, dim=axis)
    joined = first.map(lambda leaf: whole[id(leaf)])
    return replace(joined, size=sum(batch.size for batch in batches))


def _but(shape: torch.Size, axis: int) -> tuple[int, ...]:
    return (*shape[:axis], *shape[axis + 1 :])
