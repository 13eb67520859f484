"""Private folders, and those that killed processes leave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mpirdd.protocol.errors import ClusterError
from mpirdd.store import scratch
from mpirdd.store.scratch import Scratch, ScratchFolder

KILLED = "import os; from mpirdd.store.scratch import ScratchFolder; folder = ScratchFolder('test'); " \
         "print(folder.path, flush=True); os.kill(os.getpid(), 9)"


@pytest.fixture(autouse=True)
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLURM_TMPDIR", str(tmp_path))
    return tmp_path


def test_a_folder_is_private_and_gone_after_its_removal(parent: Path) -> None:
    folder = ScratchFolder("test")
    assert Path(folder.path).parent == parent
    assert os.stat(folder.path).st_mode & 0o777 == 0o700
    (Path(folder.path) / "deep" / "er").mkdir(parents=True)
    folder.remove()
    folder.remove()
    assert not list(parent.iterdir())


def test_the_folder_of_a_killed_process_goes_with_the_next_one(parent: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL
    left = Path(killed.stdout.strip())
    assert left.is_dir()
    other = ScratchFolder("other")
    assert left.is_dir()
    ScratchFolder("test").remove()
    assert not left.exists()
    other.remove()


def test_the_folder_of_a_living_process_stays(parent: Path) -> None:
    first = ScratchFolder("test")
    second = ScratchFolder("test")
    assert Path(first.path).is_dir()
    first.remove()
    second.remove()


def test_a_new_folder_is_not_taken_for_an_orphan_before_it_is_locked(parent: Path) -> None:
    new, old = parent / ".mpirdd-test-new", parent / ".mpirdd-test-old"
    new.mkdir()
    old.mkdir()
    os.utime(old, (0, 0))
    ScratchFolder("test").remove()
    assert (new.exists(), old.exists()) == (True, False)
    (parent / "mpirdd-test-staged").mkdir()
    scratch.remove_orphans(str(parent), "mpirdd-test-", locked_late=True)
    assert (parent / "mpirdd-test-staged").exists()


def test_spill_files_of_a_killed_process_go_without_a_spill(parent: Path) -> None:
    kept = Scratch()
    killed = subprocess.run([sys.executable, "-c", KILLED.replace("'test'", "'spill'")], capture_output=True, text=True)
    left = Path(killed.stdout.strip())
    assert left.is_dir()
    (left / "large").write_bytes(b"x")
    living = Path(kept.path())
    assert not left.exists() and living.is_dir()
    left.mkdir()
    scratch.remove_spilled("")
    assert not left.exists() and living.is_dir()
    kept.remove()


def test_links_are_left_alone(parent: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "file").touch()
    (parent / "mpirdd-test-link").symlink_to(elsewhere)
    ScratchFolder("test").remove()
    assert (elsewhere / "file").exists()


def test_a_place_where_no_folder_can_be_made_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_TMPDIR", "/dev/null")
    with pytest.raises(ClusterError, match=r"/dev/null.*TMPDIR"):
        ScratchFolder("test")


def test_a_rank_s_folder_is_made_when_it_is_needed_and_gone_at_the_end(parent: Path) -> None:
    scratch = Scratch()
    assert list(parent.iterdir()) == []
    assert os.stat(scratch.path()).st_mode & 0o777 == 0o700
    assert scratch.path() == scratch.path()
    scratch.remove()
    assert list(parent.iterdir()) == []
    scratch.path()
    del scratch
    assert list(parent.iterdir()) == []


def test_a_rank_s_folder_is_where_it_was_asked_for(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    asked.mkdir()
    scratch = Scratch(str(asked))
    assert Path(scratch.path()).parent == asked


def test_a_process_that_ends_removes_its_folder_and_its_forks_do_not(parent: Path) -> None:
    program = ("import os, sys; from mpirdd.store.scratch import Scratch; scratch = Scratch(); path = scratch.path()\n"
               "if os.fork() == 0: sys.exit()\n"
               "os.wait(); print(os.path.isdir(path))")
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert ended.stdout.strip() == "True"
    assert list(parent.iterdir()) == []
