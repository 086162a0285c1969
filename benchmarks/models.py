"""Models as people have them: ours against the loop of functional_call over their own batches.

    python -m benchmarks.models --threads 1

None of them was tuned to. Written as in the packages that they are known from, with the batches
and losses of those; weights are random, but for the spread of their outputs. The time is that of
this thread, of all in turn: what other programs take of the machine does not count.

The floor is the time of the model's and the loss's own calls alone, on the user's batches, with
weights that lie in place: what is spent inside torch wherever batches stay as they came, and the
loop of functional_call could be no faster if all else cost nothing. Only larger batches or other
operators come below it.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from benchmarks import measure
from benchmarks.networks import Block, UNet
from landscape_widgets.geometry.basis import DenseBasis
from landscape_widgets.objective.objective import Objective
from landscape_widgets.task.parameters import random_directions

AT_LEAST, MEDIAN = 1.0, 1.3  # times as fast: each of them, and their median
HEAD = (
    "model", "vectors", "plain loop, ms", "floor, ms", "its ratio", "ours, ms", "ratio",
    "disagreement", "strategy",
)  # fmt: skip


@dataclass(frozen=True)
class Task:
    """A model with its batches and its loss.

    Attributes
    ----------
    model
    data
        As it is given to a landscape: a list of batches.
    loss : callable or None
        As it is given to a landscape.
    each : callable
        ``each(model, batch)`` is the loss of one batch, as a loop of one's own would take it.
    """

    model: nn.Module
    data: list[Any]
    loss: Callable[..., Any] | None
    each: Callable[[nn.Module, Any], Tensor]


def _supervised(model: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> Task:
    return Task(model, batches, None, lambda m, batch: F.cross_entropy(m(batch[0]), batch[1]))


def _by_outputs(model: nn.Module, batches: list[Any], loss: Callable[..., Tensor]) -> Task:
    return Task(model, batches, loss, lambda m, batch: loss(m(batch[0]), batch[1]))


def _by_model(model: nn.Module, batches: list[Any], loss: Callable[..., Tensor]) -> Task:
    return Task(model, batches, loss, loss)


class Recurrent(nn.Module):
    """Sentences through an embedding and a recurrent layer, to a class."""

    def __init__(self, kind: Callable[..., nn.Module], words: int = 2000, width: int = 96) -> None:
        super().__init__()
        self.embed = nn.Embedding(words, 64, padding_idx=0)
        self.rnn = kind(64, width, batch_first=True)
        self.head = nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.rnn(self.embed(x))
        last = (x != 0).sum(1).clamp(min=1) - 1
        return self.head(states[torch.arange(len(x)), last])


class LanguageModel(nn.Module):
    """The next word by an LSTM, as in torch's examples."""

    def __init__(self, words: int = 1000, width: int = 128) -> None:
        super().__init__()
        self.embed, self.rnn = nn.Embedding(words, width), nn.LSTM(width, width, 2)
        self.head = nn.Linear(width, words)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(self.embed(x.T))[0]).permute(1, 2, 0)


class SelfAttention(nn.Module):
    """Attention of an encoder (as in BERT) or, causal, of a decoder (as in GPT)."""

    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.q, self.k = nn.Linear(width, width), nn.Linear(width, width)
        self.v, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.heads, self.causal = heads, causal

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        m, length, width = x.shape
        q, k, v = (
            part(x).view(m, length, self.heads, -1).transpose(1, 2)
            for part in (self.q, self.k, self.v)
        )
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=self.causal)
        return self.out(y.transpose(1, 2).reshape(m, length, width))


class Layer(nn.Module):
    """Attention and a perceptron, normalised behind (BERT) or before (GPT)."""

    def __init__(self, width: int, heads: int, *, causal: bool) -> None:
        super().__init__()
        self.attention = SelfAttention(width, heads, causal)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.drop, self.before = nn.Dropout(0.1), causal

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if self.before:
            x = x + self.drop(self.attention(self.norm1(x), mask))
            return x + self.drop(self.down(F.gelu(self.up(self.norm2(x)))))
        x = self.norm1(x + self.drop(self.attention(x, mask)))
        return self.norm2(x + self.drop(self.down(F.gelu(self.up(x)))))


