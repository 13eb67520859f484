"""SparkSession: a way to the SparkContext, and a reader of text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from types import TracebackType
from typing import Any

from mpirdd.api.conf import Conf
from mpirdd.api.rdd import RDD
from mpirdd.api.this_process import THIS_PROCESS
from mpirdd.formats.inputfiles import InputFile

from .._absent import HasAbsentMembers
from ..conf import SparkConf
from ..context import SparkContext
from .types import Line

_OPEN_COST_BYTES = 4 << 20
"""Spark counts each file as so many bytes more, and cuts none into smaller partitions than this."""


class Builder(HasAbsentMembers):
    """``SparkSession.builder``: collects options, then gets or makes the session."""

    _instead = "sessions here have a name, options and a SparkContext"

    def __init__(self) -> None:
        self._options = SparkConf()

    def appName(self, name: str) -> Builder:
        return self.config("spark.app.name", name)

    def master(self, master: str) -> Builder:
        return self.config("spark.master", master)

    def config(
        self,
        key: str | None = None,
        value: Any = None,
        conf: Conf | None = None,
        *,
        map: Mapping[str, Any] | None = None,
    ) -> Builder:
        self._options.setAll([*(conf.getAll() if conf else ()), *(map or {}).items()])
        if key is not None:
            self._options.set(
                key, {True: "true", False: "false"}[value] if isinstance(value, bool) else value
            )
        return self

    def getOrCreate(self) -> SparkSession:
        """The session of the active SparkContext; with a new one if there is none."""
        made = SparkSession(SparkContext.getOrCreate(self._options))
        made.conf.setAll(self._options.getAll())
        return made

    create = getOrCreate


class _NewBuilder:
    def __get__(self, instance: object, owner: type) -> Builder:
        return Builder()


class SparkSession(HasAbsentMembers):
    """The parts of a session that RDD programs use: its context, its text reader, its options."""

    _instead = "use sparkContext and RDDs, or read.text(path).rdd; DataFrames and SQL need Spark"
    builder = _NewBuilder()

    def __init__(self, sparkContext: SparkContext) -> None:
        self._context = sparkContext
        self.conf = SparkConf().setAll(sparkContext.getConf().getAll())

    @property
    def sparkContext(self) -> SparkContext:
        return self._context

    @property
    def version(self) -> str:
        return self._context.version

    @property
    def read(self) -> DataFrameReader:
        return DataFrameReader(self)

    @classmethod
    def getActiveSession(cls) -> SparkSession | None:
        active = THIS_PROCESS.context
        return cls(active) if isinstance(active, SparkContext) else None

    @classmethod
    def active(cls) -> SparkSession:
        return cls(SparkContext.getOrCreate())

    def stop(self) -> None:
        self._context.stop()

    def __enter__(self) -> SparkSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class DataFrameReader(HasAbsentMembers):
    """``spark.read``, for text only."""

    _instead = "it reads text, as in read.text(path).rdd; for other formats read with RDDs"

    def __init__(self, made_by: SparkSession) -> None:
        self._session = made_by

    def text(self, paths: str | Iterable[str], wholetext: bool = False) -> Text:
        """The lines of text files, or whole files; ``.rdd`` has them as rows with the one field ``value``."""
        return Text(self._session, ",".join([paths] if isinstance(paths, str) else paths), wholetext)


class Text(HasAbsentMembers):
    """The result of ``read.text``: a DataFrame with nothing but its ``rdd``."""

    _instead = "use .rdd, whose records are rows with the one field `value`"
    columns = ("value",)

    def __init__(self, made_by: SparkSession, paths: str, whole: bool) -> None:
        self.sparkSession, self._paths, self._whole = made_by, paths, whole

    @property
    def rdd(self) -> RDD:
        """The lines as rows: ``row[0]`` or ``row.value`` is the text."""
        context = self.sparkSession.sparkContext
        if self._whole:
            return context.wholeTextFiles(self._paths).values().mapPartitions(_as_rows)
        return context.textFile(
            self._paths, _partitions(context._inputs(self._paths), context.defaultParallelism)
        ).mapPartitions(_as_rows)


def _partitions(files: list[InputFile], parallelism: int) -> int:
    """As many as Spark SQL makes of files: one for each core, but none smaller than what opening a file costs."""
    sizes = [file.size for file in files]
    share = (sum(sizes) + len(sizes) * _OPEN_COST_BYTES) // parallelism
    return max(1, -(-sum(sizes) // max(_OPEN_COST_BYTES, share)))


def _as_rows(lines: Iterator[str]) -> Iterator[Line]:
    return map(partial(tuple.__new__, Line), zip(lines))


__all__ = ["SparkSession"]
