"""One commit at a time of an output on a file system that is not mounted.

Object stores have neither locks nor a folder that only one can make, and some put over a name that exists, whatever they are
told. So a commit puts a name of its own, ``_temporary-commit-<token>`` (where the folder itself is renamed, beside it), and then
looks for others. Of two commits the one that puts later looks after both puts, so never do both find themselves alone. Two that
see each other both step back, and try again after different times.

A commit that was killed leaves its claim. A job that finds it there when it starts does not wait for it, and removes it after its
own commit. (So it takes a commit that lasts longer than the whole job for a killed one.)
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mpirdd.formats.filesystems import FileSystem, join, name_of, parent
from mpirdd.formats.outputfolders.protocol import TEMPORARY, Token
from mpirdd.protocol.errors import UsageError

_CLAIM = f"{TEMPORARY}commit-"
_TRIES = 6
_WAIT_MS = 200
"""The longest wait after the first try; it doubles with each try. A try takes 5 to 100 ms."""


def note_left(fs: FileSystem, folder: str, token: Token) -> None:
    """At the start of an output: remember the claims of commits that were killed."""
    token.left = tuple(_claims(fs, folder))


@contextmanager
def claimed(fs: FileSystem, folder: str, token: Token) -> Iterator[None]:
    """No other job commits an output in ``folder`` while the block runs.

    Raises:
        UsageError: another job is at it.
        OSError: the store fails.
    """
    own = f"{_prefix(fs, folder)}{token}"
    try:
        for number in range(_TRIES):
            fs.create(own, overwrite=True).close()
            if (other := committing(fs, folder, token)) is None:
                break
            fs.remove(own)
            time.sleep(secrets.randbelow(_WAIT_MS << number) / 1000)
        else:
            raise UsageError(f"{folder} exists already: another job is writing its output there at this moment ({other})")
        yield
        for left in token.left:
            fs.remove(left)
    finally:
        with suppress(OSError):
            fs.remove(own)


def committing(fs: FileSystem, folder: str, token: Token) -> str | None:
    """The path by which another job claims the folder for its commit at this moment."""
    own = f"{_prefix(fs, folder)}{token}"
    return next((claim for claim in _claims(fs, folder) if claim not in (own, *token.left)), None)


def is_claim(name: str) -> bool:
    """In the folder of the output."""
    return name.startswith(_CLAIM)


def _claims(fs: FileSystem, folder: str) -> list[str]:
    prefix = _prefix(fs, folder)
    found = [] if fs.info(parent(prefix)) is None else fs.entries(parent(prefix))
    return [each.path for each in found if name_of(each.path).startswith(name_of(prefix))]


def _prefix(fs: FileSystem, folder: str) -> str:
    return join(parent(folder), f"{TEMPORARY}{name_of(folder)}-commit-") if fs.can_rename else join(folder, _CLAIM)
