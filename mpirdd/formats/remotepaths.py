"""Which files a URL means, on file systems other than the local one. The rules are those of ``paths``."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mpirdd.formats.filesystems import FileInfo, FileSystem, Options, filesystem_of, is_remote, join, name_of
from mpirdd.formats.filesystems.globbing import check_glob, expand_braces, has_magic, is_hidden
from mpirdd.formats.inputfiles import InputFile, cannot_read, reading_order
from mpirdd.protocol.errors import InputError
from mpirdd.protocol.shown import short_repr

_DEFAULT = "fs.defaultFS"


@dataclass(frozen=True, slots=True)
class Below:
    """Which folders below an input folder are read."""

    recursive: bool
    """All of them."""
    columns: bool = False
    """Those that are named ``column=text``."""
    names: tuple[tuple[str, str], ...] = ()
    """Of the folders so far."""

    def passes_over(self, name: str, is_folder: bool) -> bool:
        """Is nothing read by this name? As in Hadoop; but names of columns may begin with ``_``, as in Spark."""
        column = self.columns and is_folder and "=" in name and not name.startswith((".", "_temporary"))
        return is_hidden(name) and not column

    def within(self, folder: str, inner: str, name: str) -> Below:
        """For the folder ``inner`` of this name.

        Raises:
            InputError: its files are not to be read.
        """
        column, mark, text = name.partition("=")
        if self.columns and mark and column:
            return replace(self, names=(*self.names, (_plain(column), _plain(text))))
        if not self.recursive:
            raise folder_within(folder, inner)
        return self


def _plain(text: str) -> str:
    """Hive and Spark write characters that no folder's name should have as ``%2F``."""
    if "%" not in text:
        return text
    from urllib.parse import unquote  # late, as it imports a lot

    return unquote(text)


def in_default_filesystem(path: str, options: Options) -> str:
    """``path``, as a URL if it has no scheme and ``options`` name a default file system that is not the local one. As in
    Hadoop, one that is not absolute lies in the user's folder."""
    default = options.hadoop.get(_DEFAULT, "").rstrip("/")
    if not path or not is_remote(default + "/") or "://" in path or path.startswith("file:"):
        return path
    if path.startswith("/"):
        return default + path
    from getpass import getuser  # late: executors never need it

    return join(default + "/user", getuser(), path)


def tidy_url(url: str) -> str:
    """The URL without slashes at its end, its scheme in lower case.

    Raises:
        InputError: it holds a NUL.
    """
    if "\0" in url:
        raise InputError(f"the path {short_repr(url)} holds a NUL character, which no file's name can")
    scheme, mark, rest = url.partition(":")
    first, chain, more = rest.partition("::")
    if scheme.lower() == "memory" and first.startswith("//") and first[2:3] not in ("", "/"):
        first = "///" + first[2:]  # no host, so what follows is a folder's name
    return scheme.lower() + mark + (first.rstrip("/") if first.strip("/") else first) + chain + more


def remote_is_there(url: str, options: Options) -> bool:
    """Is there a file or folder of this name? It asks nobody about what is clearly a list of URLs.

    Raises:
        OSError: the server does not tell.
    """
    return url.count("://") == 1 and filesystem_of(url, options).info(url) is not None


def remote_inputs(url: str, below: Below, options: Options) -> list[InputFile]:
    """The files that a URL means, in the order in which they are read.

    Raises:
        InputError: nothing is there, it matches nothing, or it cannot be looked at; or a folder holds folders that are not
            to be read.
        UsageError: the library for the scheme is not installed, or does not know the scheme or an option.
    """
    try:
        return _inputs(filesystem_of(url, options), url, below, options)
    except OSError as error:
        named = error.filename or url
        raise cannot_read(url if url.startswith(named) else named, error) from error  # not only the server's name


def _inputs(filesystem: FileSystem, url: str, below: Below, options: Options) -> list[InputFile]:
    patterns = expand_braces(url)
    if len(patterns) == 1 and not has_magic(url):
        found = filesystem.info(url)
        if found is None:
            raise InputError(f"input path {url} does not exist; check the spelling")
        return _files_of(filesystem, found, below, options)
    there = filesystem.info(url) if "*" not in url else None  # a file that exists goes by its name
    if there is not None:
        return _files_of(filesystem, there, below, options)
    check_glob(url)
    matches = {each.path: each for pattern in patterns for each in _matches(filesystem, pattern)}
    if not matches:
        raise InputError(
            f"input pattern {url} matches no file; check it by listing the folder "
            "(names that start with '.' or '_' are passed over)"
        )
    return [file for path in sorted(matches, key=reading_order) for file in _files_of(filesystem, matches[path], below, options)]


def _matches(filesystem: FileSystem, pattern: str) -> list[FileInfo]:
    if has_magic(pattern):
        return [each for each in filesystem.glob(pattern) if not is_hidden(name_of(each.path))]
    found = filesystem.info(pattern)
    return [] if found is None else [found]


def _files_of(filesystem: FileSystem, place: FileInfo, below: Below, options: Options) -> list[InputFile]:
    if not place.is_folder:
        return [InputFile(place.path, place.size, place.block_bytes, options, below.names)]
    files: list[InputFile] = []
    for each in sorted(filesystem.entries(place.path), key=lambda each: reading_order(each.path)):
        name = name_of(each.path)
        if not below.passes_over(name, each.is_folder):
            inner = below.within(place.path, each.path, name) if each.is_folder else below
            files += _files_of(filesystem, each, inner, options)
    return files


def folder_within(folder: str, inner: str) -> InputError:
    """The error about a folder in an input folder, whose files would be left out."""
    return InputError(
        f"input folder {folder} holds the folder {inner}, whose files would be left out; recursive=True reads "
        "them, too (as does the key spark.hadoop.mapreduce.input.fileinputformat.input.dir.recursive), and "
        f"a glob, such as {folder}/*.txt, chooses files by their names"
    )
