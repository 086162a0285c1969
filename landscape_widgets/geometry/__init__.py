"""Points of an affine subspace of parameter space."""
