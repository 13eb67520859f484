"""HDFS, through ``hdfs-native``: a client without a JVM, which knows name services, failover and Kerberos.

What the library leaves to us: its errors are Java's, some of them panics of Rust; a NameNode that does not answer costs it
minutes, so the settings here bound the retries, and a first look at the port tells a dead or misspelt host within seconds.
It waits for ever for a server that accepts and stays silent (a stopped JVM), so each call is bounded, and after one that
got no answer the client is made anew.
The client must not cross a fork (``resolve`` makes another one).

Left out: block locations, which the library does not tell (``block_hosts`` asks WebHDFS where its address is known).
"""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from itertools import islice
from typing import Any

from mpirdd.formats.filesystems.blockhosts import OF_FILES, BlockHosts, site_keys
from mpirdd.formats.filesystems.bounded import BoundedCalls, NoAnswer
from mpirdd.formats.filesystems.globbing import matches
from mpirdd.formats.filesystems.hdfswriter import DATA_S, WRITE_BYTES, HdfsWriter
from mpirdd.formats.filesystems.names import inner_path, join, name_of, parent
from mpirdd.formats.filesystems.options import Options
from mpirdd.formats.filesystems.protocol import FileInfo, OutOfReach, failure
from mpirdd.formats.filesystems.readahead import ReadAheadFile
from mpirdd.formats.filesystems.streams import PIECE_BYTES, Fetched
from mpirdd.protocol.errors import UsageError
from mpirdd.protocol.settings import parse_size

CONNECT_S = 5.0
"""A NameNode's port must answer in this time."""
ANSWER_S = 8.0
"""A NameNode must answer a call in this time; ``ipc.client.rpc-timeout.ms`` sets another one."""
_PATIENCE = {
    # Without these a NameNode that does not answer costs the library 181 s; with them 2.7 s.
    "dfs.client.failover.sleep.base.millis": "300",
    "dfs.client.failover.sleep.max.millis": "1000",
    "dfs.client.failover.max.attempts": "4",
}
_NAMENODE_PORT = 8020
_PACKETS = PIECE_BYTES // (64 << 10)
"""A stream gives packets of 64 KiB; so many are one piece. (413 MB cost 0.52 s of CPU as a stream and 0.70 s in ranges of 4 MiB;
the library's stream alone takes 0.40 s.)"""
_AWAY = re.compile(r"[Cc]onnection (refused|reset)|timed out|disconnected|[Bb]roken pipe|unreachable|No route to host|early eof")
_JAVA_CLASS = re.compile(r'RPCError\("[\w.]*?(\w+)", "(.*)', re.DOTALL)
_HADOOP = ("dfs.", "fs.", "hadoop.", "ipc.")


