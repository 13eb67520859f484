"""The command that a message gives for a missing library works where the package is on no index."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mpirdd.protocol import package


class Distribution:
    def __init__(self, direct_url: str | None) -> None:
        self._direct_url = direct_url

    def read_text(self, name: str) -> str | None:
        return self._direct_url if name == "direct_url.json" else None


def test_a_clone_names_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my clone" / "mpirdd").mkdir(parents=True)
    (tmp_path / "my clone" / "pyproject.toml").touch()
    monkeypatch.setattr(package, "PACKAGE", str(tmp_path / "my clone" / "mpirdd"))
    assert package.install_command("observe") == f"python -m pip install -e '{tmp_path}/my clone[observe]'"


@pytest.mark.parametrize(("noted", "command"), [
    ({"url": "file:///home/ann/mpirdd-1.whl"}, "python -m pip install 'mpirdd[observe] @ file:///home/ann/mpirdd-1.whl'"),
    ({"url": "https://host/mpirdd", "vcs_info": {"vcs": "git"}},
     "python -m pip install 'mpirdd[observe] @ git+https://host/mpirdd'"),
    (None, "python -m pip install 'mpirdd[observe]'"),
])
def test_an_installed_package_names_where_it_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noted: dict[str, object] | None, command: str
) -> None:
    monkeypatch.setattr(package, "PACKAGE", str(tmp_path / "site-packages" / "mpirdd"))
    text = None if noted is None else json.dumps(noted)
    monkeypatch.setattr("importlib.metadata.distribution", lambda name: Distribution(text))
    assert package.install_command("observe") == command
