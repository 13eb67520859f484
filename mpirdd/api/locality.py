"""Where the data of splits lie, among the hosts of this run: what tasks prefer (``scheduler/placement.py``).

File systems name hosts as they know them: ``node7.cluster.example`` or an address, where MPI says ``node7``. Two names are
the same host if their first parts are equal.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from typing import Any

from mpirdd.formats.filesystems import filesystem_of, is_remote
from mpirdd.formats.splits import FileSplit

_MOST_S = 2.0
"""Asking stops then: each file costs a request, and thousands of them would keep the program waiting for a hint."""


def preferred_hosts(splits: Sequence[Any], hosts: Collection[str]) -> tuple[tuple[str, ...], ...]:
    """For each split those of ``hosts`` that have its data; empty when none of them has any, or nobody tells.

    Args:
        splits: file splits, or groups of them; others have no place.
        hosts: of the executors.
    """
    if len(set(hosts)) < 2 or not any(is_remote(part.path) for part in _parts(splits[0] if splits else None)):
        return ()
    names = _Names(hosts)
    until = time.monotonic() + _MOST_S
    found = tuple(_hosts_of(split, names, until) for split in splits)
    return found if any(found) else ()


def _hosts_of(split: Any, names: _Names, until: float) -> tuple[str, ...]:
    counted: dict[str, int] = {}
    for part in _parts(split):
        if time.monotonic() > until:
            break
        with suppress(OSError):
            told = filesystem_of(part.path, part.options).block_hosts(part.path, part.start, part.length)
            for host in {names.ours(each) for each in told} - {""}:
                counted[host] = counted.get(host, 0) + part.length
    return tuple(sorted(counted, key=lambda host: (-counted[host], host)))


def _parts(split: Any) -> Iterable[FileSplit]:
    if isinstance(split, FileSplit):
        return (split,)
    if isinstance(split, list | tuple):
        return [part for part in split if isinstance(part, FileSplit)]
    return ()


class _Names:
    """Finds the run's name of a host that a file system names."""

    def __init__(self, hosts: Iterable[str]) -> None:
        self._ours = {_short(host): host for host in hosts}
        self._addresses: dict[str, str] | None = None

    def ours(self, name: str) -> str:
        """Empty for a host that is none of the run's."""
        return self._by_address(name) if _is_address(name) else self._ours.get(_short(name), "")

    def _by_address(self, address: str) -> str:
        if self._addresses is None:
            self._addresses = {}
            for host in self._ours.values():
                with suppress(OSError):
                    import socket

                    self._addresses[socket.gethostbyname(host)] = host
        return self._addresses.get(address, "")


def _short(host: str) -> str:
    return host if _is_address(host) else host.partition(".")[0].lower()


def _is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()
