import numpy as np
import pytest
import scipy.sparse.linalg
import torch
from torch import nn

from landscape_widgets.curvature.lanczos import extreme_eigenpairs
from landscape_widgets.objective.objective import Objective


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_eigenvalues_of_a_hessian_are_those_of_the_dense_one():
    torch.manual_seed(0)
    x, y = torch.randn(40, 4).double(), torch.randint(0, 3, (40,))
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    objective = Objective(model, (x, y))

    def loss_at(vector):
        weights = objective.layout.unflatten(vector)
        return nn.functional.cross_entropy(torch.func.functional_call(model, weights, (x,)), y)

    dense = torch.autograd.functional.hessian(loss_at, objective.anchor)
    values = np.linalg.eigvalsh(dense)
    found = extreme_eigenpairs(
        lambda v: objective.hvp(objective.anchor, v),
        objective.anchor,
        top=3,
        bottom=2,
        generator=generator(),
        tolerance=1e-8,
    )
    expected = [*values[::-1][:3], *values[:2][::-1]]
    np.testing.assert_allclose(found.values, expected, rtol=1e-6, atol=1e-9)
    for value, vector in zip(found.values, found.vectors, strict=True):
        torch.testing.assert_close(dense @ vector, value * vector, rtol=1e-4, atol=1e-6)


def test_a_larger_matrix_agrees_with_arpack():
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(300, 300))
    matrix = matrix + matrix.T
    tensor = torch.as_tensor(matrix)
    found = extreme_eigenpairs(
        lambda v: tensor @ v, tensor[0], top=4, generator=generator(), tolerance=1e-9
    )
    expected = scipy.sparse.linalg.eigsh(matrix, k=4, which="LA")[0][::-1]
    np.testing.assert_allclose(found.values, expected, rtol=1e-8)


def test_repeated_eigenvalues_are_all_found():
    tensor = torch.diag(torch.tensor([5.0, 5.0, 1.0, 1.0, 1.0, -2.0], dtype=torch.float64))
    found = extreme_eigenpairs(
        lambda v: tensor @ v, tensor[0], top=2, bottom=1, generator=generator()
    )
    np.testing.assert_allclose(found.values, [5, 5, -2], atol=1e-10)


def test_more_eigenvectors_than_dimensions_are_refused():
    with pytest.raises(ValueError, match="between 1 and 3"):
        extreme_eigenpairs(lambda v: v, torch.zeros(3), top=4, generator=generator())


def test_a_start_near_the_eigenvectors_takes_fewer_products_to_the_same_values():
    values = torch.cat([torch.tensor([9.0, 7.0, 5.0]), torch.linspace(0, 1, 397)]).double()
    start = torch.zeros(400, dtype=torch.float64)
    start[:3] = torch.tensor([1.0, -2.0, 1.0])
    products = []

    def found(start: torch.Tensor | None) -> np.ndarray:
        products.append(0)

        def product(v: torch.Tensor) -> torch.Tensor:
            products[-1] += 1
            return values * v

        return extreme_eigenpairs(
            product, values, top=3, generator=generator(), start=start, tolerance=1e-6
        ).values

    for tried in (None, start, torch.zeros(400).double(), start * float("inf")):
        np.testing.assert_allclose(found(tried), [9, 7, 5], rtol=1e-9)
    assert products[1] < products[0]
    assert products[2] == products[3] == products[0]
