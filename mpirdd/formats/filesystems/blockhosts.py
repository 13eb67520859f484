"""Which hosts have the blocks of a file in HDFS, as WebHDFS tells. Only a hint: whatever goes wrong, nothing is known.

The NameNode's web address comes from the storage option ``webhdfs`` (``host:port``), or from ``dfs.namenode.http-address`` in
the options or in ``HADOOP_CONF_DIR``. Left out: clusters that let nobody ask without Kerberos, or by https only.
"""

from __future__ import annotations

import json
import os
import xml.etree.ElementTree as xml
from collections.abc import Mapping, Sequence
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from typing import NamedTuple
from urllib.parse import quote

from mpirdd.formats.filesystems.names import inner_path

_TIMEOUT_S = 2.0
_KEY = "dfs.namenode.http-address"
OF_FILES = ("dfs.replication", "dfs.blocksize")
"""Hadoop's keys for new files."""


class _Block(NamedTuple):
    start: int
    end: int
    hosts: tuple[str, ...]


class BlockHosts:
    """Of one cluster.

    Args:
        authority: ``host:port`` or the name service.
        keys: of Hadoop, of the site (``site_keys``) and as the program gives them.
        webhdfs: ``host:port``, if the program gives it.
    """

    def __init__(self, authority: str, keys: Mapping[str, str], webhdfs: str | None) -> None:
        self._addresses = [webhdfs] if webhdfs else _configured(authority, keys)
        self._path, self._blocks = "", list[_Block]()

    def of(self, path: str, start: int, length: int) -> Sequence[str]:
        """The hosts of these bytes, those with most of them first. The blocks of the last file are remembered: one request
        a file, some 3 ms."""
        if path != self._path:
            self._path, self._blocks = path, self._ask(inner_path(path)) if self._addresses else []
        counted: dict[str, int] = {}
        for block in self._blocks:
            shared = min(start + length, block.end) - max(start, block.start)
            for host in block.hosts if shared > 0 else ():
                counted[host] = counted.get(host, 0) + shared
        return sorted(counted, key=lambda host: (-counted[host], host))

    def _ask(self, path: str) -> list[_Block]:
        for address in list(self._addresses):
            connection = HTTPConnection(address, timeout=_TIMEOUT_S)
            try:
                user = os.environ.get("HADOOP_USER_NAME", "")
                query = f"op=GETFILEBLOCKLOCATIONS&offset=0&length={1 << 62}" + (f"&user.name={quote(user)}" if user else "")
                connection.request("GET", f"/webhdfs/v1{quote(path)}?{query}")
                response = connection.getresponse()
                answer = json.loads(response.read())
                if response.status == 200:
                    return [_Block(each["offset"], each["offset"] + each["length"], tuple(map(str, each["hosts"])))
                            for each in answer["BlockLocations"]["BlockLocation"]]
                if "StandbyException" not in str(answer):
                    return []  # it refuses, or does not know the operation: the next path may fare better
            except (OSError, HTTPException, ValueError, KeyError, TypeError):
                self._addresses.remove(address)  # not again for each of thousands of files
            finally:
                connection.close()
        return []


def _configured(authority: str, keys: Mapping[str, str]) -> list[str]:
    """The NameNodes' web addresses: those of the name service, or of the one NameNode."""
    service = [value for key, value in keys.items() if key.startswith(f"{_KEY}.{authority}.")]
    if service or not authority or _KEY not in keys:
        return service
    host = authority.partition(":")[0]
    web_host, _, port = keys[_KEY].rpartition(":")
    return [f"{host if web_host in ('', '0.0.0.0') else web_host}:{port}"]


def site_keys() -> dict[str, str]:
    """What ``hdfs-site.xml`` says of web addresses and new files."""
    folder = os.environ.get("HADOOP_CONF_DIR") or os.path.join(os.environ.get("HADOOP_HOME", ""), "etc", "hadoop")
    found: dict[str, str] = {}
    with suppress(OSError, xml.ParseError):
        for each in xml.parse(os.path.join(folder, "hdfs-site.xml")).getroot():
            name, value = each.findtext("name") or "", each.findtext("value") or ""
            if name.startswith((_KEY, *OF_FILES)):
                found[name] = value.strip()
    return found