class HdfsFileSystem:
    """A client of one cluster. ``root`` is ``hdfs://host:port`` or ``hdfs://service``; ``hdfs://`` is the default one of
    the configuration."""

    can_rename = True
    uploads = None

    def __init__(self, root: str, options: Options) -> None:
        """
        Raises:
            OSError: the cluster is not known, or no NameNode answers.
            UsageError: a storage option is not known.
            ImportError: the library is not installed.
        """
        from hdfs_native import Client, WriteOptions

        self._root, self._write_options = root, WriteOptions
        config = _PATIENCE | _hadoop_keys(options)
        authority = root.partition("://")[2]
        site, webhdfs = site_keys(), config.pop("webhdfs", None)
        self._of_files = _of_files(config, site)
        self._blocks = BlockHosts(authority, site | config, webhdfs)
        if root.startswith("hdfs:"):
            _check_port(root, authority)
        with self.told(root):
            self._make: Any = partial(Client, root if authority else None, config=config)
            self._client: Any = self._make()
        self._calls, self._answer_s = BoundedCalls(), _answer_s(config)

    def info(self, path: str) -> FileInfo | None:
        with self.told(path):
            try:
                return self._found(self._ask("get_file_info", inner_path(path)))
            except FileNotFoundError:
                return None

    def entries(self, folder: str) -> list[FileInfo]:
        with self.told(folder):
            found = [self._found(status) for status in self._ask("list_status", inner_path(folder), taken=list)]
        return sorted(found, key=lambda each: each.path)

    def glob(self, pattern: str) -> list[FileInfo]:
        return matches(pattern, self.entries, self.info)

    def read_range(self, path: str, start: int, length: int) -> bytes:
        with self.told(path):
            reader = self._ask("read", inner_path(path))
            return bytes(self._fetch(path, reader, start, length).data)

    def open(self, path: str, start: int = 0, end: int | None = None) -> ReadAheadFile:
        with self.told(path):
            reader = self._ask("read", inner_path(path))
            size = len(reader)
        return ReadAheadFile(partial(self._fetch, path, reader), path, start=start, end=end, size=size,
                             stream=partial(self._streamed, path, reader))

    def _streamed(self, path: str, reader: Any, start: int, end: int) -> Iterator[Fetched]:
        size = len(reader)
        with self.told(path):
            packets = iter(reader.read_range_stream(start, min(end, size) - start))
            while data := self._calls(DATA_S, _joined, packets):
                yield Fetched(data, size)

    def _fetch(self, path: str, reader: Any, start: int, length: int) -> Fetched:
        with self.told(path):
            size = len(reader)
            length = min(length, size - start)  # the library panics at reads behind the end
            return Fetched(self._calls(DATA_S, reader.read_range, start, length) if length > 0 else b"", size)

    def create(self, path: str, *, overwrite: bool = False, folders: bool = True) -> HdfsWriter:
        def options(**changed: Any) -> Any:
            return self._write_options(**({"overwrite": overwrite, "create_parent": folders} | self._of_files | changed))

        return HdfsWriter(_File(self, path, options, self._ask), self._calls)

    def rename(self, source: str, target: str) -> None:
        with self.told(source):
            try:
                self._ask("rename", inner_path(source), inner_path(target), overwrite=False)
            except FileExistsError as error:
                raise failure(errno.EEXIST, target, "it exists already") from error

    def copy(self, source: str, target: str) -> None:
        with self.open(source) as file, self.create(target, overwrite=True) as copy:
            while data := file.read(WRITE_BYTES):
                copy.write(data)

    def remove(self, path: str, *, recursive: bool = False) -> None:
        with self.told(path):
            self._ask("delete", inner_path(path), recursive)

    def make_folders(self, path: str) -> None:
        with self.told(path):
            self._ask("mkdirs", inner_path(path), create_parent=True)

    def block_hosts(self, path: str, start: int, length: int) -> Sequence[str]:
        """From WebHDFS, where its address is known."""
        return self._blocks.of(path, start, length)

    def _found(self, status: Any) -> FileInfo:
        path = self._root + status.path
        if status.isdir:
            return FileInfo(path, 0, True)
        return FileInfo(path, status.length, False, status.blocksize or 128 << 20)

    def _ask(self, name: str, *arguments: Any, taken: Callable[[Any], Any] | None = None, **more: Any) -> Any:
        """What the NameNode answers. Raises TimeoutError if it does not.

        Args:
            taken: takes it from an iterator, which asks only then.
        """
        asked = getattr(self._client, name)
        try:
            if taken is not None:
                return self._calls(self._answer_s, lambda: taken(asked(*arguments, **more)))
            return self._calls(self._answer_s, asked, *arguments, **more)
        except NoAnswer as error:
            self._client = self._make()  # the connection of the old one may hang for ever
            raise failure(
                errno.ETIMEDOUT, self._root + arguments[0],
                f"the NameNode of {self._root} accepts connections but does not answer ({error}); check that it runs and is "
                "not stopped or overloaded. storage_options={'ipc.client.rpc-timeout.ms': '60000'} waits longer") from None

    @contextmanager
    def told(self, path: str, writing: bool = False) -> Iterator[None]:
        """Turns what the library raises into OSError in words."""
        try:
            yield
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as error:  # the library's panics are no Exception
            if isinstance(error, OSError) and error.filename is not None:
                raise
            lost = isinstance(error, NoAnswer) or (writing and _AWAY.search(str(error)) is not None)
            raise _translated(error, path, self._root, lost and self._answers()) from error

    def _answers(self) -> bool:
        """Does the NameNode? Then one of its DataNodes does not."""
        try:
            self._ask("get_file_info", "/")
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # whatever it is
            return False
        return True


def _joined(packets: Iterator[bytes]) -> bytes:
    return b"".join(islice(packets, _PACKETS))


class _File:
    """A file that is being written, and the one under whose name its first blocks are kept when it is begun anew."""

    def __init__(self, filesystem: HdfsFileSystem, path: str, options: Callable[..., Any], ask: Callable[..., Any]) -> None:
        self._filesystem, self._path, self._options, self._ask = filesystem, path, options, ask
        self._aside = join(parent(path), f".{name_of(path)}-set-aside")
        self._is_new = True

    def create(self, replicas: int | None = None, block_bytes: int | None = None) -> Any:
        changed = {name: value for name, value in (("replication", replicas), ("block_size", block_bytes)) if value is not None}
        options = self._options(**changed) if self._is_new else self._options(**changed, overwrite=True)
        self._is_new = False
        return self._ask("create", inner_path(self._path), options)

    def layout(self) -> tuple[int, int]:
        found = self._ask("get_file_info", inner_path(self._path))
        return found.replication or 1, found.blocksize or 128 << 20

    def whole_bytes(self) -> int:
        return len(self._ask("read", inner_path(self._path)))

    def set_aside(self) -> None:
        self._ask("rename", inner_path(self._path), inner_path(self._aside), overwrite=True)

    def read_aside(self, start: int, length: int) -> bytes:
        return self._filesystem.read_range(self._aside, start, length)

    def set_replicas(self, replicas: int) -> None:
        with self.told():
            self._ask("set_replication", inner_path(self._path), replicas)

    def remove(self) -> None:
        self._filesystem.remove(self._path)
        self.remove_aside()

    def remove_aside(self) -> None:
        self._filesystem.remove(self._aside)

    def is_about_data(self, error: BaseException) -> bool:
        return isinstance(error, NoAnswer) or (not isinstance(error, FileNotFoundError) and not _JAVA_CLASS.match(str(error)))

    def told(self) -> AbstractContextManager[None]:
        return self._filesystem.told(self._path, writing=True)


