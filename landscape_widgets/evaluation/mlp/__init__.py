"""Strategies for chains of dense layers, in ordinary torch."""
