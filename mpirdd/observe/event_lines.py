"""The form of events in the event log: one object each."""

from __future__ import annotations

from typing import Any

from mpirdd.observe.run_events import Event, TaskMeasured, TasksMeasured

_NAMES: dict[type[Event], tuple[str, ...]] = {}
_NOTHING = (None, 0, "", False)


def as_line(event: Event, t: float) -> dict[str, Any]:
    """The event as an object of the log, ``t`` seconds after the run's start."""
    kind = type(event)
    names = _NAMES.get(kind)
    if names is None:
        fields: tuple[str, ...] = kind.__slots__  # the fields' names: see protocol/values.py
        names = _NAMES[kind] = tuple(name for name in fields if name not in kind.UNWRITTEN and name != "figures")
    line: dict[str, Any] = {"event": kind.KIND, "t": round(t, 6)}
    optional = kind.OPTIONAL
    for name in names:
        value = getattr(event, name)
        if value.__class__ is float:
            value = round(value, 6)
        elif name == "partitions" and value.__class__ is tuple:
            value = ranges(value)
        if name not in optional or value not in _NOTHING:
            line[name] = value
    if isinstance(event, TaskMeasured | TasksMeasured):
        line.update(event.figures)
    return line


def ranges(numbers: tuple[int, ...]) -> str:
    """Numbers as text, short where many follow each other: ``0-24,30``."""
    if len(numbers) > 1 and numbers == tuple(range(numbers[0], numbers[0] + len(numbers))):  # nearly always, and in C
        return f"{numbers[0]}-{numbers[-1]}"
    parts: list[str] = []
    first = last = -2
    for number in numbers:
        if number == last + 1:
            last = number
            continue
        if last >= 0:
            parts.append(f"{first}-{last}" if last > first else str(first))
        first = last = number
    if last >= 0:
        parts.append(f"{first}-{last}" if last > first else str(first))
    return ",".join(parts)
