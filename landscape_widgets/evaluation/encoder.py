"""Transformer encoders by the compiled kernel (see `encoder_kernel`)."""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from landscape_widgets.evaluation.kernels import Float32, load, share_out
from landscape_widgets.evaluation.versions import Versions

LONGEST = 512  # tokens: a head's scores of a longer sequence leave the core's cache


class Encoder(nn.Module):
    """What torch's encoder, or one layer of it, does to sequences without a mask.

    Parameters
    ----------
    module : nn.TransformerEncoder or nn.TransformerEncoderLayer
        In evaluation mode, of layers that `is_for` takes. With a mask it runs itself.
    """

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module
        self.layers: list[Any] = layers_of(module)
        self.norm = getattr(module, "norm", None)
        first = self.layers[0]
        self._batch_first = first.self_attn.batch_first
        self._form = first.self_attn.num_heads, first.linear1.out_features, first.norm_first
        self._matrices = [_matrices(layer) for layer in self.layers]
        self._vectors = [_vectors(layer) for layer in self.layers]
        self._versions = Versions()
        self._packed: Float32 = np.empty((0, 0), np.float32)
        self._eps = np.array([(a.norm1.eps, a.norm2.eps) for a in self.layers], np.float32)

    def forward(self, src: Tensor, *others: Any, **named: Any) -> Tensor:
        """Encode."""
        masked = any(v is not None and v is not False for v in (*others, *named.values()))
        if masked or not self._suits(src):
            result: Tensor = self.module(src, *others, **named)
            return result
        x = src if self._batch_first else src.transpose(0, 1)
        y = self._encode(x.detach().contiguous())
        y = y if self._batch_first else y.transpose(0, 1)
        return y if self.norm is None else self.norm(y)

    def _suits(self, src: Tensor) -> bool:
        kind = (src.ndim, src.device.type, src.dtype, self._matrices[0][0].dtype)
        if kind != (3, "cpu", torch.float32, torch.float32) or torch.is_autocast_enabled("cpu"):
            return False
        length = src.shape[1 if self._batch_first else 0]
        return 0 < length <= LONGEST and src.numel() > 0 and not torch.is_grad_enabled()

    def _encode(self, x: Tensor) -> Tensor:
        kernel, y = load_kernel(), torch.empty_like(x)
        addresses = np.array([[m.data_ptr() for m in some] for some in self._matrices])
        if self._versions.have_changed(*chain(*self._vectors)):  # weights serve many tiles
            self._packed = self._side_by_side()

        def some(part: slice) -> None:
            kernel.encode(
                x[part].numpy(), y[part].numpy(), addresses, self._packed, *self._form, self._eps,
            )  # fmt: skip

        share_out(some, slice(0, len(x)))
        return y

    def _side_by_side(self) -> Float32:
        """All vectors of each layer, zeros where there is none: (layers, 9 features + hidden)."""
        three, features, hidden, _ = (len(matrix) for matrix in self._matrices[0])
        sizes = three, features, hidden, *[features] * 5
        rows = [
            torch.cat([
                torch.zeros(n) if vector is None else vector.detach()
                for n, vector in zip(sizes, vectors, strict=True)
            ])
            for vectors in self._vectors
        ]  # fmt: skip
        return torch.stack(rows).numpy()


def _matrices(layer: Any) -> tuple[Tensor, ...]:
    attention = layer.self_attn
    return (
        attention.in_proj_weight, attention.out_proj.weight,
        layer.linear1.weight, layer.linear2.weight,
    )  # fmt: skip


def _vectors(layer: Any) -> tuple[Tensor | None, ...]:
    """Biases of the matrices, and gains and shifts."""
    attention, a, b = layer.self_attn, layer.norm1, layer.norm2
    return (
        attention.in_proj_bias, attention.out_proj.bias, layer.linear1.bias, layer.linear2.bias,
        a.weight, a.bias, b.weight, b.bias,
    )  # fmt: skip


def load_kernel() -> Any:
    """The kernel, once it is loaded."""
    return load("encoder_kernel").result()


def layers_of(module: nn.Module) -> list[Any]:
    """The layers of an encoder, or the one that it is."""
    return list(module.layers) if type(module) is nn.TransformerEncoder else [module]


def is_for(module: nn.Module) -> bool:
    """Whether the kernel is for a module: encoder layers of one form, with a ReLU inside."""
    layers = layers_of(module)
    if not layers or any(type(layer) is not nn.TransformerEncoderLayer for layer in layers):
        return False
    if any(m._forward_hooks or m._forward_pre_hooks or m.training for m in module.modules()):
        return False
    if not all(map(_is_usual, layers)):
        return False
    if any(m.is_contiguous() is False for layer in layers for m in _matrices(layer)):
        return False
    forms = {
        (
            layer.self_attn.embed_dim, layer.self_attn.num_heads, layer.linear1.out_features,
            layer.norm_first, layer.self_attn.batch_first, layer.activation_relu_or_gelu,
        )
        for layer in layers
    }  # fmt: skip
    return len(forms) == 1 and next(iter(forms))[-1] == 1


def _is_usual(layer: Any) -> bool:
    """Whether the parts of a layer are those that torch gave it."""
    attention = layer.self_attn
    return (
        type(attention) is nn.MultiheadAttention
        and attention.in_proj_weight is not None
        and attention.bias_k is None
        and not attention.add_zero_attn
        and all(type(linear) is nn.Linear for linear in (layer.linear1, layer.linear2))
        and all(type(norm) is nn.LayerNorm for norm in (layer.norm1, layer.norm2))
        and all(norm.weight is not None for norm in (layer.norm1, layer.norm2))
    )


def with_encoders(model: nn.Module) -> nn.Module | None:
    """The model with its encoders by the kernel; None if it has none that it is for."""
    if is_for(model):
        return Encoder(model)
    found = False
    for name, child in model.named_children():
        replaced = with_encoders(child)
        if replaced is not None:
            setattr(model, name, replaced)
            found = True
    return model if found else None
