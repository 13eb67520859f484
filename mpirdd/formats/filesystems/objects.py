"""Object stores (S3 and what speaks its protocol, Google Cloud Storage, Azure), through ``obstore``.

A store has keys, no folders: a folder is there when a key begins with its path and a slash. There is no rename: a
committed file comes from an upload that another process completes (``s3uploads``), or from a copy on the server.

The library retries what may pass (a busy server, a lost connection) for a few seconds, then the error is told. Its time-out
is one for the whole of a request and its answer's start, so there are two clients: looks get their answer within 8 s or an
error, data may take a minute to move.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property, partial
from typing import Any, ClassVar

from mpirdd.formats.filesystems.awskeys import NO_KEYS, Keys, KeysOfRole, KeySource
from mpirdd.formats.filesystems.globbing import matches
from mpirdd.formats.filesystems.names import root_of, scheme_of
from mpirdd.formats.filesystems.objectoptions import CLIENT_NAMES, store_settings
from mpirdd.formats.filesystems.options import Options
from mpirdd.formats.filesystems.protocol import BLOCK_BYTES, AbortingWriter, FileInfo, NoRoot, failure
from mpirdd.formats.filesystems.readahead import ReadAheadFile
from mpirdd.formats.filesystems.s3uploads import S3Uploads
from mpirdd.formats.filesystems.streams import PIECE_BYTES, Fetched
from mpirdd.protocol.errors import UsageError
from mpirdd.protocol.frames import Buffer

_KINDS = {"s3": "s3", "s3a": "s3", "s3n": "s3", "gs": "gs", "gcs": "gs"}  # all others are Azure's
_WAYS_TO_GIVE_KEYS = {
    "s3": "storage_options={'access_key_id': ..., 'secret_access_key': ...}, spark.hadoop.fs.s3a.access.key, "
          "AWS_ACCESS_KEY_ID or ~/.aws/credentials; {'skip_signature': True} reads public buckets",
    "gs": "storage_options={'service_account': path} or GOOGLE_APPLICATION_CREDENTIALS; "
          "{'skip_signature': True} reads public buckets",
    "az": "storage_options={'account_name': ..., 'account_key': ...} or AZURE_STORAGE_ACCOUNT_NAME and "
          "AZURE_STORAGE_ACCOUNT_KEY; {'skip_signature': True} reads public containers",
}
_LOOK, _DATA = "8s", "60s"
"""How long a server may be silent."""
_PIECE_BYTES = 4 << 20
_BEYOND_BYTES = 64 << 10
"""What a reader of lines asks for behind its split, which so needs no request of its own."""
_SMALL_BYTES = 8 << 20
"""A file up to this size is put in one request."""
_STATUS = re.compile(r"status code: (\d+)")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_MESSAGE = re.compile(r"<Message>([^<]*)</Message>")
_WHERE_NO_KEYS = re.compile(re.escape(NO_KEYS) + r" \(.*\)")


class ObjectFileSystem:
    """A client of one bucket. ``root`` is ``s3://bucket``; the bucket is looked at when it is first used."""

    can_rename = False
    _first_user: ClassVar[int] = 0
    """The process that has started the library's threads. They do not live on in a fork, where each call would hang."""

    def __init__(self, root: str, options: Options) -> None:
        """
        Raises:
            UsageError: an option is not known, or this process was forked from one that uses an object store.
            OSError: there is no bucket in the path.
            ImportError: the library is not installed.
        """
        import obstore

        if ObjectFileSystem._first_user not in (0, os.getpid()):
            raise UsageError(
                f"{root} cannot be reached from here: this process was forked from one that uses an object store, whose "
                "client does not live on in a fork. Start it by 'spawn' (multiprocessing.get_context)")
        ObjectFileSystem._first_user = os.getpid()
        self._obstore: Any = obstore
        self._root = root
        self._kind = _KINDS.get(scheme_of(root), "az")
        self.bucket = root.partition("://")[2]
        if not self.bucket:
            raise failure(errno.EINVAL, root, f"the path has no bucket; write {scheme_of(root)}://bucket/path")
        settings = _settings(self._kind, root, self.bucket, options)
        self.block_bytes = _block_bytes(options)
        self.uploads = None
        if self._kind == "s3" and (keys := _keys(settings)) is not None:
            self.uploads = S3Uploads(self.bucket, settings, keys)
            if isinstance(keys, KeysOfRole):
                settings["credential_provider"] = keys.for_obstore
        self._settings = settings
        self._store = _made(self._kind, root, self.bucket, settings, _DATA)

    @cached_property
    def _looks(self) -> Any:
        """The client for requests that the store answers at once. Executors that only read and write never need it."""
        return _made(self._kind, self._root, self.bucket, self._settings, _LOOK)

    def info(self, path: str) -> FileInfo | None:
        key = _key(path)
        if key:
            try:
                with self._told(path):
                    found = self._obstore.head(self._looks, key)
                # An empty key stands for a folder if there are keys below it, as in ``entries``.
                is_folder = not found["size"] and self._first_below(path, key) is not None
                return FileInfo(path, found["size"], is_folder, self.block_bytes)
            except FileNotFoundError:
                pass
            except PermissionError:
                self._first_below(path, key)  # its refusal has a reason, which the answer to HEAD has not
                raise
        below = self._first_below(path, key)
        return FileInfo(path, 0, True) if below or not key else None

    def _first_below(self, path: str, key: str) -> Any:
        with self._told(path):
            return next(iter(self._obstore.list(self._looks, key or None, chunk_size=1)), None)

    def entries(self, folder: str) -> list[FileInfo]:
        key = _key(folder)
        with self._told(folder):
            found = self._obstore.list_with_delimiter(self._looks, key or None)
        folders = {str(prefix).rstrip("/") for prefix in found["common_prefixes"]}
        files = [
            FileInfo(f"{self._root}/{each['path']}", each["size"], False, self.block_bytes) for each in found["objects"]
            # Empty keys that stand for folders do not count. (One with content, beside a folder of its name, is a file.)
            if each["path"].rstrip("/") != key and (each["size"] or each["path"] not in folders)
        ]
        if not files and not folders and key and self.info(folder) is None:
            raise failure(errno.ENOENT, folder, "nothing is there; check the spelling")
        return sorted([*files, *(FileInfo(f"{self._root}/{each}", 0, True) for each in folders)], key=lambda each: each.path)

    def glob(self, pattern: str) -> list[FileInfo]:
        return matches(pattern, self.entries, self.info)

    def read_range(self, path: str, start: int, length: int) -> bytes:
        return bytes(self._fetch(path, start, length).data)

    def open(self, path: str, start: int = 0, end: int | None = None) -> ReadAheadFile:
        end = None if end is None else end + _BEYOND_BYTES
        return ReadAheadFile(
            partial(self._fetch, path), path, start=start, end=end, piece_bytes=_PIECE_BYTES,
            stream=partial(self._streamed, path))

    def _streamed(self, path: str, start: int, end: int) -> Iterator[Fetched]:
        with self._told(path):
            got = self._obstore.get(self._store, _key(path), options={"range": (start, end)})
            size = got.meta["size"]
            for piece in got.stream(PIECE_BYTES):
                yield Fetched(memoryview(piece), size)

    def _fetch(self, path: str, start: int, length: int) -> Fetched:
        key = _key(path)
        with self._told(path):
            try:
                if length > 0:
                    got = self._obstore.get(self._store, key, options={"range": (start, start + length)})
                    size = got.meta["size"]
                    return Fetched(memoryview(got.bytes()), size)
            except FileNotFoundError:
                raise
            except Exception:
                size = self._obstore.head(self._looks, key)["size"]
                if start < size:  # else there was nothing to get, which the library calls an error
                    raise
            return Fetched(b"", self._obstore.head(self._looks, key)["size"])

    def create(self, path: str, *, overwrite: bool = False, folders: bool = True) -> ObjectWriter:
        if not overwrite and self.info(path) is not None:
            raise failure(errno.EEXIST, path, "it exists already")
        return ObjectWriter(self, path, overwrite)

    def put(self, path: str, data: Buffer, *, overwrite: bool) -> None:
        """A small file at once. FileExistsError, from the server, where it must not replace one."""
        with self._told(path):
            self._obstore.put(self._store, _key(path), bytes(data), mode="overwrite" if overwrite else "create",
                              use_multipart=False)

    def begin(self, path: str) -> Any:
        """obstore's writer, for a large file."""
        with self._told(path):
            return self._obstore.open_writer(self._store, _key(path), max_concurrency=4)

    def rename(self, source: str, target: str) -> None:
        if self.info(target) is not None:
            raise failure(errno.EEXIST, target, "it exists already")
        self.copy(source, target)
        self.remove(source)

    def copy(self, source: str, target: str) -> None:
        with self._told(source):
            self._obstore.copy(self._store, _key(source), _key(target))

    def remove(self, path: str, *, recursive: bool = False) -> None:
        key = _key(path)
        with self._told(path):
            if recursive:
                for found in self._obstore.list(self._store, key or None):
                    self._obstore.delete(self._store, [each["path"] for each in found])
            if key:
                try:
                    self._obstore.delete(self._store, key)
                except FileNotFoundError:
                    return

    def make_folders(self, path: str) -> None:
        return

    def block_hosts(self, path: str, start: int, length: int) -> Sequence[str]:
        return ()

    @contextmanager
    def _told(self, path: str) -> Iterator[None]:
        """Turns what the library raises into OSError in words."""
        try:
            yield
        except OSError as error:
            if error.filename is not None:
                raise
            raise self._translated(error, path) from error
        except (self._obstore.exceptions.BaseError, ValueError) as error:
            raise self._translated(error, path) from error

    def _translated(self, error: Exception, path: str) -> OSError:
        text = str(error)
        status, code, message = (found[1] if (found := each.search(text)) else "" for each in (_STATUS, _CODE, _MESSAGE))
        message = message.partition("\n")[0].strip()  # Azure adds the request's number and time
        kind = type(error).__name__
        if code in ("NoSuchBucket", "InvalidBucketName", "ContainerNotFound"):
            noun = "container" if self._kind == "az" else "bucket"
            return NoRoot(errno.ENOENT, f"there is no {noun} {self.bucket} ({message or code}); check the spelling", path)
        if isinstance(error, FileNotFoundError) or status == "404":
            return failure(errno.ENOENT, path, "nothing is there; check the spelling")
        if kind in ("AlreadyExistsError", "PreconditionError") or status in ("409", "412"):
            return failure(errno.EEXIST, path, "it exists already")
        if NO_KEYS in text or "/latest/api/token" in text or "169.254.169.254" in text or "metadata.google" in text:
            found = _WHERE_NO_KEYS.search(text)
            return failure(errno.EACCES, path, f"{found[0] if found else NO_KEYS}; give them by {_WAYS_TO_GIVE_KEYS[self._kind]}")
        if kind in ("PermissionDeniedError", "UnauthenticatedError") or status in ("401", "403"):
            return failure(errno.EACCES, path, f"{_refusal(code, message)}. Keys come from {_WAYS_TO_GIVE_KEYS[self._kind]}")
        if code in ("PermanentRedirect", "AuthorizationHeaderMalformed") or status == "301":
            return failure(errno.EINVAL, path, f"the bucket is in another region ({message or code}); give storage_options="
                                               "{'region': ...} or AWS_REGION")
        if not status and ("error sending request" in text or "HTTP error" in text or "HttpError" in text):
            return failure(errno.ECONNREFUSED, path, f"its server does not answer ({_why_not(text)}); check the endpoint and "
                                                     "that it runs")
        first = text.partition("\n")[0].removesuffix('<?xml version="1.0" encoding="UTF-8"?>').rstrip(": ")
        return failure(errno.EIO, path, f"the store reports {message or first}")


