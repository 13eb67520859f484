"""Compression: which codec a file is in, and what packs and unpacks it.

The codecs are those that Hadoop writes, and xz. A file's suffix names its codec; without such a suffix its first bytes
do. ``.lz4`` and ``.snappy`` hold Hadoop's own frames of blocks (``hadoopblocks``); an ``.lz4`` file may also be what
the ``lz4`` command reads and writes (``lz4frame``).

What is promised:

* Unpacking is lazy and bounded: ``Unpacked.read(size)`` gives at most ``size`` bytes, and holds no more than a piece of
  input and what the library needs, however well the data were packed.
* Streams that are joined end to end are read as one, as the tools do. What follows a stream must be another whole
  stream, or zero bytes to the end (padding); anything else is damage, and so is an end before the stream's own.

Left out: cutting compressed files into splits (Hadoop cuts bzip2).
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from io import BytesIO
from types import ModuleType
from typing import Any, Protocol

from mpirdd.formats.hadoopblocks import BlockCompressor, BlockDecompressor
from mpirdd.protocol.errors import InvalidType, MpirddError, UsageError
from mpirdd.protocol.package import install_command
from mpirdd.protocol.shown import short_repr
from mpirdd.protocol.values import dataclass

HADOOP_PACKAGE = "org.apache.hadoop.io.compress."
HEAD_BYTES = 16
"""Bytes of a file's start that show its codec."""

_INPUT_BYTES = 64 << 10
_LZ4_FRAME = b"\x04\x22\x4d\x18"
_SKIPPABLE = b"\x2a\x4d\x18"
"""Behind 0x50 to 0x5f: the start of a frame of no content, which LZ4's and Zstandard's tools may put among the others."""
_ENDED_EARLY = "it ends too early"


class Damaged(Exception):
    """Data that do not unpack; the text says why, and the caller knows the file."""


class Readable(Protocol):
    """Where packed bytes come from, or unpacked ones."""

    def read(self, size: int, /) -> bytes: ...


class Compressor(Protocol):
    """As in ``bz2`` and ``lzma``."""

    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


class Decompressor(Protocol):
    """As in ``bz2`` and ``lzma``; unpacks one stream."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes | None: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Codec:
    """A way of compression. Its libraries are imported when something is packed or unpacked."""

    name: str
    suffix: str
    """Of files, with the dot."""
    java_classes: tuple[str, ...]
    """Hadoop's codecs that read and write it, without their package."""
    compressor: Callable[[], Compressor]
    decompressor: Callable[[bytes], Decompressor]
    """Takes the first bytes of the stream, some 4 or more."""
    magic: tuple[bytes, ...] = ()
    """What a stream begins with, where that is sure to be no text."""
    in_blocks: bool = False
    """Streams are blocks that begin with their length, so that zero bytes are no padding but an empty block."""
    window_bits: int = 0
    """What zlib calls the kind of stream; 0 where it is none of zlib's."""


# --- which one ----------------------------------------------------------------------------------------------------


def codec_of(path: str, head: bytes) -> Codec | None:
    """The codec of a file, from its name, else from its first ``HEAD_BYTES``; None: it is not compressed."""
    return codec_by_suffix(path) or next((each for each in CODECS if head.startswith(each.magic)), None)


def codec_by_suffix(path: str) -> Codec | None:
    """The codec that a file's name says."""
    lower = path.lower()
    return next((codec for codec in CODECS if lower.endswith(codec.suffix)), None)


def codec_named(name: str) -> Codec:
    """The codec of this name: its own, its suffix without the dot, or a class of Hadoop's with or without package.

    Raises:
        UsageError: there is none.
    """
    if not isinstance(name, str):
        raise InvalidType(f"a compression is named by a str, such as 'gzip', not by {short_repr(name)}")
    short = name.rpartition(".")[2]
    for codec in CODECS:
        if short.lower() in (codec.name, codec.suffix[1:], *(_short(each) for each in codec.java_classes)):
            return codec
        if short in codec.java_classes:
            return codec
    known = ", ".join(codec.name for codec in CODECS)
    raise UsageError(f"unknown compression {name!r}; known are {known}, and Hadoop's codecs of these names")


def check_library(codec: Codec) -> Codec:
    """``codec``, whose library is there.

    Raises:
        UsageError: it is not installed here.
    """
    codec.compressor()
    codec.decompressor(b"")
    return codec


def check_libraries(paths: Iterable[str]) -> None:
    """The same for the codecs that the names of these files say."""
    for codec in {codec_by_suffix(path) for path in paths}:
        if codec is not None:
            check_library(codec)


