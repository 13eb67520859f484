"""What the program says about an object store, in whichever words it says it, as the settings that ``obstore`` takes.

Three vocabularies are known: obstore's own (``access_key_id``, ``endpoint``), those of s3fs, gcsfs and adlfs, which pandas,
Dask and Polars users write (``key``, ``client_kwargs``), and Hadoop's keys (``fs.s3a.access.key``). What none of them says
comes from the environment (``AWS_ACCESS_KEY_ID``, ...), and for S3 from ``~/.aws/credentials`` and ``~/.aws/config``; then
from the services that give keys to a role (``awskeys``).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from mpirdd.formats.filesystems.awsfiles import profile
from mpirdd.formats.filesystems.options import Options

_ALIASES = {
    "s3": {
        "key": "access_key_id", "secret": "secret_access_key", "token": "session_token", "anon": "skip_signature",
        "endpoint_url": "endpoint", "region_name": "region",
    },
    "gs": {"token": "service_account", "anon": "skip_signature"},
    "az": {"connection_string": "connection_string", "anon": "skip_signature", "sas_token": "sas_key"},
}
_HADOOP = {
    "s3": {
        "fs.s3a.access.key": "access_key_id", "fs.s3a.secret.key": "secret_access_key",
        "fs.s3a.session.token": "session_token", "fs.s3a.endpoint": "endpoint", "fs.s3a.endpoint.region": "region",
    },
    "gs": {
        "google.cloud.auth.service.account.json.keyfile": "service_account",
        "fs.gs.auth.service.account.json.keyfile": "service_account",
    },
    "az": {
        "fs.azure.account.oauth2.client.id": "client_id", "fs.azure.account.oauth2.client.secret": "client_secret",
    },
}
CLIENT_NAMES = frozenset({
    "allow_http", "allow_invalid_certificates", "connect_timeout", "default_headers", "http1_only", "http2_only",
    "pool_idle_timeout", "pool_max_idle_per_host", "proxy_url", "proxy_ca_certificate", "proxy_excludes", "read_timeout",
    "root_certificate", "randomize_addresses", "timeout", "user_agent",
})
"""Options that are about HTTP, and not about the store."""
_ENDPOINTS = frozenset({"endpoint", "endpoint_url", "aws_endpoint", "aws_endpoint_url"})
"""Other text than a URL in these makes obstore's client panic, which is no Exception to Python."""


def store_settings(kind: str, bucket: str, options: Options) -> dict[str, Any]:
    """The settings for a bucket of this kind (``s3``, ``gs``, ``az``).

    Raises:
        TypeError: ``client_kwargs`` is no dict.
        ValueError: the endpoint is no URL.
    """
    found: dict[str, Any] = {}
    hadoop = _for_bucket(options.hadoop, bucket)
    for key, name in _HADOOP[kind].items():
        if key in hadoop:
            found[name] = hadoop[key].strip()
    if kind == "s3":
        _s3_from_hadoop(hadoop, found)
    if kind == "az":
        _azure_from_hadoop(hadoop, bucket, found)
    given = dict(options.given)
    given.pop("client", None)
    given |= dict(given.pop("client_kwargs", None) or {})
    aliases = _ALIASES[kind]
    found |= {aliases.get(name, name): value for name, value in given.items()}
    if kind == "s3":
        _complete_s3(found)
    return {name: value for name, value in found.items() if value is not None and value is not False}


def _for_bucket(hadoop: Mapping[str, str], bucket: str) -> dict[str, str]:
    """Hadoop's keys, with those for one bucket (``fs.s3a.bucket.NAME.endpoint``) over those for all."""
    own = f"fs.s3a.bucket.{bucket}."
    return dict(hadoop) | {"fs.s3a." + key.removeprefix(own): value for key, value in hadoop.items() if key.startswith(own)}


def _s3_from_hadoop(hadoop: Mapping[str, str], found: dict[str, Any]) -> None:
    endpoint = found.get("endpoint")
    if endpoint and "://" not in endpoint:
        plain = hadoop.get("fs.s3a.connection.ssl.enabled", "true").strip().lower() == "false"
        found["endpoint"] = f"{'http' if plain else 'https'}://{endpoint}"
    if "anonymous" in hadoop.get("fs.s3a.aws.credentials.provider", "").lower():
        found["skip_signature"] = True


def _azure_from_hadoop(hadoop: Mapping[str, str], container: str, found: dict[str, Any]) -> None:
    account = container.partition("@")[2].partition(".")[0]
    start = "fs.azure.account.key."
    for key, value in hadoop.items():
        name = key.removeprefix(start).partition(".")[0]
        if key.startswith(start) and account in ("", name):
            found |= {"account_name": name, "account_key": value.strip()}


def _complete_s3(found: dict[str, Any]) -> None:
    """What S3 needs and the program has not said: from the environment and the files of AWS."""
    environment = os.environ
    found.setdefault("endpoint", environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
                     or environment.get("AWS_ENDPOINT"))
    for name, value in found.items():
        if value and name.lower() in _ENDPOINTS and not re.match("https?://[^/]", str(value), re.IGNORECASE):
            raise ValueError(f"the endpoint {value!r} is no URL; it must begin with http:// or https://")
    names = ("access_key_id", "secret_access_key", "session_token")
    if not any(name in found or "aws_" + name in found for name in names):
        found |= {name: environment.get("AWS_" + name.upper()) for name in names}
        if not found["access_key_id"]:
            written = profile()
            found |= {name: written["aws_" + name] for name in names if "aws_" + name in written}
    found.setdefault("region", environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION"))
    if not found["region"]:
        found["region"] = profile().get("region")
    found["region"] = found["region"] or "us-east-1"
