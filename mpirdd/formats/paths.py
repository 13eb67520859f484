"""Which files a path means. The driver looks, so that a missing file is reported before any task runs.

Paths are understood as Hadoop understands them: files, folders, globs, comma-separated lists of these, URLs; and as
Python programs write them: ``os.PathLike``, lists of paths, ``~`` for the home folder. What a URL of another file system
means is found in ``remotepaths``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from mpirdd.formats import inputfiles as localfiles
from mpirdd.formats.filesystems import NO_OPTIONS, Options, is_remote
from mpirdd.formats.filesystems.globbing import check_glob, expand_braces, is_hidden
from mpirdd.formats.inputfiles import InputFile
from mpirdd.formats.remotepaths import Below, in_default_filesystem, remote_inputs, remote_is_there, tidy_url
from mpirdd.protocol.errors import InputError, InvalidType, MpirddError
from mpirdd.protocol.shown import short_repr

OnePath: TypeAlias = "str | os.PathLike[str]"
Paths: TypeAlias = "OnePath | Sequence[OnePath]"
"""What the user gives as input."""


def find_inputs(
    paths: Paths, *, recursive: bool = False, columns: bool = False, options: Options = NO_OPTIONS
) -> list[InputFile]:
    """The files that ``paths`` mean, in the order in which they are read.

    A path is a file, a folder (the files directly in it, by name), a glob (``*``, ``?``, ``[a-z]``,
    ``{a,b}``) of files and folders, or a comma-separated list of these; each may be a URL. A path that exists with its
    commas, or that is no str, but ``os.PathLike``, is not cut at them. In folders and globs, names that start with ``.`` or
    ``_`` are passed over.
    An empty folder gives no files.

    Args:
        recursive: read the files in folders below a folder, too.
        columns: read those in folders that are named ``column=text``, also if it begins with ``_``; the files say these names.
            Not with ``recursive``.
        options: how to reach other file systems than the local one.

    Raises:
        InputError: something does not exist, matches nothing, is not a readable file or folder, or a folder holds
            folders and ``recursive`` is False; or a server does not answer, or refuses.
        UsageError: the library for a URL's scheme is not installed, or does not know the scheme or an option.
        InvalidType: a path is something else.
    """
    below = Below(recursive, columns and not recursive)
    return [file for part in _parts(paths, options) for file in _inputs_of(full_path(part, options), below, options)]


def _inputs_of(path: str, below: Below, options: Options) -> list[InputFile]:
    return remote_inputs(path, below, options) if is_remote(path) else _files_of(path, below)


def find_folders(paths: Paths, *, options: Options = NO_OPTIONS) -> list[str]:
    """The folders that ``paths`` mean, each of which is one input (a Zarr array), not what is in them; by the same words,
    but for globs in URLs.

    Raises:
        InputError: something does not exist, or matches nothing.
        InvalidType: a path is something else.
    """
    found = (full_path(part, options) for part in _parts(paths, options))
    return [place for path in found for place in ([path] if is_remote(path) else _places_of(path))]


def shown_paths(paths: Paths) -> str:
    """``paths`` as one text, for the name of an RDD and for messages."""
    return ",".join(os.fspath(one) for one in ([paths] if isinstance(paths, str | os.PathLike) else paths))


def _parts(paths: Paths, options: Options) -> Iterator[str]:
    if isinstance(paths, list | tuple):
        if not paths:
            raise InputError("an input path is an empty list; give a file, a folder or a glob")
        for path in paths:
            yield from _parts_of(path, options)
    else:
        yield from _parts_of(paths, options)  # type: ignore[arg-type]  # anything else is refused there


def _parts_of(path: OnePath, options: Options) -> list[str]:
    text = _text_of(path)
    parts = _split_commas(text) if isinstance(path, str) else [text]
    # A file that exists goes by its name, also with commas.
    return [text] if len(parts) > 1 and _is_there(text, options) else parts


def _is_there(path: str, options: Options) -> bool:
    """Is there a file or folder of this name? False also where nobody can tell."""
    try:
        full = full_path(path, options)
        return remote_is_there(full, options) if is_remote(full) else localfiles.is_there(full)
    except (OSError, MpirddError, ValueError):
        return False


def _text_of(path: OnePath) -> str:
    text = os.fspath(path) if isinstance(path, os.PathLike) else path
    if isinstance(text, bytes):
        raise InvalidType(f"the path {short_repr(text)} is bytes; os.fsdecode(path) makes text of it")
    if not isinstance(text, str):
        raise InvalidType(f"a path must be str or os.PathLike, such as pathlib.Path, not {type(path).__name__}")
    return text


def full_path(path: OnePath, options: Options = NO_OPTIONS) -> str:
    """``path`` made absolute, or the URL that it is; otherwise as ``local_path``. Where the key ``fs.defaultFS`` is set, a
    path without scheme lies in that file system.

    Raises:
        InputError: ``path`` is empty, or holds a NUL.
        InvalidType: it is no path.
    """
    text = in_default_filesystem(_text_of(path), options)
    return tidy_url(text) if is_remote(text) else local_path(text)


def local_path(path: OnePath) -> str:
    """``path`` made absolute, ``~`` expanded, and ``file://`` taken off; a glob stays a glob.

    Raises:
        InputError: ``path`` is empty, holds a NUL, or is a URL of another file system.
        InvalidType: it is no path.
    """
    path = _text_of(path)
    if not path:
        raise InputError("an input or output path is empty; give a file, a folder or a glob")
    if path.startswith("file:"):
        path = _path_of_url(path)
    elif is_remote(path):
        raise InputError(f"{path} must be a local path here; copy or mount it where every rank sees it as one")
    elif path.startswith("~"):
        path = os.path.expanduser(path)
    if "\0" in path:
        raise InputError(f"the path {short_repr(path)} holds a NUL character, which no file's name can")
    # Not os.path.abspath, which takes "link/.." for the folder that holds "link"; it may be another one.
    return str(Path(path).absolute())


def _path_of_url(url: str) -> str:
    rest = url[len("file:"):]
    if rest.startswith("//"):
        host, slash, rest = rest[2:].partition("/")
        if host not in ("", "localhost"):
            raise InputError(f"{url} names the host {host!r}; for a local path write file:///{host}/{rest}")
        rest = slash + rest
    if "%" not in rest or "\0" in rest or os.path.lexists(rest):  # as Hadoop takes it, and as binaryFiles gives names
        return rest
    from urllib.parse import unquote  # late, for it imports a lot and few paths are URLs

    return unquote(rest)  # as pathlib's as_uri gives it


def _split_commas(paths: str) -> list[str]:
    """The parts between commas, except those within braces."""
    parts, depth, start = [], 0, 0
    for index, character in enumerate(paths):
        depth += (character == "{") - (character == "}")
        if character == "," and depth <= 0:
            parts.append(paths[start:index])
            start = index + 1
    return [*parts, paths[start:]]


def _files_of(path: str, below: Below) -> list[InputFile]:
    return [file for place in _places_of(path) for file in _files_at(place, below)]


def _places_of(path: str) -> list[str]:
    # A file that exists goes by its name, so "data[1].txt" needs no quoting.
    if localfiles.is_there(path):
        return [path]
    patterns = expand_braces(path)
    if len(patterns) == 1 and not localfiles.has_magic(patterns[0]):
        raise InputError(
            f"input path {path} does not exist on {localfiles.host()}; "
            "check the spelling, and that the path is on a file system that every rank sees"
        )
    check_glob(path)
    # A set: "{a,a*}" names each file once.
    matches = {match for pattern in patterns for match in localfiles.matches(pattern) if not is_hidden(os.path.basename(match))}
    if not matches:
        raise InputError(
            f"input pattern {path} matches no file on {localfiles.host()}; check it with ls "
            "(names that start with '.' or '_' are passed over)"
        )
    return sorted(matches, key=localfiles.reading_order)


def _files_at(path: str, below: Below) -> list[InputFile]:
    """The file, or the files of the folder, at a path that we have just seen."""
    try:
        return _files_in(path, below, ()) if localfiles.is_folder(path) else [localfiles.input_file(path)]
    except OSError as error:
        raise InputError(f"cannot read input path {error.filename or path}: {error.strerror}") from error


def _files_in(folder: str, below: Below, above: tuple[localfiles.Identity, ...]) -> list[InputFile]:
    files: list[InputFile] = []
    for name in localfiles.names_in(folder):
        path = os.path.join(folder, name)
        if is_hidden(name) and below.passes_over(name, localfiles.is_folder(path)):
            continue
        if not localfiles.is_folder(path):
            files.append(localfiles.input_file(path, below.names))
        else:
            inner = below.within(folder, path, name)
            here = localfiles.identity(folder)
            if localfiles.identity(path) in (here, *above):
                raise InputError(f"the link {path} leads back to a folder above it, so its files have no end")
            files += _files_in(path, inner, (here, *above))
    return files