def _short(java_class: str) -> str:
    return java_class.removesuffix("Codec").lower()


# --- unpack -------------------------------------------------------------------------------------------------------


class Unpacked:
    """The unpacked bytes of ``source``, to be read in order.

    Args:
        padding: allow zero bytes behind the last stream.
    """

    def __init__(self, source: Readable, codec: Codec, *, padding: bool = True) -> None:
        self._source, self._codec, self._padding = source, codec, padding and not codec.in_blocks
        self._stream: Decompressor | None = None
        self._input = b""

    def read(self, size: int, /) -> bytes:
        """At least 1 and at most ``size`` bytes; none at the end.

        Raises:
            Damaged: the data do not unpack.
            OSError: from ``source``.
        """
        while True:
            if self._stream is None or self._stream.eof:
                if not self._next_stream():
                    return b""
            elif self._stream.needs_input and not self._input:
                self._input = self._source.read(_INPUT_BYTES)
                if not self._input:
                    raise Damaged(_ENDED_EARLY)
            if unpacked := self._step(size):
                return unpacked

    def _next_stream(self) -> bool:
        """Begin the next stream; False: there is none."""
        first = self._stream is None
        head = (self._stream.unused_data if self._stream else None) or b""  # lz4 gives None for none
        if not first and self._padding:
            head = head.lstrip(b"\0")
        while len(head) < HEAD_BYTES and (more := self._source.read(_INPUT_BYTES)):
            head += more
            if not first and self._padding:
                head = head.lstrip(b"\0")
        if not head:
            return False
        self._stream, self._input = self._codec.decompressor(head), head
        return True

    def _step(self, size: int) -> bytes:
        assert self._stream is not None
        data, self._input = self._input, b""
        try:
            return self._stream.decompress(data, size)
        except (MemoryError, MpirddError):
            raise
        except Exception as error:  # each library has errors of its own, and all of them mean this
            raise Damaged(str(error)) from error


def pieces(source: Readable, size: int) -> Iterator[bytes]:
    """What ``source`` holds, up to ``size`` bytes at a time."""
    return iter(partial(source.read, size), b"")


def pack(codec: Codec, data: bytes) -> bytes:
    """``data`` as one stream."""
    stream = codec.compressor()
    return stream.compress(data) + stream.flush()


def unpack(codec: Codec, data: bytes, limit: int) -> bytes:
    """What a whole stream holds, which must not be more than ``limit`` bytes.

    Raises:
        Damaged: the data do not unpack, hold more, or something else follows.
    """
    head = _unpacked_at_once(codec, data, min(limit, _INPUT_BYTES))
    if head is not None:
        return head
    unpacked, size = [], 0
    for piece in pieces(Unpacked(BytesIO(data), codec, padding=False), _INPUT_BYTES):
        unpacked.append(piece)
        size += len(piece)
        if size > limit:
            raise Damaged(f"it holds more than the {limit} bytes that it should")
    if not data:
        raise Damaged(_ENDED_EARLY)
    return b"".join(unpacked)


def _unpacked_at_once(codec: Codec, data: bytes, limit: int) -> bytes | None:
    """What one small stream holds, in a few us; None where it is large, damaged, or not the only one."""
    try:
        # Without the wrapper, which takes longer than the data of a small record.
        stream = zlib.decompressobj(codec.window_bits) if codec.window_bits else codec.decompressor(data[:HEAD_BYTES])
        unpacked = stream.decompress(data, limit + 1)
    except (MemoryError, MpirddError):
        raise
    except Exception:  # ``Unpacked`` says what is wrong
        return None
    return unpacked if stream.eof and not stream.unused_data and len(unpacked) <= limit else None


# --- the libraries ------------------------------------------------------------------------------------------------


def _library(codec: str, *modules: str) -> ModuleType:
    """The first of these modules that is installed."""
    for module in modules:
        try:
            return importlib.import_module(module)
        except ImportError:
            continue
    raise UsageError(
        f"{codec} needs a package that is not installed here: {install_command('codecs')}, on every host"
    )


class _Inflater:
    """zlib's decompressor, with the interface of the others."""

    def __init__(self, window_bits: int, head: bytes) -> None:
        self._stream = zlib.decompressobj(window_bits)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        unpacked = self._stream.decompress(self._stream.unconsumed_tail + data, max_length)
        # A full answer may leave more inside zlib, though it has taken all the input.
        self.needs_input = not self._stream.unconsumed_tail and len(unpacked) < max_length
        return unpacked


