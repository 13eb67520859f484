"""The jobs' checks before they compute: options, for argparse's ``type``, and tables of numbers."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable
from math import inf, isfinite
from pathlib import Path

import numpy as np

SHOWN = 200
"""Characters of a wrong line in messages."""


def whole(least: int) -> Callable[[str], int]:
    """A whole number, not less than ``least``."""
    def parse(text: str) -> int:
        if not text.lstrip("-").isdecimal() or int(text) < least:
            raise ArgumentTypeError(f"{text!r} is no whole number of {least} or more")
        return int(text)

    return parse


def real(least: float, most: float = inf) -> Callable[[str], float]:
    """A number within bounds."""
    def parse(text: str) -> float:
        number = number_of(text)
        if number is None or not least <= number <= most:
            raise ArgumentTypeError(f"{text!r} is no number from {least:g} " + (f"to {most:g}" if most < inf else "on"))
        return number

    return parse


def new_folder(text: str) -> str:
    """A new folder; refuses an existing one before the work, and not after it."""
    if Path(text).exists():
        raise ArgumentTypeError(f"{text} exists already; choose another, or remove it if nobody needs it")
    return text


def number_of(text: str) -> float | None:
    """The number; None if the text is no finite number."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if isfinite(number) else None


def row_of(line: str) -> list[float]:
    """The numbers of a line, separated by commas. Raises ValueError, which shows the line."""
    try:
        row = list(map(float, line.split(",")))
    except ValueError:
        row = [inf]
    if not all(map(isfinite, row)):
        raise ValueError(_wrong_in([line]))
    return row


def table_of(lines: list[str]) -> np.ndarray:
    """A row for each line, (n, d) float64. Raises ValueError, which shows the first wrong line."""
    try:
        table = np.loadtxt(lines, delimiter=",", ndmin=2)
    except ValueError as error:
        raise ValueError(_wrong_in(lines) or str(error)) from None
    if not np.isfinite(table).all():
        raise ValueError(_wrong_in(lines))
    return table


def _wrong_in(lines: list[str]) -> str:
    """What is wrong, and the line itself, for a search in the files: nobody knows its number, as partitions begin anywhere."""
    number = 0
    for line in lines:
        text = line.partition("#")[0].strip()  # the rest is a comment, for loadtxt
        if not text:
            continue
        fields, shown = text.split(","), line if len(line) <= SHOWN else line[:SHOWN] + "..."
        if any(number_of(field) is None for field in fields):
            return f"a field is no finite number in the line {shown!r}"
        number = number or len(fields)
        if len(fields) != number:
            return f"{len(fields)} fields, where a line before has {number}, in the line {shown!r}"
    return ""
