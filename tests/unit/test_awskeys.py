"""Keys of roles: each of AWS's services, as a server here plays it; and who is asked first."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from mpirdd.formats.filesystems import Options, filesystem_of
from mpirdd.formats.filesystems.awskeys import Keys, KeysOfRole

STS = """<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>sts</AccessKeyId><SecretAccessKey>s</SecretAccessKey>
<SessionToken>{token}</SessionToken><Expiration>2100-01-01T00:00:00Z</Expiration></Credentials>
</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"""


def answer(name: str, seconds: float = 3600) -> str:
    until = datetime.fromtimestamp(time.time() + seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return json.dumps({"AccessKeyId": name, "SecretAccessKey": "s", "Token": "t", "Expiration": until, "Code": "Success"})


class Services(BaseHTTPRequestHandler):
    """STS, the container's service and the instance's."""

    seconds = 3600.0
    asked = 0

    def do_GET(self) -> None:
        of_instance = self.headers.get("X-aws-ec2-metadata-token") == "session"
        if self.path == "/keys" and self.headers.get("Authorization") == "Basic me":
            type(self).asked += 1
            return self._say(answer("container", self.seconds))
        if self.path == "/latest/meta-data/iam/security-credentials/" and of_instance:
            return self._say("role\n")
        if self.path == "/latest/meta-data/iam/security-credentials/role" and of_instance:
            return self._say(answer("instance"))
        return self.send_error(403)

    def do_PUT(self) -> None:
        self._say("session") if self.path == "/latest/api/token" else self.send_error(404)

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        assert form["Action"] == ["AssumeRoleWithWebIdentity"] and form["RoleArn"] == ["arn:aws:iam::1:role/r"]
        self._say(STS.format(token=form["WebIdentityToken"][0]))

    def _say(self, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """Their address. No file and no variable of this machine says anything about AWS."""
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "absent"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(Services, "seconds", 3600.0)
    monkeypatch.setattr(Services, "asked", 0)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Services)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_each_service_gives_its_keys_in_its_turn(services: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", services)
    assert KeysOfRole({})()[:3] == ("instance", "s", "t")
    config, command = tmp_path / "config", tmp_path / "command.py"
    command.write_text(f"print({json.dumps({'Version': 1, 'AccessKeyId': 'command', 'SecretAccessKey': 's'})!r})")
    config.write_text(f"[default]\ncredential_process = {sys.executable} {command}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    assert KeysOfRole({})() == Keys("command", "s")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{services}/keys")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Basic me")
    assert KeysOfRole({})()[:3] == ("container", "s", "t")
    (tmp_path / "token").write_text("who I am\n")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/r")
    keys = KeysOfRole({"aws_endpoint_url_sts": services})()
    assert keys[:3] == ("sts", "s", "who I am") and keys.expires > 4e9


def test_new_keys_are_fetched_before_the_old_ones_expire_and_not_sooner(services: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{services}/keys")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Basic me")
    source = KeysOfRole({})
    assert [source() for _ in range(3)] and Services.asked == 1
    monkeypatch.setattr(Services, "seconds", 200.0)
    source = KeysOfRole({})
    assert [source() for _ in range(3)] and Services.asked == 4


def test_without_any_keys_the_error_says_where_they_were_looked_for(services: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{services}/keys")
    with pytest.raises(PermissionError, match=r"there are no keys for it .the container's service: 127.0.0.1:.* answers 403"):
        KeysOfRole({})()
    pytest.importorskip("obstore")
    fs = filesystem_of("s3://bucket/x", Options.of({"endpoint": services}))
    for ask in (lambda: fs.info("s3://bucket/x"), lambda: fs.uploads and fs.uploads.begin("s3://bucket/x")):
        with pytest.raises(PermissionError) as error:
            ask()
        assert error.value.strerror.startswith("there are no keys for it (the container's service: 127.0.0.1:")


def test_written_keys_come_first_and_unsigned_requests_need_none(services: str) -> None:
    pytest.importorskip("obstore")
    written = filesystem_of("s3://bucket/x", Options.of({"endpoint": services, "key": "k", "secret": "s", "token": "t"}))
    assert written.uploads is not None and written.uploads._keys() == Keys("k", "s", "t")  # type: ignore[attr-defined]
    assert filesystem_of("s3://bucket/x", Options.of({"endpoint": services, "anon": True})).uploads is None
