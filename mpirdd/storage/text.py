"""Text input: which files a path means, how they are cut into splits, and the lines of a split.

The driver calls ``find_inputs`` and ``plan_splits``, so that a missing file is reported before any task
runs. A task calls ``read_lines`` on one split. Paths are understood and files are cut as Hadoop does it, so
that a program has as many partitions here as under PySpark on a local file system.

What is promised:

* A split owns the lines whose first byte lies within it. So the splits of a file, read in order, give every
  line once, wherever the cuts fall: within a line, a character, or a ``\\r\\n``. (Hadoop gives a line that
  starts exactly on a cut to the split before it: there the same line may be one partition earlier.)
* ``\\n``, ``\\r\\n`` and a lone ``\\r`` end a line, nothing else does (``str.splitlines`` knows more).
* Reading is lazy: the first line costs one chunk of ``CHUNK_BYTES``, whatever the split's length.

How a split is read. Bytes come in chunks; each chunk is cut after its last line end, what is left waits for
the next one. Such a run of whole lines is decoded and split at C speed. No character is ever cut, for no byte
within a UTF-8 character looks like a line end.

Left out: remote file systems, encodings other than UTF-8, splitting compressed files (Hadoop splits bzip2).
"""

from __future__ import annotations

import glob
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import FileIO
from itertools import accumulate, chain
from pathlib import Path
from time import perf_counter
from typing import Literal, Protocol, TypeVar, overload

from mpirdd.storage.costs import Costs
from mpirdd.words.errors import InputError

BLOCK_BYTES = 32 << 20
"""The block size that Hadoop reports for local files; no split of a splittable file is much larger."""

CHUNK_BYTES = 256 << 10
"""Bytes read and split at a time.

Measured on 200 MB of ASCII, lines of some 75 bytes: 0.21 s, while ``for line in open(path)`` takes 0.20 s
(0.28 s with its ``rstrip``) and a hand-written loop over chunks 0.20 s. Chunks of 1 MiB take 0.30 s, of 4 MiB
0.46 s: bytes, text and lines no longer fit the processor's cache.
"""

_SPLIT_SLOP = 1.1
"""Hadoop's: the last split of a file may be a tenth larger, rather than leave a tiny one behind."""
_PIECE_BYTES = 64 << 10
"""Bytes read at a time in search of one line end."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_TO_END = sys.maxsize
_COMPRESSED_SUFFIXES = (".gz", ".bz2", ".xz")


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file to read, as the driver found it."""

    path: str
    """Absolute, so that it does not depend on a rank's working directory."""
    size: int
    """Bytes on disk (compressed, if the file is)."""


@dataclass(frozen=True, slots=True)
class TextSplit:
    """A byte range of a file; what one partition of a text RDD reads."""

    path: str
    start: int
    """Offset of the first byte."""
    length: int
    """Bytes; 0 for an empty file, all of a compressed one."""


# ---------------------------------------------------------------------------------------------------------
# Which files


def find_inputs(path: str) -> list[InputFile]:
    """The files that ``path`` means, in the order in which their lines are read.

    ``path`` is a file, a folder (the files directly in it, by name), a glob (``*``, ``?``, ``[a-z]``,
    ``{a,b}``) of files and folders, or a comma-separated list of these; each may be a ``file://`` URL.
    In folders and globs, names that start with ``.`` or ``_`` are passed over; so are folders within folders.
    An empty folder gives no files.

    Raises:
        InputError: something does not exist, matches nothing, or is not a readable file or folder.
    """
    return [file for part in _split_commas(os.fspath(path)) for file in _files_of(local_path(part))]


def local_path(path: str) -> str:
    """``path`` made absolute, and ``file://`` taken off; a glob stays a glob.

    Raises:
        InputError: ``path`` is empty, or a URL of another file system.
    """
    if not path:
        raise InputError("an input or output path is empty; give a file, a folder or a glob")
    if path.startswith("file:"):
        path = _path_of_url(path)
    elif "://" in path:
        raise InputError(
            f"{path} is on a file system that mpirdd cannot reach; "
            "copy or mount it where every rank sees it as a local path"
        )
    # Not os.path.abspath: it folds "link/.." by its letters, which may be another folder.
    return str(Path(path).absolute())


