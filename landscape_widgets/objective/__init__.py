"""A model on fixed data as a function of its parameter vector."""
