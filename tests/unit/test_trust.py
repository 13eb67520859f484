"""Folders that others may write to are refused, as pickles are loaded from them."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

import pytest

from mpirdd.protocol.errors import UsageError
from mpirdd.store.trust import check_folder

OTHER = 54_321
"""A user and a group that this one is not."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    made.mkdir(mode=0o700)
    return made


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o750, 0o2755])
def test_a_folder_that_only_the_user_may_write_is_used(folder: Path, mode: int) -> None:
    folder.chmod(mode)
    check_folder(str(folder), trusted=False)


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o707])
def test_a_folder_that_everybody_may_write_is_refused(folder: Path, mode: int) -> None:
    folder.chmod(mode)
    with pytest.raises(UsageError, match=r"everybody may write to it.*chmod go-w.*trust_folders=True"):
        check_folder(str(folder), trusted=False)
    check_folder(str(folder), trusted=True)


def test_a_private_folder_inside_is_safe_where_others_cannot_replace_it(folder: Path) -> None:
    folder.chmod(0o1777)
    check_folder(str(folder), trusted=False, only_inside=True)
    folder.chmod(0o777)
    with pytest.raises(UsageError, match="everybody"):
        check_folder(str(folder), trusted=False, only_inside=True)


@pytest.mark.parametrize("only_inside", [False, True])
def test_a_folder_that_everybody_may_replace_is_refused(folder: Path, only_inside: bool) -> None:
    folder.parent.chmod(0o777)
    with pytest.raises(UsageError, match=f"everybody may replace it in {folder.parent}"):
        check_folder(str(folder), trusted=False, only_inside=only_inside)
    folder.parent.chmod(0o1777)
    check_folder(str(folder), trusted=False, only_inside=only_inside)
    folder.parent.chmod(0o700)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away")
def test_a_folder_of_another_user_or_group_is_refused(folder: Path) -> None:
    os.chown(folder, -1, OTHER)
    check_folder(str(folder), trusted=False)
    folder.chmod(0o770)
    with pytest.raises(UsageError, match=f"group {OTHER} may write to it"):
        check_folder(str(folder), trusted=False)
    folder.chmod(0o700)
    os.chown(folder, OTHER, -1)
    with pytest.raises(UsageError, match=f"it belongs to user {OTHER}"):
        check_folder(str(folder), trusted=False)


@pytest.mark.parametrize(("members", "name", "refused"), [
    ([], "me", False), (["me"], "me", False), (["me", "you"], "me", True), ([], "staff", True)])
def test_a_group_of_the_user_alone_counts_as_the_user(
    folder: Path, monkeypatch: pytest.MonkeyPatch, members: list[str], name: str, refused: bool
) -> None:
    group = folder.stat().st_gid
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: pwd.struct_passwd(("me", "", uid, group, "", "", "")))
    monkeypatch.setattr(grp, "getgrgid", lambda gid: grp.struct_group((name, "", gid, members)))
    folder.chmod(0o770)
    if refused:
        with pytest.raises(UsageError, match=f"group {name} may write to it"):
            check_folder(str(folder), trusted=False)
    else:
        check_folder(str(folder), trusted=False)
