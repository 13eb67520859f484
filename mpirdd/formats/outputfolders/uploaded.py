"""Output on an object store with multi-part uploads.

    start      nothing
    write      an upload to folder/part-00000, whose pieces the store has, and which nobody sees
    commit     the driver claims the folder, completes the uploads of the attempts that count, puts _SUCCESS, aborts all others
    abandon    the driver aborts all uploads below the folder, if no other job is completing them

A killed driver leaves its uploads, which cost space and are seen by nobody. The next output of that name takes them away,
when it is committed or abandoned; so does a lifecycle rule of the bucket (docs/STORAGE.md).

While the driver completes uploads, some 100 a second, readers see the first parts, and no ``_SUCCESS``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress

from mpirdd.formats.filesystems import FileSystem, Upload, UploadedPart, Uploads, join, name_of, parent
from mpirdd.formats.outputfolders.claims import claimed, committing, is_claim, note_left
from mpirdd.formats.outputfolders.protocol import (
    SUCCESS,
    Part,
    Token,
    UploadedFile,
    check_replaceable,
    in_parallel,
    in_words,
    taken,
)
from mpirdd.protocol.errors import UsageError

_PIECE_BYTES = 8 << 20
_PIECES_EACH = 500
"""A store takes 10,000 pieces of a file. They grow, so that a file may have up to a TiB."""


class UploadedFolder:
    def __init__(self, fs: FileSystem, uploads: Uploads, folder: str, token: Token) -> None:
        self._fs, self._uploads, self._folder, self._token = fs, uploads, folder, token

    def start(self) -> None:
        with in_words(self._folder):
            note_left(self._fs, self._folder, self._token)

    def write(self, name: str, attempt_id: int | str, data: Iterable[bytes]) -> UploadedFile:
        path = join(self._folder, name)
        with in_words(path):
            upload = self._uploads.begin(path)
        try:
            return UploadedFile(name, upload, tuple(self._put_all(upload, data)))
        except BaseException:  # whatever it is: no half of a file stays
            with suppress(OSError):
                self._uploads.abort(upload)
            raise

    def _put_all(self, upload: Upload, data: Iterable[bytes]) -> list[UploadedPart]:
        done: list[UploadedPart] = []
        waiting = bytearray()
        for piece in data:
            waiting += piece
            if len(waiting) >= _PIECE_BYTES << len(done) // _PIECES_EACH:
                self._put(upload, done, waiting)
                waiting = bytearray()
        if waiting or not done:
            self._put(upload, done, waiting)
        return done

    def _put(self, upload: Upload, done: list[UploadedPart], data: bytearray) -> None:
        with in_words(upload.path):
            done.append(self._uploads.put(upload, len(done) + 1, data))

    def commit(self, parts: Collection[Part] | None) -> None:
        files = {part.name: part for part in parts or () if isinstance(part, UploadedFile)}
        with in_words(self._folder):
            try:
                with claimed(self._fs, self._folder, self._token):
                    self._commit(files)
                    self._abort_all()  # the uploads of attempts that do not count
            except UsageError:  # another job's output; what is pending besides our uploads may be its
                with suppress(OSError):
                    in_parallel(self._uploads.abort, [file.upload for file in files.values()])
                raise

    def _commit(self, files: Mapping[str, UploadedFile]) -> None:
        old = self._old_names()
        if not self._token.replaces and old:
            raise taken(join(self._folder, old[0]))
        if old and {file.upload for file in files.values()}.difference(self._uploads.pending(self._folder)):
            raise taken(self._folder)  # whoever committed meanwhile has aborted them
        if SUCCESS in old:
            self._fs.remove(join(self._folder, SUCCESS))
        try:
            in_parallel(self._complete, files.values())
            for name in set(old).difference(files, (SUCCESS,)):
                self._fs.remove(join(self._folder, name), recursive=True)
            self._fs.create(join(self._folder, SUCCESS)).close()
        except FileExistsError:
            raise taken(join(self._folder, SUCCESS)) from None
        except FileNotFoundError as error:
            self._take_back(files)
            raise taken(error.filename or self._folder) from error
        except BaseException:
            self._take_back(files)
            raise

    def abandon(self) -> None:
        with suppress(OSError):
            if committing(self._fs, self._folder, self._token) is None:
                self._abort_all()

    def _abort_all(self) -> None:
        with suppress(OSError):
            ours = [each for each in self._uploads.pending(self._folder)
                    if name_of(each.path).startswith("part-") and parent(each.path) == self._folder]
            in_parallel(self._uploads.abort, ours)

    def _old_names(self) -> list[str]:
        found = self._fs.info(self._folder)
        names = [] if found is None else [name_of(each.path) for each in self._fs.entries(self._folder)]
        names = [name for name in names if not is_claim(name)]
        if self._token.replaces:
            check_replaceable(self._folder, names)
        return names

    def _complete(self, file: UploadedFile) -> None:
        self._uploads.complete(file.upload, file.parts)

    def _take_back(self, names: Iterable[str]) -> None:
        """The commit has failed: the parts that it made visible go."""
        for name in names:
            with suppress(OSError):
                self._fs.remove(join(self._folder, name))
