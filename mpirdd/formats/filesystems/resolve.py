"""Which client serves a path. It is imported and made when a path first needs it, once a process.

    no scheme, file:                    the local file system
    hdfs: viewfs:                       hdfs-native
    s3: s3a: s3n: gs: gcs: az: abfs: abfss: wasb: wasbs: adl:   obstore
    all else                            fsspec, which knows some forty schemes, and those that programs register
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module

from mpirdd.formats.filesystems.local import LocalFileSystem
from mpirdd.formats.filesystems.names import CACHES, cache_of, root_of, scheme_of
from mpirdd.formats.filesystems.options import NO_OPTIONS, Options
from mpirdd.formats.filesystems.protocol import FileSystem
from mpirdd.protocol.errors import UsageError
from mpirdd.protocol.package import install_command

_HDFS = ("hdfs", "viewfs")
_OBJECTS = ("s3", "s3a", "s3n", "gs", "gcs", "az", "azure", "abfs", "abfss", "wasb", "wasbs", "adl")
_LOCAL = LocalFileSystem()
CLIENT = "client"
"""The storage option that chooses the library: ``"fsspec"`` for those schemes that have one of their own here."""


def filesystem_of(path: str, options: Options = NO_OPTIONS) -> FileSystem:
    """The client for a path.

    Raises:
        UsageError: its library is not installed here (the message has the pip command), or knows no such scheme or option.
        OSError: the host or bucket in the path is not there, or its server does not answer.
    """
    scheme = scheme_of(path)
    if not scheme:
        return _LOCAL
    if cache := cache_of(path):
        return _client(scheme, _cached_root(path, cache), options, os.getpid())
    if scheme == "memory" and options.sender not in (0, os.getpid()):
        raise UsageError(f"{path}: memory:// lives in the process that wrote there, and this rank is another one. Run with one "
                         "rank (without mpirun), or use a folder that all ranks see")
    root = path if "::" in path else root_of(path)
    return _client(scheme, root.partition("::")[2] if "::" in path else root, options, os.getpid())


def _cached_root(path: str, cache: str) -> str:
    """The root of a URL behind one of fsspec's caches."""
    if cache[:-2] not in CACHES:
        raise UsageError(f"{path}: {cache} is no cache that works here; simplecache:: and filecache:: keep whole files, which "
                         "several ranks may read. (blockcache:: keeps parts, in files that only one process may use)")
    rest = path[len(cache) :]
    if "::" in rest:
        raise UsageError(f"{path}: a cache in front of a chain is not supported; put it in front of the file that is to be "
                         f"kept, such as zip://inner.csv::{cache}https://host/archive.zip")
    return cache + root_of(rest)


def library_of(scheme: str, options: Options = NO_OPTIONS) -> str:
    """The extra of mpirdd that brings the library for a scheme."""
    if options.given.get(CLIENT) == "fsspec":
        return "fsspec"
    return "hdfs" if scheme in _HDFS else "cloud" if scheme in _OBJECTS else "fsspec"


@lru_cache(maxsize=64)
def _client(scheme: str, root: str, options: Options, process: int) -> FileSystem:
    # With the process's number: a client has threads and connections, which a fork does not copy.
    extra = library_of(scheme, options)
    module, name = {
        "hdfs": ("hdfs", "HdfsFileSystem"), "cloud": ("objects", "ObjectFileSystem"), "fsspec": ("generic", "GenericFileSystem"),
    }[extra]
    try:
        made: Callable[..., FileSystem] = getattr(import_module(f"mpirdd.formats.filesystems.{module}"), name)
        return made(root, options) if extra != "fsspec" else made(scheme, root, options)
    except ImportError as error:
        raise UsageError(
            f"{scheme}:// needs a package that is not installed here ({error}): {install_command(extra)}, on every host"
        ) from error
