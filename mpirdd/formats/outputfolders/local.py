"""Output on a file system that is mounted.

    start      folder/_temporary-<token>/
    write      folder/_temporary-<token>/part-00000, ..., each renamed when it is whole
    commit     folder/part-00000, ..., then folder/_SUCCESS

Left out: forcing files to disk (fsync), since every job would wait for it: a part survives the death of any process, but
not always its host's loss of power. A driver that dies leaves the temporary folder, and no ``_SUCCESS``.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress

from mpirdd.formats.inputfiles import host
from mpirdd.formats.outputfolders.protocol import (
    SUCCESS,
    TEMPORARY,
    Part,
    Token,
    check_replaceable,
    no_folder,
    refusal,
    taken,
)
from mpirdd.protocol.errors import ClusterError, MpirddError, UsageError
from mpirdd.store.atomic import WholeFile

_log = logging.getLogger(__name__)


class LocalFolder:
    """Where ``token`` replaces an older output, its files go when all new parts are there: a reader may then meet a mixture
    for a moment, without ``_SUCCESS``."""

    def __init__(self, folder: str, token: str) -> None:
        self._folder, self._temporary = folder, os.path.join(folder, f"{TEMPORARY}{token}")
        self._replaces = isinstance(token, Token) and token.replaces

    def start(self) -> None:
        folder = self._folder
        with _clear_errors(folder), _no_folder_there(folder):
            if self._replaces:
                os.mkdir(self._temporary)
                return
            os.makedirs(os.path.dirname(folder), exist_ok=True)
            try:
                os.mkdir(folder)
            except FileExistsError:
                raise UsageError(_refusal(folder)) from None
            try:
                os.mkdir(self._temporary)
            except OSError:
                os.rmdir(folder)
                raise

    def write(self, name: str, attempt_id: int | str, data: Iterable[bytes]) -> str:
        final = os.path.join(self._temporary, name)
        # Random: an attempt believed lost may still be writing. Hidden, so nobody takes it.
        import secrets

        unfinished = os.path.join(self._temporary, f".{name}-{attempt_id}-{secrets.token_hex(4)}")
        with WholeFile(final, aside=unfinished, forced=False, failed=lambda error: _clear(error, final)) as file:
            for piece in data:
                file.write(piece)
        return name

    def commit(self, parts: Collection[Part] | None) -> None:
        folder, temporary = self._folder, self._temporary
        with _clear_errors(folder), _one_commit_at_a_time(folder):
            names = self._complete_parts() if parts is None else sorted(map(str, parts))
            self._check_parts(names)
            old, moved = self._old_names() if self._replaces else [], []
            try:
                for name in names:
                    os.replace(os.path.join(temporary, name), os.path.join(folder, name))
                    moved.append(name)
                for name in set(old).difference(names):
                    _remove_old(os.path.join(folder, name))
                open(os.path.join(folder, SUCCESS), "xb").close()
            except BaseException:  # whatever it is: no half of an output stays
                for name in moved:
                    _remove_old(os.path.join(folder, name))
                raise
            _remove_temporary(temporary)

    def abandon(self) -> None:
        if os.path.isdir(self._temporary):  # else it is committed or abandoned, and an empty folder is someone else's
            _remove_temporary(self._temporary)
            if not self._replaces:
                with suppress(OSError):
                    os.rmdir(self._folder)

    def _complete_parts(self) -> list[str]:
        return sorted(name for name in os.listdir(self._temporary) if name.startswith("part-"))

    def _check_parts(self, names: Collection[str]) -> None:
        folder, temporary = self._folder, self._temporary
        if not os.path.isdir(temporary):
            raise ClusterError(f"{folder} on {host()}: another job has replaced the output, or removed {temporary}, meanwhile")
        absent = [name for name in names if not os.path.exists(os.path.join(temporary, name))]
        if absent:
            raise ClusterError(
                f"{len(absent)} of {len(names)} parts of the output are missing on {host()}, "
                f"such as {temporary}/{absent[0]}; the folder must be on a file system that every rank sees"
            )
        if self._replaces:
            return
        theirs = [name for name in (*names, SUCCESS) if os.path.lexists(os.path.join(folder, name))]
        if theirs:
            raise taken(os.path.join(folder, theirs[0]))

    def _old_names(self) -> list[str]:
        """The names of the older output, which is complete no more."""
        names = os.listdir(self._folder)
        check_replaceable(self._folder, names)
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(self._folder, SUCCESS))
        return [name for name in names if name not in (SUCCESS, os.path.basename(self._temporary))]


def replaces(folder: str, overwrite: bool) -> bool:
    """Is there an older output, to be replaced? A folder that is there without ``overwrite`` is refused by ``start``.

    Raises:
        UsageError: something is there that must stay.
    """
    if not overwrite or not os.path.isdir(folder):
        return False
    with _clear_errors(folder):
        check_replaceable(folder, os.listdir(folder))
    return True


def _refusal(folder: str) -> str:
    return refusal(folder, os.path.exists(os.path.join(folder, SUCCESS))) if os.path.isdir(folder) else no_folder(folder)


def _remove_old(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        _remove_temporary(path)
    else:
        with suppress(FileNotFoundError):
            os.unlink(path)


def _remove_temporary(temporary: str) -> None:
    """Not ``rmtree``: we made files only, and do not remove a folder that somebody else put
    there."""
    for _ in range(3):  # an attempt that is still running may add a file meanwhile
        with suppress(OSError):
            for name in os.listdir(temporary):
                with suppress(OSError):
                    os.remove(os.path.join(temporary, name))
            os.rmdir(temporary)
            return
    # No reason to fail: all parts are where they belong, and readers pass over what is left.
    _log.warning("could not remove %s; remove it by hand", temporary)


@contextmanager
def _one_commit_at_a_time(folder: str) -> Iterator[None]:
    """Of two jobs that replace one output, the second commits after the first, which takes milliseconds. The lock ends with its
    process. Where a file system has none, as some networks' have not for folders, commits go without."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _no_folder_there(folder: str) -> Iterator[None]:
    """A file system such as /proc, which makes no folders, reports that there is none."""
    try:
        yield
    except FileNotFoundError as error:
        raise UsageError(
            f"cannot make the output folder {folder} on {host()}: {error.strerror}; choose one elsewhere"
        ) from error


@contextmanager
def _clear_errors(path: str) -> Iterator[None]:
    """Turns an ``OSError`` about ``path`` into an error that says where, and what to do."""
    try:
        yield
    except OSError as error:
        raise _clear(error, error.filename or path) from error


def _clear(error: OSError, path: str) -> MpirddError:
    what = f"cannot write {path} on {host()}: {error.strerror}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ClusterError(f"{what}; free some space, or write elsewhere")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return UsageError(f"{what}; choose a folder that you may write to")
    if error.errno in (errno.EEXIST, errno.ENOTDIR, errno.ENAMETOOLONG):
        return UsageError(f"{what}; choose another folder")
    if error.errno == errno.ENOENT:
        return ClusterError(
            f"{what}; the output has been committed or abandoned meanwhile, "
            "or its folder is not on a file system that every rank sees"
        )
    return ClusterError(what)
