"""A browser for the browser tests: one that is here, or one that is installed.

python -m tests.browser.browsers    # makes sure that there is one that works

Chromium, or the one that the environment variable LANDSCAPE_BROWSER names: "chromium", "firefox"
(Playwright's own, since it drives no other), or the path of a Chromium.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from playwright.sync_api import Browser, Error, Playwright, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
VARIABLE = "LANDSCAPE_BROWSER"
CHROMIUM, FIREFOX = "chromium", "firefox"
OWN = "Playwright's own"
ADVICE = (
    "Install Chromium (Debian: apt-get install chromium; macOS: brew install --cask chromium; "
    "anywhere: python -m playwright install --with-deps chromium), or put the path of one into the "
    f"environment variable {VARIABLE}."
)
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def candidates() -> list[str]:
    """What may be the browser: the one that is named, or the system's, then Playwright's."""
    named = os.environ.get(VARIABLE, CHROMIUM)
    if named == FIREFOX:
        return [OWN]
    if named != CHROMIUM:
        return [named]
    return [path for path in map(shutil.which, NAMES) if path] + [OWN]


def launch(playwright: Playwright) -> Browser:
    """Start the first that starts.

    Raises
    ------
    RuntimeError
        If none does: with what each said, and what to do.
    """
    firefox = os.environ.get(VARIABLE) == FIREFOX
    kind = playwright.firefox if firefox else playwright.chromium
    said = []
    for path in candidates():
        try:
            return kind.launch(
                executable_path=None if path == OWN else path, args=[] if firefox else list(FLAGS)
            )
        except Error as error:
            said.append(f"{path}: {error.message.strip()}")
    raise RuntimeError("\n".join(["No browser starts.", *said, ADVICE]))


def problem() -> str | None:
    """Why there is no browser that works, or None where there is one."""
    with sync_playwright() as playwright:
        try:
            launch(playwright).close()
        except RuntimeError as error:
            return str(error)
    return None


def ways_to_install() -> list[list[list[str]]]:
    """Commands that bring the browser, the best way first."""
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    own = [sys.executable, "-m", "playwright", "install"]
    ways = []
    firefox = os.environ.get(VARIABLE) == FIREFOX
    if root and shutil.which("apt-get") and not firefox:
        # Ubuntu has no such package but a snap, and goes on to the second way.
        ways.append([["apt-get", "update", "-q"], ["apt-get", "install", "-y", "-q", NAMES[0]]])
        own.append("--with-deps")
    return [*ways, [[*own, FIREFOX if firefox else CHROMIUM]]]


def ensure() -> None:
    """Install a browser unless there is one that works.

    Raises
    ------
    RuntimeError
        If that fails, with what to do.
    """
    trouble = problem()
    named = os.environ.get(VARIABLE, CHROMIUM)
    ways = ways_to_install() if trouble and named in (CHROMIUM, FIREFOX) else []
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for way in ways:
        for command in way:
            print("$", *command, flush=True)
            if subprocess.run(command, env=environment).returncode:
                break
        trouble = problem()
        if trouble is None:
            break
    if trouble is not None:
        raise RuntimeError(trouble)


if __name__ == "__main__":
    try:
        ensure()
    except RuntimeError as error:
        sys.exit(str(error))
