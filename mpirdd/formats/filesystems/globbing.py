"""Globs: braces for all file systems, wildcards for those that can only list folders. A folder is listed only where a name
has a wildcard."""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import fnmatchcase

from mpirdd.formats.filesystems.names import cache_of, inner_path, join, name_of, root_of
from mpirdd.formats.filesystems.protocol import FileInfo, NoRoot
from mpirdd.protocol.errors import InputError

_MAGIC = frozenset("*?[")


def expand_braces(pattern: str) -> list[str]:
    """The patterns that ``{a,b}`` stands for, each without braces. ``[^a]``, which Hadoop knows, becomes ``[!a]``."""
    innermost = re.search(r"\{([^{}]*)\}", pattern)
    if innermost is None:
        return [pattern.replace("[^", "[!")]
    before, after = pattern[:innermost.start()], pattern[innermost.end():]
    return [whole for choice in innermost[1].split(",") for whole in expand_braces(before + choice + after)]


def is_hidden(name: str) -> bool:
    """Names that folders and globs pass over, as in Hadoop."""
    return name.startswith((".", "_"))


def has_magic(pattern: str) -> bool:
    """Does it hold a wildcard?"""
    return not _MAGIC.isdisjoint(pattern)


def check_glob(pattern: str) -> None:
    """
    Raises:
        InputError: it has a ``**``, which other libraries take for folders at all depths, and Hadoop for one level.
    """
    if "**" in re.split(r"[/{},]", pattern):
        before = pattern[:pattern.index("**")].rstrip("/")
        raise InputError(
            f"input pattern {pattern}: ** is not known. Write * for the folders of one level; or read all files below a folder "
            f"by its name ({before or '/'}) and recursive=True")


def matches(
    pattern: str, list_folder: Callable[[str], list[FileInfo]], info: Callable[[str], FileInfo | None]
) -> list[FileInfo]:
    """What matches a URL with wildcards, by path. As in a shell, a wildcard does not stand for a dot that a name
    begins with.

    Raises:
        OSError: from the two functions, but for folders that are not there.
    """
    cache = cache_of(pattern)
    first, chain, rest = pattern[len(cache) :].partition("::")
    names = [name for name in inner_path(first).split("/") if name]
    found = [FileInfo(cache + root_of(first) + "/" + chain + rest, 0, True)]
    for place, name in enumerate(names):
        last = place == len(names) - 1
        if not has_magic(name):
            below = [join(folder.path, name) for folder in found]
            found = [there for path in below if (there := info(path))] if last else [
                FileInfo(path, 0, True) for path in below]
        else:
            found = [each for folder in found for each in _listed(folder.path, list_folder)
                     if (last or each.is_folder) and _fits(name_of(each.path), name)]
    return sorted(found, key=lambda each: each.path)


def _fits(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) and (not name.startswith(".") or pattern.startswith("."))


def _listed(folder: str, list_folder: Callable[[str], list[FileInfo]]) -> list[FileInfo]:
    try:
        return list_folder(folder)
    except NoRoot:
        raise
    except (FileNotFoundError, NotADirectoryError):
        return []
