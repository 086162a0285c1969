"""The Jupyter widget. Everything else works without it."""

from landscape_widgets.widget.widget import LandscapeWidget

__all__ = ["LandscapeWidget"]
