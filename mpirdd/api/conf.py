"""Configuration as keys and values under Spark's names (``spark.app.name``), for programs that use
them. Some keys mean a setting of mpirdd. The Conf keeps all others, so the program can read them
back. Other programs give settings to ``Context`` directly.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import fields
from typing import Any, overload

from mpirdd.api.hadoopkeys import ignored
from mpirdd.protocol.errors import UsageError
from mpirdd.protocol.settings import Settings

_SETTINGS = {
    "spark.app.name": "app_name",
    "spark.default.parallelism": "parallelism",
    "spark.ui.showConsoleProgress": "progress",
    "spark.python.profile": "profile",
    "spark.executor.memory": "memory",
    "spark.local.dir": "scratch",
    "spark.driver.maxResultSize": "max_result_bytes",
}
"""Keys that mean a setting. ``mpirdd.NAME`` means the setting NAME, too."""
_OWN = "mpirdd."
SUBMITTED = "MPIRDD_CONF"
"""The variable with the keys of the command line that started this program, as a JSON object."""


def submitted() -> dict[str, str]:
    """The keys that the command line gave (``mpirdd run --conf KEY=VALUE``)."""
    given = os.environ.get(SUBMITTED)
    if not given:
        return {}
    import json

    return dict(json.loads(given))


def paths_of(value: str) -> list[str]:
    """The paths of a key that holds several, with commas between them.

    >>> paths_of("a.py, b.zip,")
    ['a.py', 'b.zip']
    """
    return [path.strip() for path in value.split(",") if path.strip()]


class Conf:
    """Keys and values, both text. Setters return the Conf itself, so calls can be chained.

    Args:
        loadDefaults: begin with the keys of the command line (``mpirdd run --conf KEY=VALUE``).

    >>> conf = Conf().setAppName("count").set("spark.default.parallelism", 8)
    >>> conf.get("spark.app.name"), conf.get("spark.default.parallelism"), conf.get("no.such.key")
    ('count', '8', None)
    """

    def __init__(self, loadDefaults: bool = True, _jvm: None = None, _jconf: None = None) -> None:
        self._values: dict[str, str] = submitted() if loadDefaults else {}

    def set(self, key: str, value: Any) -> Conf:
        """Set ``key`` to ``str(value)``.

        >>> Conf().set("spark.app.name", "count").get("spark.app.name")
        'count'
        """
        self._values[key] = str(value)
        return self

    def setIfMissing(self, key: str, value: Any) -> Conf:
        """Set ``key``, unless it is set.

        >>> Conf().set("a", 1).setIfMissing("a", 2).setIfMissing("b", 3).getAll()
        [('a', '1'), ('b', '3')]
        """
        return self if self.contains(key) else self.set(key, value)

    def setMaster(self, value: str) -> Conf:
        """Set ``spark.master``. It changes nothing, since the launcher decides which ranks take
        part.

        >>> Conf().setMaster("local[4]").get("spark.master")
        'local[4]'
        """
        return self.set("spark.master", value)

    def setAppName(self, value: str) -> Conf:
        """Set the program's name, as shown in logs.

        >>> Conf().setAppName("count").get("spark.app.name")
        'count'
        """
        return self.set("spark.app.name", value)

    def setSparkHome(self, value: str) -> Conf:
        """Set ``spark.home``, which means nothing here.

        >>> Conf().setSparkHome("/opt/spark").get("spark.home")
        '/opt/spark'
        """
        return self.set("spark.home", value)

    def setExecutorEnv(
        self, key: str | None = None, value: str | None = None, pairs: Iterable[tuple[str, str]] | None = None
    ) -> Conf:
        """Set environment variables of the executors: one by ``key`` and ``value``, or several by ``pairs``.

        Raises:
            UsageError: both ways at once, or neither.

        >>> Conf().setExecutorEnv("A", "1").setExecutorEnv(pairs=[("B", "2")]).getAll()
        [('spark.executorEnv.A', '1'), ('spark.executorEnv.B', '2')]
        """
        if (key is None) == (pairs is None):
            raise UsageError("setExecutorEnv needs either a key and its value, or pairs")
        for name, text in pairs if key is None and pairs is not None else [(key, value)]:
            self.set(f"spark.executorEnv.{name}", text)
        return self

    def setAll(self, pairs: Iterable[tuple[str, Any]]) -> Conf:
        """Set several keys.

        >>> Conf().setAll([("a", 1), ("b", 2)]).getAll()
        [('a', '1'), ('b', '2')]
        """
        for key, value in pairs:
            self.set(key, value)
        return self

    @overload
    def get(self, key: str, defaultValue: None = None) -> str | None: ...
    @overload
    def get(self, key: str, defaultValue: str) -> str: ...
    def get(self, key: str, defaultValue: str | None = None) -> str | None:
        """The value of ``key``, or the default.

        >>> Conf().get("a"), Conf().get("a", "b")
        (None, 'b')
        """
        return self._values.get(key, defaultValue)

    def getAll(self) -> list[tuple[str, str]]:
        """All (key, value), in the order in which they were first set.

        >>> Conf().set("a", 1).getAll()
        [('a', '1')]
        """
        return list(self._values.items())

    def contains(self, key: str) -> bool:
        """Whether ``key`` is set.

        >>> Conf().set("a", 1).contains("a"), Conf().contains("a")
        (True, False)
        """
        return key in self._values

    def toDebugString(self) -> str:
        """``key=value`` lines, sorted.

        >>> print(Conf().set("b", 2).set("a", 1).toDebugString())
        a=1
        b=2
        """
        return "\n".join(f"{key}={value}" for key, value in sorted(self._values.items()))

    def settings(self) -> dict[str, str]:
        """The keys that are settings of mpirdd, as environment variables.

        For a new Context. Warns of the keys that would change results under Spark, and change nothing here.

        Raises:
            UsageError: a key begins with ``mpirdd.`` and there is no such setting.

        >>> Conf().set("spark.default.parallelism", 8).set("mpirdd.spin_s", 0).settings()
        {'MPIRDD_PARALLELISM': '8', 'MPIRDD_SPIN_S': '0'}
        """
        for key in ignored(self._values):
            import logging

            logging.getLogger("mpirdd").warning("the key %s has no effect in mpirdd", key)
        names = {
            key: _SETTINGS.get(key, key.removeprefix(_OWN))
            for key in self._values
            if key in _SETTINGS or key.startswith(_OWN)
        }
        unknown = sorted(set(names.values()) - {field.name for field in fields(Settings)})
        if unknown:
            raise UsageError(f"unknown setting {', '.join(_OWN + name for name in unknown)}")
        return {f"MPIRDD_{name.upper()}": self._values[key] for key, name in names.items()}

    def executor_environment(self) -> dict[str, str]:
        """The environment variables for executors.

        >>> Conf().setExecutorEnv("A", "1").executor_environment()
        {'A': '1'}
        """
        prefix = "spark.executorEnv."
        return {
            key.removeprefix(prefix): value for key, value in self._values.items() if key.startswith(prefix)
        }

    def copy(self) -> Conf:
        """An independent copy.

        >>> conf = Conf(); _ = conf.copy().set("a", 1); conf.contains("a")
        False
        """
        return type(self)(False).setAll(self.getAll())
