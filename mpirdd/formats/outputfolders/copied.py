"""Output on a file system with neither an atomic rename nor uploads that another process can complete.

    start      nothing
    write      folder/_temporary-<token>/part-00000.<random>, ...
    commit     the driver claims the folder; the server renames or copies those that count to folder/part-00000, ...; then the
               driver puts _SUCCESS

Such stores show a file only when it is whole. Each attempt has a name of its own: an attempt that is given up removes what
it has put, and some clients of fsspec put a half for that. A killed driver leaves its temporary names, which readers pass
over; the next output that is committed in the folder takes them away.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable
from contextlib import suppress
from functools import partial

from mpirdd.formats.filesystems import FileSystem, join, name_of
from mpirdd.formats.outputfolders.claims import claimed, is_claim, note_left
from mpirdd.formats.outputfolders.protocol import (
    SUCCESS,
    TEMPORARY,
    Part,
    Token,
    check_replaceable,
    in_parallel,
    in_words,
    missing,
    taken,
)


class CopiedFolder:
    def __init__(self, fs: FileSystem, folder: str, token: Token) -> None:
        self._fs, self._folder, self._token = fs, folder, token
        self._temporary = join(folder, f"{TEMPORARY}{token}")

    def start(self) -> None:
        with in_words(self._folder):
            note_left(self._fs, self._folder, self._token)

    def write(self, name: str, attempt_id: int | str, data: Iterable[bytes]) -> str:
        own = f"{name}.{secrets.token_hex(8)}"
        path = join(self._temporary, own)
        with in_words(path):
            writer = self._fs.create(path, overwrite=True)
        try:
            for piece in data:
                with in_words(path):
                    writer.write(piece)
            with in_words(path):
                writer.close()
        except BaseException:  # whatever it is: no half of a file stays
            writer.abort()
            raise
        return own

    def commit(self, parts: Collection[Part] | None) -> None:
        with in_words(self._folder), claimed(self._fs, self._folder, self._token):
            self._commit(parts)

    def _commit(self, parts: Collection[Part] | None) -> None:
        fs, folder = self._fs, self._folder
        old = [name for name in self._names_in(folder) if not name.startswith(TEMPORARY)]
        if self._token.replaces:
            check_replaceable(folder, old)
        elif old:
            raise taken(join(folder, old[0]))
        there = self._names_in(self._temporary)
        if parts and not there and SUCCESS in old:  # another job of this output was first, and took them away
            raise taken(folder)
        counted = {_final(own): own for own in (there if parts is None else map(str, parts))}
        if absent := sorted(set(counted.values()).difference(there)):
            raise missing(counted, absent, self._temporary)
        names = sorted(counted)
        for name in [SUCCESS, *names] if old else ():
            fs.remove(join(folder, name))
        moved: list[str] = []
        try:
            in_parallel(partial(self._move, moved), counted.values())
            for name in set(old).difference(names, (SUCCESS,)):
                fs.remove(join(folder, name), recursive=True)
            for name in self._names_in(folder):
                if name.startswith(TEMPORARY) and not is_claim(name):
                    fs.remove(join(folder, name), recursive=True)
            fs.create(join(folder, SUCCESS)).close()
        except BaseException as error:  # whatever it is: no half of an output stays
            for name in moved:
                with suppress(OSError):
                    fs.remove(join(folder, name))
            if isinstance(error, FileExistsError):
                raise taken(error.filename or join(folder, SUCCESS)) from None
            raise

    def abandon(self) -> None:
        with suppress(OSError):
            self._fs.remove(self._temporary, recursive=True)
            # Some stores (Azure's with a hierarchical namespace) keep the folder, now empty, and the next start would refuse it.
            found = None if self._token.replaces else self._fs.info(self._folder)
            if found is not None and found.is_folder and not self._fs.entries(self._folder):
                self._fs.remove(self._folder)

    def _names_in(self, folder: str) -> list[str]:
        return [] if self._fs.info(folder) is None else [name_of(each.path) for each in self._fs.entries(folder)]

    def _move(self, moved: list[str], own: str) -> None:
        self._fs.rename(join(self._temporary, own), join(self._folder, _final(own)))
        moved.append(_final(own))


def _final(own: str) -> str:
    """The name that the file of an attempt takes."""
    return own.rpartition(".")[0]