class Bert(nn.Module):
    """An encoder that is called, and answers, as Hugging Face's classifiers do."""

    def __init__(self, words: int = 2000, width: int = 128, layers: int = 2) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(words, width), nn.Embedding(128, width)
        self.norm = nn.LayerNorm(width)
        self.layers = nn.ModuleList(Layer(width, 2, causal=False) for _ in range(layers))
        self.pooler, self.classifier = nn.Linear(width, width), nn.Linear(width, 2)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor | None = None
    ) -> SimpleNamespace:
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        x = self.norm(self.words(input_ids) + self.places(places))
        mask = attention_mask[:, None, None, :].bool()
        for layer in self.layers:
            x = layer(x, mask)
        logits = self.classifier(torch.tanh(self.pooler(x[:, 0])))
        loss = None if labels is None else F.cross_entropy(logits, labels)
        return SimpleNamespace(loss=loss, logits=logits)


class GPT(nn.Module):
    """A small decoder, as in nanoGPT: head and embedding are one matrix."""

    def __init__(self, words: int = 500, width: int = 128, layers: int = 3) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(words, width), nn.Embedding(64, width)
        self.blocks = nn.ModuleList(Layer(width, 4, causal=True) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, words, bias=False)
        self.head.weight = self.wte.weight

    def forward(self, x: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        h = self.wte(x) + self.wpe(torch.arange(x.shape[1], device=x.device))
        for block in self.blocks:
            h = block(h)
        logits = self.head(self.norm(h))
        if targets is None:
            return logits, None
        flat = logits.view(-1, logits.shape[-1])
        return logits, F.cross_entropy(flat, targets.reshape(-1), ignore_index=-1)


def mobile() -> nn.Module:
    """Depthwise and pointwise convolutions in turn, as in MobileNet (Howard et al. 2017)."""
    layers: list[nn.Module] = [
        nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU6(inplace=True)
    ]  # fmt: skip
    for fan_in, fan_out, stride in ((16, 32, 1), (32, 64, 2), (64, 64, 1), (64, 128, 2)):
        layers += [
            nn.Conv2d(fan_in, fan_in, 3, stride, 1, groups=fan_in, bias=False),
            nn.BatchNorm2d(fan_in), nn.ReLU6(inplace=True),
            nn.Conv2d(fan_in, fan_out, 1, bias=False), nn.BatchNorm2d(fan_out),
            nn.ReLU6(inplace=True),
        ]  # fmt: skip
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10))


def resnet20() -> nn.Module:
    """The ResNet-20 of CIFAR (He et al. 2016)."""
    layers: list[nn.Module] = [
        nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()
    ]  # fmt: skip
    fan_in = 16
    for fan_out, stride in ((16, 1), (32, 2), (64, 2)):
        layers += [Block(fan_in, fan_out, stride), *(Block(fan_out, fan_out, 1) for _ in "ab")]
        fan_in = fan_out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


class VAE(nn.Module):
    """A variational autoencoder, as in torch's examples."""

    def __init__(self, pixels: int = 784, hidden: int = 200, latent: int = 10) -> None:
        super().__init__()
        self.fc1 = nn.Linear(pixels, hidden)
        self.mean, self.log_variance = nn.Linear(hidden, latent), nn.Linear(hidden, latent)
        self.fc3, self.fc4 = nn.Linear(latent, hidden), nn.Linear(hidden, pixels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = F.relu(self.fc1(x))
        mean, log_variance = self.mean(h), self.log_variance(h)
        z = mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z)))), mean, log_variance


