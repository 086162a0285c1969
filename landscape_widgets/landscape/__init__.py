"""The façade, and what it holds."""
