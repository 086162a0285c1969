"""Multilayer perceptrons with ReLUs by the compiled kernel, over all cores."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from types import ModuleType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from landscape_widgets.evaluation.accumulate import Accumulator
from landscape_widgets.evaluation.coefficients import drop_infinite, poison, with_one
from landscape_widgets.evaluation.kernels.loading import check_allowed, load, settle, share_out
from landscape_widgets.evaluation.mlp.feed_forward import Elementwise, FeedForward, Linear, Weights
from landscape_widgets.evaluation.mlp.shared import Products, SharedStacked, bytes_of
from landscape_widgets.evaluation.mlp.stacked import Stacked
from landscape_widgets.evaluation.request import Request
from landscape_widgets.evaluation.store import Store
from landscape_widgets.evaluation.strategy import Unsuited, vectors_at
from landscape_widgets.evaluation.tiled_examples import TiledExamples
from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.resources import allowance
from landscape_widgets.task.losses import CrossEntropy

SOON = 2.0  # seconds in which a kernel that cannot be loaded is found out
GROUP = 32  # parameter vectors that are worth a run of the kernel
VECTORS = 1 << 22  # numbers in the parameter vectors that are made in one go
OUTPUTS = 1 << 24  # and in the outputs, where the loss is not the kernel's own
SEEN = 1 << 12  # examples at a time, a multiple of a tile: to see the first layer's input

Float32 = npt.NDArray[np.float32]


def load_kernel() -> Future[ModuleType]:
    """The kernel, which is loaded meanwhile."""
    return load("loops")


class _Layer(NamedTuple):
    """Where one layer lies in the packed weights, and its sizes with and without padding."""

    linear: Linear
    weights: int
    bias: int
    rows: int
    outputs: int
    inputs: int
    rectified: bool


class _Plan:
    """A network's layers as the kernel wants them.

    Parameters
    ----------
    layers
        Each linear layer, and whether a ReLU follows.
    block : int
        To whose multiples the numbers of outputs are padded.
    """

    def __init__(self, layers: list[tuple[Linear, bool]], block: int) -> None:
        self.layers: list[_Layer] = []
        self.size = 0
        for linear, rectified in layers:
            outputs, inputs = linear.weight.tensor.shape
            rows = -outputs % block + outputs
            bias = self.size + rows * inputs
            self.layers.append(_Layer(linear, self.size, bias, rows, outputs, inputs, rectified))
            self.size = bias + rows
        self.table = np.array(
            [(a.weights, a.bias, a.rows, a.inputs, a.rectified) for a in self.layers],
            dtype=np.int64,
        )

    def pack(self, weights: Weights) -> Float32:
        """Weights and biases of r vectors, zeros between them: (r, size)."""
        r = len(weights.rows)
        packed = weights.rows.new_zeros(r, self.size)
        for layer in self.layers:
            part = packed[:, layer.weights : layer.bias].view(r, layer.rows, layer.inputs)
            part[:, : layer.outputs] = weights[layer.linear.weight]
            if layer.linear.bias is not None:
                biases = packed[:, layer.bias : layer.bias + layer.outputs]
                biases[:] = weights[layer.linear.bias]
        return packed.numpy()


def layers_of(network: FeedForward) -> list[tuple[Linear, bool]] | None:
    """Linear layers and whether a ReLU follows each; None if there is anything else."""
    found: list[tuple[Linear, bool]] = [(network.head, False)]
    for step in network.steps:
        if isinstance(step, Linear):
            found.append((step, False))
        elif isinstance(step, Elementwise) and step.function is torch.relu_:
            found[-1] = (found[-1][0], True)
        else:
            return None
    return found


def compilable(network: FeedForward, anchor: Tensor) -> bool:
    """Whether the kernel is for this network: ReLUs between layers, in float32 on the CPU."""
    layers = layers_of(network)
    return (
        layers is not None
        and len(layers) > 1
        and layers[0][1]
        and anchor.device.type == "cpu"
        and anchor.dtype == torch.float32
    )


def compiled(model: nn.Module, network: FeedForward, anchor: Tensor, examples: int) -> Compiled:
    """The strategy, whose kernel is loaded once there are rows for it.

    Raises
    ------
    Unsuited
        If it is not for this network, or switched off.
    """
    if not compilable(network, anchor):
        raise Unsuited(
            "it is for float32 chains of linear layers with ReLUs between them, on the CPU"
        )
    check_allowed()
    return Compiled(model, network, anchor, examples)


class Compiled(SharedStacked):
    """As `SharedStacked`, or as `Stacked` along many directions, in one compiled loop."""

    name = "compiled"

    def __init__(
        self, model: nn.Module, network: FeedForward, anchor: Tensor, examples: int
    ) -> None:
        super().__init__(model, network, anchor, examples)
        self._bases: Store[Float32] = Store(allowance(anchor.device))
        self._blocks: WeakKeyDictionary[TiledExamples, Tensor] = WeakKeyDictionary()
        self._still: WeakKeyDictionary[TiledExamples, Tensor] = (
            WeakKeyDictionary()
        )  # products of θ* itself
        self._targets: WeakKeyDictionary[TiledExamples, npt.NDArray[np.int32]] = WeakKeyDictionary()
        self._plans: dict[bool, _Plan] = {}

    @property
    def trial(self) -> int:
        return GROUP

    def suits(self, request: Request, split: TiledExamples) -> bool:
        return Stacked.suits(self, request, split) and _loaded()

    def _block(self, split: TiledExamples) -> Tensor:
        """The first layer's input (tiles, in, examples), the last tile filled up with zeros."""
        if split not in self._blocks:
            size = _kernel().TILE
            block, number = torch.empty(0), 0
            for batch in split.tiles(SEEN):
                seen = self.network.input(self.model, batch)
                if number == 0:
                    block = seen.new_zeros(-(-split.size // size), seen.shape[1], size)
                for start in range(0, len(seen), size):
                    part = seen[start : start + size]
                    block[number, :, : len(part)] = part.T
                    number += 1
            self._blocks[split] = block
        return self._blocks[split]

    def _plan(self, shared: bool) -> _Plan:
        if shared not in self._plans:
            layers = layers_of(self.network)
            assert layers is not None
            self._plans[shared] = _Plan(layers[1:] if shared else layers, _kernel().BLOCK)
        return self._plans[shared]

    def _work(
        self, request: Request, rows: FloatArray, split: TiledExamples
    ) -> Iterator[tuple[int, _Work]]:
        """Yield the first row, and what the kernel is to do for some rows, until all are had."""
        shared = SharedStacked.suits(self, request, split)
        plan, start = self._plan(shared), self._start if shared else 0
        products, inputs = self._entries(request, split, shared)
        block = max(torch.get_num_threads(), VECTORS // self.anchor.numel())
        for first in range(0, len(rows), block):
            some = rows[first : first + block]
            c = np.empty((len(some), 0), np.float32)
            base = None
            if shared:
                assert request.columns is not None
                infinite = self._shared(request, split)[1]
                c = poison(with_one(some, request.columns, self.anchor), infinite).numpy()
                base = self._base(request, split)
            if base is None:
                vectors = vectors_at(self.anchor, request.basis, some, start)
                packed = plan.pack(Weights(vectors, start))
            else:  # torch's own threads would go on spinning beside ours
                packed = np.empty((len(some), plan.size), np.float32)
            yield (
                first,
                _Work(plan.table, packed, base, c, products, inputs, self.network.outputs),
            )

    def _base(self, request: Request, split: TiledExamples) -> Float32 | None:
        """Packed weights at θ* and along each direction (k + 1, p); None if one is not finite."""
        assert request.columns is not None
        columns = request.columns

        def make() -> Float32:
            place = slice(self._start, self.anchor.numel())
            directions = request.basis.columns(place, columns).to(self.anchor)
            vectors = torch.cat([self.anchor[None, self._start :], directions])
            packed = self._plan(True).pack(Weights(vectors, self._start))
            for layer in self._plan(True).layers:  # frozen tensors do not move
                for entry, end in ((layer.linear.weight, layer.bias),
                                   (layer.linear.bias, layer.bias + layer.rows)):  # fmt: skip
                    start = layer.weights if end == layer.bias else layer.bias
                    if entry is not None and entry.place is None:
                        packed[1:, start:end] = 0.0
            return packed

        base = self._bases.get(request.basis, split, columns, make, lambda kept: kept.nbytes)
        return base if np.isfinite(base.sum()) else None

    def _shared(self, request: Request, split: TiledExamples) -> Products:
        assert request.columns is not None
        columns = request.columns
        return self._products.get(
            request.basis, split, columns, lambda: self._multiply(request, columns, split), bytes_of
        )

    def _multiply_exactly(
        self, request: Request, columns: tuple[int, ...], split: TiledExamples
    ) -> Products:
        """One tensor (k + 1, tiles, features, examples) for all tiles."""
        block, k = self._block(split), len(columns) + 1
        matrix, bias = (
            part.view(k, 1, -1, part.shape[1]) for part in self._head_of(request, columns)
        )
        products = matrix.new_empty(k, len(block), matrix.shape[2], block.shape[2])
        still = self._still.get(split)
        if still is not None:
            products[0] = still
        for number in range(0 if still is None else 1, k):
            everywhere = matrix[number].expand(len(block), -1, -1)
            torch.baddbmm(bias[number], everywhere, block, out=products[number])
        if still is None:
            self._still[split] = products[0].clone()
        return [products], drop_infinite([products])

    def _entries(
        self, request: Request, split: TiledExamples, shared: bool
    ) -> tuple[Float32, Float32]:
        """Products (k + 1, tiles, features, m) and inputs (tiles, in, m), one of them empty."""
        size = _kernel().TILE
        if shared:
            (products,) = self._shared(request, split)[0]
            return products.numpy(), np.empty((0, 0, size), np.float32)
        return np.empty((0, 0, 0, size), np.float32), self._block(split).numpy()

    def _aims(self, split: TiledExamples, ignored: int) -> npt.NDArray[np.int32]:
        """Classes of the examples (tiles, m), −1 where there is none or it does not count."""
        if split not in self._targets:
            (batch,) = split.tiles(split.size)
            targets = batch.targets.reshape(-1)
            size = _kernel().TILE
            aims = np.full(-(-split.size // size) * size, -1, np.int32)
            aims[: split.size] = targets.where(targets != ignored, -1).numpy()
            self._targets[split] = aims.reshape(-1, size)
        return self._targets[split]

    @torch.no_grad()
    def run(
        self, request: Request, rows: FloatArray, split: TiledExamples, accumulator: Accumulator
    ) -> None:
        loss = accumulator.loss
        (batch,) = split.tiles(split.size)
        plain = type(loss) is CrossEntropy and loss.output_axes == 2 and loss.weight is None
        inside = plain and not accumulator.needs_outputs
        few = max(1, OUTPUTS // (self.network.outputs * split.size))
        for first, work in self._work(request, rows, split):
            if inside:
                assert isinstance(loss, CrossEntropy)
                totals = work.cross_entropies(self._aims(split, loss.ignored))
                # What is not finite is taken again by the loss itself, which knows what to do.
                for row in np.flatnonzero(~np.isfinite(totals)):
                    outputs = self._as_given(work, slice(row, row + 1), split)
                    totals[row] = float(loss.total(outputs, batch.targets))
                accumulator.add_totals(first, torch.from_numpy(totals), batch.targets)
            else:
                for start in range(0, len(work), few):
                    some = slice(start, min(start + few, len(work)))
                    accumulator.add(first + start, self._as_given(work, some, split), batch)

    def _as_given(self, work: _Work, some: slice, split: TiledExamples) -> Tensor:
        return self.network.as_given(torch.from_numpy(work.outputs(some, split.size)))

    @torch.no_grad()
    def outputs(self, request: Request, rows: FloatArray, split: TiledExamples) -> Tensor:
        works = (work for _, work in self._work(request, rows, split))
        return torch.cat([self._as_given(work, slice(0, len(work)), split) for work in works])


def _loaded() -> bool:
    """Whether the kernel is there: what would have to wait for the compiler does without it."""
    loaded = settle("loops")
    if loaded:
        load_kernel().result()  # or why it cannot be loaded
    return loaded


def _kernel() -> Any:
    return load_kernel().result()


class _Work:
    """What the kernel is to do for some rows, shared out among threads.

    Parameters
    ----------
    table
        The layers.
    packed (r, p), base (k + 1, p), c (r, k + 1)
        The weights, which are c @ base where there is a base.
    products (k + 1, tiles, features, m), inputs (tiles, in, m)
        What the first layer is taken from; one of them is empty.
    outputs
        Of the last layer.
    """

    def __init__(
        self,
        table: npt.NDArray[np.int64],
        packed: Float32,
        base: Float32 | None,
        c: Float32,
        products: Float32,
        inputs: Float32,
        outputs: int,
    ) -> None:
        self.table, self.packed, self.base, self.c = table, packed, base, c
        self.products, self.inputs, self.n_outputs = products, inputs, outputs

    def __len__(self) -> int:
        return len(self.packed)

    def outputs(self, some: slice, examples: int) -> Float32:
        """Outputs (r, n, examples) of some of the rows."""
        tiles = self.products.shape[1] + len(self.inputs)
        shape = (some.stop - some.start, self.n_outputs, tiles * _kernel().TILE)
        found = np.empty(shape, np.float32)

        def one(rows: slice) -> None:
            part = found[rows.start - some.start : rows.stop - some.start]
            _kernel().outputs(*self._given(rows), part)

        share_out(one, some)
        return found[:, :, :examples]

    def cross_entropies(self, targets: npt.NDArray[np.int32]) -> FloatArray:
        """Sums of all examples' cross-entropies, (r,); not finite where an output is not."""
        totals = np.zeros(len(self))

        def one(rows: slice) -> None:
            _kernel().cross_entropies(*self._given(rows), self.n_outputs, targets, totals[rows])

        share_out(one, slice(0, len(self)))
        return totals

    def _given(self, rows: slice) -> tuple[Any, ...]:
        """What the kernel takes in for some rows."""
        if self.base is not None:
            _kernel().mix(self.c[rows], self.base, self.packed[rows])
        return self.packed[rows], self.table, self.c[rows], self.products, self.inputs
