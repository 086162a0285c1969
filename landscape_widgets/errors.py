"""Errors that help: what was given, what was expected, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any


class Refused(ValueError):
    """Raised inside the user's code, with a cause and a cure to which nothing is to be added."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Say which known names are near `name`, or list them all where none is.

    >>> did_you_mean("TNSE", ["TSNE", "UMAP"])
    "Did you mean 'TSNE'?"
    >>> did_you_mean("zzz", ["TSNE", "UMAP"])
    "Known are 'TSNE', 'UMAP'."
    """
    known = list(known)
    by_lower = {candidate.lower(): candidate for candidate in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.6)
    if near:
        return f"Did you mean {' or '.join(repr(by_lower[match]) for match in near)}?"
    return f"Known are {', '.join(map(repr, known))}."


def reject_unknown(keywords: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    """Raise a TypeError for the first keyword that `where` does not know.

    Raises
    ------
    TypeError
        Naming the near ones.
    """
    known = list(known)
    for name in keywords:
        if name not in known:
            raise TypeError(f"{where} got an unknown keyword {name!r}. {did_you_mean(name, known)}")


def brief(text: str, most: int = 300) -> str:
    """A text of at most `most` characters: of a longer one the middle is left out.

    >>> brief("a" * 10 + "b" * 10, 11)
    'aaa ... bbb'
    """
    if len(text) <= most:
        return text
    kept = (most - 5) // 2
    return f"{text[:kept]} ... {text[-kept:]}"
