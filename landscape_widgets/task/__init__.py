"""What is asked before any geometry: a model, its data, its loss."""
