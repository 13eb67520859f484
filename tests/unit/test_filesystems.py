"""The seam for file systems: one contract for all clients, errors in words, and reading ahead without reading wrong."""

from __future__ import annotations

import builtins
import os
import pickle
import re
import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import SEEK_CUR, SEEK_END, BufferedReader
from pathlib import Path
from threading import Event, Thread
from typing import Any, ClassVar
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpirdd.formats.filesystems import (
    NO_OPTIONS,
    FileSystem,
    Options,
    Upload,
    filesystem_of,
    is_remote,
    join,
    name_of,
    parent,
    s3uploads,
    scheme_of,
)
from mpirdd.formats.filesystems.bounded import BoundedCalls, NoAnswer
from mpirdd.formats.filesystems.objectoptions import store_settings
from mpirdd.formats.filesystems.readahead import FIRST_BYTES, ReadAheadFile
from mpirdd.formats.filesystems.streams import Fetched
from mpirdd.formats.outputfolders.copied import CopiedFolder
from mpirdd.formats.outputfolders.protocol import Token
from mpirdd.formats.paths import find_inputs
from mpirdd.protocol.errors import InputError, InvalidType, UsageError
from mpirdd.protocol.package import install_command


@pytest.fixture(params=["local", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty folder's path."""
    return str(tmp_path) if request.param == "local" else f"memory://{uuid4().hex}"


def write(fs: FileSystem, path: str, data: bytes, **more: bool) -> None:
    with fs.create(path, **more) as file:
        file.write(data)


# The contract


def test_what_is_written_can_be_looked_at_and_read(root: str) -> None:
    fs = filesystem_of(root)
    write(fs, join(root, "a", "b.txt"), b"0123456789")
    write(fs, join(root, "a", "a.txt"), b"")
    found = fs.info(join(root, "a", "b.txt"))
    assert found is not None and (found.size, found.is_folder) == (10, False)
    folder = fs.info(join(root, "a"))
    assert folder is not None and folder.is_folder
    assert fs.info(join(root, "nothing")) is None
    assert [name_of(each.path) for each in fs.entries(join(root, "a"))] == ["a.txt", "b.txt"]
    assert fs.entries(join(root, "a"))[1] == found
    assert fs.read_range(found.path, 3, 4) == b"3456"
    assert fs.read_range(found.path, 8, 100) == b"89"
    assert fs.read_range(found.path, 10, 5) == b""
    with fs.open(found.path) as file:
        assert file.read(3) == b"012" and file.seek(-2, SEEK_END) == 8 and file.read(100) == b"89" and file.read(1) == b""
    with pytest.raises(FileNotFoundError):
        fs.entries(join(root, "nothing"))
    with pytest.raises(FileNotFoundError):
        fs.open(join(root, "nothing"))


def test_globs_match_as_a_shell_does(root: str) -> None:
    fs = filesystem_of(root)
    for name in ("x/1.txt", "x/2.txt", "y/3.txt", "y/.hidden.txt", "y/4.csv", "z"):
        write(fs, join(root, *name.split("/")), b"")

    def matched(pattern: str) -> list[str]:
        return [each.path[len(root) :] for each in fs.glob(join(root, pattern))]

    assert matched("*/*.txt") == ["/x/1.txt", "/x/2.txt", "/y/3.txt"]
    assert matched("[xz]*") == ["/x", "/z"]
    assert matched("?/4.csv") == ["/y/4.csv"]
    assert matched("nothing/*") == matched("z/*") == []


def test_a_file_is_not_replaced_unless_asked_for(root: str) -> None:
    fs = filesystem_of(root)
    one, other = join(root, "one"), join(root, "other")
    write(fs, one, b"first")
    with pytest.raises(FileExistsError):
        write(fs, one, b"second")
    assert fs.read_range(one, 0, 9) == b"first"
    write(fs, one, b"third", overwrite=True)
    write(fs, other, b"")
    with pytest.raises(FileExistsError):
        fs.rename(one, other)
    fs.remove(other)
    fs.rename(one, other)
    assert fs.read_range(other, 0, 9) == b"third" and fs.info(one) is None


def test_a_file_that_fails_to_be_written_is_not_there(root: str) -> None:
    fs = filesystem_of(root)
    with pytest.raises(ZeroDivisionError), fs.create(join(root, "half")) as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert fs.info(join(root, "half")) is None


def test_removing_what_is_gone_is_no_error(root: str) -> None:
    fs = filesystem_of(root)
    write(fs, join(root, "deep", "er", "file"), b"")
    fs.remove(join(root, "deep"), recursive=True)
    fs.remove(join(root, "deep"), recursive=True)
    fs.remove(join(root, "deep"))
    assert fs.info(join(root, "deep")) is None


def test_folders_are_made_and_renamed_whole(root: str) -> None:
    fs = filesystem_of(root)
    fs.make_folders(join(root, "new", "er"))
    fs.make_folders(join(root, "new", "er"))
    write(fs, join(root, "new", "er", "file"), b"x")
    fs.rename(join(root, "new"), join(root, "named"))
    assert fs.info(join(root, "named", "er", "file")) and not fs.info(join(root, "new"))


# Names and options


def test_names_are_taken_apart_and_joined() -> None:
    assert [scheme_of(path) for path in ("/a", "a:b", "S3://x", "file:///a", "zip://a::/b.zip")] == ["", "", "s3", "", "zip"]
    assert not is_remote("/a://b") and not is_remote("a::b") and is_remote("hdfs:///a") and not is_remote("c:/x")
    assert join("s3://b", "a", "c") == "s3://b/a/c" and join("/", "a") == "/a" and join("memory:///", "a") == "memory:///a"
    assert join("zip://d::/x.zip", "f") == "zip://d/f::/x.zip"
    assert parent("hdfs://h:1/a/b") == "hdfs://h:1/a" and parent("s3://b/a") == "s3://b" and parent("/a/b") == "/a"
    assert name_of("s3://b/a/c") == "c" and name_of("zip://a/b::/x") == "b" and name_of("s3://b") == ""


def test_options_are_values_that_show_no_secret() -> None:
    options = Options.of({"secret": "hidden", "client_kwargs": {"a": [1]}}, {"fs.s3a.secret.key": "hidden"})
    assert "hidden" not in repr(options) and "secret=..." in repr(options)
    assert pickle.loads(pickle.dumps(options)) == options and hash(options) == hash(pickle.loads(pickle.dumps(options)))
    assert Options.of(None) is NO_OPTIONS
    with pytest.raises(InvalidType, match="must be a dict"):
        Options.of("key")
    with pytest.raises(InvalidType, match="must be a str"):
        Options.of({1: 2})


def test_a_client_is_made_once_and_anew_for_other_options() -> None:
    assert filesystem_of("memory://a") is filesystem_of("memory://a/b/c")
    assert filesystem_of("memory://a", Options({"client": "fsspec"})) is not filesystem_of("memory://a")


@pytest.mark.parametrize("written", [
    Options({"access_key_id": "k", "secret_access_key": "s", "endpoint": "https://h:1", "region": "r"}),
    Options({"key": "k", "secret": "s", "client_kwargs": {"endpoint_url": "https://h:1", "region_name": "r"}}),
    Options(hadoop={"fs.s3a.access.key": "k", "fs.s3a.secret.key": " s ", "fs.s3a.endpoint": "h:1",
                    "fs.s3a.endpoint.region": "r"}),
    Options(hadoop={"fs.s3a.access.key": "other", "fs.s3a.bucket.b.access.key": "k", "fs.s3a.secret.key": "s",
                    "fs.s3a.bucket.b.endpoint": "https://h:1", "fs.s3a.endpoint.region": "r"}),
    Options({"key": "k", "secret": "s", "region": "r"}, {"fs.s3a.access.key": "other", "fs.s3a.endpoint": "https://h:1"}),
])
def test_an_object_store_is_reached_in_whichever_words(written: Options) -> None:
    expected = {"access_key_id": "k", "secret_access_key": "s", "endpoint": "https://h:1", "region": "r"}
    assert store_settings("s3", "b", written) == expected


@pytest.mark.parametrize("written", [
    Options({"endpoint": "minio:9000"}), Options({"client_kwargs": {"endpoint_url": "127.0.0.1"}}), Options({"endpoint": "http://"}),
])
def test_an_endpoint_that_is_no_url_is_refused(written: Options) -> None:
    pytest.importorskip("obstore")
    with pytest.raises(UsageError, match=r"the endpoint '.*' is no URL; it must begin with http:// or https://"):
        filesystem_of("s3://b/x", written)


def test_keys_come_from_the_environment_and_the_files_of_aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "keys").write_text("[default]\naws_access_key_id = k\naws_secret_access_key = s%\n")
    (tmp_path / "config").write_text("[default]\nregion = r\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "keys"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    assert store_settings("s3", "b", NO_OPTIONS) == {"access_key_id": "k", "secret_access_key": "s%", "region": "r"}
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "env")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "env")
    assert store_settings("s3", "b", NO_OPTIONS)["secret_access_key"] == "env"