def _evidence(model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
    x = batch[0]
    found, mean, log_variance = model(x)
    divergence = -0.5 * (1 + log_variance - mean.pow(2) - log_variance.exp()).sum()
    return (F.binary_cross_entropy(found, x, reduction="sum") + divergence) / len(x)


class Convolved(nn.Module):
    """Two graph convolutions over a list of edges (Kipf and Welling 2017)."""

    def __init__(self, features: int = 64, hidden: int = 32, classes: int = 7) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(features, hidden), nn.Linear(hidden, classes)

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        return self._spread(self.second(torch.relu(self._spread(self.first(x), edges))), edges)

    def _spread(self, x: Tensor, edges: Tensor) -> Tensor:
        degree = torch.bincount(edges[1], minlength=len(x)).clamp(min=1).to(x)
        return torch.zeros_like(x).index_add(0, edges[1], x[edges[0]]) / degree[:, None]


def _of_labelled(model: nn.Module, graph: dict[str, Tensor]) -> Tensor:
    found = model(graph["x"], graph["edges"])
    return F.cross_entropy(found[graph["mask"]], graph["y"][graph["mask"]])


def _burgers(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Residual of u_t + u u_x = ν u_xx, and the data (Raissi et al. 2019)."""
    with torch.enable_grad():
        points = batch[0].detach().requires_grad_()
        u = model(points)
        (first,) = torch.autograd.grad(u.sum(), points, create_graph=True)
        (second,) = torch.autograd.grad(first[:, 0].sum(), points, create_graph=True)
        residual = first[:, 1:] + u * first[:, :1] - 0.01 / math.pi * second[:, :1]
        return (residual**2).mean() + ((u - batch[1]) ** 2).mean()


def _tanh_mlp() -> nn.Module:
    layers: list[nn.Module] = [nn.Linear(2, 32), nn.Tanh()]
    for _ in range(3):
        layers += [nn.Linear(32, 32), nn.Tanh()]
    return nn.Sequential(*layers, nn.Linear(32, 1))


def _sentences(count: int, length: int, words: int, size: int) -> list[tuple[Tensor, Tensor]]:
    batches = []
    for _ in range(count // size):
        x = torch.randint(1, words, (size, length))
        for row in x:
            row[int(torch.randint(length // 3, length + 1, ())) :] = 0
        batches.append((x, torch.randint(0, 2, (size,))))
    return batches


def _images(count: int, side: int, size: int) -> list[tuple[Tensor, Tensor]]:
    return [
        (torch.randn(size, 3, side, side), torch.randint(0, 10, (size,)))
        for _ in range(count // size)
    ]


def _bert_batches() -> list[dict[str, Tensor]]:
    return [
        {"input_ids": x, "attention_mask": (x != 0).long(), "labels": y}
        for x, y in _sentences(128, 32, 2000, 16)
    ]


def _graph() -> dict[str, Tensor]:
    return {
        "x": torch.randn(1000, 64), "edges": torch.randint(0, 1000, (2, 5000)),
        "mask": torch.rand(1000) < 0.2, "y": torch.randint(0, 7, (1000,)),
    }  # fmt: skip


def _masked() -> Task:
    """An encoder of torch's own, with padding and a loss of one's own."""

    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(500, 64)
            layer = nn.TransformerEncoderLayer(64, 4, 128, activation="gelu", batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.head = nn.Linear(64, 9)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.encoder(self.embed(x), src_key_padding_mask=x == 0))

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        losses = F.cross_entropy(outputs.transpose(1, 2), targets.clamp(min=0), reduction="none")
        weights = (targets >= 0).float()
        return (losses * weights).sum() / weights.sum()

    batches = []
    for x, _ in _sentences(128, 24, 500, 16):
        tags = torch.randint(0, 9, x.shape)
        batches.append((x, tags.where(x != 0, -1)))
    return _by_outputs(Tagger(), batches, loss)


def _segmented() -> Task:
    batches = [
        (torch.randn(4, 3, 64, 64), torch.randint(0, 4, (4, 64, 64))) for _ in range(2)
    ]  # fmt: skip
    return _supervised(UNet(16), batches)


def _next_words() -> Task:
    batches = [torch.randint(0, 1000, (16, 33)) for _ in range(4)]
    return _supervised(LanguageModel(), [(x[:, :-1], x[:, 1:]) for x in batches])


def _next_letters() -> Task:
    texts = [torch.randint(0, 500, (8, 49)) for _ in range(4)]
    batches = [(x[:, :-1], x[:, 1:]) for x in texts]
    return _by_model(GPT(), batches, lambda model, batch: model(*batch)[1])


MODELS: dict[str, Callable[[], Task]] = {
    "GRU with an embedding": lambda: _supervised(Recurrent(nn.GRU), _sentences(256, 24, 2000, 32)),
    "LSTM with an embedding": lambda: _supervised(
        Recurrent(nn.LSTM), _sentences(256, 24, 2000, 32)
    ),
    "LSTM language model": _next_words,
    "U-Net": _segmented,
    "encoder as Hugging Face's": lambda: Task(
        Bert(), _bert_batches(), None, lambda m, batch: m(**batch).loss
    ),
    "masked tagger, own loss": _masked,
    "small GPT": _next_letters,
    "MobileNet-like": lambda: _supervised(mobile(), _images(64, 32, 32)),
    "CIFAR ResNet-20": lambda: _supervised(resnet20(), _images(64, 32, 32)),
    "VAE": lambda: _by_model(VAE(), [(torch.rand(128, 784),) for _ in range(4)], _evidence),
    "graph network": lambda: _by_model(Convolved(), [_graph()], _of_labelled),
    "physics-informed MLP": lambda: _by_model(
        _tanh_mlp(), [(torch.rand(256, 2), torch.rand(256, 1)) for _ in range(2)], _burgers
    ),
}


class _Loss(nn.Module):
    """Lets a loss that calls the model be called with other weights by `functional_call`."""

    def __init__(self, model: nn.Module, each: Callable[[nn.Module, Any], Tensor]) -> None:
        super().__init__()
        self.model, self.each = model, each

    def forward(self, batch: Any) -> Tensor:
        return self.each(self.model, batch)


def plain_loop(task: Task, basis: DenseBasis, rows: np.ndarray) -> np.ndarray:
    """`functional_call` with the weights of each row, on each batch; means over examples."""
    named = [(n, p) for n, p in task.model.named_parameters() if p.requires_grad]
    sizes = [p.numel() for _, p in named]
    anchor = torch.cat([p.detach().reshape(-1) for _, p in named])
    wrapped = _Loss(task.model, task.each)
    counts = [_size(batch) for batch in task.data]
    losses = []
    with torch.no_grad():
        for row in rows:
            vector = anchor + basis.combine(row)
            parts = zip(named, vector.split(sizes), strict=True)
            weights = {f"model.{name}": part.view(p.shape) for (name, p), part in parts}
            torch.manual_seed(0)
            found = [float(functional_call(wrapped, weights, (batch,))) for batch in task.data]
            losses.append(np.average(found, weights=counts))
    return np.array(losses)


def _calls(task: Task, count: int) -> None:
    """Model and loss on each batch, so many times, and nothing else."""
    with torch.no_grad():
        for _ in range(count):
            for batch in task.data:
                task.each(task.model, batch)


def _size(batch: Any) -> int:
    tensors = list(batch.values()) if isinstance(batch, dict) else list(batch)
    return len(tensors[0])


def measured(name: str, budget: float, repetitions: int) -> tuple[tuple[str, ...], float, float]:
    """A line of the table, the ratio, and that of the floor."""
    torch.manual_seed(0)
    task = MODELS[name]()
    task.model.eval()
    objective = Objective(task.model, task.data, loss=task.loss, metrics=[])
    generator = torch.Generator().manual_seed(0)
    drawn = random_directions(3, objective.anchor, objective.layout, generator) * 0.3
    rows = np.random.default_rng(0).uniform(-0.25, 1.25, (1000, 3))
    plain_loop(task, DenseBasis(drawn), rows[:2])
    start = time.thread_time()
    plain_loop(task, DenseBasis(drawn), rows[:3])
    count = max(40, min(len(rows), int(budget * 3 / (time.thread_time() - start))))
    rows = rows[:count]
    objective.evaluate(DenseBasis(drawn.clone()), rows, metrics=False)  # with the trial
    times, found = [], {}
    for _ in range(repetitions):
        basis, fresh = DenseBasis(drawn.clone()), DenseBasis(drawn.clone())
        start = time.thread_time()
        found["plain"] = plain_loop(task, basis, rows)
        middle = time.thread_time()
        found["ours"] = objective.evaluate(fresh, rows, metrics=False).losses
        end = time.thread_time()
        _calls(task, len(rows))
        times.append((middle - start, end - middle, time.thread_time() - end))
    ratio = measure.median_ratio([(plain, ours) for plain, ours, _ in times])
    possible = measure.median_ratio([(plain, floor) for plain, _, floor in times])
    plain, ours, floor = (1e3 * statistics.median(t) / len(rows) for t in zip(*times, strict=True))
    worst = measure.worst_disagreement(found["ours"], found["plain"])
    drawn_noise = "its own noise" if objective.stochastic else f"{worst:.0e}"
    line = (
        name, f"{len(rows)} in 3 dimensions", f"{plain:.3g}", f"{floor:.3g}", f"{possible:.2f}",
        f"{ours:.3g}", f"**{ratio:.2f}**", drawn_noise, objective.strategy,
    )  # fmt: skip
    return line, ratio, possible


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--budget", type=float, default=2.0, help="seconds of the plain loop")
    parser.add_argument("--only", nargs="*", choices=list(MODELS), default=list(MODELS))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    lines, ratios, floors = [], [], []
    for name in options.only:
        line, ratio, possible = measured(name, options.budget, options.repetitions)
        lines.append(line)
        ratios.append(ratio)
        floors.append(possible)
    print(f"{options.threads} thread(s), torch {torch.__version__}\n")
    print(measure.table(HEAD, lines))
    least, median = min(ratios), statistics.median(ratios)
    print(
        f"\nThe least is {least:.2f} (at least {AT_LEAST}: {measure.verdict(least >= AT_LEAST)}), "
        f"the median {median:.2f} (at least {MEDIAN}: {measure.verdict(median >= MEDIAN)}). "
        f"With the floor's time in place of ours they would be {min(floors):.2f} and "
        f"{statistics.median(floors):.2f}."
    )


if __name__ == "__main__":
    main()
