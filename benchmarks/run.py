"""Run the benchmarks and keep their tables in RESULTS.md.

nox -s bench              all of them
nox -s bench -- widget    one of them
"""

from __future__ import annotations

import contextlib
import importlib
import io
import platform
import subprocess
import sys
from datetime import date
from pathlib import Path

import torch

RESULTS = Path(__file__).with_name("RESULTS.md")
ALL = sorted(
    path.stem
    for path in Path(__file__).parent.glob("*.py")
    if "\ndef main(" in path.read_text(encoding="utf-8") and path.stem != "run"
)
INTRODUCTION = """# Results

What `nox -s bench` measured. Ratios are between things that took turns in one run, so that they
hold when the machine's speed drifts; times are of the machine named and say less. The
commit that was measured stands in each heading, or, with "up to", the one that kept the table.
"""


def sections() -> dict[str, str]:
    """The sections that RESULTS.md has by now, their headings included, by benchmark."""
    if not RESULTS.exists():
        return {}
    parts = RESULTS.read_text(encoding="utf-8").split("\n## ")[1:]
    return {part.split(maxsplit=1)[0]: f"## {part.strip()}" for part in parts}


def commit() -> str:
    """The commit that is measured, with a + where files differ from it."""
    git = ["git", "-C", str(RESULTS.parent)]
    try:
        head = subprocess.check_output([*git, "rev-parse", "--short", "HEAD"], text=True).strip()
        measured = "../landscape_widgets", "../benchmarks/*.py"
        changed = [*git, "status", "--porcelain", "--", *measured]
        return head + "+" * bool(subprocess.check_output(changed, text=True).strip())
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"Results name the commit that they are of, and git tells of none: {error}")


def run(name: str) -> str:
    """Run one benchmark and return its section."""
    measured = commit()
    module = importlib.import_module(f"benchmarks.{name}")
    printed = io.StringIO()
    arguments, sys.argv = sys.argv, [name]
    try:
        with contextlib.redirect_stdout(printed):
            module.main()
    finally:
        sys.argv = arguments
    said = (module.__doc__ or "").strip().split("\n", 1)[0]
    machine = f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    command = f"`nox -s bench -- {name}`, {date.today()}, {machine}"
    heading = f"## {name} ({measured})"
    return f"{heading}\n\n{said}\n\n{command}\n\n{printed.getvalue().strip()}"


def main() -> None:
    """Run the named benchmarks, or all, and write RESULTS.md after each."""
    names = sys.argv[1:] or ALL
    for name in names:
        if name not in ALL:
            sys.exit(f"There is no benchmark {name!r}; there are {', '.join(ALL)}.")
    for name in names:
        print(f"{name} ...", flush=True)
        section = run(name)
        print(section, flush=True)
        found = sections() | {name: section}  # as they are by now: another run may have ended
        text = INTRODUCTION + "".join(f"\n{found[key]}\n" for key in sorted(found))
        RESULTS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
