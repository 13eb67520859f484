"""Output on HDFS, where a rename of a folder is one step.

    start      beside/_temporary-<name>-<token>/
    write      beside/_temporary-<name>-<token>/part-00000, ..., each renamed when it is whole
    commit     _SUCCESS is put beside the parts, and the temporary folder takes the folder's name

So the output is there with ``_SUCCESS``, or not at all. An older output that is replaced is set aside first, and removed
last: a driver killed in between leaves it as ``_temporary-<name>-<token>-old``.

A killed driver leaves its temporary folder. The next output of that name that is committed takes it away.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Iterable
from contextlib import suppress

from mpirdd.formats.filesystems import FileSystem, join, name_of, parent
from mpirdd.formats.outputfolders.claims import claimed, note_left
from mpirdd.formats.outputfolders.protocol import SUCCESS, TEMPORARY, Part, Token, in_words, missing, taken


class RenamedFolder:
    def __init__(self, fs: FileSystem, folder: str, token: Token) -> None:
        self._fs, self._folder, self._token = fs, folder, token
        self._beside, self._name = parent(folder), name_of(folder)
        self._temporary = join(self._beside, f"{TEMPORARY}{self._name}-{token}")

    def start(self) -> None:
        with in_words(self._folder):
            self._fs.make_folders(self._temporary)
            note_left(self._fs, self._folder, self._token)

    def write(self, name: str, attempt_id: int | str, data: Iterable[bytes]) -> str:
        final = join(self._temporary, name)
        unfinished = join(self._temporary, f".{name}-{attempt_id}-{secrets.token_hex(4)}")
        with in_words(final):
            # Not with folders: after the commit a late attempt would make the temporary folder anew.
            writer = self._fs.create(unfinished, folders=False)
        try:
            for piece in data:
                with in_words(final):
                    writer.write(piece)
            with in_words(final):
                writer.close()
        except BaseException:  # whatever it is: no half of a file stays
            writer.abort()
            raise
        try:
            with in_words(final), suppress(FileExistsError):
                self._fs.rename(unfinished, final)
                return name
            self._remove(unfinished)  # another attempt was first, and its file is whole, too
        except BaseException:
            self._remove(unfinished)
            raise
        return name

    def commit(self, parts: Collection[Part] | None) -> None:
        fs, folder, temporary = self._fs, self._folder, self._temporary
        with in_words(folder), claimed(fs, folder, self._token):
            if fs.info(temporary) is None:  # another job of this output was first, and took it away
                raise taken(folder)
            there = {name_of(each.path) for each in fs.entries(temporary)}
            names = {name for name in there if name.startswith("part-")} if parts is None else set(map(str, parts))
            if absent := sorted(names - there):
                raise missing(names, absent, temporary)
            for name in there - names:  # of attempts that failed, or still run
                fs.remove(join(temporary, name))
            fs.create(join(temporary, SUCCESS)).close()
            aside = temporary + "-old"
            replaced = self._token.replaces and fs.info(folder) is not None
            if replaced:
                fs.rename(folder, aside)
            try:
                fs.rename(temporary, folder)
            except FileExistsError:
                raise taken(folder) from None
            except BaseException:
                if replaced:
                    fs.rename(aside, folder)
                raise
            self._clear_up()

    def abandon(self) -> None:
        with suppress(OSError):
            self._fs.remove(self._temporary, recursive=True)

    def _clear_up(self) -> None:
        """What a late attempt may have put into the folder, and what older jobs of this output have left. No reason to
        fail: the output is complete."""
        with suppress(OSError):
            for each in self._fs.entries(self._folder):
                if name_of(each.path).startswith(".part-"):
                    self._fs.remove(each.path)
            left = re.compile(rf"{TEMPORARY}{re.escape(self._name)}-[0-9a-f]{{16}}(-old)?")
            for each in self._fs.entries(self._beside):
                if left.fullmatch(name_of(each.path)):
                    self._fs.remove(each.path, recursive=True)

    def _remove(self, path: str) -> None:
        with suppress(OSError):
            self._fs.remove(path)
