"""What programs reach through ``sc._jsc``: Hadoop's configuration, where they put keys of file systems. There is no Java."""

from __future__ import annotations

from typing import Any

from mpirdd.api.conf import Conf
from mpirdd.api.hadoopkeys import PREFIX

from ._absent import AbsentMember


class HadoopConfiguration:
    """Keys of Hadoop, which are those of the Conf that begin with ``spark.hadoop.``."""

    def __init__(self, conf: Conf) -> None:
        self._conf = conf

    def set(self, name: str, value: Any) -> None:
        self._conf.set(PREFIX + name, value)

    setBoolean = setInt = setLong = set

    def get(self, name: str, defaultValue: str | None = None) -> str | None:
        return self._conf.get(PREFIX + name) or defaultValue


class JavaContext:
    """``sc._jsc``, of which nothing but ``hadoopConfiguration`` is here."""

    def __init__(self, conf: Conf) -> None:
        self._conf = conf

    def hadoopConfiguration(self) -> HadoopConfiguration:
        return HadoopConfiguration(self._conf)

    def __getattr__(self, name: str) -> Any:
        raise AbsentMember(f"mpirdd has no SparkContext._jsc.{name}: there is no Java behind it")
