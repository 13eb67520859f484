"""Event logs, reports and traces at URLs.

Object stores append to no file, and HDFS shows what is appended late. So a log that is to lie at a URL is written to a local
file as any other, in a private folder, and put at the URL, whole, when the run ends. Whoever outlives the run does that: the
launcher, or the driver where no launcher of ours has started it (``srun``, ``python job.py``, ``Context(events=...)``).

Promises: a URL that cannot be written is told before the run begins, by writing a small file there and removing it. Nothing
is overwritten: a log that is there already is fetched first, and gets the new run behind it, as a local one does. Nothing is
lost: what could not be put stays in the local folder, and the user is told its path.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from secrets import token_hex
from types import TracebackType

from mpirdd.formats.filesystems import NO_OPTIONS, Options, filesystem_of, is_remote, join, name_of, parent
from mpirdd.formats.filesystems.protocol import failure
from mpirdd.formats.inputfiles import cannot_read
from mpirdd.formats.outputfolders.protocol import cannot_write
from mpirdd.formats.paths import local_path
from mpirdd.formats.remotepaths import tidy_url
from mpirdd.formats.wholefiles import new_file
from mpirdd.observe.event_file import FIRST, name_of_log
from mpirdd.observe.event_files import LogFiles
from mpirdd.protocol.errors import ClusterError, MpirddError, UsageError
from mpirdd.store.scratch import make_private_folder, remove_tree, temporary_folder

_PIECE_BYTES = 4 << 20
_TIME = re.compile(r"-(\d{8}-\d{6})-\d+\.jsonl$")


def place(text: str) -> str:
    """The URL that ``text`` is, or the local path that it means (``file:///logs/``); a slash at its end stays."""
    if is_remote(text):
        return tidy_url(text) + ("/" if text.endswith("/") else "")
    if text.startswith("file:"):
        return local_path(text) + ("/" if text.endswith("/") else "")
    return text


def check_writable(url: str, options: Options = NO_OPTIONS) -> None:
    """Write a small file beside ``url``, and remove it.

    Raises:
        UsageError, ClusterError: that cannot be done.
    """
    probe = join(parent(url), f".mpirdd-{token_hex(8)}")
    with _told(url):
        files = filesystem_of(url, options)
        with files.create(probe) as file:
            file.write(b"\n")
        with suppress(OSError):  # who may write and not remove is served as well
            files.remove(probe)


def head(url: str, length: int, options: Options = NO_OPTIONS) -> bytes:
    """The first bytes of a file; none if there is none.

    Raises:
        UsageError: it cannot be read, or is a folder.
    """
    try:
        files = filesystem_of(url, options)
        found = files.info(url)
        if found is None:
            return b""
        if found.is_folder:
            raise failure(errno.EISDIR, url, "it is a folder; give a file's name in it")
        return files.read_range(url, 0, min(length, found.size))
    except OSError as error:
        raise cannot_read(url, error) from error


def put(path: str, url: str, options: Options = NO_OPTIONS) -> None:
    """Put a local file at ``url``, whole; replaces what is there.

    Raises:
        UsageError, ClusterError: that cannot be done.
    """
    with _told(url), open(path, "rb") as file, new_file(url, options, failed=partial(_cannot_write, url)) as there:
        while data := file.read(_PIECE_BYTES):
            there.write(data)


@contextmanager
def written_aside(url: str, options: Options = NO_OPTIONS) -> Iterator[str]:
    """The path of a local file to write, which is put at ``url`` when the block ends well.

    Raises:
        UsageError, ClusterError: it cannot be put. The local file stays; the message has its path.
    """
    folder = _private_folder()
    path = os.path.join(folder, name_of(url) or "file")
    try:
        yield path
    except BaseException:
        remove_tree(folder)
        raise
    try:
        put(path, url, options)
    except MpirddError as error:
        raise type(error)(f"{error}; what was to be there is kept in {path}") from error
    remove_tree(folder)


class RemoteLog:
    """The event log of a run, at a URL: a local file, at ``path``, until ``end``. As a context manager it ends with the block.

    Args:
        setting: ``events``: a URL; one that is a folder, or ends in a slash, gets a new file.
        of: what the run is called, for the name of a new file.
        options: how to reach its file system.
        parent: where to make the private folder; by default where ``TMPDIR`` or the system says.

    Raises:
        UsageError, ClusterError: it cannot be written or looked at there; or something else than a log is there.
    """

    def __init__(self, setting: str, of: str, *, options: Options = NO_OPTIONS, parent: str = "") -> None:
        url, self._options = place(setting), options
        with _told(url):
            found = filesystem_of(url, options).info(tidy_url(url))
        if url.endswith("/") or (found is not None and found.is_folder):
            url, found = join(url, name_of_log(of)), None
        self.url = url
        check_writable(url, options)
        self._folder = _private_folder(parent)
        self.path = os.path.join(self._folder, name_of(url))
        self._there = None if found is None else found.size
        """Bytes of the file at the URL, as far as we know; None: there is none."""
        try:
            self._fetch()
        except BaseException:
            remove_tree(self._folder)
            raise
        _say(f"event log: {self.path} while the run goes on (for mpirdd top), then {url}")

    def _fetch(self) -> None:
        """What is there goes before the new run."""
        if not self._there:
            return
        if not head(self.url, 200, self._options).startswith(FIRST):
            raise UsageError(f"{self.url} exists and is no event log; choose another name")
        try:
            with filesystem_of(self.url, self._options).open(self.url, 0, self._there) as file, open(self.path, "xb") as local:
                while data := file.read(_PIECE_BYTES):
                    local.write(data)
        except OSError as error:
            raise cannot_read(self.url, error) from error

    def end(self) -> None:
        """Put at the URL what there is, and remove the local file. Where that cannot be done, it stays, and the user is told."""
        if os.path.exists(self.path) and os.path.getsize(self.path) != (self._there or 0):
            try:
                self._check_unchanged()
                put(self.path, self.url, self._options)
            except BaseException as error:
                why = str(error) if isinstance(error, MpirddError) else f"{self.url} has not been written"
                _say(f"{why}; the event log is kept in {self.path}, where mpirdd's commands read it, too")
                if not isinstance(error, MpirddError):
                    raise
                return
        remove_tree(self._folder)

    def _check_unchanged(self) -> None:
        with _told(self.url):
            found = filesystem_of(self.url, self._options).info(self.url)
            if (None if found is None else found.size) != self._there:
                raise failure(errno.EEXIST, self.url, "another run has put its log there since this one began")

    def __enter__(self) -> RemoteLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()


class AnyLogFiles(LogFiles):
    """The files of logs, also at URLs."""

    def newest(self, path: str) -> str | None:
        """Of a folder at a URL the file with the latest time in its name: those of mpirdd have one."""
        path = place(path)
        if not is_remote(path):
            return super().newest(path)
        url = tidy_url(path)
        try:
            files = filesystem_of(url)
            found = files.info(url)
            if found is None or not found.is_folder:
                return None if found is None else url
            logs = [each.path for each in files.entries(url) if not each.is_folder and each.path.endswith(".jsonl")]
        except OSError as error:
            raise cannot_read(url, error) from error
        return max(logs, key=_age, default=None)

    def read(self, path: str) -> bytes:
        if not is_remote(path):
            return super().read(path)
        try:
            with filesystem_of(path).open(path) as file:
                return file.read()
        except OSError as error:
            raise cannot_read(path, error) from error

    def absent(self, path: str) -> str:
        if not is_remote(path):
            return super().absent(place(path))
        return "there is no event log (*.jsonl) yet: until its run ends, it is the local file that the run has named"


def _age(path: str) -> tuple[str, str]:
    found = _TIME.search(path)
    return found[1] if found else "", path


def _private_folder(parent: str = "") -> str:
    try:
        return make_private_folder(".mpirdd-events-", parent or temporary_folder())
    except OSError as error:
        raise ClusterError(f"no private folder can be made in {parent or temporary_folder()}: {error.strerror}; another one may "
                           "be named by TMPDIR") from error


@contextmanager
def _told(url: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _cannot_write(url, error) from error


def _cannot_write(url: str, error: OSError) -> MpirddError:
    return cannot_write(url, OSError(error.errno or errno.EIO, error.strerror or str(error)))  # not of a file beside it


def _say(text: str) -> None:
    sys.stderr.write(f"mpirdd: {text}\n")
    sys.stderr.flush()
