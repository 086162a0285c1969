"""Samplers as a file names them: made again from their text, which is not run as code."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from landscape_widgets.objective.objective import Objective
from landscape_widgets.samplers.base import Sampler, Work


@dataclass(frozen=True, repr=False)
class Unparsed(Sampler):
    """One of which only the text is left, as it took models or checkpoints.

    It names the samples that it once drew, and draws no others.
    """

    text: str

    @property
    def name(self) -> str:
        return " + ".join(re.findall(r"\w+(?=\()", self.text)) or self.text

    def __repr__(self) -> str:
        return self.text

    def check(self, objective: Objective) -> None:
        self._refuse()

    def _draw(self, work: Work) -> NoReturn:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise ValueError(
            f"The file says that its samples are of {self.text}, but not how to draw them again. "
            "Give a sampler, or load the file again."
        )


def parse(text: str, known: Mapping[str, type[Sampler]]) -> Sampler:
    """The sampler whose repr this is; an `Unparsed` one where it cannot be made from that.

    Parameters
    ----------
    text : str
    known : mapping from lower-case names to classes of samplers
    """

    def made(node: ast.expr) -> Sampler:
        if isinstance(node, ast.BinOp):
            return made(node.left) + made(node.right)
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            raise ValueError(text)
        values = {str(word.arg): ast.literal_eval(word.value) for word in node.keywords}
        sampler: Sampler = known[node.func.id.lower()](**values)
        return sampler

    try:
        return made(ast.parse(text, mode="eval").body)
    except (SyntaxError, ValueError, KeyError, TypeError):
        return Unparsed(text)