def _path_of_url(url: str) -> str:
    rest = url[len("file:"):]
    if rest.startswith("//"):
        host, slash, rest = rest[2:].partition("/")
        if host not in ("", "localhost"):
            raise InputError(f"{url} names the host {host!r}; for a local path write file:///{host}/{rest}")
        rest = slash + rest
    from urllib.parse import unquote  # late, for it brings much along and few paths are URLs

    return unquote(rest)


def _split_commas(paths: str) -> list[str]:
    """The parts between commas, except those within braces."""
    parts, depth, start = [], 0, 0
    for index, character in enumerate(paths):
        depth += (character == "{") - (character == "}")
        if character == "," and depth <= 0:
            parts.append(paths[start:index])
            start = index + 1
    return [*parts, paths[start:]]


def _files_of(path: str) -> list[InputFile]:
    # What exists is taken by its name, so that "data[1].txt" needs no quoting.
    if os.path.lexists(path):
        return _files_at(path)
    patterns = _expand_braces(path)
    if len(patterns) == 1 and not glob.has_magic(patterns[0]):
        raise InputError(
            f"input path {path} does not exist on {os.uname().nodename}; "
            "check the spelling, and that the path is on a file system that every rank sees"
        )
    # A set: "{a,a*}" means each file once.
    matches = {match for pattern in patterns for match in glob.glob(pattern) if not _is_hidden(match)}
    if not matches:
        raise InputError(
            f"input pattern {path} matches no file on {os.uname().nodename}; check it with ls "
            "(names that start with '.' or '_' are passed over)"
        )
    return [file for match in sorted(matches) for file in _files_at(match)]


def _expand_braces(pattern: str) -> list[str]:
    innermost = re.search(r"\{([^{}]*)\}", pattern)
    if innermost is None:
        # Hadoop also takes "[^a]", where Python knows only "[!a]".
        return [pattern.replace("[^", "[!")]
    before, after = pattern[:innermost.start()], pattern[innermost.end():]
    return [whole for choice in innermost[1].split(",") for whole in _expand_braces(before + choice + after)]


def _files_at(path: str) -> list[InputFile]:
    """The file, or the files of the folder, at a path that has just been seen."""
    try:
        if not os.path.isdir(path):
            return [_input_file(path)]
        names = sorted(name for name in os.listdir(path) if not _is_hidden(name))
        below = (os.path.join(path, name) for name in names)
        return [_input_file(name) for name in below if not os.path.isdir(name)]
    except OSError as error:
        raise InputError(f"cannot read input path {error.filename or path}: {error.strerror}") from error


def _input_file(path: str) -> InputFile:
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"input path {path} is neither a file nor a folder; copy what it gives into a file")
    return InputFile(path, status.st_size)


def _is_hidden(path: str) -> bool:
    return os.path.basename(path).startswith((".", "_"))


# ---------------------------------------------------------------------------------------------------------
# Cut into splits


def plan_splits(files: Sequence[InputFile], min_partitions: int) -> list[TextSplit]:
    """The splits of ``files``, in order: about ``min_partitions`` of equal size, more if files or blocks end.

    This is ``FileInputFormat.getSplits`` of Hadoop's ``mapred`` package, to the byte. An empty file gives an
    empty split, a compressed one is never cut.
    """
    goal_bytes = sum(file.size for file in files) // max(min_partitions, 1)
    split_bytes = max(1, min(goal_bytes, BLOCK_BYTES))
    return [split for file in files for split in _splits_of(file, split_bytes)]


def _splits_of(file: InputFile, split_bytes: int) -> Iterator[TextSplit]:
    left = file.size
    while left / split_bytes > _SPLIT_SLOP and not _is_compressed(file.path):
        yield TextSplit(file.path, file.size - left, split_bytes)
        left -= split_bytes
    if left or not file.size:
        yield TextSplit(file.path, file.size - left, left)


def _is_compressed(path: str) -> bool:
    return path.lower().endswith(_COMPRESSED_SUFFIXES)


# ---------------------------------------------------------------------------------------------------------
# The lines of a split