def _hadoop_keys(options: Options) -> dict[str, str]:
    """
    Raises:
        UsageError: a storage option is no key of Hadoop's, nor one of ours.
    """
    given = {key: str(value) for key, value in options.given.items() if key != "client"}
    for key in given:
        if key != "webhdfs" and not key.startswith(_HADOOP):
            raise UsageError(
                f"HDFS does not know the storage option {key!r}: give keys of Hadoop ('dfs.replication'), 'webhdfs' (its host "
                "and port), or 'client'; HADOOP_USER_NAME in the environment says who asks")
    return {key: value for key, value in options.hadoop.items() if key.startswith(_HADOOP)} | given


def _of_files(config: Mapping[str, str], site: Mapping[str, str]) -> dict[str, int]:
    """Replicas and bytes of a block for new files, which the library leaves to the NameNode, whatever the keys say.

    Raises:
        UsageError: a key is no such number.
    """
    of_files: dict[str, int] = {}
    for key, name in zip(OF_FILES, ("replication", "block_size"), strict=True):
        if key in config:
            of_files[name] = parse_size(config[key], key)
            if of_files[name] < 1:
                raise UsageError(f"{key} must be 1 or more, not {config[key]}")
        else:
            with suppress(KeyError, UsageError):  # the site's may refer to other keys
                of_files[name] = parse_size(site[key], key)
    return of_files


def _answer_s(config: Mapping[str, str]) -> float:
    try:
        return float(config["ipc.client.rpc-timeout.ms"]) / 1000 or ANSWER_S
    except (KeyError, ValueError):
        return ANSWER_S


def _check_port(root: str, authority: str) -> None:
    """Is there anybody at this host and port? A name service has no port, and the library knows its hosts."""
    host, colon, port = authority.rpartition(":")
    if not colon:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()
    except socket.gaierror as error:
        raise failure(errno.ENOENT, root, f"there is no host {host} ({error.strerror}); check the spelling") from error
    except ValueError:
        raise failure(errno.EINVAL, root, f"{port!r} is no port; write hdfs://host:{_NAMENODE_PORT}/path") from None
    except OSError as error:
        raise failure(
            error.errno or errno.ETIMEDOUT, root,
            f"no NameNode answers at {authority} ({error.strerror or error}); check host and port, and that it runs",
        ) from error


def _translated(error: BaseException, path: str, root: str, data_lost: bool) -> OSError:
    java = _JAVA_CLASS.match(str(error))
    kind, text = (java[1], java[2]) if java else (type(error).__name__, str(error))
    first = text.replace("\\n", "\n").partition("\n")[0].strip().replace('\\"', '"')
    if "Path is not a file" in text:
        return failure(errno.EISDIR, path, "it is a folder")
    if isinstance(error, FileNotFoundError) or kind == "FileNotFoundException":
        return failure(errno.ENOENT, path, "nothing is there; check the spelling")
    if isinstance(error, FileExistsError):
        return failure(errno.EEXIST, path, "it exists already")
    if kind == "AccessControlException":
        return failure(
            errno.EACCES, path, f"{first}; ask its owner for access, or set HADOOP_USER_NAME to a user who has it")
    if kind == "StandbyException":
        return failure(errno.ECONNREFUSED, path, f"the NameNode at {root} is on standby; give the name service, or the other one")
    if kind == "SafeModeException":
        return failure(errno.EROFS, path, "the NameNode is in safe mode, and takes no changes now; try later")
    if "No NameNode hosts found" in text or "No fs.defaultFS" in text:
        where = os.environ.get("HADOOP_CONF_DIR") or os.environ.get("HADOOP_HOME")
        return failure(
            errno.ENOENT, path,
            f"the configuration names no such cluster; {f'{where} is read for it' if where else 'set HADOOP_CONF_DIR'}, "
            f"or write hdfs://host:{_NAMENODE_PORT}/path",
        )
    if data_lost:
        return OutOfReach(
            errno.ECONNREFUSED,
            f"a DataNode of {root} is most likely dead, or cannot be reached from here, as its NameNode answers ({first}). See "
            "which one by 'hdfs dfsadmin -report'; run the job again when it is back, or listed there as dead", path)
    if isinstance(error, NoAnswer):
        return failure(errno.ETIMEDOUT, path, f"HDFS does not answer ({first}); check that {root} is its address and it runs")
    if "Connection refused" in text or "timed out" in text or "disconnected" in text:
        return failure(errno.ECONNREFUSED, path, f"HDFS does not answer ({first}); check that {root} is its address and it runs")
    if "lookup address" in text or "Name or service not known" in text:
        return failure(errno.ENOENT, path, f"there is no host of this name ({first}); check the spelling")
    return failure(errno.EIO, path, f"HDFS reports {kind}: {first}")