def _deflater(window_bits: int) -> Compressor:
    # Level 6 as Hadoop; gzip's header has neither name nor time, so two attempts at a part write the same bytes.
    return zlib.compressobj(6, zlib.DEFLATED, window_bits)


def _made_by(codec: str, modules: tuple[str, ...], name: str, *_: bytes) -> Any:
    return getattr(_library(codec, *modules), name)()


_ZSTD = ("compression.zstd", "backports.zstd")


def _zstd_compressor() -> Compressor:
    zstd = _library("zstd", *_ZSTD)
    made: Compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.checksum_flag: 1})
    return made


def _lz4_decompressor(head: bytes) -> Decompressor:
    if head.startswith(_LZ4_FRAME) or (head[1:4] == _SKIPPABLE and head[0] >> 4 == 5):  # no Hadoop block is of 1.3 GB
        made: Decompressor = _library("lz4", "lz4.frame").LZ4FrameDecompressor()
        return made
    return BlockDecompressor(_unpack_lz4_block, _library("lz4", "lz4.block"))


class _Lz4Frame:
    """lz4's compressor of frames, with the interface of the others: it begins by itself."""

    def __init__(self) -> None:
        self._stream = _library("lz4", "lz4.frame").LZ4FrameCompressor(content_checksum=True)
        self._head: bytes = self._stream.begin()

    def compress(self, data: bytes, /) -> bytes:
        head, self._head = self._head, b""
        return head + bytes(self._stream.compress(data))

    def flush(self) -> bytes:
        return self._head + bytes(self._stream.flush())


def _unpack_lz4_block(lz4_block: Any, data: bytes, limit: int) -> bytes:
    # A byte of LZ4 stands for at most 255, so a length that lies does not make the library take its memory.
    return bytes(lz4_block.decompress(data, uncompressed_size=min(limit, 255 * len(data) + 64)))


def _unpack_snappy_block(snappy: Any, data: bytes, limit: int) -> bytes:
    size = snappy.decompress_raw_len(data)
    if size > min(limit, 64 * len(data) + 64):  # a tag of 3 bytes stands for at most 64
        raise ValueError(f"a block of {len(data)} bytes that says it holds {size}")
    return bytes(snappy.decompress_raw(data))


def _snappy() -> Any:
    return _library("snappy", "cramjam").snappy


_GZIP, _ZLIB = 31, 15

CODECS = (
    Codec(
        "gzip", ".gz", ("GzipCodec",), partial(_deflater, _GZIP), partial(_Inflater, _GZIP), (b"\x1f\x8b\x08",),
        window_bits=_GZIP,
    ),
    Codec(
        "bzip2", ".bz2", ("BZip2Codec",), partial(_made_by, "bzip2", ("bz2",), "BZ2Compressor"),
        partial(_made_by, "bzip2", ("bz2",), "BZ2Decompressor"),
        tuple(b"BZh%d" % level + block for level in range(1, 10) for block in (b"1AY&SY", b"\x17rE8P\x90")),
    ),
    Codec(
        "xz", ".xz", (), partial(_made_by, "xz", ("lzma",), "LZMACompressor"),
        partial(_made_by, "xz", ("lzma",), "LZMADecompressor"), (b"\xfd7zXZ\0",),
    ),
    Codec(
        "zlib", ".deflate", ("DefaultCodec", "DeflateCodec"), partial(_deflater, _ZLIB), partial(_Inflater, _ZLIB),
        window_bits=_ZLIB,
    ),
    Codec(
        "zstd", ".zst", ("ZStandardCodec",), _zstd_compressor,
        partial(_made_by, "zstd", _ZSTD, "ZstdDecompressor"), (b"\x28\xb5\x2f\xfd",),
    ),
    Codec(
        "lz4", ".lz4", ("Lz4Codec",),
        lambda: BlockCompressor(partial(_library("lz4", "lz4.block").compress, store_size=False)),
        _lz4_decompressor, (_LZ4_FRAME,), in_blocks=True,
    ),
    Codec("lz4frame", ".lz4", (), _Lz4Frame, _lz4_decompressor, in_blocks=True),  # what the lz4 command reads
    Codec(
        "snappy", ".snappy", ("SnappyCodec",),
        lambda: BlockCompressor(lambda data: bytes(_snappy().compress_raw(data))),
        lambda head: BlockDecompressor(_unpack_snappy_block, _snappy()), in_blocks=True,
    ),
)
"""zlib, lz4 and snappy in Hadoop's frames have no first bytes of their own: only the suffix tells them."""
