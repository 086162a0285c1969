"""Names of strategies: those that may be asked for, and in words all that there are."""

from __future__ import annotations

from landscape_widgets.errors import did_you_mean

STRATEGIES = ("auto", "inplace", "fused", "prefix", "stacked", "shared", "compiled")

WORDS = {
    "inplace": "one parameter vector at a time, in place",
    "fused": "one parameter vector at a time, layers fused",
    "channels last": "one parameter vector at a time, layers fused, channels last",
    "batches": "one parameter vector at a time, in place, on the batches as they came",
    "fused batches": "one parameter vector at a time, layers fused, on the batches as they came",
    "channels last batches": (
        "one parameter vector at a time, layers fused, channels last, on the batches as they came"
    ),
    "stacked": "several parameter vectors stacked at once",
    "prefix": "one parameter vector at a time, from the first layer that moves",
    "shared": "first layer shared by all parameter vectors",
    "compiled": "several parameter vectors at once, in one compiled loop",
}


def check_strategy(name: str) -> None:
    """Raise a ValueError that names the near ones if there is no such strategy."""
    if name not in STRATEGIES:
        raise ValueError(f"There is no strategy {name!r}. {did_you_mean(str(name), STRATEGIES)}")
