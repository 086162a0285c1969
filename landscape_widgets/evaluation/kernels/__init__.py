"""Losses by compiled kernels: optional, behind the door of `loading`."""
