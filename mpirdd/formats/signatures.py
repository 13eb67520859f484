"""Files that are known by their first bytes to be something else than text, and what reads them.

Only what can hardly be the beginning of a text is told. Where the first bytes alone could be one ("PAR1,1999"), the
last bytes of the file decide.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

TAIL_BYTES = 8
"""Bytes of a file's end that ``other_format`` asks for."""


class _Signature(NamedTuple):
    start: bytes
    name: str
    way_out: str
    end: bytes | None = None
    """What the last bytes are, or end with but for one byte."""


_BYTES = "binaryFiles gives its bytes"
_UNPACK = "unpack it first"
_SIGNATURES = [
    _Signature(b"PAR1", "a Parquet file", f"parquetFile reads it; {_BYTES}", b"PAR1"),
    _Signature(b"PARE", "an encrypted Parquet file", f"read it with pyarrow within a task; {_BYTES}", b"PARE"),
    _Signature(b"ORC", "an ORC file", f"orcFile reads it; {_BYTES}", b"ORC"),
    _Signature(b"ARROW1\0\0", "an Arrow IPC file", f"arrowFile reads it; {_BYTES}"),
    _Signature(b"Obj\1", "an Avro file", f"avroFile reads it; {_BYTES}"),
    *(_Signature(b"SEQ" + bytes([version]), "a SequenceFile", "sequenceFile reads it, or pickleFile if "
                 "saveAsPickleFile wrote it") for version in range(7)),
    _Signature(b"\x93NUMPY", "a NumPy array (.npy)", f"numpyFile reads it; {_BYTES}"),
    _Signature(b"\x89HDF\r\n\x1a\n", "an HDF5 file", f"hdf5File reads it, and netcdfFile if it is NetCDF; {_BYTES}"),
    *(_Signature(b"CDF" + bytes([version]), "a netCDF file", f"netcdfFile reads it; {_BYTES}")
      for version in (1, 2, 5)),
    *(_Signature(b"PK" + rest, "a zip archive (or .npz, .docx, .xlsx, .jar)", f"{_UNPACK}; {_BYTES}")
      for rest in (b"\3\4", b"\5\6", b"\7\x08")),
    _Signature(b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    _Signature(b"Rar!\x1a\7", "a RAR archive", _UNPACK),
    _Signature(b"\x1f\x9d", "compressed by compress (.Z)", _UNPACK),
    _Signature(b"\x89LZO\0\r\n\x1a\n", "compressed by lzop", _UNPACK),
    _Signature(b"\x5d\0\0\x80\0", "compressed by the old lzma", f"{_UNPACK}, with xz -d -F lzma"),
    _Signature(b"\xff\x06\0\0sNaPpY", "compressed in Snappy's own frames, which are not Hadoop's", _UNPACK),
    _Signature(b"\x89PNG\r\n\x1a\n", "a PNG picture", _BYTES),
    _Signature(b"\xff\xd8\xff", "a JPEG picture", _BYTES),
    _Signature(b"\x7fELF", "a program or library (ELF)", _BYTES),
    _Signature(b"SQLite format 3\0", "an SQLite database", f"the module sqlite3 reads it within a task; {_BYTES}"),
    *(_Signature(bytes([0x80, protocol, 0x95]), "a pickle", "pickle.loads reads it from what binaryFiles gives; "
                 "pickleFile reads what saveAsPickleFile wrote") for protocol in (4, 5)),
]
_TAR, _TAR_AT = b"ustar", 257
"""A tar archive has its mark there, behind a name that is filled up with zero bytes."""
HEAD_BYTES = _TAR_AT + len(_TAR)
"""Bytes of a file's start that ``other_format`` looks at."""


def other_format(head: bytes, tail: Callable[[], bytes]) -> str | None:
    """What a file is that is no text, with the way to read it, for a message; None: it may be text.

    Args:
        head: the first ``HEAD_BYTES`` of the file.
        tail: gives the last ``TAIL_BYTES``, for the few that need them.
    """
    for start, name, way_out, end in _SIGNATURES:
        if head.startswith(start) and (end is None or _ends_with(tail(), end)):
            return f"{name}: {way_out}"
    if head[_TAR_AT:HEAD_BYTES] == _TAR and b"\0" in head[:_TAR_AT]:
        return f"a tar archive: {_UNPACK}"
    return None


def _ends_with(tail: bytes, end: bytes) -> bool:
    return tail.endswith(end) or tail[:-1].endswith(end)
