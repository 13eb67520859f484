"""What notebooks show of our objects: a small table, with its heading."""

from __future__ import annotations

from collections.abc import Iterable


def card(title: str, rows: Iterable[tuple[str, object]], details: tuple[str, str] | None = None) -> str:
    """HTML: a heading, a row for each name and value, and text that a click on its summary (the first of ``details``) shows.
    Everything is escaped."""
    from html import escape  # executors need none of it

    lines = [f"<strong>{escape(title)}</strong>", '<table style="margin-left:0">']
    for name, value in rows:
        cells = [f'<td style="text-align:left">{escape(str(text))}</td>' for text in (name, value)]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    lines.append("</table>")
    if details is not None:
        summary, text = map(escape, details)
        lines.append(f"<details><summary>{summary}</summary><pre>{text}</pre></details>")
    return f"<div>{''.join(lines)}</div>"
