"""What a Context tells about the program itself: names, times, configuration, logging, profiles."""

from __future__ import annotations

import getpass
import logging
import os
import time
from functools import partial
from typing import Any, NoReturn

from mpirdd.roles.driver import Driver
from mpirdd.user.conf import Conf
from mpirdd.user.profiling import Profiles
from mpirdd.words.errors import NotSupported, UsageError

_FORMATS = (
    "mpirdd has no Hadoop input formats, which are Java classes; use textFile, sequenceFile, binaryFiles or pickleFile"
)
_LEVELS = {
    "ALL": 1, "TRACE": 1, "DEBUG": logging.DEBUG, "INFO": logging.INFO, "WARN": logging.WARNING,
    "WARNING": logging.WARNING, "ERROR": logging.ERROR, "FATAL": logging.CRITICAL, "OFF": logging.CRITICAL + 1,
}


class Application:
    """The part of a Context that knows the program."""

    PACKAGE_EXTENSIONS = (".zip", ".egg", ".jar")
    _driver: Driver
    _profiles: Profiles

    def __init__(self, conf: Conf | None = None) -> None:
        self._started_s = time.time()
        self._conf = Conf() if conf is None else conf.copy()
        self._conf.set("spark.app.name", self.appName).set("spark.app.id", self.applicationId)
        self._conf.set("spark.app.startTime", self.startTime).setIfMissing("spark.master", self.master)
        if variables := self._conf.executor_environment():
            self._driver.on_every_executor(partial(_set_variables, variables))

    @property
    def appName(self) -> str:
        """The program's name: the ``app_name`` setting.

        >>> type(sc.appName).__name__
        'str'
        """
        return self._driver.settings.app_name

    @property
    def master(self) -> str:
        """``spark.master`` of the configuration, if the program has set it; else ``mpi[number of executors]``.

        >>> type(sc.master).__name__
        'str'
        """
        return self._conf.get("spark.master", f"mpi[{len(self._driver.executors)}]")

    @property
    def applicationId(self) -> str:
        """An id of this Context, made of its start time and the driver's process.

        >>> sc.applicationId.startswith("mpirdd-")
        True
        """
        return f"mpirdd-{self.startTime}-{os.getpid()}"

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
        """Accelerators of the driver: an empty dict, as mpirdd assigns none.

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
        """Print where the Python code of tasks has spent its time, for each RDD that an action or a shuffle ran on.

        Raises:
            UsageError: profiling is off: see the setting ``profile``.

        >>> sc.show_profiles()                              # doctest: +SKIP
        """
        self._profiles.show()

    def dump_profiles(self, path: str) -> None:
        """Write the profiles to ``path``, a folder, as files ``rdd_ID.pstats`` for ``pstats``.

        Raises:
            UsageError: profiling is off: see the setting ``profile``.

        >>> sc.dump_profiles("profiles")                    # doctest: +SKIP
        """
        self._profiles.dump(path)

    @classmethod
    def setSystemProperty(cls, key: str, value: str) -> NoReturn:
        """Raises NotSupported: there is no Java. Use ``Conf``, or ``os.environ``."""
        raise NotSupported("setSystemProperty sets a property of Java; here, use Conf().set(key, value), or os.environ")

    @classmethod
    def getSystemProperty(cls, key: str) -> NoReturn:
        """Raises NotSupported: there is no Java. Use ``getConf().get(key)``, or ``os.environ``."""
        raise NotSupported("getSystemProperty reads a property of Java; here, use getConf().get(key), or os.environ")

    def newAPIHadoopFile(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises NotSupported: Hadoop's input formats are Java classes. Use textFile, sequenceFile, binaryFiles
        or pickleFile."""
        raise NotSupported(f"newAPIHadoopFile: {_FORMATS}")

    def newAPIHadoopRDD(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises NotSupported: Hadoop's input formats are Java classes. Use textFile, sequenceFile, binaryFiles
        or pickleFile."""
        raise NotSupported(f"newAPIHadoopRDD: {_FORMATS}")

    def hadoopFile(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises NotSupported: Hadoop's input formats are Java classes. Use textFile, sequenceFile, binaryFiles
        or pickleFile."""
        raise NotSupported(f"hadoopFile: {_FORMATS}")

    def hadoopRDD(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises NotSupported: Hadoop's input formats are Java classes. Use textFile, sequenceFile, binaryFiles
        or pickleFile."""
        raise NotSupported(f"hadoopRDD: {_FORMATS}")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} master={self.master} appName={self.appName}>"


def _set_variables(variables: dict[str, str]) -> None:
    os.environ.update(variables)