class ObjectWriter(AbortingWriter):
    """A small file is put at once; a larger one is uploaded in parts as it is written, and appears when it is closed."""

    def __init__(self, filesystem: ObjectFileSystem, path: str, overwrite: bool) -> None:
        self._filesystem, self._path, self._overwrite = filesystem, path, overwrite
        self._waiting = bytearray()
        self._writer: Any = None

    def __enter__(self) -> ObjectWriter:
        return self

    def write(self, data: Buffer, /) -> int:
        self._waiting += data
        if len(self._waiting) > _SMALL_BYTES:
            self._flush()
        return memoryview(data).nbytes

    def _flush(self) -> None:
        if self._writer is None:
            self._writer = self._filesystem.begin(self._path)
        with self._filesystem._told(self._path):
            self._writer.write(bytes(self._waiting))
        self._waiting.clear()

    def close(self) -> None:
        if self._writer is None:
            self._filesystem.put(self._path, self._waiting, overwrite=self._overwrite)
            return
        if not self._overwrite and self._filesystem.info(self._path) is not None:
            raise failure(errno.EEXIST, self._path, "it exists already")
        self._flush()
        with self._filesystem._told(self._path):
            self._writer.close()

    def abort(self) -> None:
        self._waiting.clear()
        self._writer = None  # the upload is never completed, so nothing appears