@overload
def read_lines(
    split: TextSplit,
    *,
    use_unicode: Literal[True] = True,
    errors: str = "strict",
    chunk_bytes: int = CHUNK_BYTES,
    costs: Costs | None = None,
) -> Iterator[str]: ...
@overload
def read_lines(
    split: TextSplit,
    *,
    use_unicode: bool,
    errors: str = "strict",
    chunk_bytes: int = CHUNK_BYTES,
    costs: Costs | None = None,
) -> Iterator[str] | Iterator[bytes]: ...
def read_lines(
    split: TextSplit,
    *,
    use_unicode: bool = True,
    errors: str = "strict",
    chunk_bytes: int = CHUNK_BYTES,
    costs: Costs | None = None,
) -> Iterator[str] | Iterator[bytes]:
    """The lines that start within ``split``, without their ends; a byte order mark of the file is dropped.

    Args:
        use_unicode: False gives the bytes of each line, not decoded.
        errors: what to do about bytes that are not UTF-8: ``strict`` raises, ``replace`` puts U+FFFD in their
            place (PySpark's only way), and so on for every handler that ``bytes.decode`` knows.
        costs: where what reading takes is counted, chunk by chunk.

    Raises:
        InputError: while reading. The file is gone, has become shorter, cannot be read or decompressed; or
            ``errors`` is strict and a byte is not UTF-8, then the lines of its own chunk are not delivered,
            those of the chunks before it are.
    """
    costs = Costs() if costs is None else costs
    blocks = _blocks_of(split, chunk_bytes, costs)
    if use_unicode:
        return chain.from_iterable(_timed_lines(lambda at, block: _decode(split, at, block, errors), blocks, costs))
    return chain.from_iterable(_timed_lines(lambda _, block: block.splitlines(), blocks, costs))


def read_lines_at(
    split: TextSplit, *, errors: str = "strict", chunk_bytes: int = CHUNK_BYTES, costs: Costs | None = None
) -> Iterator[tuple[int, str]]:
    """(byte offset in the file, or in the decompressed text; line) of the lines that ``read_lines`` gives."""

    def numbered(offset: int, block: bytes) -> list[tuple[int, str]]:
        lengths = map(len, block.splitlines(keepends=True))
        return list(zip(accumulate(lengths, initial=offset), _decode(split, offset, block, errors), strict=False))

    costs = Costs() if costs is None else costs
    return chain.from_iterable(_timed_lines(numbered, _blocks_of(split, chunk_bytes, costs), costs))


_Line = TypeVar("_Line")


def _timed_lines(
    cut: Callable[[int, bytes], list[_Line]], blocks: Iterator[tuple[int, bytes]], costs: Costs
) -> Iterator[list[_Line]]:
    for offset, block in blocks:
        began = perf_counter()
        lines = cut(offset, block)
        costs.add(lines_s=perf_counter() - began)
        yield lines


def _decode(split: TextSplit, offset: int, block: bytes, errors: str) -> list[str]:
    try:
        text = str(block, "utf-8", errors)
    except UnicodeDecodeError as error:
        raise InputError(_not_utf8(split, offset, error)) from None
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    if block.endswith((b"\n", b"\r")):
        lines.pop()
    return lines


def _not_utf8(split: TextSplit, offset: int, error: UnicodeDecodeError) -> str:
    where = "decompressed text" if _is_compressed(split.path) else "file"
    return (
        f"{split.path} is not UTF-8: byte 0x{error.object[error.start]:02x} at offset {offset + error.start} "
        f"of the {where} ({error.reason}); errors=\"replace\" reads it with a U+FFFD in place of such bytes, "
        "use_unicode=False gives the bytes as they are"
    )


def _blocks_of(split: TextSplit, chunk_bytes: int, costs: Costs) -> Iterator[tuple[int, bytes]]:
    """Runs of whole lines that make up the split, each with its offset in the file; none of them is empty."""
    try:
        with FileIO(split.path) as file:
            for offset, block in _open_blocks(file, split, chunk_bytes, costs):
                if offset == 0 and block.startswith(_BYTE_ORDER_MARK):
                    offset, block = len(_BYTE_ORDER_MARK), block[len(_BYTE_ORDER_MARK):]
                if block:
                    yield offset, block
    except FileNotFoundError as error:
        raise InputError(
            f"{split.path} is not there on {os.uname().nodename}, though the driver saw it; either it was "
            "removed since, or it is not on a file system that every rank sees"
        ) from error
    except OSError as error:
        host = os.uname().nodename
        raise InputError(f"cannot read {split.path} on {host}: {error.strerror or error}") from error


def _open_blocks(
    file: FileIO, split: TextSplit, chunk_bytes: int, costs: Costs
) -> Iterator[tuple[int, bytes]]:
    end = split.start + split.length
    size = os.fstat(file.fileno()).st_size
    if size < end:
        raise InputError(_shrunk(split, size))
    if _is_compressed(split.path):
        # An empty file is no gzip, bzip2 or xz stream, but it is no line either.
        return _decompressed_blocks(file, split, chunk_bytes, costs) if split.length else iter(())
    start = _first_line_start(file, split.start, end)
    file.seek(start)
    return _blocks(file, split, start, end, chunk_bytes, costs)


