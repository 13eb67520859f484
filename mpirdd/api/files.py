"""Files that the program adds for its tasks: data, modules, archives.

The driver keeps a copy in a private folder of its own, so that its functions find the file in the same way, and
sends the file to every executor once. There it lies in a private folder too, one for each process, that goes
when the Context stops.

How files are packed and unpacked is in ``added_files``.
"""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

from mpirdd.api.added_files import Packed, address_of, existing, install, name_of, packed_from
from mpirdd.api.reaching import ReachesFiles
from mpirdd.api.this_process import THIS_PROCESS
from mpirdd.driver.driver import Driver
from mpirdd.formats.paths import OnePath, full_path
from mpirdd.protocol.errors import MpirddError, UsageError

_log = logging.getLogger("mpirdd")
_PACKAGES = (".zip", ".egg", ".jar")
_KINDS: dict[str, Literal["zip", "tar"]] = {
    ".zip": "zip", ".jar": "zip", ".tar": "tar", ".tar.gz": "tar", ".tgz": "tar",
}


class SparkFiles:
    """Finds added files; the same calls work on the driver and within tasks. Has class methods
    only."""

    def __init__(self) -> None:
        raise NotImplementedError("SparkFiles has class methods only: SparkFiles.get(name)")

    @classmethod
    def get(cls, filename: str) -> str:
        """The path of a file that was added by ``addFile``, ``addPyFile`` or ``addArchive`` (a folder then), by
        its name.

        Raises:
            ClusterError: the file was sent, but could not be written on this host.

        >>> import os, tempfile
        >>> from mpirdd import SparkFiles
        >>> path = os.path.join(tempfile.mkdtemp(), "factor.txt")
        >>> _ = open(path, "w").write("100")
        >>> sc.addFile(path)
        >>> sc.parallelize([1, 2]).map(lambda x: x * int(open(SparkFiles.get("factor.txt")).read())).collect()
        [100, 200]
        """
        THIS_PROCESS.files.check(filename)
        return os.path.abspath(os.path.join(cls.getRootDirectory(), filename))

    @classmethod
    def getRootDirectory(cls) -> str:
        """The folder of this process's added files.

        >>> import os
        >>> from mpirdd import SparkFiles
        >>> SparkFiles.get("a") == os.path.join(SparkFiles.getRootDirectory(), "a")
        True
        """
        return THIS_PROCESS.files.path()


