"""Zarr: arrays in folders, a file a chunk. A piece is whole chunks along the first axis."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from mpirdd.formats.filesystems import Options, filesystem_of, is_remote, join
from mpirdd.formats.inputfiles import InputFile, cannot_read
from mpirdd.formats.records.arrays import ArrayFormat, Rows
from mpirdd.formats.records.library import library
from mpirdd.protocol.errors import InputError
from mpirdd.store.costs import counting


@dataclass(frozen=True)
class Zarr(ArrayFormat):
    """Zarr arrays, or one array of Zarr groups; a "file" is the folder of one."""

    array: str | None = None
    """Its path within a group."""

    @property
    def name(self) -> str:
        return "a Zarr array"

    @contextmanager
    def opened(self, file: InputFile) -> Iterator[Rows]:
        yield _Chunks(self._found(file.path, file.options))

    def sized(self, folder: str, options: Options) -> InputFile:
        """The folder as an input file, of the size of its array.

        Raises:
            InputError: there is no such array.
        """
        return InputFile(folder, int(self._found(folder, options).nbytes), options=options)

    def _found(self, folder: str, options: Options) -> Any:
        zarr = library("zarr", self.name)
        try:
            found = zarr.open(_store(zarr, folder, options), mode="r")
        except Exception as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise cannot_read(folder, error) from error
            raise InputError(f"{folder} is not a Zarr array or group: {type(error).__name__}: {error}") from error
        if not hasattr(found, "shape"):
            names = _arrays_in(found)
            name = names[0] if self.array is None and len(names) == 1 else self.array
            if name not in names:
                which = "is a group of several arrays" if name is None and names else f"has no array {name or ''}".rstrip()
                raise InputError(f"{folder} {which}; name one of: {', '.join(names) or 'none is there'}")
            return found[name]
        if self.array not in (None, ""):
            raise InputError(f"{folder} is an array, not a group, so it has no array {self.array!r} within")
        return found


def _store(zarr: Any, folder: str, options: Options) -> Any:
    """What Zarr reads from: a local path, or the keys of a folder elsewhere."""
    is_old = zarr.__version__.startswith("2.")
    if not is_remote(folder):
        return folder if is_old else _counted_store(zarr.storage.LocalStore)(folder, read_only=True)
    stored = _Stored(folder, options)
    if is_old:
        return stored
    buffer = zarr.core.buffer.default_buffer_prototype().buffer
    stored.wrap = buffer.from_bytes
    return zarr.storage.MemoryStore(stored, read_only=True)


def _counted_store(local: Any) -> Any:
    """The class of Zarr's local stores, whose bytes count for the task that makes one. (Not the seconds: it reads in several
    threads.)"""
    costs = counting()

    async def get(self: Any, *arguments: Any, **more: Any) -> Any:
        found = await local.get(self, *arguments, **more)
        if found is not None:
            costs.note("input_bytes", len(found))
        return found

    return type("CountedStore", (local,), {"get": get})


class _Stored(MutableMapping[str, Any]):
    """The files below a folder of any file system, by their path within it: all that a Zarr store is."""

    def __init__(self, folder: str, options: Options) -> None:
        self._folder, self._options, self._costs = folder, options, counting()
        self.wrap: Any = bytes

    def __getitem__(self, key: str) -> Any:
        files, path = filesystem_of(self._folder, self._options), join(self._folder, key)
        info = files.info(path)
        if info is None or info.is_folder:
            raise KeyError(key)
        began = perf_counter()
        data = files.read_range(path, 0, info.size)
        self._costs.add(input_s=perf_counter() - began, input_bytes=len(data))
        return self.wrap(data)

    def __iter__(self) -> Iterator[str]:
        files, pending = filesystem_of(self._folder, self._options), [self._folder]
        while pending:
            for each in files.entries(pending.pop()):
                if each.is_folder:
                    pending.append(each.path)
                else:
                    yield each.path[len(self._folder.rstrip("/")) + 1 :]

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __setitem__(self, key: str, value: Any) -> None:
        raise PermissionError("mpirdd only reads Zarr arrays")

    def __delitem__(self, key: str) -> None:
        raise PermissionError("mpirdd only reads Zarr arrays")


def _arrays_in(group: Any, above: str = "") -> list[str]:
    names = [above + name for name, _ in group.arrays()]
    for name, below in group.groups():
        names += _arrays_in(below, f"{above}{name}/")
    return sorted(names)


class _Chunks(Rows):
    """An open array."""

    def __init__(self, array: Any) -> None:
        self._array, self.shape, self.dtype = array, array.shape, array.dtype
        shards = getattr(array, "shards", None)
        self.chunk_rows = (shards or array.chunks)[0] if array.shape else 1

    def block(self, start: int, end: int) -> Any:
        return library("numpy", "an array").asarray(self._array[start:end])

    def all(self) -> Any:
        return library("numpy", "an array").asarray(self._array[()])
