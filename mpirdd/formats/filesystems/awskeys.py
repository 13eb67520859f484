"""AWS keys that nobody wrote down for the program: those of a role, which a service gives for some hours.

obstore finds such keys for its own requests, and does not tell them; the requests of ``s3uploads`` need them, too. So they are
found here, for both, in AWS's order and by AWS's variables:

1. a token of a web identity (``AWS_WEB_IDENTITY_TOKEN_FILE`` and ``AWS_ROLE_ARN``: Kubernetes), for which STS gives keys;
2. the container's service (``AWS_CONTAINER_CREDENTIALS_FULL_URI`` or ``..._RELATIVE_URI``: ECS, EKS Pod Identity);
3. the command of a profile (``credential_process``);
4. whatever ``botocore`` finds, where it is installed: profiles with a role, single sign-on;
5. the instance's service (EC2).

Written keys (options, variables, profiles) come before all of these: ``objectoptions`` reads them.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from importlib import import_module
from threading import Lock
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit
from xml.etree import ElementTree

from mpirdd.formats.filesystems.awsfiles import profile

NO_KEYS = "there are no keys for it"
"""What the error begins with if nobody gives any."""
_TIMEOUT_S = 5.0
_INSTANCE_S = 1.0
"""The instance's service is next door, or nowhere."""
_COMMAND_S = 60.0
_EARLY_S = 300.0
"""New keys are fetched so long before the old ones expire."""
_ECS = "http://169.254.170.2"
_EC2 = "http://169.254.169.254"
_FOREVER = float("inf")


class Keys(NamedTuple):
    id: str
    secret: str
    token: str | None = None
    """Of the session."""
    expires: float = _FOREVER
    """In seconds since 1970."""

    def __repr__(self) -> str:
        return f"Keys({self.id!r})"


KeySource = Callable[[], Keys]


