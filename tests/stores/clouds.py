"""Azure and Google Cloud Storage on this machine, for tests: Azurite (Microsoft's, on npm), and a server of our own.

    with Azure(folder) as azure: ... azure.url, azure.options
    with Google() as google: ...

Both listen on 127.0.0.1 only, on ports that were free. ``why_no_azure`` says what is missing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from email.utils import formatdate
from pathlib import Path
from types import TracebackType

from gcs import serve
from servers import UP_WITHIN_S, _end, _free_ports

_ACCOUNT, _KEY = "devstoreaccount1", "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Azurite's, which everybody knows."""


class Azure:
    """One container, ``az://test``.

    Attributes:
        options: ``storage_options=`` that reach it.
    """

    url = "az://test"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> Azure:
        (port,) = _free_ports(1)
        program = _azurite()
        assert program is not None
        with (self.folder / "azurite.log").open("w") as log:
            self._process = subprocess.Popen(
                [program, "--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(self.folder), "--silent",
                 "--skipApiVersionCheck", "--disableTelemetry"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        endpoint = f"http://127.0.0.1:{port}/{_ACCOUNT}"
        self.options = {"endpoint": endpoint, "account_name": _ACCOUNT, "account_key": _KEY}
        try:
            _until_answered(self._process, _put_container(endpoint, "test"), self.folder / "azurite.log")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        _end(self._process)


class Google:
    """One bucket, ``gs://test``, on the server of ``gcs``; otherwise as ``Azure``."""

    url = "gs://test"

    def __enter__(self) -> Google:
        self._server = serve()
        account = {"gcs_base_url": f"http://127.0.0.1:{self._server.server_port}", "disable_oauth": True, "client_email": "",
                   "private_key": "", "private_key_id": ""}
        self.options = {"service_account_key": json.dumps(account)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def why_no_azure() -> str | None:
    return None if _azurite() else "no azurite-blob: npm install -g azurite"


def _azurite() -> str | None:
    return shutil.which("azurite-blob")


def _put_container(endpoint: str, name: str) -> urllib.request.Request:
    """Signed by the account's shared key, as Azure wants it."""
    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
    lines = "".join(f"{key}:{value}\n" for key, value in headers.items())
    signed = "PUT" + "\n" * 12 + lines + f"/{_ACCOUNT}/{_ACCOUNT}/{name}\nrestype:container"
    digest = base64.b64encode(hmac.new(base64.b64decode(_KEY), signed.encode(), hashlib.sha256).digest()).decode()
    headers |= {"Authorization": f"SharedKey {_ACCOUNT}:{digest}", "Content-Length": "0"}
    return urllib.request.Request(f"{endpoint}/{name}?restype=container", headers=headers, method="PUT")


def _until_answered(process: subprocess.Popen[bytes], request: urllib.request.Request, log: Path) -> None:
    deadline = time.monotonic() + UP_WITHIN_S
    while True:
        try:
            urllib.request.urlopen(request, timeout=5).close()
            return
        except OSError as error:
            refused = isinstance(error, urllib.error.HTTPError)
            if refused or time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError(f"{process.args!r} does not come up: {error}\n{log.read_text()[-2000:]}") from error
            time.sleep(0.05)
