"""The report as one HTML file, which holds data, plotly and the page's own scripts, and needs no network.

The user's text stays text. The data is in a JSON element that writes ``<`` as ``\\u003c``, so nothing in it can end the
element; the scripts put it into the page as text. A content security policy keeps the page from loading anything. plotly's
JavaScript is 4.8 MB, so every report has at least that size.
"""

from __future__ import annotations

import json
import pkgutil
from html import escape
from typing import Any

from mpirdd.protocol.errors import UsageError
from mpirdd.protocol.package import install_command


def no_plotly() -> str:
    """The message for a missing plotly."""
    return f"the report needs plotly, which is not installed here.\n  fix: {install_command('observe')}"


def page(data: dict[str, Any]) -> str:
    """The page for the data of ``report_data``.

    Raises:
        UsageError: plotly is missing.
    """
    live = bool(data.get("live"))
    parts = {
        "title": escape(f"{data['title']} - mpirdd"),
        "connect": "'self'" if live else "'none'",
        "style": _asset("report.css"),
        "data": as_json(data).replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"),
        "plotly": plotly_script(),
        "script": f"{_asset('charts.js')}\n{_asset('report.js')}",
    }
    pieces = _asset("report.html").split("@")  # in one pass: data may contain anything
    return "".join(parts.get(piece, piece) if number % 2 else piece for number, piece in enumerate(pieces))


def as_json(data: dict[str, Any]) -> str:
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def plotly_script() -> str:
    """plotly's JavaScript.

    Raises:
        UsageError: plotly is missing.
    """
    try:
        script = pkgutil.get_data("plotly", "package_data/plotly.min.js")
    except (ImportError, OSError):
        script = None
    if script is None:
        raise UsageError(no_plotly())
    return script.decode()


def _asset(name: str) -> str:
    found = pkgutil.get_data("mpirdd.observe", f"page/{name}")
    if found is None:
        raise FileNotFoundError(f"mpirdd is not installed whole: observe/page/{name} is missing")
    return found.decode()
