"""A Context's knowledge of the program itself: names, times, configuration, logging, profiles."""

from __future__ import annotations

import logging
import os
from collections import Counter
from functools import partial
from typing import Any

from mpirdd.api.conf import Conf
from mpirdd.api.engine import Family
from mpirdd.api.html import card
from mpirdd.api.unsupported import refuses
from mpirdd.formats.paths import OnePath, local_path
from mpirdd.protocol.errors import UsageError
from mpirdd.protocol.shown import shown_size
from mpirdd.protocol.version import __version__

_LEVELS = {
    "ALL": 1, "TRACE": 1, "DEBUG": logging.DEBUG, "INFO": logging.INFO, "WARN": logging.WARNING,
    "WARNING": logging.WARNING, "ERROR": logging.ERROR, "FATAL": logging.CRITICAL, "OFF": logging.CRITICAL + 1,
}


@refuses("Context")
class Application(Family):
    """The part of a Context that knows the program."""

    PACKAGE_EXTENSIONS = (".zip", ".egg", ".jar")
    _conf: Conf
    """The configuration in force."""
    _started_s: float
    """When the Context was made, in seconds since 1970."""

    def _complete(self, conf: Conf | None) -> Conf:
        """A configuration that says what the program is, too. Executors get the environment that it has for them."""
        complete = Conf() if conf is None else conf.copy()
        complete.set("spark.app.name", self.appName).set("spark.app.id", self.applicationId)
        complete.set("spark.app.startTime", self.startTime)
        complete.setIfMissing("spark.master", f"mpi[{len(self._engine.driver.executors)}]")
        if variables := complete.executor_environment():
            self._engine.driver.on_every_executor(partial(_set_variables, variables))
        return complete

    @property
    def appName(self) -> str:
        """The program's name: the ``app_name`` setting.

        >>> type(sc.appName).__name__
        'str'
        """
        return self._engine.settings.app_name

    @property
    def master(self) -> str:
        """``spark.master`` of the configuration, if the program has set it; else ``mpi[number of executors]``.

        >>> type(sc.master).__name__
        'str'
        """
        return self._conf.get("spark.master", "")

    @property
    def applicationId(self) -> str:
        """An id of this Context, made of its start time and the driver's process.

        >>> sc.applicationId.startswith("mpirdd-")
        True
        """
        return f"mpirdd-{self.startTime}-{os.getpid()}"

    @property
    def version(self) -> str:
        """The version of mpirdd.

        >>> sc.version == __version__
        True
        """
        return __version__

    @property
    def startTime(self) -> int:
        """When the Context started, in milliseconds since 1970.

        >>> sc.startTime > 1_700_000_000_000
        True
        """
        return int(self._started_s * 1000)

    @property
    def uiWebUrl(self) -> str | None:
        """None: there is no web page.

        >>> sc.uiWebUrl is None
        True
        """
        return None

    @property
    def resources(self) -> dict[str, Any]:
        """Accelerators of the driver: an empty dict, since mpirdd assigns none.

        >>> sc.resources
        {}
        """
        return {}

    def sparkUser(self) -> str:
        """The name of the user who runs the program.

        >>> len(sc.sparkUser()) > 0
        True
        """
        try:
            import getpass

            return getpass.getuser()
        except (KeyError, OSError):  # a container's user need not have a name
            return str(os.getuid())

    def setLogLevel(self, logLevel: str) -> None:
        """Log on the driver from this level on: ALL, TRACE, DEBUG, INFO, WARN, ERROR, FATAL or OFF.

        Raises:
            UsageError: another level.

        >>> sc.setLogLevel("WARN")
        """
        if not isinstance(logLevel, str) or logLevel.upper() not in _LEVELS:
            raise UsageError(f"log level {logLevel!r}: must be one of {', '.join(_LEVELS)}")
        logging.getLogger("mpirdd").setLevel(_LEVELS[logLevel.upper()])

    def getConf(self) -> Conf:
        """A copy of the configuration in force.

        >>> sc.getConf().get("spark.app.name") == sc.appName
        True
        """
        return self._conf.copy()

    def show_profiles(self) -> None:
        """Print where the Python code of tasks has spent its time, for each RDD of an action or a
        shuffle.

        Raises:
            UsageError: profiling is off: see the setting ``profile``.

        >>> sc.show_profiles()                              # doctest: +SKIP
        """
        self._engine.profiles.show()

    def dump_profiles(self, path: OnePath) -> None:
        """Write the profiles to ``path``, a folder, as files ``rdd_ID.pstats`` for ``pstats``.

        Raises:
            UsageError: profiling is off: see the setting ``profile``.

        >>> sc.dump_profiles("profiles")                    # doctest: +SKIP
        """
        self._engine.profiles.dump(local_path(path))

    def _repr_html_(self) -> str:
        driver, settings = self._engine.driver, self._engine.settings
        on_hosts = Counter(driver.hosts[rank] for rank in driver.executors)
        where = ", ".join(f"{count} on {host}" for host, count in on_hosts.items())
        return card(f"Context {self.appName}", [
            ("mpirdd", __version__), ("executors", where), ("mode", settings.mode),
            ("default parallelism", settings.parallelism or len(driver.executors)),
            ("memory budgets", shown_size(sum(driver.memory.limit_bytes.values()))),
        ])

    def __repr__(self) -> str:
        return f"<{type(self).__name__} master={self.master} appName={self.appName}>"


def _set_variables(variables: dict[str, str]) -> None:
    os.environ.update(variables)
