"""Where files lie: one seam for everything that reads or writes them.

    filesystem_of(path, options)     the client for a path, by its scheme; made late, one a process
    FileSystem                       what it can do (``protocol``)
    Options                          keys, endpoints, users: ``storage_options=`` and Hadoop's keys

Formats know records, not places; this package knows bytes, not formats. Clients: ``local``, ``hdfs``, ``objects`` (S3,
Google, Azure), ``generic`` (whatever fsspec knows). Importing this package imports none of their libraries.
"""

from mpirdd.formats.filesystems.names import is_remote, join, name_of, parent, scheme_of
from mpirdd.formats.filesystems.options import NO_OPTIONS, Options
from mpirdd.formats.filesystems.protocol import (
    BLOCK_BYTES,
    FileInfo,
    FileSystem,
    Upload,
    UploadedPart,
    Uploads,
    Writer,
)
from mpirdd.formats.filesystems.resolve import filesystem_of

__all__ = [
    "BLOCK_BYTES",
    "NO_OPTIONS",
    "FileInfo",
    "FileSystem",
    "Options",
    "Upload",
    "UploadedPart",
    "Uploads",
    "Writer",
    "filesystem_of",
    "is_remote",
    "join",
    "name_of",
    "parent",
    "scheme_of",
]
