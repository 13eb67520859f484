"""The folder of resumable state: its lock, and what interrupted saves leave."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mpirdd.formats import state
from mpirdd.formats.filesystems import NO_OPTIONS
from mpirdd.protocol.errors import UsageError


def test_the_lock_says_who_holds_it_and_nothing_older(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("a much longer line than that of the next holder, whoever that will be, and wherever " * 3)
    lock = state.FolderLock(str(tmp_path), 0.0)
    assert (tmp_path / "lock").read_text().startswith(("process", "job"))
    assert "longer line" not in (tmp_path / "lock").read_text()
    with pytest.raises(UsageError, match=f"in use by .*process {os.getpid()}"):
        state.FolderLock(str(tmp_path), 0.0)
    lock.release()
    state.FolderLock(str(tmp_path), 0.0).release()


def test_a_lock_that_is_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    """Its target was emptied, and written over."""
    (tmp_path / "precious").write_text("data")
    (tmp_path / "lock").symlink_to(tmp_path / "precious")
    with pytest.raises(UsageError, match="lock is a symbolic link, and is not followed"):
        state.FolderLock(str(tmp_path), 0.0)
    assert (tmp_path / "precious").read_text() == "data"


def test_a_lock_that_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "lock")
    with pytest.raises(UsageError, match="no regular file"):
        state.FolderLock(str(tmp_path), 0.0)


def test_a_save_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), state.new_generation(str(tmp_path), 1, NO_OPTIONS) as unfinished:
        (Path(unfinished) / "half").write_bytes(bytes(1_000))
        raise ZeroDivisionError
    assert not os.listdir(tmp_path)


def test_what_a_killed_run_left_goes_before_the_next_run_saves(tmp_path: Path) -> None:
    (tmp_path / ".saving-0123").mkdir()
    (tmp_path / ".saving-0123" / "half").write_bytes(bytes(1_000))
    state.remove_unfinished(str(tmp_path), NO_OPTIONS)
    assert not os.listdir(tmp_path)
