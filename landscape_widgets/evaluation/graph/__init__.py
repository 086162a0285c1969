"""Strategies that run a traced model."""