def _shrunk(split: TextSplit, size: int) -> str:
    return (
        f"{split.path} has become shorter: {size} bytes now, {split.start + split.length} or more when the "
        "job was planned; input files must not change while a job reads them"
    )


def _first_line_start(file: FileIO, start: int, end: int) -> int:
    """Offset of the first line that starts at ``start`` or later; ``end`` or more if there is none before.

    Reads no further: a split in the middle of a long line costs its own length.
    """
    if start == 0:
        return 0
    # The byte before may end a line, and may be the "\r" of a "\r\n" that the cut went through.
    position = start - 1
    file.seek(position)
    while position < end and (piece := file.read(_PIECE_BYTES)):
        line_end = _first_line_end(piece)
        position += line_end or len(piece)
        if line_end:
            split_pair = piece[line_end - 1:line_end] == b"\r" and _line_feed_at(file, position)
            return position + split_pair
    return position


def _line_feed_at(file: FileIO, offset: int) -> bool:
    file.seek(offset)
    return file.read(1) == b"\n"


def _decompressed_blocks(
    file: FileIO, split: TextSplit, chunk_bytes: int, costs: Costs
) -> Iterator[tuple[int, bytes]]:
    stream, damage = _decompressor(file, split.path)
    try:
        yield from _blocks(stream, split, 0, _TO_END, chunk_bytes, costs)
    except damage as error:
        raise InputError(f"{split.path} is damaged or cut short, it does not decompress: {error}") from error


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def _decompressor(file: FileIO, path: str) -> tuple[_Readable, tuple[type[Exception], ...]]:
    """The decompressed bytes, and what damaged ones raise. Imports are late, for most jobs need none."""
    if path.lower().endswith(".gz"):
        import gzip
        import zlib

        return gzip.GzipFile(fileobj=file), (EOFError, gzip.BadGzipFile, zlib.error)
    if path.lower().endswith(".bz2"):
        import bz2

        return bz2.BZ2File(file), (EOFError, OSError)
    import lzma

    return lzma.LZMAFile(file), (EOFError, lzma.LZMAError)


def _blocks(
    file: _Readable, split: TextSplit, position: int, end: int, chunk_bytes: int, costs: Costs
) -> Iterator[tuple[int, bytes]]:
    """Runs of whole lines, from ``position``, where a line starts, to the last that starts before ``end``."""
    # Pieces of a line whose end has not been seen; joined once, for a line may be longer than many chunks.
    waiting: list[bytes] = []
    offset = position
    while position < end:
        began = perf_counter()
        chunk = file.read(min(chunk_bytes, end - position))
        costs.add(input_s=perf_counter() - began, input_bytes=len(chunk))
        if not chunk:
            if end != _TO_END:
                raise InputError(_shrunk(split, position))
            break
        position += len(chunk)
        cut = _last_line_end(chunk)
        if cut:
            waiting.append(chunk[:cut])
            yield offset, b"".join(waiting)
            waiting, offset, chunk = [], position - len(chunk) + cut, chunk[cut:]
        if chunk:
            waiting.append(chunk)
    if waiting:
        if not waiting[-1].endswith(b"\r"):
            waiting.extend(_rest_of_line(file))
        yield offset, b"".join(waiting)


def _rest_of_line(file: _Readable) -> Iterator[bytes]:
    while piece := file.read(_PIECE_BYTES):
        line_end = _first_line_end(piece)
        yield piece[:line_end or None]
        if line_end:
            return


def _first_line_end(data: bytes) -> int:
    """Index behind the first line end, or 0; behind the ``\\r`` of a ``\\r\\n``."""
    line_feed = data.find(b"\n")
    carriage_return = data.find(b"\r", 0, line_feed if line_feed >= 0 else len(data))
    return (carriage_return if carriage_return >= 0 else line_feed) + 1


def _last_line_end(data: bytes) -> int:
    """Index behind the last line end, or 0; a final ``\\r`` does not count, for a ``\\n`` may follow."""
    line_feed = data.rfind(b"\n")
    return max(line_feed, data.rfind(b"\r", line_feed + 1, len(data) - 1)) + 1
