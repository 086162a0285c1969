import subprocess
import sys

from tests.browser import browsers
from tests.browser.jupyter import REPOSITORY


def test_a_chromium_that_does_not_start_is_an_error_that_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv(browsers.VARIABLE, str(tmp_path / "none"))
    command = [sys.executable, "-m", browsers.__name__]
    found = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert found.returncode == 1
    assert str(tmp_path / "none") in found.stderr
    assert browsers.ADVICE in found.stderr


def test_a_chromium_is_installed_by_apt_only_for_root(monkeypatch):
    def programs(user: int) -> list[str]:
        monkeypatch.setattr("os.geteuid", lambda: user)
        return [command[0] for way in browsers.ways_to_install() for command in way]

    monkeypatch.delenv(browsers.VARIABLE, raising=False)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    assert programs(0) == ["apt-get", "apt-get", sys.executable]
    assert programs(1000) == [sys.executable]
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert programs(0) == [sys.executable]


def test_firefox_is_installed_by_playwright_where_it_is_asked_for(monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv(browsers.VARIABLE, "firefox")
    assert browsers.ways_to_install() == [
        [[sys.executable, "-m", "playwright", "install", "firefox"]]
    ]
    assert browsers.candidates() == [browsers.OWN]