class Files(ReachesFiles):
    """The part of a Context that ships files. None of these runs a job; executors have a file before their next
    task."""

    _added: AddedFiles

    def addFile(
        self, path: OnePath, recursive: bool = False, *, storage_options: Mapping[str, Any] | None = None
    ) -> None:
        """Send a file to all executors; there and here, ``SparkFiles.get(its name)`` returns its
        path. A path added before gives a warning, and stays as it was.

        Args:
            path: a file that the driver can read, or its URL (``hdfs://``, ``https://``, ...); with ``recursive`` also a
                local folder.
            storage_options: how to reach the file system of a URL, as in ``textFile``.

        Raises:
            InputError: it does not exist, or cannot be read.
            UsageError: it is a folder, without ``recursive``; or another file of this name has been added.

        >>> import os, tempfile
        >>> from mpirdd import SparkFiles
        >>> path = os.path.join(tempfile.mkdtemp(), "numbers.txt")
        >>> _ = open(path, "w").write("1 2 3")
        >>> sc.addFile(path)
        >>> sc.parallelize([0]).map(lambda _: open(SparkFiles.get("numbers.txt")).read()).first()
        '1 2 3'
        """
        self._engine.check_usable()
        options = self._storage(storage_options)
        found = existing(path, options)
        if os.path.isdir(found) and not recursive:
            raise UsageError(f"addFile: {found} is a folder; pass recursive=True to send all that is in it")
        self._added.add(self._added.files, address_of(found), lambda: packed_from(found, name_of(found), options=options))

    def addPyFile(self, path: OnePath, *, storage_options: Mapping[str, Any] | None = None) -> None:
        """Send a ``.py`` file, or a package as ``.zip`` or ``.egg``, to all executors, for tasks and this
        program to import.

        Raises:
            InputError, UsageError: as ``addFile``.

        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "seven_for_all.py")
        >>> _ = open(path, "w").write("SEVEN = 7")
        >>> sc.addPyFile(path)
        >>> sc.parallelize([1]).map(lambda x: x + __import__("seven_for_all").SEVEN).collect()
        [8]
        """
        self.addFile(path, storage_options=storage_options)
        name = name_of(full_path(path, self._storage(storage_options)))
        if name[-4:].lower() in _PACKAGES:
            self._added.import_from(name)

    def addArchive(self, path: OnePath, *, storage_options: Mapping[str, Any] | None = None) -> None:
        """Send an archive to all executors, unpacked there: ``SparkFiles.get(its name)`` is the folder.

        Args:
            path: a ``.zip``, ``.jar``, ``.tar``, ``.tar.gz`` or ``.tgz`` file; anything else
                travels as it is. ``path#name`` gives the folder that name.

        Raises:
            InputError: it does not exist, is no archive of its kind, or holds names that lead out of the folder.
            UsageError: another file of this name has been added.

        >>> import os, tempfile, zipfile
        >>> from mpirdd import SparkFiles
        >>> path = os.path.join(tempfile.mkdtemp(), "data.zip")
        >>> with zipfile.ZipFile(path, "w") as archive: archive.writestr("deep/answer", "42")
        >>> sc.addArchive(path)
        >>> sc.parallelize([0]).map(lambda _: open(SparkFiles.get("data.zip/deep/answer")).read()).first()
        '42'
        """
        self._engine.check_usable()
        options = self._storage(storage_options)
        path = path if isinstance(path, str) else full_path(path)
        bare, mark, name = path.rpartition("#") if "#" in path and not os.path.lexists(path) else (path, "", "")
        found = existing(bare, options)
        kind = next((kind for suffix, kind in _KINDS.items() if found.lower().endswith(suffix)), None)
        if kind is None:
            _log.warning("%s is no archive that can be unpacked; it is sent as it is", found)
        pack = partial(packed_from, found, name or name_of(found), kind, options)
        self._added.add(self._added.archives, address_of(found) + mark + name, pack)

    @property
    def listFiles(self) -> list[str]:
        """The addresses of the added files, ``file:`` and a path, in the order in which they were added.

        >>> sc.listFiles == list(sc.listFiles)
        True
        """
        return list(self._added.files)

    @property
    def listArchives(self) -> list[str]:
        """The addresses of the added archives, in the order in which they were added.

        >>> sc.listArchives == list(sc.listArchives)
        True
        """
        return list(self._added.archives)


class AddedFiles:
    """What the program has added to a Context; on the driver."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self.files: list[str] = []
        self.archives: list[str] = []

    def add(self, known: list[str], address: str, pack: Callable[[], Packed]) -> None:
        """Send it to all executors, and note its address in ``known``, unless it is there already."""
        if address in known:
            _log.warning("%s has been added before; the first one stays", address)
            return
        packed = pack()
        if not self.files and not self.archives:
            atexit.register(self.remove)
        install(packed, THIS_PROCESS.files.path())
        known.append(address)
        self._driver.on_every_executor(partial(_receive, packed))

    def import_from(self, name: str) -> None:
        """Let this program and all tasks import from an added package."""
        THIS_PROCESS.files.import_from(name)
        self._driver.on_every_executor(partial(_import_from, name))

    def remove(self) -> None:
        """Take all added files away, here and on the executors. For the end of the Context."""
        if self.files or self.archives:
            self.files, self.archives = [], []
            atexit.unregister(self.remove)
            self._driver.on_every_executor(_remove)
        _remove()


# --- on executors -----------------------------------------------------------------------------------------------------


def _receive(packed: Packed) -> None:
    """No task runs yet that could be told of a failure; the one that asks for the file is."""
    try:
        install(packed, THIS_PROCESS.files.path())
    except MpirddError as error:
        THIS_PROCESS.files.failures[packed.name] = str(error)
        raise


def _import_from(name: str) -> None:
    THIS_PROCESS.files.import_from(name)


def _remove() -> None:
    THIS_PROCESS.files.remove()
