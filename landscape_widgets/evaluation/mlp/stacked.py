"""Multilayer perceptrons at several parameter vectors at once, by batched matrix products."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from landscape_widgets.evaluation.accumulate import Accumulator
from landscape_widgets.evaluation.mlp.feed_forward import FeedForward, Weights
from landscape_widgets.evaluation.request import Request
from landscape_widgets.evaluation.strategy import OUTPUTS, Strategy, vectors_at
from landscape_widgets.evaluation.tiled_examples import TiledExamples
from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.precision import exact
from landscape_widgets.resources import allowance
from landscape_widgets.task.data import Batch, take

TILE = 512  # examples side by side in a matrix product
# Activations of one product: 1 MiB in float32, what a core's second-level cache holds.
ACTIVATIONS = 1 << 18
VECTORS = 1 << 20  # numbers in the parameter vectors that are made in one go
CUDA_FACTOR = 64  # a GPU wants more work at a time

# From some of the rows and a tile's number to the first layer's pre-activations
# (r, features, examples).
Head = Callable[[slice, int], Tensor]


class Stacked(Strategy):
    """Feature-major batched products: weights (r, out, in) times activations (r, in, examples).

    Parameters
    ----------
    model
        The working copy.
    network
        What it is, read as an MLP.
    anchor : Tensor (P,)
    examples : int
        In the training data.
    """

    name = "stacked"

    def __init__(
        self, model: nn.Module, network: FeedForward, anchor: Tensor, examples: int
    ) -> None:
        self.model, self.network, self.anchor = model, network, anchor
        budget = ACTIVATIONS * (CUDA_FACTOR if anchor.is_cuda else 1)
        several = budget // (min(TILE, examples) * network.width)
        self.group = min(16, max(4, 1 << (int(several).bit_length() - 1)))
        self._start = 0  # parameters before this one are not needed as vectors
        self._inputs: WeakKeyDictionary[TiledExamples, list[Tensor]] = WeakKeyDictionary()
        self._fits: WeakKeyDictionary[TiledExamples, bool] = WeakKeyDictionary()

    def suits(self, request: Request, split: TiledExamples) -> bool:
        if split not in self._fits:
            self._fits[split] = self._accepts(split)
        return self._fits[split]

    @torch.no_grad()
    def _accepts(self, split: TiledExamples) -> bool:
        """Whether examples are plain rows of features that may be cut, and kept transposed."""
        if not split.separable or not split.on_device:
            return False
        features = self.network.input(self.model, take(split.examples.batches[0], slice(0, 2)))
        needed = split.size * features.shape[-1] * features.element_size()
        return features.ndim == 2 and needed < allowance(self.anchor.device)

    def _features(self, split: TiledExamples) -> list[Tensor]:
        """The first layer's input (in, examples) on each tile."""
        if split not in self._inputs:
            self._inputs[split] = [
                self.network.input(self.model, tile).T.contiguous() for tile in split.tiles(TILE)
            ]
        return self._inputs[split]

    def _head(
        self, request: Request, rows: FloatArray, vectors: Tensor, split: TiledExamples
    ) -> Head:
        layer, inputs = self.network.head, self._features(split)
        weights = Weights(vectors, self._start)
        matrices = weights[layer.weight].expand(len(rows), -1, -1)
        biases = None
        if layer.bias is not None:
            biases = weights[layer.bias].expand(len(rows), -1)

        def head(some: slice, number: int) -> Tensor:
            features, matrix = inputs[number], matrices[some].flatten(0, 1)
            if biases is None:
                h = matrix @ features
            else:
                h = torch.addmm(biases[some].reshape(-1, 1), matrix, features)
            return h.view(-1, matrices.shape[1], features.shape[1])

        return head

    def _forward(
        self, request: Request, rows: FloatArray, split: TiledExamples
    ) -> Iterator[tuple[int, Tensor, Batch]]:
        """Yield the first row, outputs (r, m, ...) and batch, until all rows have seen all data."""
        several = max(1, OUTPUTS // (self.group * self.network.outputs * TILE))
        batches = list(split.tiles(several * TILE))
        block = max(1, VECTORS // self.anchor.numel() // self.group) * self.group
        for start in range(0, len(rows), block):
            some = rows[start : start + block]
            with exact(self.anchor.device):
                vectors = vectors_at(self.anchor, request.basis, some, self._start)
            head = self._head(request, some, vectors, split)
            for first in range(0, len(some), self.group):
                few = slice(first, min(first + self.group, len(some)))
                weights = Weights(vectors[few], self._start)
                number = 0
                for batch in batches:
                    parts = []
                    for _ in range(0, batch.size, TILE):
                        parts.append(self.network.after_head(weights, head(few, number)))
                        number += 1
                    h = parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)
                    yield start + first, self.network.as_given(h), batch

    @torch.no_grad()
    def run(
        self, request: Request, rows: FloatArray, split: TiledExamples, accumulator: Accumulator
    ) -> None:
        for first, outputs, batch in self._forward(request, rows, split):
            accumulator.add(first, outputs, batch)

    @torch.no_grad()
    def outputs(self, request: Request, rows: FloatArray, split: TiledExamples) -> Tensor:
        parts: dict[int, list[Tensor]] = {}
        for first, outputs, _ in self._forward(request, rows, split):
            parts.setdefault(first, []).append(outputs)
        return torch.cat([torch.cat(tiles, dim=1) for tiles in parts.values()])
