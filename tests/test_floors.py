"""The package as a house: files import from their own floor and those below, never in a circle."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import landscape_widgets

PACKAGE = Path(landscape_widgets.__file__).parent
NAME = PACKAGE.name
# From the ground up, as in CONTRIBUTING; files beside the folders are the ground.
FLOORS = (
    "", "task", "geometry", "evaluation", "objective", "curvature", "profiles", "examples",
    "diagnosis", "samplers", "reducers", "trust", "landscape", "widget",
)  # fmt: skip


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__")


def imported(path: Path) -> Iterator[str]:
    """Modules of the package that a file imports, for types alone too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name.removeprefix(f"{NAME}.") for name in names if name.startswith(f"{NAME}."))


def graph() -> dict[str, set[str]]:
    """Which module imports which, but for what the package itself does."""
    paths = {module_of(path).rstrip("."): path for path in PACKAGE.rglob("*.py")}
    paths.pop("", None)
    found: dict[str, set[str]] = {}
    for module, path in paths.items():
        found[module] = set()
        for name in imported(path):
            # What is imported is a module, or something in the one before the last dot.
            target = name if name in paths else name.rpartition(".")[0]
            if target in paths and target != module:
                found[module].add(target)
    return found


def floor(module: str) -> int:
    return FLOORS.index(module.split(".")[0] if (PACKAGE / module.split(".")[0]).is_dir() else "")


def test_every_folder_is_a_floor():
    folders = {path.parent.relative_to(PACKAGE).parts[0] for path in PACKAGE.glob("*/*.py")}
    assert folders == set(FLOORS) - {""}


def test_no_file_imports_from_a_floor_above_its_own():
    upward = [
        f"{module} -> {target}"
        for module, targets in sorted(graph().items())
        for target in sorted(targets)
        if floor(target) > floor(module)
    ]
    assert upward == []


def test_no_imports_run_in_a_circle():
    arrows = graph()
    while True:  # what imports nothing that is left can be in no circle
        ends = [module for module, targets in arrows.items() if not targets & set(arrows)]
        if not ends:
            break
        for module in ends:
            del arrows[module]
    while True:  # nor what nothing imports that is left
        meant = set().union(*arrows.values()) if arrows else set()
        starts = [module for module in arrows if module not in meant]
        if not starts:
            break
        for module in starts:
            del arrows[module]
    circles = {m: sorted(t & set(arrows)) for m, t in sorted(arrows.items())}
    assert circles == {}


def test_the_floors_are_those_that_contributing_names():
    guide = PACKAGE.parent / "CONTRIBUTING.md"
    if not guide.exists():  # installed without its sources
        pytest.skip("there is no CONTRIBUTING.md here")
    lines = guide.read_text(encoding="utf-8").splitlines()
    named = [line.split()[1].rstrip("/") for line in lines if line.startswith("├── ")]
    assert [name for name in named if name in FLOORS] == [name for name in FLOORS if name]


def test_no_file_is_longer_than_400_lines_nor_a_class_of_300():
    long: list[str] = []
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        lines = len(text.splitlines())
        if lines > 400:
            long.append(f"{module_of(path)}: {lines}")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef):
                assert node.end_lineno is not None
                lines = node.end_lineno - node.lineno + 1
                if lines >= 300:
                    long.append(f"{module_of(path)}.{node.name}: {lines}")
    front_end = PACKAGE.parent / "js" / "src"  # not there where it is installed without its sources
    for path in sorted(p for p in front_end.rglob("*") if p.suffix in (".ts", ".css")):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > 400:
            long.append(f"{path.relative_to(front_end)}: {lines}")
    assert long == []


def test_at_most_twenty_rooms_lie_at_the_top():
    rooms = {path.relative_to(PACKAGE).parts[0] for path in PACKAGE.rglob("*.py")} - {"__init__.py"}
    assert len(rooms) <= 20, sorted(rooms)
