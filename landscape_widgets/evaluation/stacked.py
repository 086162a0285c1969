"""Multilayer perceptrons at several parameter vectors at once, by batched matrix products."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from landscape_widgets.basis import FloatArray
from landscape_widgets.data import Batch, take
from landscape_widgets.evaluation.accumulate import Accumulator
from landscape_widgets.evaluation.call import Call
from landscape_widgets.evaluation.chain import Chain, Weights
from landscape_widgets.evaluation.memory import allowance
from landscape_widgets.evaluation.precision import exact
from landscape_widgets.evaluation.split import Split
from landscape_widgets.evaluation.strategy import Strategy, vectors_at
from landscape_widgets.losses import call_model

TILE = 512  # examples side by side in a matrix product
# Activations of one product: 1 MiB in float32, what a core's second-level cache holds.
ACTIVATIONS = 1 << 18
OUTPUTS = 1 << 17  # outputs whose losses are taken in one go
CUDA_FACTOR = 64  # a GPU wants more work at a time

# From a tile's number to the first layer's pre-activations (r, features, examples).
Head = Callable[[int], Tensor]


class Stacked(Strategy):
    """Feature-major batched products: weights (r, out, in) times activations (r, in, examples).

    Parameters
    ----------
    model
        The working copy.
    chain
        What it is, read as an MLP.
    anchor : Tensor (P,)
    examples : int
        In the training data.
    """

    name = "stacked"

    def __init__(self, model: nn.Module, chain: Chain, anchor: Tensor, examples: int) -> None:
        self.model, self.chain, self.anchor = model, chain, anchor
        budget = ACTIVATIONS * (CUDA_FACTOR if anchor.is_cuda else 1)
        several = budget // (min(TILE, examples) * chain.width)
        self.group = min(16, max(4, 1 << (int(several).bit_length() - 1)))
        self._start = 0  # parameters before this one are not needed as vectors
        self._inputs: WeakKeyDictionary[Split, list[Tensor]] = WeakKeyDictionary()
        self._fits: WeakKeyDictionary[Split, bool] = WeakKeyDictionary()

    def suits(self, call: Call, split: Split) -> bool:
        if split not in self._fits:
            self._fits[split] = self._accepts(split)
        return self._fits[split]

    @torch.no_grad()
    def _accepts(self, split: Split) -> bool:
        """Whether examples are plain rows of features that may be cut, and kept transposed."""
        if not split.separable or not split.on_device:
            return False
        features = self._seen_by_head(take(split.examples.batches[0], slice(0, 2)))
        needed = split.size * features.shape[-1] * features.element_size()
        return features.ndim == 2 and needed < allowance(self.anchor.device)

    def _seen_by_head(self, batch: Batch) -> Tensor:
        """The first layer's input, which depends on the data alone."""
        seen: list[Tensor] = []
        handle = self.chain.module.register_forward_pre_hook(
            lambda module, arguments: seen.append(arguments[0])
        )
        try:
            call_model(self.model, batch.inputs)
        finally:
            handle.remove()
        return seen[0]

    def _features(self, split: Split) -> list[Tensor]:
        """The first layer's input (in, examples) on each tile."""
        if split not in self._inputs:
            self._inputs[split] = [
                self._seen_by_head(tile).T.contiguous() for tile in split.tiles(TILE)
            ]
        return self._inputs[split]

    def _head(self, call: Call, rows: FloatArray, weights: Weights, split: Split) -> Head:
        layer, inputs = self.chain.head, self._features(split)
        matrix = weights[layer.weight].expand(len(rows), -1, -1).flatten(0, 1)
        bias = None
        if layer.bias is not None:
            bias = weights[layer.bias].expand(len(rows), -1).reshape(-1, 1)

        def head(number: int) -> Tensor:
            features = inputs[number]
            h = matrix @ features if bias is None else torch.addmm(bias, matrix, features)
            return h.view(len(rows), -1, features.shape[1])

        return head

    def _forward(
        self, call: Call, rows: FloatArray, split: Split
    ) -> Iterator[tuple[int, Tensor, Batch]]:
        """Yield the first row, outputs (r, m, ...) and batch, until all rows have seen all data."""
        group, features = self.group, self.chain.outputs
        # Losses are taken over a few tiles at a time: their many small steps cost less so.
        several = max(1, OUTPUTS // (group * features * TILE)) * TILE
        for first in range(0, len(rows), group):
            some = rows[first : first + group]
            with exact(self.anchor.device):
                vectors = vectors_at(self.anchor, call.basis, some, self._start)
            weights = Weights(vectors, self._start)
            head = self._head(call, some, weights, split)
            number = 0
            for batch in split.tiles(several):
                out = self.anchor.new_empty(len(some), features, batch.size)
                for start in range(0, batch.size, TILE):
                    h = self.chain.after_head(weights, head(number))
                    out[:, :, start : start + TILE] = h
                    number += 1
                yield first, self.chain.as_given(out), batch

    @torch.no_grad()
    def run(self, call: Call, rows: FloatArray, split: Split, accumulator: Accumulator) -> None:
        for first, outputs, batch in self._forward(call, rows, split):
            accumulator.add(first, outputs, batch)

    @torch.no_grad()
    def outputs(self, call: Call, rows: FloatArray, split: Split) -> Tensor:
        parts: dict[int, list[Tensor]] = {}
        for first, outputs, _ in self._forward(call, rows, split):
            parts.setdefault(first, []).append(outputs)
        return torch.cat([torch.cat(tiles, dim=1) for tiles in parts.values()])
