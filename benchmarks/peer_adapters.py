"""Each package used as its own README says, behind one call; run by the package's own Python.

Tasks are lines and planes from the model along given directions. What comes back are losses and
where, by the package's documentation, they were taken, in units of those directions.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.networks import Task

Losses = tuple[np.ndarray, np.ndarray]  # (n,) and the coefficients (n, k) that they belong to


def plane_rows(axis: np.ndarray) -> np.ndarray:
    """Coefficients of a grid, the first varying slowest, (n², 2)."""
    return np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)


def cloud_rows(k: int, n: int) -> np.ndarray:
    """Random coefficients (n, k), as between a few minima."""
    return np.random.default_rng(0).uniform(-0.25, 1.25, (n, k))


def _moved(model: nn.Module, direction: Tensor) -> nn.Module:
    moved = copy.deepcopy(model)
    start = 0
    with torch.no_grad():
        for p in moved.parameters():
            p.add_(direction[start : start + p.numel()].view_as(p))
            start += p.numel()
    return moved


def _tensors(model: nn.Module, direction: Tensor) -> list[Tensor]:
    sizes = [p.numel() for p in model.parameters()]
    parts = direction.split(sizes)
    return [d.view_as(p).clone() for d, p in zip(parts, model.parameters(), strict=True)]


class Plain:
    """The loop that a user would write: one copy, weights copied in, all data at once."""

    module = "torch"

    def __init__(self, task: Task) -> None:
        self.task = task
        self.model = copy.deepcopy(task.model)
        self.anchor = torch.cat([p.detach().reshape(-1) for p in self.model.parameters()]).clone()

    def _losses(self, directions: Tensor, rows: np.ndarray) -> np.ndarray:
        parameters = list(self.model.parameters())
        sizes = [p.numel() for p in parameters]
        losses = []
        with torch.no_grad():
            for row in rows:
                vector = self.anchor.clone()
                for j in np.flatnonzero(row):
                    vector.add_(directions[j], alpha=float(row[j]))
                for p, part in zip(parameters, vector.split(sizes), strict=True):
                    p.copy_(part.view_as(p))
                outputs = self.model(self.task.inputs)
                losses.append(nn.functional.cross_entropy(outputs, self.task.targets).item())
        return np.array(losses)

    def vectors(self, directions: Tensor) -> Losses:
        rows = np.eye(len(directions))
        return self._losses(directions, rows), rows

    def cloud(self, directions: Tensor, n: int) -> Losses:
        rows = cloud_rows(len(directions), n)
        return self._losses(directions, rows), rows

    def line(self, directions: Tensor, steps: int) -> Losses:
        rows = np.linspace(-1, 1, steps)[:, None]
        return self._losses(directions, rows), rows

    def plane(self, directions: Tensor, steps: int) -> Losses:
        rows = plane_rows(np.linspace(-1, 1, steps))
        return self._losses(directions, rows), rows


class Ours(Plain):
    """landscape-widgets."""

    module = "landscape_widgets.objective.objective"

    def __init__(self, task: Task) -> None:
        from landscape_widgets.objective.objective import Objective

        super().__init__(task)
        self.objective = Objective(task.model, (task.inputs, task.targets), metrics=[])

    def _losses(self, directions: Tensor, rows: np.ndarray) -> np.ndarray:
        from landscape_widgets.geometry.basis import DenseBasis

        return self.objective.evaluate(DenseBasis(directions), rows).losses

    def eigenvalues(self, top: int) -> np.ndarray:
        from landscape_widgets.curvature.eigenpairs import hessian_eigenpairs

        return hessian_eigenpairs(self.objective, top=top).values


class PyHessian:
    """PyPI pyhessian: ``hessian(...).eigenvalues``, all data as one batch, its own settings."""

    module = "pyhessian"

    def __init__(self, task: Task) -> None:
        self.task = task

    def eigenvalues(self, top: int) -> np.ndarray:
        from pyhessian import hessian

        model = copy.deepcopy(self.task.model)
        data = (self.task.inputs, self.task.targets)
        found = hessian(model, nn.CrossEntropyLoss(), data=data, cuda=False)
        return np.array(found.eigenvalues(top_n=top)[0])


class LossLandscapes:
    """PyPI loss-landscapes: ``linear_interpolation``, ``planar_interpolation``, ``point``."""

    module = "loss_landscapes"

    def __init__(self, task: Task) -> None:
        from loss_landscapes import metrics

        self.task = task
        self.metric = metrics.Loss(nn.CrossEntropyLoss(), task.inputs, task.targets)

    def _points(self, directions: Tensor, rows: np.ndarray) -> Losses:
        import loss_landscapes

        model = copy.deepcopy(self.task.model)
        own = [p.detach().clone() for p in model.parameters()]
        losses = []
        for row in rows:
            used = np.flatnonzero(row)
            direction = torch.from_numpy(row[used]).float() @ directions[torch.from_numpy(used)]
            with torch.no_grad():
                parts = _tensors(model, direction)
                for p, base, d in zip(model.parameters(), own, parts, strict=True):
                    p.copy_(base + d)
            losses.append(loss_landscapes.point(model, self.metric))
        return np.array(losses).reshape(-1), rows

    def vectors(self, directions: Tensor) -> Losses:
        return self._points(directions, np.eye(len(directions)))

    def cloud(self, directions: Tensor, n: int) -> Losses:
        return self._points(directions, cloud_rows(len(directions), n))

    def line(self, directions: Tensor, steps: int) -> Losses:
        import loss_landscapes

        end = _moved(self.task.model, directions[0])
        losses = loss_landscapes.linear_interpolation(
            self.task.model, end, self.metric, steps, deepcopy_model=True
        )
        return losses, (np.arange(1, steps + 1) / steps)[:, None]

    def plane(self, directions: Tensor, steps: int) -> Losses:
        import loss_landscapes

        ends = [_moved(self.task.model, direction) for direction in directions[:2]]
        losses = loss_landscapes.planar_interpolation(
            self.task.model, *ends, self.metric, steps, deepcopy_model=True
        )
        return losses.reshape(-1), plane_rows(np.arange(steps) / steps)


class Landscaper:
    """PyPI landscaper: ``compute_loss_landscape`` with directions of ours."""

    module = "landscaper.compute"

    DISTANCE = 1.0

    def __init__(self, task: Task) -> None:
        self.task = task

    def _compute(self, directions: Tensor, steps: int, dim: int) -> Losses:
        from landscaper.compute import compute_loss_landscape

        criterion = nn.CrossEntropyLoss()
        model = copy.deepcopy(self.task.model)
        directed = [_tensors(model, d) for d in directions[:dim]]
        losses, _ = compute_loss_landscape(
            model,
            (self.task.inputs, self.task.targets),
            directed,
            lambda model, data: criterion(model(data[0]), data[1]).item(),
            steps=steps,
            distance=self.DISTANCE,
            dim=dim,
            device="cpu",
        )
        axis = np.arange(steps) - steps // 2
        return losses.reshape(-1), plane_rows(axis) if dim == 2 else axis[:, None]

    def line(self, directions: Tensor, steps: int) -> Losses:
        return self._compute(directions, steps, 1)

    def plane(self, directions: Tensor, steps: int) -> Losses:
        return self._compute(directions, steps, 2)

    def steps_of(self, directions: Tensor, steps: int) -> Tensor:
        """One step along each direction, as the package scales it (k, P)."""
        from landscaper.compute import (
            get_model_norm,
            get_model_parameters,
            normalize_direction,
            scale_direction,
        )

        start = get_model_parameters(self.task.model, False)
        scaled = []
        for direction in directions:
            parts = normalize_direction(_tensors(self.task.model, direction), start)
            length = get_model_norm(start) * self.DISTANCE / (steps / 2) / get_model_norm(parts)
            scale_direction(parts, length)
            scaled.append(torch.cat([part.reshape(-1) for part in parts]))
        return torch.stack(scaled)


class LossLandscape3D:
    """PyPI loss-landscape-3d: ``LossLandscapeCalculator``, its README's loader of batches of 32."""

    module = "loss_landscape_3d"

    def __init__(self, task: Task) -> None:
        from loss_landscape_3d import LossLandscapeCalculator
        from torch.utils.data import DataLoader, TensorDataset

        self.task = task
        self.model = copy.deepcopy(task.model)
        loader = DataLoader(TensorDataset(task.inputs, task.targets), batch_size=32)
        self.calculator = LossLandscapeCalculator(self.model, loader, nn.CrossEntropyLoss())

    def _state(self, model: nn.Module) -> dict[str, Tensor]:
        return {name: t.detach().clone() for name, t in model.state_dict().items()}

    def line(self, directions: Tensor, steps: int) -> Losses:
        alphas = np.linspace(-1, 1, steps)
        ends = [self._state(m) for m in (self.task.model, _moved(self.task.model, directions[0]))]
        return self.calculator.calculate_1d_path(alphas, *ends), alphas[:, None]

    def plane(self, directions: Tensor, steps: int) -> Losses:
        axis = np.linspace(-1, 1, steps)
        names = [name for name, _ in self.task.model.named_parameters()]
        directed = [
            dict(zip(names, _tensors(self.task.model, d), strict=True)) for d in directions[:2]
        ]
        grid = self.calculator.calculate(
            axis, axis, *directed, center_state=self._state(self.task.model)
        )
        return grid.reshape(-1), plane_rows(axis)


ADAPTERS: dict[str, Any] = {
    "plain loop": Plain,
    "landscape-widgets": Ours,
    "loss-landscapes": LossLandscapes,
    "landscaper": Landscaper,
    "loss-landscape-3d": LossLandscape3D,
    "pyhessian": PyHessian,
}
