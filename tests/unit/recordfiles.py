"""For the tests of record formats: files, cut as finely as can be, read piece by piece."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mpirdd.formats.inputfiles import InputFile
from mpirdd.formats.records.pieces import plan, read_pieces


def found(*paths: Path) -> list[InputFile]:
    return [InputFile(str(path), os.path.getsize(path)) for path in paths]


def partitions(form: Any, *paths: Path, least: int = 1) -> list[list[Any]]:
    """The records of each partition."""
    form, groups = plan(form, found(*paths), least, given=True)
    found_records = [list(read_pieces(form, group)) for group in groups]
    assert [read_pieces(form, group).count() for group in groups] == list(map(len, found_records))
    return found_records


def records(form: Any, *paths: Path, least: int = 1) -> list[Any]:
    return [record for partition in partitions(form, *paths, least=least) for record in partition]
