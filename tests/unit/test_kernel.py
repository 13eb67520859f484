"""A notebook's kernel that takes the place of another one."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from mpirdd.launch import cli
from mpirdd.launch.kernel import wait_for_ports


def test_a_kernel_waits_until_the_one_before_has_left_its_ports(tmp_path: Path) -> None:
    path = tmp_path / "kernel.json"
    before = socket.create_server(("127.0.0.1", 0))
    port = before.getsockname()[1]
    path.write_text(json.dumps({"transport": "tcp", "ip": "127.0.0.1", "shell_port": port, "hb_port": 0, "key": ""}))
    looks = []

    def pause(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            before.close()

    wait_for_ports(str(path), pause)
    assert len(looks) == 3
    wait_for_ports(str(path), pause)
    assert len(looks) == 3


def test_a_connection_file_that_is_none_is_left_to_ipykernel(tmp_path: Path) -> None:
    for text in ("", "[]", '{"transport": "ipc", "shell_port": 1}', '{"ip": "*", "shell_port": 1}', '{"shell_port": 1}',
                 '{"ip": "127.0.0.1", "shell_port": 65536}'):
        (tmp_path / "kernel.json").write_text(text)
        wait_for_ports(str(tmp_path / "kernel.json"), lambda seconds: None)
    wait_for_ports(str(tmp_path / "none.json"), lambda seconds: None)


def test_the_options_of_run_reach_the_kernel(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def install(name: str, shown: str, words: Sequence[str], settings: Mapping[str, str], *, prefix: str | None) -> str:
        print(shown, *words, settings["MPIRDD_MEMORY"])
        return "here"

    monkeypatch.setattr("mpirdd.launch.kernel.install", install)
    words = ["--num-executors", "4", "--stage-environment", "--no-ft", "--memory", "1g", "--master", "yarn"]
    assert cli.main(["kernel", "install", *words]) == 0
    told = capsys.readouterr()
    assert told.out.startswith(f"mpirdd (5 ranks) -n 5 --no-ft --stage-environment {1 << 30}\n")
    assert "--master yarn has no effect" in told.err


@pytest.mark.parametrize("option", ["--report=r.html", "--ui", "--restarts=2"])
def test_options_that_a_kernel_cannot_have_are_refused(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["kernel", "install", option, "--prefix", str(tmp_path)]) == 2
    assert option.partition("=")[0] in capsys.readouterr().err
