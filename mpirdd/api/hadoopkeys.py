"""Keys of a Conf that mean something to Hadoop's input and output: those that count here, and a word about the others.

Programs set them as ``spark.hadoop.KEY``; Spark hands them to Hadoop without the prefix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mpirdd.protocol.errors import InvalidValue

Get = Callable[[str], "str | None"]
"""The value of a key of a Conf."""

PREFIX = "spark.hadoop."

_DELIMITER = ("textinputformat.record.delimiter",)
_RECURSIVE = ("mapreduce.input.fileinputformat.input.dir.recursive", "mapred.input.dir.recursive")
_HONOURED = frozenset(PREFIX + key for key in (*_DELIMITER, *_RECURSIVE))
_FILESYSTEMS = ("fs.", "dfs.", "hadoop.", "ipc.", "google.cloud.")
"""How file systems are reached: the clients in ``formats/filesystems`` take from these what they know."""
_WITHOUT_MEANING = ("yarn.", "io.file.buffer.size", *_FILESYSTEMS)
"""No result depends on these, but for where a file is."""
_CHANGE_RESULTS = frozenset({
    "spark.files.ignoreCorruptFiles", "spark.files.ignoreMissingFiles", "spark.files.maxPartitionBytes",
    "spark.files.openCostInBytes", "spark.files.overwrite", "spark.hadoop.validateOutputSpecs",
    "spark.jars", "spark.jars.packages",
})
"""Keys of Spark's own that change what a program reads, writes or finds, and that nothing here heeds."""


def delimiter(get: Get) -> str | None:
    """What ends a line of a text file; None: line ends do.

    Hadoop takes an empty value for none.
    """
    return _first(get, _DELIMITER) or None


def recursive(get: Get) -> bool:
    """Are the files in folders below an input folder read, too?

    Raises:
        InvalidValue: the key has a value that is neither true nor false.
    """
    value = (_first(get, _RECURSIVE) or "false").strip().lower()
    if value not in ("true", "false"):
        raise InvalidValue(f"{PREFIX}{_RECURSIVE[0]} must be true or false, not {value!r}")
    return value == "true"


def filesystems(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The keys that say how to reach file systems, without their prefix."""
    return {key.removeprefix(PREFIX): value for key, value in pairs
            if key.startswith(tuple(PREFIX + each for each in _FILESYSTEMS))}


def ignored(keys: Iterable[str]) -> list[str]:
    """The keys that would change results under Spark, and change nothing here."""
    return [
        key for key in keys
        if key in _CHANGE_RESULTS
        or (key.startswith(PREFIX) and key not in _HONOURED and not key.startswith(tuple(PREFIX + k for k in _WITHOUT_MEANING)))
    ]


def _first(get: Get, names: Iterable[str]) -> str | None:
    return next((value for name in names if (value := get(PREFIX + name)) is not None), None)
