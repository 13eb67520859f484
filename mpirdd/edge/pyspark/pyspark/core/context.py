"""SparkContext: mpirdd's Context, with PySpark's way to make one."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from mpirdd.edge import session
from mpirdd.user.conf import Conf
from mpirdd.user.profiling import BasicProfiler, Profiler
from mpirdd.user.rdd import RDD

from .._absent import AbsentMember
from ..conf import SparkConf
from ..version import __version__


class _Active:
    def __get__(self, instance: object, owner: type) -> session.Context | None:
        return session.active_context()


class SparkContext(session.Context):
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
        name: str,
        minPartitions: int | None = None,
        use_unicode: bool = True,
        *,
        errors: str = "replace",
    ) -> RDD:
        """As in mpirdd, but bytes that are not UTF-8 become U+FFFD, as in PySpark, and do not fail the job."""
        return super().textFile(name, minPartitions, use_unicode, errors=errors)

    def wholeTextFiles(
        self, path: str, minPartitions: int | None = None, use_unicode: bool = True, *, errors: str = "replace"
    ) -> RDD:
        """As in mpirdd, but bytes that are not UTF-8 become U+FFFD, as in PySpark, and do not fail the job."""
        return super().wholeTextFiles(path, minPartitions, use_unicode, errors=errors)

    def __getattr__(self, name: str) -> Any:
        if name in ("_jsc", "_jvm", "_gateway"):
            raise AbsentMember(f"mpirdd has no SparkContext.{name}: there is no Java behind it")
        raise AttributeError(f"SparkContext has no attribute {name!r}")


__all__ = ["SparkContext"]
