"""Serves the report of a running program, on this host alone: ``mpirdd run --ui`` starts this as a process of its own.

    python -m mpirdd.launch.live_report EVENTS     prints the address, serves until its stdin ends

The socket listens on 127.0.0.1 only. Other users of the host can reach that too, so the address has a secret token: a
request without it gets 403 and not a byte more. The server is a process of its own, so its work and its threads do not burden
the launcher. It ends with the pipe to the launcher, however the launcher ends.
"""

from __future__ import annotations

import hmac
import os
import secrets
import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from urllib.parse import parse_qs, urlsplit

from mpirdd.launch.status_channel import die_with_parent
from mpirdd.observe.contexts import Joiner
from mpirdd.observe.event_files import Tail
from mpirdd.observe.report_data import report_data
from mpirdd.observe.report_page import as_json, page
from mpirdd.observe.run_view import RunView
from mpirdd.observe.stands_out import StandsOut
from mpirdd.protocol.errors import UsageError

_MOST_TASKS = 20_000
"""The browser fetches this page again and again, so it shows fewer single tasks than a report."""
_LAST_LOOK_S = 3.0
"""An open page has this long to fetch the end of the run."""
_MOST_HEADER_BYTES = 1 << 18
"""A browser sends the cookies of all services on 127.0.0.1, whatever their port."""


class LiveRun:
    """The run of a log, as far as it has got. Any thread may ask.

    Args:
        begin: bytes of the file that belong to earlier runs.
    """

    def __init__(self, path: str, begin: int = 0) -> None:
        self._tail, self._joiner = Tail(path, begin), Joiner()
        self._lock = Lock()
        self._view, self._outstanding = RunView(), StandsOut()
        self._events = 0
        self._trouble = ""

    def data(self, seen: str | None) -> str | None:
        """The report's data as JSON; None if the asker has it already: ``seen`` is the number of events in its last answer."""
        with self._lock:
            try:
                for event in map(self._joiner.take, self._tail.new()):
                    if event["event"] == "run":
                        self._view, self._outstanding = RunView(), StandsOut()
                    self._events += 1
                    self._view.take(event)
                    self._outstanding.take(event)
            except UsageError as error:
                self._trouble = str(error)
            if seen == str(self._events):
                return None
            notes = [self._trouble] if self._trouble else [] if self._events else ["The run has not begun to write its log yet."]
            data = report_data(self._view, notes=notes, over=False, hints=self._outstanding.hints(), most_tasks=_MOST_TASKS)
            return as_json({**data, "live": True, "seen": self._events})

    @property
    def ended(self) -> bool:
        return self._view.end is not None


class LiveServer:
    """Serves a run until ``close``, which closes the socket."""

    def __init__(self, run: LiveRun) -> None:
        token, html = secrets.token_urlsafe(24), page({"title": "mpirdd", "live": True}).encode()
        self.last_asked = 0.0
        """When a page last asked for data, on the monotonic clock."""
        self.told_end = False
        """A page has got the end of the run."""
        owner = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 10.0  # a connection that says nothing

            def handle_one_request(self) -> None:
                """Like the base class's, but for any method, and without a word to those who do not know the token."""
                self.close_connection = True
                try:
                    self.raw_requestline = self.rfile.readline(8192)
                    if not self.raw_requestline:
                        return
                    self._read_headers()
                    words = self.raw_requestline.decode("latin-1").split()
                    address = urlsplit(words[1]) if len(words) == 3 else urlsplit("")
                    given = parse_qs(address.query)
                    if not hmac.compare_digest(given.get("token", [""])[0].encode(), token.encode()):
                        self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    elif words[0] != "GET" or address.path not in ("/", "/data"):
                        self._answer(b"404 Not Found", b"", b"text/plain")
                    elif address.path == "/":
                        self._answer(b"200 OK", html, b"text/html; charset=utf-8")
                    else:
                        owner.last_asked = time.monotonic()
                        data = run.data(given.get("seen", [None])[0])
                        status = b"204 No Content" if data is None else b"200 OK"
                        self._answer(status, (data or "").encode(), b"application/json")
                        owner.told_end = owner.told_end or run.ended
                except (OSError, ValueError):  # the other end has gone, or does not speak HTTP
                    return

            def _read_headers(self) -> None:
                """What is unread when the connection closes would reset it, and the end of the answer could be lost."""
                left = _MOST_HEADER_BYTES
                while left > 0 and (line := self.rfile.readline(left)) not in (b"\r\n", b"\n", b""):
                    left -= len(line)

            def _answer(self, status: bytes, body: bytes, kind: bytes) -> None:
                self.wfile.write(
                    b"HTTP/1.1 " + status + b"\r\nContent-Type: " + kind + b"\r\nContent-Length: " + str(len(body)).encode()
                    + b"\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n"
                    b"Cross-Origin-Resource-Policy: same-origin\r\nConnection: close\r\n\r\n" + body)

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """Print nothing: the faults of clients do not belong on the user's terminal."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}/?token={token}"
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def main() -> None:
    """Serve until stdin ends."""
    import signal

    die_with_parent(signal.SIGTERM)
    path = sys.argv[1]
    begin = os.path.getsize(path) if os.path.exists(path) else 0
    server = LiveServer(run := LiveRun(path, begin))
    print(server.address, flush=True)
    sys.stdin.buffer.read()
    run.data(None)
    deadline = time.monotonic() + _LAST_LOOK_S
    while run.ended and time.monotonic() < deadline and not server.told_end and server.last_asked > deadline - 10:
        time.sleep(0.1)
    server.close()


def how_to_reach(address: str) -> str:
    """The lines that tell the user the address."""
    port = urlsplit(address).port
    tunnel = f"ssh -L {port}:127.0.0.1:{port} {socket.gethostname()}"
    return f"live report: {address}\n  from elsewhere: {tunnel}, and the same address"


if __name__ == "__main__":
    main()
