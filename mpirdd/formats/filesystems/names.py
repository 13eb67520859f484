"""The names of files, as text: whole paths and URLs, without asking any file system."""

from __future__ import annotations

import posixpath
import re

CACHES = ("simplecache", "filecache")
"""fsspec's caches of whole files, on a local disk."""
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)(?:://|::(?=.*://))")


def scheme_of(path: str) -> str:
    """The scheme of a URL, in lower case; empty for a local path, also one written ``file:``."""
    match = _SCHEME.match(path)
    scheme = match[1].lower() if match else ""
    return "" if scheme in ("file", "local") and "::" not in path else scheme


def is_remote(path: str) -> bool:
    """Is it a URL of another file system than the local one?"""
    return ":" in path and scheme_of(path) != ""


def root_of(url: str) -> str:
    """The file system's part of a URL: ``hdfs://host:port``, ``s3://bucket``."""
    scheme, mark, rest = url.partition("://")
    return scheme + mark + rest.partition("/")[0]


def inner_path(url: str) -> str:
    """What follows the root, with its slash; ``/`` at least."""
    return url[len(root_of(url)) :] or "/"


def cache_of(path: str) -> str:
    """The cache in front of a URL (``simplecache::s3://bucket/file``), as fsspec writes it, with its ``::``; else empty."""
    first, chain, rest = path.partition("::")
    return first + chain if chain and "://" not in first and "://" in rest else ""


def join(folder: str, *names: str) -> str:
    """The path of what lies in ``folder`` by these names, one below the other. Knows fsspec's chains
    (``zip://folder::archive.zip``)."""
    if cache := cache_of(folder):
        return cache + join(folder[len(cache) :], *names)
    first, chain, rest = _unchained(folder)
    root = root_of(first) if "://" in first else ""
    return "/".join([root + first[len(root) :].rstrip("/"), *names]) + chain + rest


def parent(path: str) -> str:
    """The path of the folder that holds it; that of a root is the root."""
    if not is_remote(path):
        return posixpath.dirname(path)
    if cache := cache_of(path):
        return cache + parent(path[len(cache) :])
    first, chain, rest = _unchained(path)
    root = root_of(first)
    above = first[len(root) :].rstrip("/").rpartition("/")[0]
    return root + above + chain + rest


def name_of(path: str) -> str:
    """The last part of a path."""
    if not is_remote(path):
        return posixpath.basename(path)
    first = _unchained(path[len(cache_of(path)) :])[0]
    return first[len(root_of(first)) :].rstrip("/").rpartition("/")[2]


def _unchained(path: str) -> tuple[str, str, str]:
    return path.partition("::") if is_remote(path) else (path, "", "")
