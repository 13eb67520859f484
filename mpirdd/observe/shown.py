"""Times for people. (For sizes: ``protocol.shown.shown_size``.)"""

from __future__ import annotations

from datetime import datetime


def duration(seconds: float) -> str:
    """Seconds for people.

    >>> duration(0.0123), duration(3.14159), duration(75), duration(7300)
    ('12 ms', '3.1 s', '1 min 15 s', '2 h 1 min')
    >>> duration(0.9997), duration(59.97), duration(119.7), duration(3599.8)
    ('1.0 s', '1 min 0 s', '2 min 0 s', '1 h 0 min')
    """
    if round(1000 * seconds, 0) < 1000:
        return f"{1000 * seconds:.3g} ms" if seconds < 0.01 else f"{1000 * seconds:.0f} ms"
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds, 0), 60)
    if minutes < 60:
        return f"{minutes:.0f} min {rest:.0f} s"
    return f"{minutes // 60:.0f} h {minutes % 60:.0f} min"


def moment(unix: float) -> str:
    """A wall-clock time, in this host's time zone."""
    return datetime.fromtimestamp(unix).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
