"""Eigenvalues of the Hessian, from products alone."""
