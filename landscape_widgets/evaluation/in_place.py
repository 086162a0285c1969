"""One working copy of the model, its weights overwritten for each parameter vector."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from itertools import chain, islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from landscape_widgets.evaluation.accumulate import Accumulator
from landscape_widgets.evaluation.request import Request
from landscape_widgets.evaluation.strategy import OUTPUTS, Strategy, displacements_at, gather
from landscape_widgets.evaluation.tiled_examples import TiledExamples
from landscape_widgets.geometry.basis import Basis, DenseBasis, FloatArray
from landscape_widgets.precision import exact, widened
from landscape_widgets.resources import keep_freed_memory
from landscape_widgets.task.borrowed import Borrowed
from landscape_widgets.task.data import Batch
from landscape_widgets.task.losses import BatchLoss, MeanLoss, ModelLoss, call_model, main_output
from landscape_widgets.task.parameters import ParameterLayout
from landscape_widgets.task.state import State

AT_ONCE = 1 << 22  # numbers in a parameter vector that is put together in one piece: 16 MiB
TILE = 256  # examples that go through the model at a time, where nothing better is known

Prepare = Callable[[nn.Module], Sequence[tuple[Tensor, Tensor]]]


class InPlace(Strategy):
    """Exact for every model: weights are copied in, examples go through tile by tile.

    Parameters
    ----------
    model
        The working copy, on the device and in the precision to work in.
    layout, anchor
        Of its parameter vector.
    prepare
        Called each time after new weights are in place; returns buffers and what is to be in them
        (re-estimated batch statistics).
    state, borrowed
        What is put back, and what is the user's and begins anew, at each parameter vector; None
        where a model is known to keep nothing, or to use nothing of the user's.
    """

    name = "inplace"

    def __init__(
        self,
        model: nn.Module,
        layout: ParameterLayout,
        anchor: Tensor,
        prepare: Prepare | None = None,
        *,
        state: State | None = None,
        borrowed: Borrowed | None = None,
    ) -> None:
        keep_freed_memory()
        self.model = model
        self.layout = layout
        self.anchor = anchor
        self.prepare, self.state, self.borrowed = prepare, state, borrowed
        self.tile = TILE
        named = dict(model.named_parameters())
        self.tensors: list[Tensor] = [named[name] for name in layout.names]
        frozen = {name: p for name, p in named.items() if name not in set(layout.names)}
        self._buffers = {**dict(model.named_buffers()), **frozen}
        self._moved: Mapping[str, Tensor] = {}
        alike = all(tensor.dtype == anchor.dtype for tensor in self.tensors)
        self._at_once = alike and layout.size <= AT_ONCE
        self._vector: Tensor | None = None  # where weights are put together
        self._parts: list[Tensor] = []  # views of it, one a tensor

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_vector": None, "_parts": []}

    @torch.no_grad()
    def load(self, vector: Tensor) -> nn.Module:
        """Put a parameter vector (P,) into the working copy, and return it."""
        views = self.layout.unflatten(vector)
        for name, tensor in zip(self.layout.names, self.tensors, strict=True):
            tensor.copy_(views[name])
        return self._prepared()

    @property
    def draws(self) -> bool:
        """Whether random numbers have been found to be drawn."""
        lent = self.borrowed is not None and bool(self.borrowed.drawn)
        return lent or (self.state is not None and bool(self.state.draws))

    @property
    def keeps(self) -> bool:
        """Whether a call has been found to leave something behind."""
        written = self.borrowed is not None and bool(self.borrowed.written)
        return written or (self.state is not None and bool(self.state.found))

    @property
    def moved(self) -> Mapping[str, Tensor]:
        """Buffers, by name, that have other values than at θ* for now."""
        return self._moved

    @property
    def rewrites(self) -> bool:
        """Whether buffers are written to at each `begin`, which no graph that is kept survives."""
        return self.keeps or (self.state is not None and bool(self.state.changing))

    def begin(self) -> None:
        """Put back what calls have changed, and let the same random numbers come again.

        To be called before whatever is computed at a parameter vector, in the order of its
        batches: a loss, a gradient, a product with the Hessian.
        """
        if self.state is not None:
            self.state.put_back()
        for name, value in self._moved.items():
            self._buffers[name].detach().copy_(_as_kind(value, self._buffers[name]))
        if self.borrowed is not None:
            self.borrowed.begin()

    @contextmanager
    def with_buffers(self, moved: Mapping[str, Tensor]) -> Iterator[None]:
        """Let these buffers, by name, have other values than at θ*, as long as it lasts."""
        if self.state is not None and moved:
            self.state.declare(self._buffers[name] for name in moved)
        before, self._moved = self._moved, moved
        try:
            yield
        finally:
            self._moved = before
            if moved:
                self.begin()

    @contextmanager
    def preparing(self, prepare: Prepare | None) -> Iterator[None]:
        """Let this be called after new weights are in place, as long as it lasts."""
        before, self.prepare = self.prepare, prepare
        try:
            yield
        finally:
            self.prepare = before
            self.begin()

    @contextmanager
    def alone(self, *, watched: bool = False) -> Iterator[None]:
        """For work at one parameter vector: begin, and leave what is the user's as it is now.

        Parameters
        ----------
        watched
            Find what the call leaves behind and what it draws from, and put back the first.
        """
        with nullcontext() if self.borrowed is None else self.borrowed.lent(watched=watched):
            self.begin()
            try:
                yield
            finally:
                if watched and self.state is not None:
                    self.state.check()

    def _prepared(self) -> nn.Module:
        self.begin()
        if self.prepare is not None:
            statistics = self.prepare(self.model)
            if self.state is not None:
                self.state.declare(buffer for buffer, _ in statistics)
            self.begin()  # the forward passes that this took have left their own behind
            for buffer, value in statistics:
                buffer.copy_(value)
        return self.model

    @torch.no_grad()
    def at(self, basis: Basis, rows: FloatArray) -> Iterator[nn.Module]:
        """Yield the working copy with the weights θ* + Σ_j c_j b_j for each of `rows` (r, k)."""
        if basis.buffers is None:
            for _ in self._moves(basis, rows):
                yield self._prepared()
            return
        for row, _ in zip(rows, self._moves(basis, rows), strict=True):
            with self.with_buffers(basis.buffers.at(row)):
                yield self._prepared()

    def _moves(self, basis: Basis, rows: FloatArray) -> Iterator[None]:
        """Write the weights of one row after the other."""
        if isinstance(basis, DenseBasis) and basis.vectors.device == self.anchor.device:
            for row in rows:
                self._move_along(basis, row)
                yield
        else:
            for displacement in displacements_at(basis, rows, self.anchor.device):
                self._move_by(displacement)
                yield

    def _move_along(self, basis: DenseBasis, row: FloatArray) -> None:
        used = np.flatnonzero(row).tolist()
        with exact(self.anchor.device):
            if self._at_once and basis.vectors.dtype == self.anchor.dtype:
                self._move_at_once(basis, row, used)
                return
            for place, tensor in self._places():
                columns = basis.columns(place, used)
                kind = torch.promote_types(columns.dtype, tensor.dtype)
                c = torch.as_tensor(row[used], dtype=kind, device=tensor.device)
                start, out = self.anchor[place].to(kind), None
                if kind == tensor.dtype and tensor.is_contiguous():
                    out = tensor.view(-1)
                moved = torch.addmv(start, columns.to(kind).T, c, out=out)
                if out is None:
                    tensor.copy_(moved.view(tensor.shape))

    def _move_at_once(self, basis: DenseBasis, row: FloatArray, used: list[int]) -> None:
        if self._vector is None:
            self._vector = torch.empty_like(self.anchor)
            views = self.layout.unflatten(self._vector)
            self._parts = [views[name] for name in self.layout.names]
        columns = basis.columns(slice(0, basis.size), used)
        c = torch.from_numpy(row[used]).to(self.anchor)
        torch.addmv(self.anchor, columns.T, c, out=self._vector)
        torch._foreach_copy_(self.tensors, self._parts)

    # Tensor by tensor: of a large model a further vector of all of them is a lot.

    def _move_by(self, displacement: Tensor) -> None:
        for place, tensor in self._places():
            moved = self.anchor[place].to(tensor.dtype).view(tensor.shape)
            torch.add(moved, displacement[place].to(moved).view(tensor.shape), out=tensor)

    def _places(self) -> Iterator[tuple[slice, Tensor]]:
        slices = (place for _, place, _ in self.layout.slices())
        return zip(slices, (tensor.detach() for tensor in self.tensors), strict=True)

    @torch.no_grad()
    def run(
        self, request: Request, rows: FloatArray, split: TiledExamples, accumulator: Accumulator
    ) -> None:
        for number, model in enumerate(self.at(request.basis, rows)):
            tiles = split.tiles(self.tile)
            if isinstance(accumulator.loss, ModelLoss):
                add_losses(model, tiles, accumulator, number)
            else:
                found = ((call_model(model, tile.inputs), tile) for tile in tiles)
                add_found(found, split, self.tile, accumulator, number)

    @torch.no_grad()
    def outputs(self, request: Request, rows: FloatArray, split: TiledExamples) -> Tensor:
        found = []
        for model in self.at(request.basis, rows):
            tiles = split.tiles(self.tile)
            found.append(gather([main_output(call_model(model, tile.inputs)) for tile in tiles]))
        return torch.stack(found)


def _as_kind(value: Tensor, like: Tensor) -> Tensor:
    """In the type of a buffer: what is counted is rounded, what is a flag is told at one half."""
    if like.is_floating_point() or like.is_complex():
        return value.to(like)
    return value.round().to(like) if like.dtype != torch.bool else (value >= 0.5).to(like.device)


def add_losses(
    model: nn.Module, tiles: Iterable[Batch], accumulator: Accumulator, row: int
) -> None:
    """Add one model's losses on all tiles to row `row` of `accumulator`."""
    for tile in tiles:
        loss = accumulator.loss
        if isinstance(loss, ModelLoss):
            accumulator.add_value(row, loss(model, tile.raw), tile.size)
            if accumulator.metrics is not None:
                outputs = main_output(call_model(model, tile.inputs))
                accumulator.metrics.add(row, outputs.unsqueeze(0), tile.targets)
        else:
            add_outputs(call_model(model, tile.inputs), tile, accumulator, row)


