"""Checkpoints: partitions in files, to be read instead of being computed again.

A checkpoint is a folder of its own with a file for each partition and, last, a manifest that names every file
with its size and checksum. Each file appears whole (``wholefiles``). A folder without a manifest is no
checkpoint, and a file that does not match the manifest is refused. Each attempt at a partition has a file of its own, as its
records may differ from those of another; the manifest says which counts. Records are pickled, so read only checkpoints
that you trust.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from io import BufferedReader
from itertools import chain
from typing import Any, NamedTuple
from uuid import uuid4

from xxhash import xxh3_64

from mpirdd.formats.filesystems import NO_OPTIONS, Options
from mpirdd.formats.wholefiles import (
    NewFile,
    names_in,
    new_file,
    new_folder,
    open_file,
    read_manifest,
    remove_file,
    write_manifest,
)
from mpirdd.protocol.errors import ClusterError, InputError
from mpirdd.store.batches import batches
from mpirdd.store.codec import decode, encode
from mpirdd.store.pieces import bounded
from mpirdd.store.task_memory import TaskMemory

_MANIFEST = "manifest.json"
_VERSION = 2
_BATCH_BYTES = 1 << 20
"""Records are encoded and written in batches of about this size, and read back as such."""
_SIZE_BYTES = 8


class Part(NamedTuple):
    """One partition's file."""

    path: str
    size: int
    """In bytes."""
    checksum: str
    """xxh3-64 of the whole file, in hexadecimal digits."""
    options: Options = NO_OPTIONS
    """How to reach its file system."""


def new_checkpoint(folder: str, options: Options) -> AbstractContextManager[str]:
    """A context manager that gives the folder to write the parts and the manifest of checkpoint ``folder`` to. When it
    ends well the checkpoint is there; else nothing of it is."""
    return new_folder(folder, options, failed=partial(_cannot_write, folder))


def write_part(
    folder: str, index: int, records: Iterable[Any], *, options: Options, name: str = "part-",
    memory: TaskMemory | None = None,
) -> Part:
    """Write one partition; may be done twice, by different executors: ``commit`` gets the part that counts. ``memory`` notices
    records that are larger than those before them."""
    path = os.path.join(folder, f"{name}{index:05d}-{uuid4().hex[:8]}")
    with new_file(path, options, failed=partial(_cannot_write, path)) as file:
        _write(file, records, memory)
    return Part(path, file.size, file.checksum, options)


def commit(folder: str, parts: Sequence[Part], options: Options) -> None:
    """Write the manifest: the parts in ``folder`` are all there. Files of other attempts go."""
    remove_others(folder, parts, options)
    listed = [{"file": os.path.basename(p.path), "size": p.size, "checksum": p.checksum} for p in parts]
    write_manifest(os.path.join(folder, _MANIFEST), {"version": _VERSION, "parts": listed}, options,
                   failed=partial(_cannot_write, folder))


def remove_others(folder: str, parts: Collection[Part], options: Options) -> None:
    """Remove files of attempts that do not count, as far as they are whole; never raises."""
    counted = {os.path.basename(part.path) for part in parts}
    with suppress(OSError):
        for name in names_in(folder, options):
            if name not in counted and not name.startswith("."):
                remove_file(os.path.join(folder, name), options)


def open_checkpoint(folder: str, options: Options) -> list[Part]:
    """The parts of a complete checkpoint; InputError if it is none."""
    path = os.path.join(folder, _MANIFEST)
    try:
        manifest = read_manifest(path, options, version=_VERSION)
        return [Part(os.path.join(folder, p["file"]), int(p["size"]), str(p["checksum"]), options)
                for p in manifest["parts"]]
    except FileNotFoundError:
        raise InputError(f"{folder} is no complete checkpoint: it has no {_MANIFEST}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"the manifest {path} is damaged: {error}") from error


def read_part(part: Part) -> Iterator[Any]:
    """The records of a part. It is checked whole before the first is given, so damage is never read as data."""
    try:
        with open_file(part.path, part.options) as file:
            _check(file, part)
            file.seek(0)
            while head := file.read(_SIZE_BYTES):
                count = int.from_bytes(head, "little")
                sizes = [int.from_bytes(file.read(_SIZE_BYTES), "little") for _ in range(count)]
                yield from decode([_read(file, size) for size in sizes])
    except OSError as error:
        raise InputError(f"cannot read the checkpoint {part.path}: {error.strerror}") from error


def _write(file: NewFile, records: Iterable[Any], memory: TaskMemory | None) -> None:
    several = batches(iter(records), _BATCH_BYTES, memory)
    for piece in chain.from_iterable(bounded(*batch, _BATCH_BYTES) for batch in several):
        frames = encode(piece)
        sizes = [memoryview(frame).nbytes for frame in frames]
        file.write(b"".join(number.to_bytes(_SIZE_BYTES, "little") for number in (len(frames), *sizes)))
        for frame in frames:
            file.write(frame)


def _cannot_write(path: str, error: OSError) -> ClusterError:
    return ClusterError(f"cannot write the checkpoint {path}: {error.strerror}")


def damage(part: Part) -> str | None:
    """What is wrong with a part's file, in words; None if it is as it was written. Reads it all."""
    try:
        with open_file(part.path, part.options) as file:
            _check(file, part)
    except OSError as error:
        return f"{part.path}: {error.strerror}"
    except InputError as error:
        return str(error)
    return None


def _read(file: BufferedReader, size: int) -> bytearray:
    """Bytes of a frame, writable, so that arrays made of them are."""
    frame = bytearray(size)
    file.readinto(frame)
    return frame


def _check(file: BufferedReader, part: Part) -> None:
    digest, size = xxh3_64(), 0
    while piece := file.read(1 << 20):
        digest.update(piece)
        size += len(piece)
    if (size, digest.hexdigest()) != (part.size, part.checksum):
        raise InputError(
            f"the checkpoint {part.path} is damaged: {size} bytes with checksum {digest.hexdigest()}, "
            f"instead of {part.size} with {part.checksum}. Remove the checkpoint and compute it again."
        )