class KeysOfRole:
    """Finds keys when they are first asked for, and new ones before they expire. Safe for several threads.

    Args:
        settings: those of ``objectoptions``, in which a program may give what the variables say else.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = {name.removeprefix("aws_"): str(value) for name, value in settings.items()}
        self._lock = Lock()
        self._keys: Keys | None = None

    def __call__(self) -> Keys:
        """Raises PermissionError, which says where keys were looked for and what went wrong there."""
        with self._lock:
            if self._keys is None or self._keys.expires - _EARLY_S < time.time():
                self._keys = self._found()
            return self._keys

    def for_obstore(self) -> dict[str, Any]:
        """The keys, as its ``credential_provider``."""
        keys = self()
        until = None if keys.expires == _FOREVER else datetime.fromtimestamp(keys.expires, timezone.utc)
        return {"access_key_id": keys.id, "secret_access_key": keys.secret, "token": keys.token, "expires_at": until}

    def _found(self) -> Keys:
        problems: list[str] = []
        ways: list[tuple[str, Callable[[], Keys | None]]] = [
            ("the web identity", self._of_web_identity), ("the container's service", self._of_container),
            ("the profile's credential_process", _of_command), ("botocore", _of_botocore),
            ("the instance's service", self._of_instance)]
        for where, way in ways:
            try:
                keys = way()
            except (OSError, HTTPException, ValueError, KeyError, TypeError, ElementTree.ParseError,
                    subprocess.SubprocessError) as error:
                problems.append(f"{where}: {error or type(error).__name__}")
            else:
                if keys is not None:
                    return keys
        raise PermissionError(f"{NO_KEYS} ({'; '.join(problems) or 'nothing names any'})")

    def _said(self, name: str) -> str | None:
        """A setting of the program's, or the variable of that name."""
        return self._settings.get(name.lower()) or os.environ.get(f"AWS_{name}")

    # --- the services ---------------------------------------------------------------------------------------------

    def _of_web_identity(self) -> Keys | None:
        path, role = self._said("WEB_IDENTITY_TOKEN_FILE"), self._said("ROLE_ARN")
        if not path or not role:
            return None
        with open(path) as file:
            token = file.read().strip()
        region = self._settings.get("region", "us-east-1")
        url = (self._said("ENDPOINT_URL_STS") or f"https://sts.{region}.amazonaws.com").rstrip("/")
        asked = urlencode({
            "Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15", "RoleArn": role, "WebIdentityToken": token,
            "RoleSessionName": self._said("ROLE_SESSION_NAME") or "mpirdd"})
        answer = ElementTree.fromstring(_asked("POST", f"{url}/?{asked}"))
        found = {each.tag.rpartition("}")[2]: (each.text or "").strip() for each in answer.iter()}
        return Keys(found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"], _time(found.get("Expiration")))

    def _of_container(self) -> Keys | None:
        url, path = self._said("CONTAINER_CREDENTIALS_FULL_URI"), self._said("CONTAINER_CREDENTIALS_RELATIVE_URI")
        if not url and not path:
            return None
        token, token_file = self._said("CONTAINER_AUTHORIZATION_TOKEN"), self._said("CONTAINER_AUTHORIZATION_TOKEN_FILE")
        if token_file:
            with open(token_file) as file:
                token = file.read().strip()
        return _of_json(_asked("GET", url or f"{_ECS}{path}", {"Authorization": token} if token else {}))

    def _of_instance(self) -> Keys | None:
        if os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
            return None
        service = (self._settings.get("metadata_endpoint") or os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or _EC2)
        base = f"{service.rstrip('/')}/latest"
        token = _asked("PUT", f"{base}/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "600"}, _INSTANCE_S).decode()
        headers, roles = {"X-aws-ec2-metadata-token": token}, f"{base}/meta-data/iam/security-credentials/"
        role = _asked("GET", roles, headers, _INSTANCE_S).decode().split()[0]
        return _of_json(_asked("GET", roles + role, headers, _INSTANCE_S))


def _of_command() -> Keys | None:
    command = profile().get("credential_process")
    if not command:
        return None
    import shlex

    done = subprocess.run(shlex.split(command), stdin=subprocess.DEVNULL, capture_output=True, timeout=_COMMAND_S, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise ValueError(f"{command} ended with status {done.returncode}: {said}")
    return _of_json(done.stdout)


def _of_botocore() -> Keys | None:
    try:
        session = import_module("botocore.session")
    except ImportError:
        names = {"role_arn", "sso_session", "sso_start_url"} & profile().keys()
        if names:
            raise ValueError(f"the profile has {sorted(names)[0]}, which needs a package: pip install botocore") from None
        return None
    try:
        found: Any = session.get_session().get_credentials()
        frozen = None if found is None else found.get_frozen_credentials()
    except Exception as error:  # it has many of its own
        raise ValueError(str(error)) from error
    # It refreshes its keys itself, when it is asked again.
    return None if frozen is None else Keys(frozen.access_key, frozen.secret_key, frozen.token, time.time() + _EARLY_S + 60)


# --- requests ---------------------------------------------------------------------------------------------------------


def _asked(method: str, url: str, headers: Mapping[str, str] | None = None, timeout_s: float = _TIMEOUT_S) -> bytes:
    """The answer. Raises OSError, HTTPException; ValueError if the service refuses."""
    parts = urlsplit(url)
    connection = (HTTPSConnection if parts.scheme == "https" else HTTPConnection)(parts.netloc, timeout=timeout_s)
    try:
        path, query = parts.path or "/", parts.query
        if method == "POST":  # its query is long, and is a form
            form = {"Content-Type": "application/x-www-form-urlencoded"}
            connection.request(method, path, query.encode(), form | dict(headers or {}))
        else:
            connection.request(method, path + (f"?{query}" if query else ""), headers=dict(headers or {}))
        answer = connection.getresponse()
        data = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise ValueError(f"{parts.netloc} answers {answer.status} {answer.reason}")
    return data


def _of_json(data: bytes) -> Keys:
    found = json.loads(data)
    return Keys(found["AccessKeyId"], found["SecretAccessKey"], found.get("Token") or found.get("SessionToken"),
                _time(found.get("Expiration")))


def _time(text: str | None) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() if text else _FOREVER
