"""All that is done with this repository, each with its own set-up.

nox -s lab      opens JupyterLab on the quickstart notebook
nox -s tests    runs all checks and tests, the browser's included
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import nox

nox.options.sessions = ["tests"]
nox.options.default_venv_backend = "venv"
nox.options.reuse_existing_virtualenvs = True

HERE = Path(__file__).parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def install(session: nox.Session, *extras: str, groups: tuple[str, ...] = ()) -> None:
    """Install the package, as a user would, with the versions that were tested."""
    target = f".[{','.join(extras)}]" if extras else "."
    dependencies = nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), *groups)
    # torch by itself and first: an unpinned one would bring gigabytes of CUDA along.
    session.install("-c", "constraints.txt", "torch")
    session.install("-c", "constraints.txt", target, *dependencies)


def run_as_root(session: nox.Session, *command: str) -> None:
    session.run(*command, external=True, env={"DEBIAN_FRONTEND": "noninteractive"})


def can_use_apt() -> bool:
    return bool(shutil.which("apt-get")) and hasattr(os, "geteuid") and os.geteuid() == 0


def apt_install(session: nox.Session, *packages: str) -> None:
    run_as_root(session, "apt-get", "update", "-q")
    run_as_root(session, "apt-get", "install", "-y", "-q", *packages)


def find_browser(session: nox.Session) -> str:
    """A Chromium for the browser tests: the system's, or one that is installed here and now."""
    given = os.environ.get("LANDSCAPE_BROWSER")
    if given:
        if not Path(given).exists():
            session.error(f"LANDSCAPE_BROWSER={given}: there is no such file.")
        return given
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None and can_use_apt():
        apt_install(session, "chromium")
        found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        try:
            session.run("playwright", "install", "chromium")
        except nox.command.CommandFailed:
            session.error(
                "The browser tests need Chromium, and none could be installed. Install it "
                "(Debian, Ubuntu: apt-get install chromium; macOS: brew install --cask chromium), "
                "or name one in the environment variable LANDSCAPE_BROWSER."
            )
        return "playwright"
    return found


def find_npm(session: nox.Session) -> str:
    """npm, for the front end's tests."""
    if shutil.which("npm") is None and can_use_apt():
        apt_install(session, "nodejs", "npm")
    npm = shutil.which("npm")
    if npm is None:
        session.error(
            "The front end's tests need Node.js 18 or newer with npm. Install it (Debian, Ubuntu: "
            "apt-get install nodejs npm; macOS: brew install node) and run this again."
        )
    return npm


def check_code(session: nox.Session) -> None:
    session.run("pre-commit", "run", "--all-files", "--show-diff-on-failure")


def check_front_end(session: nox.Session) -> None:
    npm = find_npm(session)
    with session.chdir("js"):
        session.run(npm, "ci", external=True)
        session.run(npm, "run", "check", external=True)
        session.run(npm, "test", external=True)
        session.run(npm, "run", "build", external=True)
    # What is committed is what is built.
    session.run(
        "git", "diff", "--exit-code", "--stat", "--", "landscape_widgets/static", external=True
    )


def pytest(session: nox.Session, *arguments: str, browser: bool = True) -> None:
    env = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE)}
    if browser:
        env["LANDSCAPE_BROWSER"] = find_browser(session)
    session.run("python", "-m", "pytest", *arguments, env=env)


@nox.session
def lab(session: nox.Session) -> None:
    """Open JupyterLab on the quickstart notebook."""
    install(session, "lab")
    session.run("jupyter", "lab", "notebooks/quickstart.ipynb", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run all checks and all tests."""
    install(session, "lab", "cluster", groups=("test", "lint"))
    check_code(session)
    check_front_end(session)
    pytest(session, *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Run the checks that need no test."""
    install(session, "lab", "cluster", groups=("lint",))
    check_code(session)


@nox.session
def js(session: nox.Session) -> None:
    """Check, test and build the front end."""
    check_front_end(session)


@nox.session
def unit(session: nox.Session) -> None:
    """Run the tests that need no browser."""
    install(session, "lab", "cluster", groups=("test",))
    pytest(session, "--ignore=tests/browser", *session.posargs, browser=False)


@nox.session
def browser(session: nox.Session) -> None:
    """Run the tests in real JupyterLab and Notebook."""
    install(session, "lab", "cluster", groups=("test",))
    pytest(session, "tests/browser", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure, and write benchmarks/RESULTS.md."""
    install(session, "lab", "cluster", groups=("test",))
    env = {"PYTHONPATH": str(HERE), "LANDSCAPE_BROWSER": find_browser(session)}
    session.run("python", "-m", "benchmarks.run", *session.posargs, env=env)


if __name__ == "__main__":
    sys.exit("Run it with nox: python -m pip install nox && nox -s tests")
