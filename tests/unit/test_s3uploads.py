"""Multi-part uploads against a server that loses its answers."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mpirdd.formats.filesystems.awskeys import Keys
from mpirdd.formats.filesystems.protocol import Upload, UploadedPart
from mpirdd.formats.filesystems.s3uploads import S3Uploads

PIECES = [b"a" * 10, b"b" * 5]
PARTS = [UploadedPart(number, f'"{hashlib.md5(piece).hexdigest()}"') for number, piece in enumerate(PIECES, 1)]
TAG = hashlib.md5(b"".join(hashlib.md5(piece).digest() for piece in PIECES)).hexdigest() + "-2"


class Store(BaseHTTPRequestHandler):
    """One upload, ``u``. The answer to its completion is never sent."""

    protocol_version = "HTTP/1.1"
    is_pending, tag, asked = True, "", 0

    def do_POST(self) -> None:
        kind = type(self)
        kind.asked += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        if not kind.is_pending:
            self.answer(404, b"<Error><Code>NoSuchUpload</Code><Message>no such upload</Message></Error>")
            return
        kind.is_pending, kind.tag = False, TAG
        self.close_connection = True

    def do_HEAD(self) -> None:
        self.answer(200 if self.tag else 404, ETag=f'"{self.tag}"')

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def store() -> Iterator[tuple[type[Store], S3Uploads]]:
    kind = type("OneStore", (Store,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    settings = {"endpoint": f"http://127.0.0.1:{server.server_port}"}
    yield kind, S3Uploads("bucket", settings, lambda: Keys("id", "secret", None))
    server.shutdown()
    server.server_close()


def test_an_upload_is_complete_although_the_answer_is_lost(store: tuple[type[Store], S3Uploads]) -> None:
    kind, uploads = store
    uploads.complete(Upload("s3://bucket/out/part-00000", "u"), PARTS)
    assert kind.asked == 2 and not kind.is_pending


@pytest.mark.parametrize("tag", ["", "0" * 32 + "-2"])
def test_an_upload_that_is_gone_is_an_error(store: tuple[type[Store], S3Uploads], tag: str) -> None:
    kind, uploads = store
    kind.is_pending, kind.tag = False, tag  # nothing is there, or what another job has written
    with pytest.raises(FileNotFoundError, match="no such upload"):
        uploads.complete(Upload("s3://bucket/out/part-00000", "u"), PARTS)
    kind.tag = TAG
    with pytest.raises(FileNotFoundError):
        uploads.complete(Upload("s3://bucket/out/part-00000", "u"), [UploadedPart(1, '"no sum"')])
