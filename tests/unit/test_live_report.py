"""The server of the live report, for clients that tests/launch does not have."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

pytest.importorskip("plotly")

from mpirdd.launch.live_report import LiveRun, LiveServer

pytestmark = pytest.mark.timeout(30)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LiveServer]:
    server = LiveServer(LiveRun(str(tmp_path / "events.jsonl")))
    yield server
    server.close()


def test_a_browser_with_many_cookies_gets_the_whole_page(server: LiveServer) -> None:
    address = urlsplit(server.address)
    cookies = "".join(f"Cookie: other={'x' * 4000}\r\n" for _ in range(10))
    with socket.socket() as browser:
        browser.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)  # the end of the page then waits at the server
        browser.connect((address.hostname, address.port))
        browser.sendall(f"GET /?{address.query} HTTP/1.1\r\n{cookies}\r\n".encode())
        answer = b"".join(iter(lambda: browser.recv(1 << 16), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}\r\n".encode() in head