# Errors in words


@pytest.mark.parametrize("url, options, error, words", [
    ("hdfs://127.0.0.1:1/x", {}, ConnectionError, "no NameNode answers at 127.0.0.1:1"),
    ("hdfs://127.0.0.1:port/x", {}, OSError, "no port"),
    ("hdfs://no-such-service/x", {}, FileNotFoundError, "HADOOP_CONF_DIR"),
    ("s3://bucket/x", {"endpoint": "http://127.0.0.1:1", "key": "k", "secret": "s", "max_retries": 1}, ConnectionError,
     "does not answer .connection refused"),
    ("s3:///x", {}, OSError, "has no bucket"),
    ("http://127.0.0.1:1/x", {}, ConnectionError, "does not answer"),
    ("ftp://127.0.0.1:1/x", {}, ConnectionError, "does not answer"),
])
def test_servers_that_cannot_be_reached_are_named(
    url: str, options: dict[str, Any], error: type[OSError], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HADOOP_CONF_DIR", "HADOOP_HOME", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    pytest.importorskip({"hdfs": "hdfs_native", "s3": "obstore", "http": "aiohttp", "ftp": "fsspec"}[scheme_of(url)])
    with pytest.raises(error, match=words) as caught:
        filesystem_of(url, Options(options)).info(url)
    assert caught.value.filename and url.startswith(caught.value.filename)


@pytest.mark.parametrize("cache", ["simplecache", "filecache"])
def test_fsspecs_caches_keep_files_on_the_local_disk(tmp_path: Path, cache: str) -> None:
    pytest.importorskip("fsspec")
    folder = f"memory:///cached-{tmp_path.name}"
    write(filesystem_of(folder), f"{folder}/a.txt", b"some text")
    options = Options({cache: {"cache_storage": str(tmp_path)}})
    cached = filesystem_of(f"{cache}::{folder}", options)
    assert [each.path for each in cached.glob(f"{cache}::{folder}/*.txt")] == [f"{cache}::{folder}/a.txt"]
    assert cached.info(f"{cache}::{folder}/a.txt").size == 9  # type: ignore[union-attr]
    with cached.open(f"{cache}::{folder}/a.txt") as file:
        assert file.read() == b"some text"
    assert [each.read_bytes() for each in tmp_path.iterdir() if each.name != "cache"] == [b"some text"]
    with pytest.raises(OSError, match=f"{cache}:// can only be read"):
        cached.create(f"{cache}::{folder}/b.txt")
    filesystem_of(folder).remove(folder, recursive=True)


def test_patterns_find_cached_local_files(tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    (tmp_path / "a.txt").write_text("text")
    url = f"simplecache::file://{tmp_path}"
    assert [each.path for each in filesystem_of(url).glob(f"{url}/*.txt")] == [f"{url}/a.txt"]


def test_an_unknown_scheme_or_option_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    pytest.importorskip("obstore")
    with pytest.raises(UsageError, match="nosuch:// is no file system that mpirdd or fsspec knows"):
        filesystem_of("nosuch://x/y")
    with pytest.raises(UsageError, match=r"s3://b cannot be reached with these storage options: .*'nonsense'"):
        filesystem_of("s3://b/y", Options({"nonsense": 1}))
    with pytest.raises(UsageError, match="blockcache:: is no cache that works here; simplecache:: and filecache:: keep whole"):
        filesystem_of("blockcache::s3://b/y")
    with pytest.raises(UsageError, match=r"such as zip://inner.csv::simplecache::https://host/archive.zip"):
        filesystem_of("simplecache::zip://y::s3://b/x.zip")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("inside.txt", "text")
    url = f"zip://inside.txt::{tmp_path}/a.zip"
    assert filesystem_of(url).read_range(url, 1, 2) == b"ex"
    with pytest.raises(OSError, match="can only be read"):
        filesystem_of(url).create(url)


@pytest.mark.parametrize("url, library, extra", [
    ("hdfs://h/x", "hdfs_native", "hdfs"), ("s3://b/x", "obstore", "cloud"), ("dask://h/x", "fsspec", "fsspec")])
def test_a_missing_library_is_named_with_the_command(
    url: str, library: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Callable[..., Any] = builtins.__import__

    def without(name: str, *more: Any) -> Any:
        if name.partition(".")[0] == library:
            raise ModuleNotFoundError(f"No module named {library!r}", name=library)
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)
    command = re.escape(install_command(extra))
    with pytest.raises(UsageError, match=rf"^{scheme_of(url)}:// needs a package .*: {command}, on every host"):
        filesystem_of(url, Options({"no": extra}))  # options of its own, so no client of before is found


def test_a_fork_is_told_that_its_parents_client_is_not_its_own() -> None:
    """A call to obstore would hang there."""
    pytest.importorskip("obstore")
    options = Options({"endpoint": "http://127.0.0.1:1", "key": "k", "secret": "s", "max_retries": 0})
    with pytest.raises(ConnectionError):
        filesystem_of("s3://bucket/x", options).info("s3://bucket/x")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            filesystem_of("s3://bucket/x", options)
        except UsageError as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        assert "was forked from one that uses an object store" in told.read()
    os.waitpid(child, 0)


@pytest.mark.parametrize("scheme, command", [
    ("http", "requests aiohttp"), ("webhdfs", "requests"), ("sftp", "paramiko"), ("github", "requests"), ("gdrive", "gdrive_fs"),
    ("smb", "smbprotocol 'smbprotocol[kerberos]'"), ("libarchive", "libarchive-c"), ("root", "fsspec-xrootd"),
])
def test_what_fsspec_misses_is_one_line_with_a_command(
    scheme: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = pytest.importorskip("fsspec.registry")
    monkeypatch.delitem(registry._registry, scheme, raising=False)
    monkeypatch.setitem(registry.known_implementations, scheme, registry.known_implementations[scheme] | {"class": "no_such.Fs"})
    with pytest.raises(UsageError) as caught:
        filesystem_of(f"{scheme}://h/x", Options({"new": uuid4().hex}))
    assert str(caught.value).startswith(f"{scheme}:// needs a package that is not installed here (")
    assert str(caught.value).endswith(f": python -m pip install {command}, on every host") and "\n" not in str(caught.value)


def test_a_class_that_the_program_registers_travels_with_the_options() -> None:
    """By value, without the clients that fsspec keeps in it."""
    registry = pytest.importorskip("fsspec.registry")
    from fsspec.implementations.memory import MemoryFileSystem

    def info(self: Any, path: str, **more: Any) -> dict[str, Any]:
        return {"name": path, "size": 42, "type": "file"}

    scheme = f"mine{uuid4().hex[:8]}"
    made = type(MemoryFileSystem)("Mine", (MemoryFileSystem,), {"protocol": scheme, "info": info, "__module__": "__main__"})
    registry.register_implementation(scheme, made)
    try:
        made(skip_instance_cache=False)
        sent = pickle.dumps(Options({"a": 1}))
    finally:
        del registry._registry[scheme]
    program = ("import pickle, sys\nfrom mpirdd.formats.filesystems import filesystem_of\n"
               "options = pickle.load(sys.stdin.buffer)\nurl = sys.argv[1]\n"
               "print(filesystem_of(url, options).info(url).size)\n")
    done = subprocess.run(
        [sys.executable, "-c", program, f"{scheme}://h/x"], input=sent, capture_output=True, timeout=60, check=False)
    assert done.stdout == b"42\n", done.stderr.decode()
    assert pickle.loads(sent) != Options({"a": 1})
    with pytest.raises(UsageError, match=rf"fsspec\.register_implementation\('{scheme}', TheClass\)"):
        filesystem_of(f"{scheme}://h/x")


def test_memory_of_another_process_is_told() -> None:
    pytest.importorskip("fsspec")
    options: Options = pickle.loads(pickle.dumps(NO_OPTIONS))
    assert options.sender == os.getpid() and filesystem_of("memory:///x", options).info("memory:///x") is None
    with pytest.raises(UsageError, match=r"^memory:///x: memory:// lives in the process .* Run with one rank"):
        filesystem_of("memory:///x", Options(sender=os.getpid() + 1))


# Servers that accept and stay silent


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a port that accepts connections and never answers."""
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen(64)  # the kernel accepts; nobody reads
    yield f"127.0.0.1:{server.getsockname()[1]}"
    # Open until the process has ended: calls that came back while Python ends would abort it (``bounded``).
    server.detach()


def test_a_silent_namenode_is_told(silent: str) -> None:
    pytest.importorskip("hdfs_native")
    url = f"hdfs://{silent}/x"
    fs = filesystem_of(url, Options({"ipc.client.rpc-timeout.ms": 200}))
    for _ in range(2):  # the client that got no answer is replaced
        with pytest.raises(TimeoutError, match=r"accepts connections but does not answer .*0.2 s.*check that it runs") as caught:
            fs.info(url)
        assert caught.value.filename == url
    for call in (fs.create, fs.open, fs.entries, fs.remove, fs.make_folders):
        with pytest.raises(TimeoutError):
            call(url)
    with pytest.raises(InputError, match=rf"cannot read {url} from .*does not answer"):
        find_inputs(url, options=Options({"ipc.client.rpc-timeout.ms": "200"}))


def test_a_silent_object_store_is_told(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = pytest.importorskip("mpirdd.formats.filesystems.objects")
    monkeypatch.setattr(objects, "_LOOK", "200ms")
    monkeypatch.setattr(s3uploads, "_ANSWER_S", 0.2)
    url = "s3://bucket/x"
    fs = filesystem_of(url, Options({"endpoint": f"http://{silent}", "key": "k", "secret": "s", "max_retries": 0}))
    assert fs.uploads is not None
    for look in (fs.info, fs.entries, fs.create, fs.uploads.begin, fs.uploads.pending):
        with pytest.raises(OSError, match=r"does not answer .*time") as caught:
            look(url)
        assert isinstance(caught.value, ConnectionError | TimeoutError)
    assert (objects._DATA, s3uploads._DATA_S) == ("60s", 60)  # a busy store takes 15 s for a part


class _Store(BaseHTTPRequestHandler):
    """Takes parts; knows no bucket."""

    received: ClassVar[list[bytes]] = []

    def do_PUT(self) -> None:
        self.received.append(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.send_header("etag", "tag")
        self.send_header("content-length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        text = b"<Error><Code>NoSuchBucket</Code><Message>no such bucket</Message></Error>"
        self.send_response(404)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(text)

    do_HEAD = do_GET

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


def test_parts_arrive_whole_and_a_bucket_that_is_not_there_is_told() -> None:
    pytest.importorskip("obstore")
    with HTTPServer(("127.0.0.1", 0), _Store) as server:
        serving = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        try:
            options = Options({"endpoint": f"http://127.0.0.1:{server.server_port}", "key": "k", "secret": "s"})
            uploads = filesystem_of("s3://b", options).uploads
            assert uploads is not None
            for data in (os.urandom((3 << 20) + 5), b""):
                assert uploads.put(Upload("s3://b/x", "id"), 1, data).tag == "tag"
                assert _Store.received.pop() == data
            for url in ("s3://b/x*", "s3://b/deep/*/x", "s3://b/x", "s3://b/{x,y}"):
                with pytest.raises(InputError, match="there is no bucket b "):
                    find_inputs(url, options=options)
        finally:
            server.shutdown()
            serving.join()


def test_ctrl_c_ends_the_wait_for_a_silent_namenode(silent: str) -> None:
    pytest.importorskip("hdfs_native")
    program = (
        "import signal, sys, threading, time, os\n"
        "from mpirdd.formats.filesystems import Options, filesystem_of\n"
        "url = sys.argv[1]\n"
        "fs = filesystem_of(url, Options({'ipc.client.rpc-timeout.ms': '600000'}))\n"
        "fs._calls(9, int)\n"  # a helper is there, and waits
        "signal.signal(signal.SIGALRM, signal.default_int_handler)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.3, 0.3)\n"
        "try:\n    fs.info(url)\n"
        "except KeyboardInterrupt:\n    signal.setitimer(signal.ITIMER_REAL, 0); print('interrupted')\n")
    done = subprocess.run(
        [sys.executable, "-c", program, f"hdfs://{silent}/x"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr


def test_bounded_calls_give_what_the_function_gives() -> None:
    calls = BoundedCalls()
    assert [calls(60, divmod, number, 3) for number in (7, 8)] == [(2, 1), (2, 2)]
    with pytest.raises(ZeroDivisionError):
        calls(60, divmod, 1, 0)
    never = Event()
    with pytest.raises(NoAnswer, match=r"within 0\.01 s"):
        calls(0.01, never.wait)
    assert calls(60, int, "12") == 12  # not what the late call gives
    never.set()
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(partial(calls, 60, abs), range(-200, 0))) == list(range(200, 0, -1))


def test_hdfs_names_the_datanode_where_the_namenode_answers() -> None:
    hdfs = pytest.importorskip("mpirdd.formats.filesystems.hdfs")
    error = OSError("Connection refused (os error 111)")
    told = hdfs._translated(error, "hdfs://h/x", "hdfs://h", True)
    assert "a DataNode of hdfs://h is most likely dead" in told.strerror and "dfsadmin -report" in told.strerror
    assert "HDFS does not answer" in hdfs._translated(error, "hdfs://h/x", "hdfs://h", False).strerror


def test_hdfs_refuses_storage_options_that_it_does_not_know() -> None:
    pytest.importorskip("hdfs_native")
    with pytest.raises(UsageError, match=r"HDFS does not know the storage option 'user': .*HADOOP_USER_NAME"):
        filesystem_of("hdfs://nameservice/x", Options({"user": "me"}))


# Reading ahead


class Source:
    """Bytes to be fetched, and what was fetched."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.asked: list[tuple[int, int]] = []

    def fetch(self, start: int, length: int) -> Fetched:
        self.asked.append((start, length))
        return Fetched(self.data[start : start + length], len(self.data))

    def stream(self, start: int, end: int) -> Iterator[Fetched]:
        """Breaks off after three pieces."""
        self.asked.append((start, end - start))
        for at in range(start, min(end, start + 15), 5):
            if at < len(self.data):
                yield Fetched(self.data[at : min(at + 5, end)], len(self.data))
        if min(end, len(self.data)) > start + 15:
            raise ConnectionResetError(104, "gone", "x")


def test_a_file_in_order_is_fetched_once_in_growing_pieces() -> None:
    source = Source(bytes(range(256)) * (20 << 12))
    with ReadAheadFile(source.fetch, "x", piece_bytes=1 << 20, depth=3) as file:
        assert file.read(10) == source.data[:10] and source.asked == [(0, FIRST_BYTES)]
        assert file.read() == source.data[10:]
    asked = sorted(source.asked)
    assert [start for start, _ in asked] == [0, *[start + length for start, length in asked][:-1]]
    assert sum(length for _, length in asked) == len(source.data)
    assert max(length for _, length in asked) == 1 << 20


def test_nothing_is_fetched_ahead_behind_the_end_of_the_split() -> None:
    source = Source(bytes(4 << 20))
    with ReadAheadFile(source.fetch, "x", start=100, end=3 << 20, piece_bytes=1 << 20) as file:
        file.seek(100)
        while file.tell() < 3 << 20:
            assert file.read(min(100_000, (3 << 20) - file.tell()))
        assert max(start + length for start, length in source.asked) == 3 << 20
        assert file.read(10) == bytes(10)
    assert max(start + length for start, length in source.asked) <= (3 << 20) + (64 << 10)


def test_an_error_of_a_piece_is_raised_where_it_is_read() -> None:
    source = Source(bytes(4 << 20))

    def fetch(start: int, length: int) -> Fetched:
        if start + length > 2 << 20:
            raise ConnectionResetError(104, "gone", "x")
        return source.fetch(start, length)

    with ReadAheadFile(fetch, "x", piece_bytes=1 << 19) as file:
        assert file.read(1 << 20) == bytes(1 << 20)
        with pytest.raises(ConnectionResetError):
            file.read()


def test_a_stream_that_gives_nothing_is_an_error() -> None:
    source = Source(bytes(100))

    def stream(start: int, end: int) -> Iterator[Fetched]:
        if start > 20:
            raise ConnectionResetError(104, "gone", "x")
        yield Fetched(bytes(4), 100)
        raise ConnectionResetError(104, "gone", "x")

    with ReadAheadFile(source.fetch, "x", piece_bytes=8, stream=stream) as file:
        assert file.read(24) == bytes(24)
        with pytest.raises(ConnectionResetError):
            file.read(1)


@settings(deadline=None)
@pytest.mark.parametrize("streamed", [False, True])
@given(
    st.binary(max_size=300), st.integers(0, 400),
    st.lists(st.tuples(st.sampled_from(["read", "seek", "skip", "buffered"]), st.integers(0, 320))),
)
def test_it_reads_what_a_file_would_wherever_it_seeks(
    streamed: bool, data: bytes, begin: int, moves: list[tuple[str, int]]
) -> None:
    source = Source(data)
    position, stream = 0, source.stream if streamed else None
    with ReadAheadFile(
        source.fetch, "x", start=begin, end=200, piece_bytes=16, depth=2, beyond_bytes=7, stream=stream
    ) as file:
        for move, number in moves:
            if move == "read":
                expected = data[position : position + number]
                assert file.read(number) == expected
                position += len(expected)
            elif move == "buffered":
                file.seek(0)
                assert BufferedReader(ReadAheadFile(source.fetch, "x", piece_bytes=16, stream=stream), 32).read() == data
                file.seek(position)
            else:
                position = file.seek(number) if move == "seek" else file.seek(number, SEEK_CUR)
        assert file.seek(0, SEEK_END) == len(data)


def test_an_attempt_that_is_given_up_leaves_the_file_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """On stores of fsspec that do not rename: a file there appears when it is closed, whole or not."""
    registry = pytest.importorskip("fsspec.registry")
    from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

    files: dict[str, bytes] = {}

    class ShelfFile(AbstractBufferedFile):  # type: ignore[misc]
        def _upload_chunk(self, final: bool = False) -> bool:
            if final:
                files[self.path] = self.buffer.getvalue()
            return False

    class Shelf(AbstractFileSystem):  # type: ignore[misc]
        protocol = "shelf"

        def _open(self, path: str, mode: str = "rb", **more: Any) -> ShelfFile:
            return ShelfFile(self, path, mode)

        def ls(self, path: str, detail: bool = True, **more: Any) -> list[dict[str, Any]]:
            below = path.rstrip("/") + "/"
            names = {below + name[len(below) :].partition("/")[0] for name in files if name.startswith(below)}
            if path in files:
                names = {path}
            if not names:
                raise FileNotFoundError(path)
            return [{"name": name, "size": len(files.get(name, b"")), "type": "file" if name in files else "directory"}
                    for name in sorted(names)]

        def cp_file(self, source: str, target: str, **more: Any) -> None:
            files[target] = files[source]

        def rm_file(self, path: str) -> None:
            del files[path]

    monkeypatch.setitem(registry._registry, "shelf", Shelf)
    fs = filesystem_of("shelf://h", Options({"new": uuid4().hex}))
    with fs.create("shelf://h/x") as file:
        file.write(b"whole")
    given_up = fs.create("shelf://h/x", overwrite=True)
    given_up.write(b"ha")
    given_up.abort()
    assert list(files.values()) == [b"whole"]
    output = CopiedFolder(fs, "shelf://h/out", Token("1"))
    first = output.write("part-00000", 0, [b"whole"])

    def half() -> Iterator[bytes]:
        yield b"ha"
        raise ValueError("the other attempt was first")

    with pytest.raises(ValueError, match="the other attempt"):
        output.write("part-00000", 1, half())
    output.commit([first])
    assert {name.rpartition("/")[2]: data for name, data in files.items() if "/out/" in name} == {
        "part-00000": b"whole", "_SUCCESS": b""}
