"""Text input: the lines of a split.

The driver calls ``plan_splits``, a task calls ``read_lines`` on one split.

Promises: * A split owns the lines whose first byte lies within it. So the splits of a file, in
order, hold every line once, wherever the cuts fall: within a line, a character, a ``\\r\\n`` or a
delimiter. (Hadoop gives a line that starts exactly on a cut to the split before it: there the same
line may be one partition earlier.)
* ``\\n``, ``\\r\\n`` and a lone ``\\r`` end a line, nothing else does (``str.splitlines`` knows more), or the
  delimiter that the user gives.
* Reading is lazy: the first line costs one chunk of ``CHUNK_BYTES``, whatever the split's length.
* A file that is known not to be text is refused by its name, not read as garbage.

How a split is read. Bytes come in chunks; each chunk is cut after its last line end, and the rest waits for
the next chunk. Such a run of whole lines is decoded and split at C speed.

Left out: splitting compressed files (Hadoop splits bzip2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from io import RawIOBase
from itertools import accumulate, chain
from sys import maxsize
from time import perf_counter
from typing import Any, TypeVar

from mpirdd.formats import compression, signatures
from mpirdd.formats.compression import Damaged, Readable, Unpacked, check_libraries, codec_by_suffix, codec_of
from mpirdd.formats.inputfiles import InputFile, opened, shrunk, size_of
from mpirdd.formats.linecount import LineCount
from mpirdd.formats.lineends import Delimiter, LineEnds, TextOptions, mark_of
from mpirdd.formats.sources import CountedSource, Exact, TimedUnpacking
from mpirdd.formats.splits import CHUNK_BYTES, Countable, FileSplit, cut_file, equal_share, whole
from mpirdd.protocol.errors import InputError
from mpirdd.store.costs import Costs, counting

_PIECE_BYTES = 64 << 10
"""Bytes read at a time in search of one line end."""
_HEAD_BYTES = max(compression.HEAD_BYTES, signatures.HEAD_BYTES)
_UTF8 = TextOptions()


# ---------------------------------------------------------------------------------------------------------
# Cut into splits


def plan_splits(files: Sequence[InputFile], min_partitions: int) -> list[FileSplit]:
    """The splits of ``files``, in order: about ``min_partitions`` of equal size, more if files or blocks end.

    As ``FileInputFormat.getSplits`` of Hadoop's ``mapred`` package, to the byte. An empty file
    gives an empty split; a compressed one is never cut.

    Raises:
        UsageError: a library that unpacks one of the files is not installed here.
    """
    check_libraries(file.path for file in files)
    share_bytes = equal_share(files, min_partitions)
    return [split for file in files for split in _splits_of(file, max(1, min(share_bytes, file.block_bytes)))]


def is_cut(file: InputFile) -> bool:
    """May tasks read parts of the file? Not if it is compressed, by its name or by its first bytes."""
    return not codec_by_suffix(file.path) and not _is_compressed_within(file)


def _splits_of(file: InputFile, split_bytes: int) -> list[FileSplit]:
    if not file.size or codec_by_suffix(file.path):
        return [whole(file)]
    splits = cut_file(file, split_bytes)
    # Only of what would be cut the driver looks at the first bytes: else the task that reads them does.
    return splits if len(splits) == 1 or not _is_compressed_within(file) else [whole(file)]


def _is_compressed_within(file: InputFile) -> bool:
    try:
        with opened(file) as opened_file:
            return codec_of(file.path, opened_file.read(compression.HEAD_BYTES)) is not None
    except InputError:
        return False  # the task that reads it says so, with its host


# ---------------------------------------------------------------------------------------------------------
# The lines of a split


def read_lines(
    split: FileSplit,
    *,
    use_unicode: bool = True,
    options: TextOptions = _UTF8,
    chunk_bytes: int = CHUNK_BYTES,
    costs: Costs | None = None,
) -> Lines:
    """The lines that start within ``split``, without their ends; a byte order mark of the file is dropped.

    Args:
        use_unicode: False gives the bytes of each line, not decoded.
        options: the file's encoding, what ends its lines, and what to do about bytes that are not of the encoding:
            ``strict`` raises, ``replace`` puts U+FFFD in their place (PySpark's only way), and so on for
            every handler that ``bytes.decode`` knows.
        costs: where what reading takes is counted, chunk by chunk, with the lines. None: bytes and seconds of reading are
            counted for the task, and whoever makes records of the lines counts these.

    Raises:
        InputError: while reading. The file is gone, has become shorter, cannot be read or decompressed, or is
            known to be no text; or ``errors`` is strict and a byte cannot be decoded, then the lines of its own
            chunk are not delivered, those of the chunks before it are.
    """
    count = LineCount(options.errors if use_unicode else None)
    blocks = _blocks_of(split, options, chunk_bytes, counting() if costs is None else costs, count)
    return Lines(split, blocks, options.errors, use_unicode, costs, count)


def read_lines_at(
    split: FileSplit, *, options: TextOptions = _UTF8, chunk_bytes: int = CHUNK_BYTES, costs: Costs | None = None
) -> Iterator[tuple[int, str]]:
    """(byte offset in the file, or in the decompressed text; line) of the lines of
    ``read_lines``."""

    def numbered(block: _Block) -> list[tuple[int, str]]:
        starts = accumulate(block.ends.lengths(block.data), initial=block.offset)
        return list(zip(starts, _decode(split, block, options.errors), strict=False))

    blocks = _blocks_of(split, options, chunk_bytes, counting() if costs is None else costs)
    return chain.from_iterable(_timed_lines(numbered, blocks, costs))


class _Block:
    """A run of whole lines."""

    __slots__ = ("data", "encoding", "ends", "offset")

    def __init__(self, offset: int, data: bytes, encoding: str, ends: LineEnds | Delimiter) -> None:
        self.offset, self.data, self.encoding, self.ends = offset, data, encoding, ends


class Lines(Countable):
    """The lines of a split, to be iterated once; or only counted, which makes none of them."""

    def __init__(
        self, split: FileSplit, blocks: Iterator[_Block], errors: str, use_unicode: bool, costs: Costs | None,
        fast_count: LineCount,
    ) -> None:
        self._fast_count = fast_count
        self._split, self._blocks, self._errors, self._use_unicode, self._costs = split, blocks, errors, use_unicode, costs
        # Of a function, not of a method: in a cycle with this object, files would stay open until the garbage is collected.
        cut: Callable[[_Block], Sequence[str | bytes]] = partial(_decode, split, errors=errors) if use_unicode else _cut
        self._lines: Iterator[str | bytes] = chain.from_iterable(_timed_lines(cut, blocks, costs))

    def __iter__(self) -> Iterator[Any]:
        return self._lines  # without this object's frame for each line

    def __next__(self) -> Any:
        return next(self._lines)

    def count(self) -> int:
        """The number of lines, if none was taken. What cannot be decoded is an error as ever."""
        self._fast_count.wanted = True
        return sum(_timed_lines(self._count, self._blocks, self._costs)) + self._fast_count.lines

    def _count(self, block: _Block) -> int:
        if self._use_unicode and not (block.encoding == "utf-8" and self._decodes(block.data)):
            return len(_decode(self._split, block, self._errors))
        return block.ends.count(block.data)

    def _decodes(self, data: bytes) -> bool:
        """Is it UTF-8 for sure, or will it be taken for it without an error?"""
        if data.isascii() or self._errors in ("replace", "ignore"):
            return True
        try:
            return bool(str(data, "utf-8"))
        except UnicodeDecodeError:
            return False


_Made = TypeVar("_Made", bound="int | Sequence[Any]")


def _timed_lines(make: Callable[[_Block], _Made], blocks: Iterator[_Block], costs: Costs | None) -> Iterator[_Made]:
    if costs is None:
        yield from map(make, blocks)
        return
    for block in blocks:
        began = perf_counter()
        made = make(block)
        costs.add(lines_s=perf_counter() - began, input_records=made if isinstance(made, int) else len(made))
        yield made


def _cut(block: _Block) -> Sequence[bytes]:
    return block.ends.cut(block.data)


def _decode(split: FileSplit, block: _Block, errors: str) -> list[str]:
    try:
        return block.ends.decode(block.data, block.encoding, errors)
    except UnicodeDecodeError as found:
        error = found
        try:
            str(block.data, block.encoding, errors)  # the whole block, for the place in it
        except UnicodeDecodeError as placed:
            error = placed
        raise InputError(_not_of(split, block, error)) from None


def _not_of(split: FileSplit, block: _Block, error: UnicodeDecodeError) -> str:
    where = "decompressed text" if codec_by_suffix(split.path) else "file"
    marked = block.encoding == "utf-8" and block.offset == 0 and block.data.startswith((b"\xff\xfe", b"\xfe\xff"))
    advice = 'it begins as UTF-16 does, which encoding="utf-16" reads; ' if marked else ""
    return (
        f"{split.path} is not {block.encoding.upper()}: byte 0x{error.object[error.start]:02x} at offset "
        f"{block.offset + error.start} of the {where} ({error.reason}); {advice}"
        'errors="replace" reads it with a U+FFFD in place of such bytes, '
        'encoding="latin-1" or another name reads other encodings, use_unicode=False of textFile gives the bytes as they are'
    )


# ---------------------------------------------------------------------------------------------------------
# Runs of whole lines


def _blocks_of(
    split: FileSplit, options: TextOptions, chunk_bytes: int, costs: Costs, fast_count: LineCount | None = None
) -> Iterator[_Block]:
    """The runs of whole lines that make up the split, but for lines that ``fast_count`` has counted; none of them is empty."""
    with opened(split, split.start, split.end, counted=False) as file:
        size = size_of(file)
        if size < split.end:
            raise shrunk(split.path, size, split.end)
        head = file.read(_HEAD_BYTES) if split.start == 0 or options.needs_head else b""
        codec = codec_of(split.path, head) if split.start == 0 else None
        if codec is None:
            if split.start == 0:
                _check_is_text(split.path, head, lambda: _tail(file, size))
            encoding = options.encoding_of(head)
            file.seek(0)
            blocks = _plain_blocks(file, split, encoding, options, size, chunk_bytes, costs, fast_count, head)
            yield from _marked(blocks, encoding)
            return
        file.seek(0)
        stream = Exact(Unpacked(CountedSource(file, costs), codec))
        try:
            head = stream.peek(_HEAD_BYTES)
            _check_is_text(split.path, head, lambda: b"")
            encoding = options.encoding_of(head)
            cutter = _Cutter(None, options.ends(encoding), encoding, split.path, chunk_bytes)
            yield from _marked(cutter.run(0, maxsize, TimedUnpacking(stream, costs).read), encoding)
        except Damaged as error:
            raise InputError(f"{split.path} is damaged or cut short, it does not decompress: {error}") from error


def _check_is_text(path: str, head: bytes, tail: Callable[[], bytes]) -> None:
    other = signatures.other_format(head, tail)
    if other is not None:
        raise InputError(f"{path} is no text but {other}")


def _tail(file: RawIOBase, size: int) -> bytes:
    file.seek(max(0, size - signatures.TAIL_BYTES))
    return file.read(signatures.TAIL_BYTES)


def _marked(blocks: Iterator[_Block], encoding: str) -> Iterator[_Block]:
    """``blocks`` without the file's byte order mark."""
    mark = mark_of(encoding)
    for block in blocks:
        if block.offset == 0 and mark and block.data.startswith(mark):
            block.offset, block.data = len(mark), block.data[len(mark) :]
        if block.data:
            yield block


def _plain_blocks(
    file: RawIOBase, split: FileSplit, encoding: str, options: TextOptions, size: int, chunk_bytes: int, costs: Costs,
    fast_count: LineCount | None, head: bytes,
) -> Iterator[_Block]:
    ends = options.ends(encoding)
    start = ends.first_start(file, split.start, split.end)
    if fast_count is not None and ends.are_ascii and fast_count.takes(encoding):
        mark = mark_of(encoding)
        begin = len(mark) if start == 0 and head.startswith(mark) else start
        if begin < split.end:
            costs.note("input_bytes", begin - start)
            start = fast_count.run(file, begin, split.end, encoding, costs)
    file.seek(start)
    # A character that begins before the split's end belongs to it.
    end = min(-(-split.end // ends.unit) * ends.unit, size)
    source: Readable = file if ends.unit == 1 else Exact(file)
    counted = CountedSource(source, costs)
    return _Cutter(counted, ends, encoding, split.path, chunk_bytes).run(start, end, counted.read)


class _Cutter:
    """Cuts what it reads into runs of whole lines."""

    def __init__(
        self, beyond: CountedSource | None, ends: LineEnds | Delimiter, encoding: str, path: str, chunk_bytes: int
    ) -> None:
        self._beyond, self._ends, self._encoding, self._path = beyond, ends, encoding, path
        self._chunk_bytes = max(chunk_bytes // ends.unit, 1) * ends.unit

    def run(self, position: int, end: int, read: Callable[[int], bytes]) -> Iterator[_Block]:
        """From ``position``, where a line starts, to the last line that starts before ``end``, as far as ``read`` gives it, and
        then as far as ``beyond`` does (None: nothing is beyond)."""
        # Pieces of a line without its end so far; joined once, since a line may be longer than many
        # chunks.
        waiting: list[bytes] = []
        before = b""  # their last bytes, where a delimiter may begin
        offset = position
        while position < end:
            chunk = read(min(self._chunk_bytes, end - position))
            if not chunk:
                if end != maxsize:
                    raise shrunk(self._path, position, end)
                break
            position += len(chunk)
            cut = self._ends.last(before + chunk if before else chunk) - len(before)
            if cut > 0:
                waiting.append(chunk[:cut])
                yield self._block(offset, waiting)
                waiting, offset, chunk, before = [], position - len(chunk) + cut, chunk[cut:], b""
            if chunk:
                waiting.append(chunk)
                before = self._last_bytes(before + chunk)
        if waiting:
            if self._beyond is not None:
                waiting.extend(self._rest_of_line(self._beyond, waiting[-1], before))
            yield self._block(offset, waiting)

    def _block(self, offset: int, pieces: list[bytes]) -> _Block:
        return _Block(offset, b"".join(pieces), self._encoding, self._ends)

    def _last_bytes(self, data: bytes) -> bytes:
        overlap = self._ends.overlap
        return data[-overlap:] if overlap else b""

    def _rest_of_line(self, beyond: CountedSource, last: bytes, before: bytes) -> Iterator[bytes]:
        rest = b""
        if not self._ends.may_end(last):
            while piece := beyond.search(_PIECE_BYTES):
                window = before + piece
                if line_end := self._ends.first(window):
                    last, rest = piece[: line_end - len(before)], piece[line_end - len(before) :]
                    yield beyond.found(last)
                    break
                yield beyond.found(piece)
                before = self._last_bytes(window)
            else:
                return
        if self._ends.may_end(last):  # a "\r", which a "\n" may follow
            unit = self._ends.unit
            following = (rest or beyond.search(unit))[:unit]
            if self._ends.count(last[-unit:] + following) == 1:
                yield beyond.found(following)
