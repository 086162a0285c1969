import subprocess
import sys

from tests.browser import chromium
from tests.browser.jupyter import REPOSITORY


def test_a_chromium_that_does_not_start_is_an_error_that_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv(chromium.VARIABLE, str(tmp_path / "none"))
    command = [sys.executable, "-m", chromium.__name__]
    found = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert found.returncode == 1
    assert str(tmp_path / "none") in found.stderr
    assert chromium.ADVICE in found.stderr


def test_a_chromium_is_installed_by_apt_only_for_root(monkeypatch):
    def programs(user: int) -> list[str]:
        monkeypatch.setattr("os.geteuid", lambda: user)
        return [command[0] for way in chromium.ways_to_install() for command in way]

    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    assert programs(0) == ["apt-get", "apt-get", sys.executable]
    assert programs(1000) == [sys.executable]
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert programs(0) == [sys.executable]