def add_found(
    found: Iterable[tuple[Any, Batch]],
    split: TiledExamples,
    size: int,
    accumulator: Accumulator,
    row: int,
) -> None:
    """Add what one model returned for each tile of `size` examples to row `row` of `accumulator`.

    Losses of several tiles are taken at once where they may be.
    """
    loss = accumulator.loss
    adds_up = isinstance(loss, MeanLoss) and loss.examples_first
    if not (adds_up and split.separable and split.on_device):
        for each, tile in found:
            add_outputs(each, tile, accumulator, row)
        return
    outputs: Iterator[Tensor] = (main_output(widened(each)) for each, _ in found)
    first = next(outputs)
    several = max(1, OUTPUTS // first.numel())
    outputs = chain([first], outputs)
    for batch in split.tiles(several * size):
        accumulator.add(row, gather(list(islice(outputs, several))).unsqueeze(0), batch)


def add_outputs(outputs: Any, tile: Batch, accumulator: Accumulator, row: int) -> None:
    """Add what one model returned for a tile to row `row` of `accumulator`."""
    loss, outputs = accumulator.loss, widened(outputs)
    if isinstance(loss, BatchLoss):
        accumulator.add_value(row, loss(outputs, tile.targets), tile.size)
        if accumulator.metrics is not None:
            accumulator.metrics.add(row, main_output(outputs).unsqueeze(0), tile.targets)
    else:
        accumulator.add(row, main_output(outputs).unsqueeze(0), tile)
