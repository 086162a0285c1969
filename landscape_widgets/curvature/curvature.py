"""How the loss is curved at one parameter vector: eigenvalues, trace, spectral density."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from landscape_widgets.curvature.dense import MOST, dense
from landscape_widgets.curvature.density import Density, exact_density, quadrature
from landscape_widgets.curvature.eigenpairs import hessian_eigenpairs
from landscape_widgets.curvature.lanczos import Eigenpairs, measured
from landscape_widgets.curvature.trace import Layers, Trace, exact_trace, hutchpp
from landscape_widgets.objective.objective import Objective
from landscape_widgets.progress import (
    CancelCallback,
    Cancelled,
    Progress,
    ProgressCallback,
    ignore,
    never,
)
from landscape_widgets.resources import free_memory

ITERATIONS, LEAST = 100, 20  # Lanczos vectors that are held: at most, and for anything to be told


@dataclass(frozen=True)
class Curvature:
    """How the mean training loss is curved at one sample.

    Attributes
    ----------
    index : int
        Of the sample; 0 is θ*.
    parameters : int
        P.
    loss, gradient_norm : float
        There.
    eigenpairs : Eigenpairs
        The largest and the smallest eigenvalues of the Hessian, with vectors and residuals.
    top : int
        How many of them are the largest; the others are the smallest.
    trace : Trace or None
        None where the work was stopped before.
    density : Density or None
    """

    index: int
    parameters: int
    loss: float
    gradient_norm: float
    eigenpairs: Eigenpairs = field(repr=False)
    top: int
    trace: Trace | None = None
    density: Density | None = None

    @property
    def sharpness(self) -> float:
        """The largest eigenvalue: steps of gradient descent longer than 2 over it diverge."""
        return float(self.eigenpairs.values[0])

    def __repr__(self) -> str:
        pairs = self.eigenpairs
        where = "θ*" if self.index == 0 else f"sample {self.index}"
        said = [f"top eigenvalue {pairs.values[0]:.4g} ± {pairs.errors[0]:.1g}"]
        if len(pairs.values) > self.top:
            said.append(f"bottom {pairs.values[-1]:.4g} ± {pairs.errors[-1]:.1g}")
        if self.trace is not None:
            said.append(f"trace {self.trace.value:.4g} ± {self.trace.error:.1g}")
        said.append(f"{self.parameters:,} parameters")
        return f"<Curvature at {where}: {', '.join(said)}>"

    def to_frame(self) -> pd.DataFrame:
        """One row for each number: quantity, layer ("" where of all), value, error."""
        pairs = self.eigenpairs
        names = [f"eigenvalue {i + 1}" for i in range(self.top)]
        rest = len(pairs.values) - self.top
        names += [f"eigenvalue {self.parameters - rest + 1 + i}" for i in range(rest)]
        rows = [
            (name, "", value, error)
            for name, value, error in zip(names, pairs.values, pairs.errors, strict=True)
        ]
        if self.trace is not None:
            rows.append(("trace", "", self.trace.value, self.trace.error))
            of_layers = zip(self.trace.layers, self.trace.of_layers, self.trace.errors, strict=True)
            rows += [("trace", *layer) for layer in of_layers]
        return pd.DataFrame(rows, columns=["quantity", "layer", "value", "error"])


def curvature_at(
    objective: Objective,
    theta: Tensor,
    buffers: Mapping[str, Tensor] | None = None,
    *,
    index: int = 0,
    top: int = 5,
    bottom: int = 2,
    seed: int = 0,
    progress: ProgressCallback = ignore,
    cancelled: CancelCallback = never,
    on_part: Callable[[Curvature], None] | None = None,
) -> Curvature:
    """Eigenvalues, trace and spectral density of the Hessian of the mean training loss.

    Of up to `MOST` parameters the Hessian is taken as a matrix and all are exact; of more,
    eigenvalues are found by Lanczos, the trace by Hutch++, the density by Lanczos quadrature.

    Parameters
    ----------
    objective
    theta : Tensor (P,)
        Where; `buffers` are those of the model, by name, that are not as at θ* there.
    index
        The sample's number, for the result.
    top, bottom : int
        How many eigenvalues from each end; as many as there are in a model of fewer parameters.
    seed
        Of what is drawn.
    progress, cancelled
        Once there are eigenvalues, what is done is returned after `cancelled` says yes.
    on_part : callable, optional
        Gets what is known, whenever that is more.

    Raises
    ------
    ValueError
        If the loss has no second derivative, it or a product is not finite, or there is no room
        for Lanczos vectors.
    Cancelled
        If that was asked for before there were eigenvalues.
    """
    if top < 1 or bottom < 0:
        raise ValueError(
            f"top={top}, bottom={bottom}; at least 1 largest and 0 smallest eigenvalues are "
            "expected."
        )
    size = objective.size
    top = min(top, size)
    bottom = min(bottom, size - top)
    with objective.with_buffers(buffers or {}):
        loss, gradient = objective.loss_and_gradient(theta)
    if not (math.isfinite(loss) and bool(gradient.isfinite().all())):
        raise ValueError(
            f"The loss at sample {index} is {loss:.3g}, and it or its gradient is not finite: it "
            "has no curvature there. Ask for another sample."
        )

    def report(phase: str, done: int, total: int) -> None:
        progress(Progress(phase, done, total))
        if cancelled():
            raise Cancelled

    def put(found: Curvature) -> Curvature:
        if on_part is not None:
            on_part(found)
        return found

    started = partial(Curvature, index, size, loss, float(gradient.norm()))
    layers = Layers.of(objective.layout)
    if size <= MOST:
        with objective.with_buffers(buffers or {}):
            exact = objective.exact_hessian(theta)
            product = exact or objective.hessian(theta)
        like = theta.double() if exact is not None else theta
        matrix = dense(product, like, partial(report, "curvature"))
        pairs = _ends_of(matrix, like, top, bottom)
        return put(started(pairs, top, exact_trace(matrix, layers), exact_density(matrix)))

    generator = torch.Generator().manual_seed(seed)
    pairs = hessian_eigenpairs(
        objective, theta, top=top, bottom=bottom, seed=generator,
        iterations=_iterations(objective, top + bottom), buffers=buffers,
        on_iteration=partial(report, "eigenvalues"),
    )  # fmt: skip
    found = put(started(pairs, top))
    with objective.with_buffers(buffers or {}):
        product = objective.hessian(theta)
    try:

        def of_trace(done: int, total: int, trace: Trace | None) -> None:
            nonlocal found
            if trace is not None:
                found = put(replace(found, trace=trace))
            report("trace", done, total)

        hutchpp(product, theta, layers, generator=generator, on_product=of_trace)

        def of_density(done: int, total: int, density: Density | None) -> None:
            nonlocal found
            if density is not None and density is not found.density:
                found = put(replace(found, density=density))
            report("density", done, total)

        quadrature(product, theta, generator=generator, known=pairs, on_product=of_density)
    except Cancelled:
        pass
    return found


def _ends_of(matrix: Tensor, like: Tensor, top: int, bottom: int) -> Eigenpairs:
    """The extreme eigenpairs of a matrix (P, P) that is known to the precision of `like`."""
    _, vectors = np.linalg.eigh(matrix.numpy())
    size = len(matrix)
    chosen = [*range(size - 1, size - 1 - top, -1), *range(bottom - 1, -1, -1)]
    rows = torch.from_numpy(vectors.T[chosen].copy())
    found = measured(lambda v: (matrix @ v).to(like.dtype), rows)
    return replace(found, vectors=found.vectors.to(like))


def _iterations(objective: Objective, least: int) -> int:
    """How many Lanczos vectors may be held."""
    each = objective.anchor.element_size() * objective.size
    fitting = free_memory(objective.device) // (2 * each)
    if fitting < max(LEAST, least + 1):
        raise ValueError(
            f"Eigenvalues take {max(LEAST, least + 1)} vectors of {objective.size:,} parameters "
            f"each, and there is room for {fitting}. Take the critical sharpness, which takes "
            "losses alone."
        )
    return min(ITERATIONS, fitting)
