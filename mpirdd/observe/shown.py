"""Times for people. (For sizes: ``protocol.shown.shown_size``.)"""

from __future__ import annotations

from datetime import datetime


def duration(seconds: float) -> str:
    """Seconds for people.

    >>> duration(0.0123), duration(3.14159), duration(75), duration(7300)
    ('12 ms', '3.1 s', '1 min 15 s', '2 h 1 min')
    """
    if seconds < 1:
        return f"{1000 * seconds:.3g} ms" if seconds < 0.01 else f"{1000 * seconds:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"


def moment(unix: float) -> str:
    """A wall-clock time, in this host's time zone."""
    return datetime.fromtimestamp(unix).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
