"""Checkpoints: partitions on disk, to be read instead of being computed again.

A checkpoint is a folder of its own with a file for each partition and, last, a manifest that names every file
with its size and checksum. A file is written under another name, forced to disk and renamed; without a manifest
there is no checkpoint, and a file that does not match it is refused. Records are pickled, so read only
checkpoints that you trust.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import IO, Any, NamedTuple
from uuid import uuid4

from xxhash import xxh3_64

from mpirdd.storage.codec import decode, encode
from mpirdd.words.errors import ClusterError, InputError

_MANIFEST = "manifest.json"
_VERSION = 1
_BATCH_RECORDS = 1000
_SIZE_BYTES = 8


class Part(NamedTuple):
    """One partition's file."""

    path: str
    size: int
    """In bytes."""
    checksum: str
    """xxh3-64 of the whole file, in hexadecimal digits."""


def write_part(folder: str, index: int, records: Iterable[Any], *, name: str = "part-") -> Part:
    """Write one partition; may be done twice, by different executors: the last one wins whole."""
    path = os.path.join(folder, f"{name}{index:05d}")
    temporary = f"{path}.{uuid4().hex}"
    try:
        with open(temporary, "xb") as file:
            size, checksum = _write(file, records)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise ClusterError(f"cannot write the checkpoint {path}: {error.strerror}") from error
        raise
    return Part(path, size, checksum)


def commit(folder: str, parts: Sequence[Part]) -> None:
    """Write the manifest: from now on the checkpoint is there."""
    listed = [{"file": os.path.basename(p.path), "size": p.size, "checksum": p.checksum} for p in parts]
    temporary = os.path.join(folder, f".{_MANIFEST}.{uuid4().hex}")
    try:
        with open(temporary, "x", encoding="utf-8") as file:
            json.dump({"version": _VERSION, "parts": listed}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, os.path.join(folder, _MANIFEST))
    except OSError as error:
        raise ClusterError(f"cannot write the checkpoint {folder}: {error.strerror}") from error


def open_checkpoint(folder: str) -> list[Part]:
    """The parts of a complete checkpoint; InputError if it is none."""
    path = os.path.join(folder, _MANIFEST)
    try:
        with open(path, encoding="utf-8") as file:
            manifest = json.load(file)
        if manifest["version"] != _VERSION:
            raise InputError(f"checkpoint {folder} has version {manifest['version']}; this mpirdd reads {_VERSION}")
        return [Part(os.path.join(folder, p["file"]), int(p["size"]), str(p["checksum"])) for p in manifest["parts"]]
    except FileNotFoundError:
        raise InputError(f"{folder} is no complete checkpoint: it has no {_MANIFEST}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"the manifest {path} is damaged: {error}") from error


def read_part(part: Part) -> Iterator[Any]:
    """The records of a part. It is checked whole before the first is given, so damage is never read as data."""
    try:
        with open(part.path, "rb") as file:
            _check(file, part)
            file.seek(0)
            while head := file.read(_SIZE_BYTES):
                count = int.from_bytes(head, "little")
                sizes = [int.from_bytes(file.read(_SIZE_BYTES), "little") for _ in range(count)]
                yield from decode([_read(file, size) for size in sizes])
    except OSError as error:
        raise InputError(f"cannot read the checkpoint {part.path}: {error.strerror}") from error


def _write(file: IO[bytes], records: Iterable[Any]) -> tuple[int, str]:
    digest, size = xxh3_64(), 0
    iterator = iter(records)
    while batch := list(islice(iterator, _BATCH_RECORDS)):
        frames = encode(batch)
        sizes = [memoryview(frame).nbytes for frame in frames]
        head = b"".join(number.to_bytes(_SIZE_BYTES, "little") for number in (len(frames), *sizes))
        for piece in (head, *frames):
            file.write(piece)
            digest.update(piece)
        size += len(head) + sum(sizes)
    return size, digest.hexdigest()


def damage(part: Part) -> str | None:
    """What is wrong with a part's file, in words; None if it is as it was written. Reads it all."""
    try:
        with open(part.path, "rb") as file:
            _check(file, part)
    except OSError as error:
        return f"{part.path}: {error.strerror}"
    except InputError as error:
        return str(error)
    return None


def _read(file: IO[bytes], size: int) -> bytearray:
    """Bytes of a frame, writable, so that arrays made of them are."""
    frame = bytearray(size)
    file.readinto(frame)  # type: ignore[attr-defined]  # a buffered file has it, IO does not say so
    return frame


def _check(file: IO[bytes], part: Part) -> None:
    digest, size = xxh3_64(), 0
    while piece := file.read(1 << 20):
        digest.update(piece)
        size += len(piece)
    if (size, digest.hexdigest()) != (part.size, part.checksum):
        raise InputError(
            f"the checkpoint {part.path} is damaged: {size} bytes with checksum {digest.hexdigest()}, "
            f"instead of {part.size} with {part.checksum}. Remove the checkpoint and compute it again."
        )
