"""Any model on an affine subspace: what its moving weights do not reach is computed once.

The first layers that move are affine in the coefficients, so that k + 1 passes of the data through
them serve all samples. Layers before the first that moves need one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, fx

from landscape_widgets.evaluation.accumulate import Accumulator
from landscape_widgets.evaluation.coefficients import drop_infinite, poison, with_one
from landscape_widgets.evaluation.graph.fused import Fused
from landscape_widgets.evaluation.graph.partial import AffineLayer, Cut, cut, nbytes
from landscape_widgets.evaluation.in_place import InPlace, add_found
from landscape_widgets.evaluation.request import Request
from landscape_widgets.evaluation.store import Store
from landscape_widgets.evaluation.strategy import Strategy, gather
from landscape_widgets.evaluation.tiled_examples import TiledExamples
from landscape_widgets.geometry.basis import Basis, FloatArray
from landscape_widgets.precision import exact
from landscape_widgets.resources import allowance
from landscape_widgets.task.losses import call_model, main_output

WORTHWHILE = 2  # rows that a pass of the data must serve


class CachedActivations(Strategy):
    """One vector at a time, from where its weights begin to matter.

    Parameters
    ----------
    inplace
        Loads weights into the modules that `program` calls.
    program
        The model as a graph.
    affine
        Share the first layers that move ("shared"), or only what comes before them ("prefix").
    """

    def __init__(self, inplace: InPlace, program: fx.GraphModule, affine: bool) -> None:
        self.inplace, self.program, self.affine = inplace, program, affine
        self.places = {name: place for name, place, _ in inplace.layout.slices()}
        tensors = zip(inplace.layout.names, inplace.tensors, strict=True)
        self._names = {id(tensor): name for name, tensor in tensors}
        self._cuts: dict[frozenset[str], Cut] = {}
        self._moving: WeakKeyDictionary[Basis, dict[tuple[int, ...], frozenset[str]]]
        self._moving = WeakKeyDictionary()
        self._shared: Store[_Shared] = Store(allowance(inplace.anchor.device))

    def suits(self, request: Request, split: TiledExamples) -> bool:
        if not split.on_device or (self.affine and request.columns is None):
            return False
        if self.ready(request, split):
            return True
        passes = len(request.used) + 1 if self.affine else 1
        if request.n < WORTHWHILE * passes:
            return False
        halves = self._cut(request)
        if not halves.saves or (self.affine and not halves.layers):
            return False
        return self._needed(halves, passes, split) < self._shared.limit

    def ready(self, request: Request, split: TiledExamples) -> bool:
        return self._shared.holds(request.basis, split, request.used)

    def _cut(self, request: Request) -> Cut:
        known = self._moving.setdefault(request.basis, {})
        if request.used not in known:
            known[request.used] = request.moving(self.inplace.layout)
        moving = known[request.used]
        if moving not in self._cuts:
            halves = cut(self.program, moving, self._names, self.affine)
            if isinstance(self.inplace, Fused):
                arranged = self.inplace.arrange(halves.after, part=True)
                halves = replace(halves, after=arranged or halves.after)
            self._cuts[moving] = halves
        return self._cuts[moving]

    @torch.no_grad()
    def _needed(self, halves: Cut, passes: int, split: TiledExamples) -> int:
        """Bytes that would be held for all tiles."""
        few = split.part(2)
        total = 0
        for tile in few.tiles(None):
            constants, inputs = call_model(halves.before, tile.inputs)
            total += sum(map(nbytes, constants))
            for layer, value in zip(halves.layers, inputs, strict=True):
                total += nbytes(layer.module(value)) * passes
        return int(total * split.size / few.size)

    def _share_exactly(self, request: Request, split: TiledExamples) -> _Shared:
        with exact(self.inplace.anchor.device):
            return self._share(request, split)

    def _share(self, request: Request, split: TiledExamples) -> _Shared:
        """One pass of the data at θ*, and one through the affine layers for each direction."""
        halves = self._cut(request)
        self.inplace.load(self.inplace.anchor)
        tiles = []
        for batch in split.tiles(self.inplace.tile):
            constants, inputs = call_model(halves.before, batch.inputs)
            tile = _Tile(constants, inputs)
            tile.add([layer.module(x) for layer, x in zip(halves.layers, inputs, strict=True)])
            tiles.append(tile)
        if halves.layers:
            self._set(halves.layers, None)
            origins = [[m.module(x) for m, x in zip(halves.layers, t.inputs, strict=True)]
                       for t in tiles]  # fmt: skip
            for column in request.used:
                self._set(halves.layers, request.basis, column)
                for tile, origin in zip(tiles, origins, strict=True):
                    along = [m.module(x) for m, x in zip(halves.layers, tile.inputs, strict=True)]
                    tile.add([z - zero for z, zero in zip(along, origin, strict=True)])
        for tile in tiles:
            tile.finish()
        products = [z for tile in tiles for z in tile.products]
        infinite = drop_infinite(products) if products else torch.zeros(1, dtype=torch.bool)
        return tiles, infinite

    def _set(self, layers: tuple[AffineLayer, ...], basis: Basis | None, column: int = 0) -> None:
        """Put one direction, or zero, in the place of the moving weights."""
        for layer in layers:
            for name, tensor in layer.moving:
                if basis is None:
                    tensor.zero_()
                else:
                    part = basis.columns(self.places[name], [column])
                    tensor.copy_(part.view(tensor.shape))
        if self.inplace.prepare is not None:
            self.inplace.prepare(self.inplace.model)

    def _outputs(
        self, request: Request, rows: FloatArray, split: TiledExamples
    ) -> Iterator[Iterator[Any]]:
        """What the model returns for each tile, at each of `rows`."""
        tiles, infinite = self._shared.get(
            request.basis,
            split,
            request.used,
            lambda: self._share_exactly(request, split),
            _bytes_of,
        )
        halves = self._cut(request)
        cs = self.inplace.anchor.new_ones(len(rows), 1)
        if halves.layers:
            cs = poison(with_one(rows, request.used, self.inplace.anchor), infinite)
        for c, _ in zip(cs, self.inplace.at(request.basis, rows), strict=True):
            yield (halves.after(*tile.values(c)) for tile in tiles)

    @torch.no_grad()
    def run(
        self, request: Request, rows: FloatArray, split: TiledExamples, accumulator: Accumulator
    ) -> None:
        size = self.inplace.tile
        for number, outputs in enumerate(self._outputs(request, rows, split)):
            found = zip(outputs, split.tiles(size), strict=True)
            add_found(found, split, size, accumulator, number)

    @torch.no_grad()
    def outputs(self, request: Request, rows: FloatArray, split: TiledExamples) -> Tensor:
        found = [[main_output(o) for o in tiles] for tiles in self._outputs(request, rows, split)]
        return torch.stack([gather(tiles) for tiles in found])


class Shared(CachedActivations):
    """With the first layers that move from products that all rows share."""

    name = "shared"

    def __init__(self, inplace: InPlace, program: fx.GraphModule) -> None:
        super().__init__(inplace, program, affine=True)


class Prefix(CachedActivations):
    """With what comes before the first layer that moves kept."""

    name = "prefix"

    def __init__(self, inplace: InPlace, program: fx.GraphModule) -> None:
        super().__init__(inplace, program, affine=False)


class _Tile:
    """What all samples share on one tile: constant values, and products (k + 1, ...) of layers."""

    def __init__(self, constants: tuple[Any, ...], inputs: tuple[Any, ...]) -> None:
        self.constants, self.inputs = constants, inputs
        self._parts: list[list[Tensor]] = [[] for _ in inputs]
        self.products: list[Tensor] = []

    def add(self, outputs: list[Tensor]) -> None:
        """Take in each layer's output for one more direction."""
        for parts, output in zip(self._parts, outputs, strict=True):
            parts.append(output)

    def finish(self) -> None:
        """Put each layer's products side by side, and let go of what they were made of."""
        self.products = [_stack(parts) for parts in self._parts]
        self._parts, self.inputs = [], ()

    def values(self, c: Tensor) -> list[Any]:
        """What the rest of the model takes in at coefficients (1, c_1, ..., c_k)."""
        return [*self.constants, *(_combine(c, z) for z in self.products)]


_Shared = tuple[list[_Tile], Tensor]  # and which directions are left out for not being finite


def _stack(parts: list[Tensor]) -> Tensor:
    """(k + 1, ...), each part laid out in memory as it was."""
    first = parts[0]
    stacked = first.new_empty(len(parts), first.numel())
    for row, part in zip(stacked, parts, strict=True):
        row.as_strided(first.shape, first.stride()).copy_(part)
    return stacked.as_strided((len(parts), *first.shape), (first.numel(), *first.stride()))


def _combine(c: Tensor, products: Tensor) -> Tensor:
    """Σ_j c_j z_j, in the layout of the products."""
    shape, stride = products.shape[1:], products.stride()[1:]
    flat = products.as_strided((len(products), shape.numel()), (products.stride(0), 1))
    with exact(c.device):
        return (c @ flat).as_strided(shape, stride)


def _bytes_of(shared: _Shared) -> int:
    return sum(nbytes(value) for tile in shared[0] for value in (*tile.constants, *tile.products))
