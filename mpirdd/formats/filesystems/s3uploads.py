"""S3's multi-part uploads, which one process begins and another completes: how output is committed without a rename.

obstore can upload a file in parts, but not hand an unfinished upload to another process. So these five requests are made
here, over ``http.client``, signed by AWS's Signature Version 4
(https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html).
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from threading import Lock
from typing import Any
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from mpirdd.formats.filesystems.awskeys import KeySource
from mpirdd.formats.filesystems.names import root_of
from mpirdd.formats.filesystems.protocol import Upload, UploadedPart, failure
from mpirdd.protocol.frames import Buffer

_TRIES = 4
_CONNECT_S = 5.0
_ANSWER_S = 8.0
"""For the answer to a request without data."""
_DATA_S = 60.0
"""Without any progress, and for the answer to a part or to its completion: a busy store takes 15 s for 5 MB."""
_SENT_BYTES = 1 << 20
"""Sent at a time; each has ``_DATA_S``, so a slow line may take long for a part."""


class S3Uploads:
    """The uploads of one bucket.

    Args:
        settings: those of ``objectoptions``.
        keys: gives those for a request.
    """

    part_bytes = 5 << 20

    def __init__(self, bucket: str, settings: Mapping[str, Any], keys: KeySource) -> None:
        self._bucket, self._keys = bucket, keys
        named = {name.removeprefix("aws_"): str(value) for name, value in settings.items()}
        self._region = named.get("region", "us-east-1")
        endpoint = urlsplit(named.get("endpoint") or f"https://s3.{self._region}.amazonaws.com")
        in_host = named.get("virtual_hosted_style_request", "").lower() == "true" and "endpoint" not in named
        self._host = f"{bucket}.{endpoint.netloc}" if in_host else endpoint.netloc
        self._base = endpoint.path.rstrip("/") + ("" if in_host else f"/{quote(bucket)}")
        self._secure = endpoint.scheme == "https"
        self._connection: HTTPConnection | None = None
        self._lock = Lock()

    def begin(self, path: str) -> Upload:
        answer = self._request("POST", path, {"uploads": ""})
        return Upload(path, _text(answer, "UploadId"))

    def put(self, upload: Upload, number: int, data: Buffer) -> UploadedPart:
        query = {"partNumber": str(number), "uploadId": upload.id}
        headers = self._request("PUT", upload.path, query, bytes(data), headers_only=True)
        return UploadedPart(number, headers["etag"])

    def complete(self, upload: Upload, parts: Sequence[UploadedPart]) -> None:
        listed = "".join(
            f"<Part><PartNumber>{part.number}</PartNumber><ETag>{escape(part.tag)}</ETag></Part>"
            for part in sorted(parts, key=lambda part: part.number)
        )
        body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
        try:
            answer = self._request("POST", upload.path, {"uploadId": upload.id}, body)
        except FileNotFoundError:
            # Where the answer to the first try is lost, the next one finds no upload, though the file is there.
            if not self._is_there(upload.path, parts):
                raise
            return
        if answer.tag.endswith("Error"):  # S3 may say 200 first, and then that it failed
            raise failure(errno.EIO, upload.path, f"the store could not complete its upload: {_text(answer, 'Message')}")

    def _is_there(self, path: str, parts: Sequence[UploadedPart]) -> bool:
        """Does the store have a file of these parts, as far as its tag says?"""
        try:
            found: dict[str, str] = self._request("HEAD", path, {}, headers_only=True)
        except OSError:
            return False
        return found.get("etag", "").strip('"') == _tag_of(parts)

    def abort(self, upload: Upload) -> None:
        try:
            self._request("DELETE", upload.path, {"uploadId": upload.id}, headers_only=True)
        except FileNotFoundError:
            return

    def pending(self, folder: str) -> list[Upload]:
        prefix = folder[len(root_of(folder)) :].strip("/")
        query = {"uploads": "", "prefix": f"{prefix}/" if prefix else ""}
        found: list[Upload] = []
        while True:
            answer = self._request("GET", root_of(folder) + "/", query)
            found += [
                Upload(f"{root_of(folder)}/{_text(each, 'Key')}", _text(each, "UploadId"))
                for each in answer if each.tag.endswith("Upload")
            ]
            if _text(answer, "IsTruncated") != "true":
                return found
            query |= {"key-marker": _text(answer, "NextKeyMarker"), "upload-id-marker": _text(answer, "NextUploadIdMarker")}

    # --- requests -------------------------------------------------------------------------------------------------

    def _request(
        self, method: str, path: str, query: Mapping[str, str], body: bytes = b"", *, headers_only: bool = False
    ) -> Any:
        """The answer's XML, or its headers. A silent server is asked once, a lost connection is tried again."""
        key = path[len(root_of(path)) :].lstrip("/")
        target = f"{self._base}/{quote(key)}"
        asked = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted(query.items()))
        for tries_left in reversed(range(_TRIES)):
            try:
                with self._lock:
                    status, headers, data = self._once(method, target, asked, body)
            except PermissionError as error:  # nobody gives keys
                raise failure(errno.EACCES, path, str(error)) from error
            except (OSError, HTTPException) as error:
                self._connection = None
                silent = isinstance(error, TimeoutError)
                if not tries_left or silent:
                    raise failure(
                        errno.ETIMEDOUT if silent else errno.ECONNREFUSED, path,
                        f"its server does not answer ({error or type(error).__name__}); check the endpoint and that it runs",
                    ) from error
            else:
                if status < 300:
                    return headers if headers_only else ElementTree.fromstring(data or b"<nothing/>")
                if status < 500 or not tries_left:
                    raise _refused(status, data, path)
            time.sleep(0.1 * 3 ** (_TRIES - 1 - tries_left))
        raise AssertionError("the last try returns or raises")

    def _once(self, method: str, target: str, query: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if self._connection is None:
            made = (HTTPSConnection if self._secure else HTTPConnection)(self._host, timeout=_CONNECT_S)
            made.connect()
            self._connection = made
        if self._connection.sock is None:  # the server closed it after its last answer
            self._connection.connect()
        self._connection.sock.settimeout(_DATA_S if body else _ANSWER_S)
        view = memoryview(body)
        pieces = [view[at : at + _SENT_BYTES] for at in range(0, len(body), _SENT_BYTES)]
        self._connection.request(
            method, f"{target}?{query}", pieces or None, self._signed(method, target, query, body))
        answer = self._connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

    def _signed(self, method: str, target: str, query: str, body: bytes) -> dict[str, str]:
        now = datetime.now(timezone.utc)
        day, moment = now.strftime("%Y%m%d"), now.strftime("%Y%m%dT%H%M%SZ")
        digest, keys = hashlib.sha256(body).hexdigest(), self._keys()
        headers = {"host": self._host, "x-amz-content-sha256": digest, "x-amz-date": moment}
        if keys.token:
            headers["x-amz-security-token"] = keys.token
        names = ";".join(sorted(headers))
        lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
        canonical = f"{method}\n{target}\n{query}\n{lines}\n{names}\n{digest}"
        scope = f"{day}/{self._region}/s3/aws4_request"
        to_sign = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = f"AWS4{keys.secret}".encode()
        for part in (day, self._region, "s3", "aws4_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={keys.id}/{scope}, SignedHeaders={names}, Signature={signature}")
        headers["content-length"] = str(len(body))
        return headers


def _tag_of(parts: Sequence[UploadedPart]) -> str | None:
    """What S3 tags a file of these parts with: the MD5 sum of their MD5 sums, and their number. None: their tags are no such
    sums."""
    try:
        sums = [bytes.fromhex(part.tag.strip('"')) for part in sorted(parts, key=lambda part: part.number)]
    except ValueError:
        return None
    return f"{hashlib.md5(b''.join(sums), usedforsecurity=False).hexdigest()}-{len(sums)}"


def _text(element: Any, name: str) -> str:
    """The text of the first child of this name, in whatever namespace."""
    return next((child.text or "" for child in element if child.tag.rpartition("}")[2] == name), "")


def _refused(status: int, data: bytes, path: str) -> OSError:
    try:
        answer = ElementTree.fromstring(data or b"<nothing/>")
        said = _text(answer, "Message") or _text(answer, "Code")
    except ElementTree.ParseError:
        said = data[:200].decode(errors="replace")
    numbers = {401: errno.EACCES, 403: errno.EACCES, 404: errno.ENOENT, 409: errno.EEXIST, 412: errno.EEXIST}
    return failure(numbers.get(status, errno.EIO), path, f"the store refuses ({status}): {said or 'without a reason'}")
