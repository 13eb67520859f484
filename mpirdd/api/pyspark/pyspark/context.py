"""SparkContext: mpirdd's Context, with PySpark's way to make one."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from mpirdd import Context
from mpirdd.api.conf import Conf
from mpirdd.api.profiling import BasicProfiler, Profiler
from mpirdd.api.rdd import RDD
from mpirdd.api.this_process import THIS_PROCESS
from mpirdd.formats.paths import Paths

from ._absent import AbsentMember
from ._hadoop import JavaContext
from .conf import SparkConf
from .version import __version__


class _Active:
    def __get__(self, instance: object, owner: type) -> object:
        return THIS_PROCESS.context


class SparkContext(Context):
    """See ``mpirdd.Context``. The arguments are PySpark's, and win over ``conf``.

    Those for serializers, batches and gateways mean nothing here.
    """

    _active_spark_context = _Active()

    def __init__(
        self,
        master: str | None = None,
        appName: str | None = None,
        sparkHome: str | None = None,
        pyFiles: Iterable[str] | None = None,
        environment: Mapping[str, Any] | None = None,
        batchSize: int = 0,
        serializer: Any = None,
        conf: Conf | None = None,
        gateway: None = None,
        jsc: None = None,
        profiler_cls: type[Profiler] = BasicProfiler,
        udf_profiler_cls: Any = None,
        memory_profiler_cls: Any = None,
    ) -> None:
        chosen = SparkConf() if conf is None else SparkConf().setAll(conf.getAll())
        given = {"spark.master": master, "spark.app.name": appName, "spark.home": sparkHome}
        chosen.setAll((key, value) for key, value in given.items() if value)
        chosen.setExecutorEnv(pairs=(environment or {}).items())
        super().__init__(conf=chosen, profiler=profiler_cls)
        if chosen.contains("spark.master"):
            logging.getLogger("mpirdd").debug("spark.master=%s is ignored: the launcher decides", self.master)
        for path in pyFiles or ():
            self.addPyFile(path)

    @property
    def version(self) -> str:
        """The version of PySpark whose API this is."""
        return __version__

    @property
    def sparkHome(self) -> str | None:
        return self.getConf().get("spark.home")

    @property
    def environment(self) -> dict[str, str]:
        return self.getConf().executor_environment()

    def textFile(
        self,
        name: Paths,
        minPartitions: int | None = None,
        use_unicode: bool = True,
        *,
        errors: str = "replace",
        encoding: str = "utf-8",
        delimiter: str | bytes | None = None,
        recursive: bool | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> RDD:
        """As in mpirdd, but bytes that are not UTF-8 become U+FFFD, as in PySpark, and do not fail the job."""
        return super().textFile(
            name, minPartitions, use_unicode, errors=errors, encoding=encoding, delimiter=delimiter, recursive=recursive,
            storage_options=storage_options)

    def wholeTextFiles(
        self,
        path: Paths,
        minPartitions: int | None = None,
        use_unicode: bool = True,
        *,
        errors: str = "replace",
        encoding: str = "utf-8",
        recursive: bool | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> RDD:
        """As in mpirdd, but bytes that are not UTF-8 become U+FFFD, as in PySpark, and do not fail the job."""
        return super().wholeTextFiles(
            path, minPartitions, use_unicode, errors=errors, encoding=encoding, recursive=recursive,
            storage_options=storage_options)

    @property
    def _jsc(self) -> JavaContext:
        """For ``sc._jsc.hadoopConfiguration().set(key, value)``."""
        return JavaContext(self._conf)

    def __getattr__(self, name: str) -> Any:
        if name in ("_jvm", "_gateway"):
            raise AbsentMember(f"mpirdd has no SparkContext.{name}: there is no Java behind it")
        raise AttributeError(f"SparkContext has no attribute {name!r}")


__all__ = ["SparkContext"]