def _key(path: str) -> str:
    return path[len(root_of(path)) :].strip("/")


def _settings(kind: str, root: str, bucket: str, options: Options) -> dict[str, Any]:
    try:
        return store_settings(kind, bucket, options)
    except (ValueError, TypeError) as error:
        raise _unknown_options(kind, root, error) from error


def _keys(settings: dict[str, Any]) -> KeySource | None:
    """Who gives keys for S3's uploads; None: they cannot be had."""
    given = {name.removeprefix("aws_"): value for name, value in settings.items()}
    unsigned = given.get("skip_signature", os.environ.get("AWS_SKIP_SIGNATURE", ""))
    if str(unsigned).lower() == "true" or "credential_provider" in given:
        return None  # a provider of the program's may be asynchronous, and tells its keys to obstore alone
    if "access_key_id" in given:
        keys = Keys(str(given["access_key_id"]), str(given.get("secret_access_key", "")), given.get("session_token"))
        return lambda: keys
    return KeysOfRole(settings)


def _unknown_options(kind: str, root: str, error: Exception) -> UsageError:
    first = str(error).partition("\n")[0]
    return UsageError(f"{root} cannot be reached with these storage options: {first}; keys are given by "
                      f"{_WAYS_TO_GIVE_KEYS[kind]}")


