"""May only we write to a folder? Checkpoints and resumable state are pickles, and loading a pickle runs any code that its writer
put in.

A folder is trusted if it belongs to this user or to root, and nobody else may write to it. A group without other members (many
systems give every user such a group) counts as the user alone.
"""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path
from stat import S_ISVTX, S_IWGRP, S_IWOTH

from mpirdd.protocol.errors import UsageError


def check_folder(folder: str, *, trusted: bool, only_inside: bool = False) -> None:
    """Refuse a folder that others may write to.

    Args:
        trusted: the setting ``trust_folders``: load from any folder.
        only_inside: the data to load lies in a private folder inside, so others may write here if they cannot replace that folder
            (the sticky bit, as ``/tmp`` has it).

    Raises:
        UsageError: others may write to it; the message says who, and what to do.
        OSError: there is no such folder.
    """
    if trusted:
        return
    status = os.stat(folder)
    who = _other_writers(status)
    if only_inside and status.st_mode & S_ISVTX and status.st_uid in (os.geteuid(), 0):
        who = None
    who = who or _who_can_replace(folder)
    if who is None:
        return
    raise UsageError(
        f"{folder} is not used: {who}, and what is loaded from it can run any code. Take a folder of your own, or make "
        "this one so (chmod go-w). To trust everybody who may write there: Context(trust_folders=True), "
        "MPIRDD_TRUST_FOLDERS=1."
    )


def _other_writers(status: os.stat_result) -> str | None:
    """The other users that may write, in words; None if there are none."""
    if status.st_uid not in (os.geteuid(), 0):
        return f"it belongs to {_user(status.st_uid)}"
    if status.st_mode & S_IWOTH:
        return "everybody may write to it"
    if status.st_mode & S_IWGRP and not _is_private(status.st_gid):
        return f"group {_group(status.st_gid)} may write to it"
    return None


def _who_can_replace(folder: str) -> str | None:
    """Everybody may rename the content of a folder that everybody may write to, unless it has the sticky bit. Name such a folder
    above this one, if there is one."""
    for above in Path(os.path.realpath(folder)).parents:
        mode = os.stat(above).st_mode
        if mode & S_IWOTH and not mode & S_ISVTX:
            return f"everybody may replace it in {above}"
    return None


def _is_private(group: int) -> bool:
    """Is the group this user's own, without other members?"""
    try:
        user, found = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:
        return False
    return user.pw_gid == group and found.gr_name == user.pw_name and set(found.gr_mem) <= {user.pw_name}


def _user(number: int) -> str:
    try:
        return f"user {pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"user {number}"


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
