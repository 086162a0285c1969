"""The page's end of a widget: what it was sent, and what it says."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

import landscape_widgets as lw


def state(widget: lw.LandscapeWidget, name: str) -> Any:
    """What the page was sent last by this name: "points", "progress", ..."""
    return widget.get_state(f"_{name}")[f"_{name}"]


def floats(raw: bytes) -> npt.NDArray[np.float32]:
    """Values that were sent as bytes."""
    return np.frombuffer(raw, dtype=np.float32)


def sent_slices(widget: lw.LandscapeWidget, quantity: str = "loss") -> npt.NDArray[np.float32]:
    """Slices of all samples that the page was sent as a whole, one after the other."""
    return floats(state(widget, "profiles").get(quantity, b""))


def say(widget: lw.LandscapeWidget, type: str, **content: Any) -> None:
    """Let the page send a message."""
    data = {"method": "custom", "content": {"type": type, **content}}
    widget.comm.handle_msg({"content": {"data": data}, "buffers": []})