def _made(kind: str, root: str, bucket: str, settings: dict[str, Any], silence: str) -> Any:
    """obstore's client."""
    from obstore.exceptions import BaseError
    from obstore.store import AzureStore, GCSStore, S3Store

    settings = dict(settings)
    try:
        http = {name: settings.pop(name) for name in list(settings) if name in CLIENT_NAMES}
        # A stream lives as long as its split is read, so a silent server is given up, not a long request. (A busy one
        # may take 15 s for a part of 5 MB.)
        http = {"connect_timeout": "3s", "read_timeout": silence, "timeout": "1h", "allow_http": True} | http
        # 8 s in all. Waits of 0.1, 0.2, ... 2 s: 6 s of a server that is away.
        backoff = {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=2), "base": 2}
        retries = {"max_retries": int(settings.pop("max_retries", 6)), "retry_timeout": timedelta(seconds=8), "backoff": backoff}
        more: dict[str, Any] = {"client_options": http, "retry_config": retries}
        if kind == "s3":
            return S3Store(bucket, **settings, **more)
        if kind == "gs":
            return GCSStore(bucket, **settings, **more)
        container, _, host = bucket.partition("@")
        if host:
            settings.setdefault("account_name", host.partition(".")[0])
        return AzureStore(container, **settings, **more)
    except (BaseError, ValueError, TypeError) as error:
        raise _unknown_options(kind, root, error) from error


def _block_bytes(options: Options) -> int:
    text = str(options.hadoop.get("fs.s3a.block.size", "")).strip().upper()
    match = re.fullmatch(r"(\d+)([KMG]?)", text)
    return int(match[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[match[2]] if match and int(match[1]) else BLOCK_BYTES


def _refusal(code: str, message: str) -> str:
    known = {
        "SignatureDoesNotMatch": "the secret key is wrong",
        "InvalidAccessKeyId": "the store does not know the access key",
        "ExpiredToken": "the session token has expired",
        "RequestTimeTooSkewed": "this host's clock is wrong, so the signature is not accepted",
    }
    if "failed to authenticate" in message:  # Azure, under several codes
        return "the account's key is wrong"
    return known.get(code) or f"access is forbidden{f' ({message or code})' if message or code else ''}: " \
                              "the key is wrong, or it has no right to this"


def _why_not(text: str) -> str:
    for mark, words in (
        ("dns error", "there is no such host"), ("lookup address", "there is no such host"),
        ("onnection refused", "connection refused"), ("timed out", "time-out"), ("TimedOut", "time-out"),
        ("certificate", "its certificate is not trusted"),
    ):
        if mark in text:
            return words
    return "no connection"
