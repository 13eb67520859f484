"""A notebook's kernel that takes the place of another one."""

from __future__ import annotations

import json
import socket
from pathlib import Path

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
    for text in ("", "[]", '{"transport": "ipc", "shell_port": 1}', '{"ip": "*", "shell_port": 1}'):
        (tmp_path / "kernel.json").write_text(text)
        wait_for_ports(str(tmp_path / "kernel.json"), lambda seconds: None)
    wait_for_ports(str(tmp_path / "none.json"), lambda seconds: None)
