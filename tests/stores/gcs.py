"""A server that speaks the part of Google Cloud Storage's XML API which obstore uses, for tests, with everything in memory.

No emulator at hand does: fake-gcs-server and gcp-storage-emulator know Google's JSON API, and of the other one no listing, no
copy and no multi-part upload. So the client is the real one, and what it meets is written after Google's reference
(https://cloud.google.com/storage/docs/xml-api/overview). Not checked: signatures.
"""

from __future__ import annotations

import hashlib
import re
import threading
from contextlib import suppress
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

_DATE = "2026-01-01T00:00:00.000Z"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    objects: ClassVar[dict[str, bytes]] = {}
    uploads: ClassVar[dict[str, dict[int, bytes]]] = {}
    numbers: ClassVar[Any] = count(1)
    lock: ClassVar[Any] = threading.RLock()

    def _asked(self) -> tuple[str, dict[str, str], bytes]:
        """The key, the query and the body. Raises KeyError for another bucket than ``test``."""
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        if bucket != "test":
            self._say(404, b"<Error><Code>NoSuchBucket</Code><Message>The specified bucket does not exist.</Message></Error>")
            raise KeyError(bucket)
        return key, {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}, body

    def handle_one_request(self) -> None:
        with suppress(KeyError):
            super().handle_one_request()

    def do_GET(self) -> None:
        key, query, _ = self._asked()
        if not key:
            return self._list(query)
        data = self.objects.get(key)
        if data is None:
            return self._say(404, b"<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>")
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted is None:
            return self._say(200, data, **_about(data))
        start, end = int(wanted[1]), min(int(wanted[2] or len(data)), len(data) - 1)
        if start >= len(data):
            return self._say(416, b"<Error><Code>InvalidRange</Code></Error>")
        return self._say(206, data[start : end + 1], **_about(data), **{"Content-Range": f"bytes {start}-{end}/{len(data)}"})

    do_HEAD = do_GET

    def do_PUT(self) -> None:
        key, query, body = self._asked()
        if "uploadId" in query:
            self.uploads[query["uploadId"]][int(query["partNumber"])] = body
            return self._say(200, **_about(body))
        with self.lock:
            if self.headers.get("x-goog-if-generation-match") == "0" and key in self.objects:
                return self._say(412, b"<Error><Code>PreconditionFailed</Code></Error>")
            source = self.headers.get("x-goog-copy-source")
            if source is not None:
                copied = self.objects.get(unquote(source).lstrip("/").partition("/")[2])
                if copied is None:
                    return self._say(404, b"<Error><Code>NoSuchKey</Code></Error>")
                body = copied
            self.objects[key] = body
        result = f"<CopyObjectResult><ETag>x</ETag><LastModified>{_DATE}</LastModified></CopyObjectResult>"
        return self._say(200, result.encode() if source is not None else b"", **_about(body))

    def do_POST(self) -> None:
        key, query, _ = self._asked()
        if "uploads" in query:
            name = str(next(self.numbers))
            self.uploads[name] = {}
            return self._say(200, f"<InitiateMultipartUploadResult><UploadId>{name}</UploadId></InitiateMultipartUploadResult>"
                             .encode())
        parts = self.uploads.pop(query["uploadId"])
        self.objects[key] = b"".join(parts[number] for number in sorted(parts))
        answer = "<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>"
        return self._say(200, answer.encode(), **_about(self.objects[key]))

    def do_DELETE(self) -> None:
        key, _, _ = self._asked()
        found = self.objects.pop(key, None)
        self._say(204 if found is not None else 404, b"" if found is not None else b"<Error><Code>NoSuchKey</Code></Error>")

    def _list(self, query: dict[str, str]) -> None:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        after, most = query.get("continuation-token", query.get("start-after", "")), int(query.get("max-keys", 1000))
        with self.lock:
            every = {key: len(data) for key, data in self.objects.items() if key.startswith(prefix)}
        entries: dict[str, str] = {}
        for key, size in sorted(every.items()):
            below, cut, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
            name = prefix + below + cut if cut else key
            entries[name] = f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>" if cut else (
                f"<Contents><Key>{escape(key)}</Key><LastModified>{_DATE}</LastModified><ETag>x</ETag><Size>{size}</Size></Contents>")
        names = [name for name in entries if name > after]
        page = names[:most]
        more = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if len(names) > most else ""
        self._say(200, f"<ListBucketResult>{''.join(entries[name] for name in page)}{more}</ListBucketResult>".encode())

    def _say(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def _about(data: bytes) -> dict[str, str]:
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return {"ETag": f'"{digest}"', "Last-Modified": formatdate(usegmt=True), "x-goog-generation": "1"}


def serve() -> ThreadingHTTPServer:
    """A server with an empty bucket, on a free port of 127.0.0.1. ``shutdown`` ends it."""
    kind = type("Handler", (_Handler,), {"objects": {}, "uploads": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server
