"""Text output: the folder's content after success, failure, repeated attempts and interruptions."""

from __future__ import annotations

import errno
import os
import re
import resource
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpirdd.formats import outputs
from mpirdd.formats.compression import codec_named
from mpirdd.formats.filesystems import filesystem_of, name_of
from mpirdd.formats.filesystems.protocol import FileInfo
from mpirdd.formats.outputfolders.copied import CopiedFolder
from mpirdd.formats.outputfolders.protocol import Token, replaces
from mpirdd.formats.outputs import abandon_output, commit_output, start_output, write_text_part
from mpirdd.formats.paths import find_inputs
from mpirdd.formats.text import plan_splits, read_lines
from mpirdd.protocol.errors import ClusterError, InputError, RecordError, UsageError


def tree(folder: Path) -> list[str]:
    """All that is below the folder, without the random part of names."""
    names = (str(path.relative_to(folder)) for path in folder.rglob("*"))
    return sorted(re.sub("(?<=_temporary-)[^/]*", "", name) for name in names)


def lines_of(folder: Path) -> list[str]:
    return [line for split in plan_splits(find_inputs(str(folder)), 1) for line in read_lines(split)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "new" / "output"


# Success


def test_a_committed_output_holds_its_parts_and_success_and_nothing_else(folder: Path) -> None:
    token = start_output(str(folder))
    names = [write_text_part(str(folder), token, index, 0, [index, "x"]) for index in (0, 1, 123456)]
    assert names == ["part-00000", "part-00001", "part-123456"]
    assert not [path for path in folder.iterdir() if path.is_file()]
    commit_output(str(folder), token, names)
    assert sorted(os.listdir(folder)) == ["_SUCCESS", *names]
    assert lines_of(folder) == ["0", "x", "1", "x", "123456", "x"]


def test_an_output_without_partitions_is_an_empty_success(folder: Path) -> None:
    commit_output(str(folder), start_output(str(folder)))
    assert os.listdir(folder) == ["_SUCCESS"]


def test_strings_are_utf8_bytes_are_raw_and_the_rest_is_its_str(folder: Path) -> None:
    token = start_output(str(folder))
    records = ["é", b"\xff\x00", 1, None, ("a", 2.5), "", b""]
    write_text_part(str(folder), token, 0, 0, records)
    write_text_part(str(folder), token, 1, 0, [])
    commit_output(str(folder), token)
    assert (folder / "part-00000").read_bytes() == "é\n".encode() + b"\xff\x00\n1\nNone\n('a', 2.5)\n\n\n"
    assert (folder / "part-00001").read_bytes() == b""


@pytest.mark.parametrize("more", [[], [b"\xff"]])
def test_text_that_utf8_does_not_have_is_shown(folder: Path, more: list[bytes]) -> None:
    token = start_output(str(folder))
    with pytest.raises(RecordError, match=r"the record 'x\\udcff' cannot be written as UTF-8, .* record.encode\("):
        write_text_part(str(folder), token, 0, 0, ["good", "x\udcff", "good", *more])
    abandon_output(str(folder), token)
    assert not folder.exists()


@given(records=st.lists(st.one_of(st.text(), st.binary(), st.integers()), max_size=450))
def test_every_mixture_of_records_is_written_in_order(
    tmp_path_factory: pytest.TempPathFactory, records: list[str | bytes | int]
) -> None:
    folder = tmp_path_factory.mktemp("property") / "output"
    token = start_output(str(folder))
    write_text_part(str(folder), token, 0, 0, iter(records))
    commit_output(str(folder), token)
    encoded = [record if isinstance(record, bytes) else str(record).encode() for record in records]
    assert (folder / "part-00000").read_bytes() == b"".join(line + b"\n" for line in encoded)


@pytest.mark.parametrize("compression", ["gz", "bz2", "xz"])
def test_compressed_parts_have_the_suffix_and_read_back(folder: Path, compression: str) -> None:
    token = start_output(str(folder))
    records = [f"line {index}" for index in range(1000)]
    name = write_text_part(str(folder), token, 0, 0, records, codec=compression and codec_named(compression))
    commit_output(str(folder), token, [name])
    assert name == f"part-00000.{compression}"
    assert lines_of(folder) == records


def test_file_urls_and_relative_paths_are_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("relative", f"file://{tmp_path}/url"):
        token = start_output(folder)
        write_text_part(folder, token, 0, 0, ["a"])
        commit_output(folder, token)
    assert lines_of(tmp_path / "relative") == lines_of(tmp_path / "url") == ["a"]


def test_parts_get_the_permissions_that_the_user_asks_for(folder: Path) -> None:
    before = os.umask(0o027)
    try:
        token = start_output(str(folder))
        write_text_part(str(folder), token, 0, 0, ["a"])
        commit_output(str(folder), token)
    finally:
        os.umask(before)
    assert (folder / "part-00000").stat().st_mode & 0o777 == 0o640


def test_large_records_are_taken_a_few_at_a_time(folder: Path) -> None:
    token = start_output(str(folder))
    part = folder / f"_temporary-{token}"

    def records() -> Iterator[str]:
        for index in range(100):
            written = sum(path.stat().st_size for path in part.iterdir())
            assert written >= (index - 3) * 100_000
            yield "x" * 100_000

    write_text_part(str(folder), token, 0, 0, records())


@pytest.mark.parametrize("make", [str, str.encode, lambda text: (1, text), lambda text: text if len(text) > 9 else b"x"])
def test_large_records_behind_tiny_ones_are_taken_a_few_at_a_time(folder: Path, make: Callable[[str], Any]) -> None:
    token = start_output(str(folder))
    part = folder / f"_temporary-{token}"

    def records() -> Iterator[Any]:
        for _ in range(20_000):
            yield make("tiny")
        for index in range(60):
            written = sum(path.stat().st_size for path in part.iterdir())
            assert written >= (index - 17) * 1_000_000
            yield make("x" * 1_000_000)

    write_text_part(str(folder), token, 0, 0, records())


# Attempts


def test_two_attempts_at_a_part_leave_one_file(folder: Path) -> None:
    token = start_output(str(folder))
    for attempt in (0, 1):
        write_text_part(str(folder), token, 0, attempt, ["a", "b"])
    commit_output(str(folder), token)
    assert tree(folder) == ["_SUCCESS", "part-00000"]
    assert lines_of(folder) == ["a", "b"]


def test_attempts_of_the_same_id_at_the_same_time_do_not_mix(folder: Path) -> None:
    token = start_output(str(folder))

    def slow() -> Iterator[str]:
        for index in range(1000):
            if index == 500:
                write_text_part(str(folder), token, 0, 0, map(str, range(1000)))
            yield str(index)

    write_text_part(str(folder), token, 0, 0, slow())
    commit_output(str(folder), token)
    assert lines_of(folder) == [str(index) for index in range(1000)]


def test_a_part_is_not_there_before_it_is_whole(folder: Path) -> None:
    token = start_output(str(folder))
    seen: list[str] = []

    def records() -> Iterator[str]:
        for _ in range(1000):
            yield "x" * 1000
        seen.extend(path.name for path in folder.rglob("part-*"))

    write_text_part(str(folder), token, 0, 0, records())
    assert seen == []


def test_an_attempt_that_outlives_the_commit_changes_nothing(folder: Path) -> None:
    token = start_output(str(folder))
    write_text_part(str(folder), token, 0, 0, ["right"])

    def late() -> Iterator[str]:
        yield "late"
        commit_output(str(folder), token, ["part-00000"])

    with pytest.raises(ClusterError, match="committed or abandoned"):
        write_text_part(str(folder), token, 0, 1, late())
    with pytest.raises(ClusterError, match="committed or abandoned"):
        write_text_part(str(folder), token, 0, 2, ["later"])
    assert tree(folder) == ["_SUCCESS", "part-00000"]
    assert lines_of(folder) == ["right"]


def test_a_killed_attempt_leaves_nothing_that_a_commit_takes(folder: Path) -> None:
    token = start_output(str(folder))
    program = f"""
import os, signal
from mpirdd.formats.outputs import write_text_part
def records():
    yield from map(str, range(100_000))
    os.kill(os.getpid(), signal.SIGKILL)
write_text_part({str(folder)!r}, {token!r}, 0, 0, records())
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL
    write_text_part(str(folder), token, 1, 0, ["whole"])
    commit_output(str(folder), token)
    assert tree(folder) == ["_SUCCESS", "part-00001"]


# Failure


def test_the_users_own_error_passes_unchanged_and_leaves_no_file(folder: Path) -> None:
    token = start_output(str(folder))

    def failing() -> Iterator[str]:
        yield from ["a"] * 1000
        raise FileNotFoundError(2, "the user's own file", "user.txt")

    with pytest.raises(FileNotFoundError, match=r"user\.txt"):
        write_text_part(str(folder), token, 0, 0, failing())
    assert tree(folder) == ["_temporary-"]


def test_an_abandoned_output_leaves_no_trace(folder: Path) -> None:
    token = start_output(str(folder))
    write_text_part(str(folder), token, 0, 0, ["a"])
    abandon_output(str(folder), token)
    assert not folder.exists()
    abandon_output(str(folder), token)


def test_abandoning_keeps_what_someone_else_put_there(folder: Path) -> None:
    token = start_output(str(folder))
    (folder / "notes.txt").write_text("mine")
    abandon_output(str(folder), token)
    assert tree(folder) == ["notes.txt"]


def test_abandoning_after_the_commit_changes_nothing(folder: Path) -> None:
    token = start_output(str(folder))
    write_text_part(str(folder), token, 0, 0, ["a"])
    commit_output(str(folder), token)
    abandon_output(str(folder), token)
    assert tree(folder) == ["_SUCCESS", "part-00000"]


def test_abandoning_twice_keeps_an_empty_folder_made_since(folder: Path) -> None:
    token = start_output(str(folder))
    abandon_output(str(folder), token)
    folder.mkdir()
    abandon_output(str(folder), token)
    assert folder.is_dir()


def test_a_missing_part_stops_the_commit_before_anything_moves(folder: Path) -> None:
    token = start_output(str(folder))
    write_text_part(str(folder), token, 0, 0, ["a"])
    with pytest.raises(ClusterError, match=r"1 of 2 parts .*/part-00001"):
        commit_output(str(folder), token, ["part-00000", "part-00001"])
    assert tree(folder) == ["_temporary-", "_temporary-/part-00000"]


@pytest.mark.parametrize("name", ["part-00000", "_SUCCESS"])
def test_a_commit_overwrites_nobodys_file(folder: Path, name: str) -> None:
    token = start_output(str(folder))
    write_text_part(str(folder), token, 0, 0, ["ours"])
    (folder / name).write_text("theirs")
    with pytest.raises(UsageError, match=f"{name} was written by someone else"):
        commit_output(str(folder), token)
    abandon_output(str(folder), token)
    assert (folder / name).read_text() == "theirs"
    assert tree(folder) == [name]


def test_a_commit_succeeds_although_the_temporary_folder_cannot_be_removed(folder: Path) -> None:
    token = start_output(str(folder))
    write_text_part(str(folder), token, 0, 0, ["a"])
    (folder / f"_temporary-{token}" / "someone's").mkdir()
    commit_output(str(folder), token)
    assert tree(folder) == ["_SUCCESS", "_temporary-", "_temporary-/someone's", "part-00000"]
    assert lines_of(folder) == ["a"]


@pytest.mark.parametrize("content", [[], ["_SUCCESS", "part-00000"], ["part-00000"]])
def test_an_existing_folder_is_refused_by_name_and_kept(folder: Path, content: list[str]) -> None:
    folder.mkdir(parents=True)
    for name in content:
        (folder / name).write_text("old")
    with pytest.raises(UsageError, match=f"output folder {folder} exists already") as caught:
        start_output(str(folder))
    assert ("perhaps" in str(caught.value)) == ("_SUCCESS" not in content)
    assert tree(folder) == sorted(content)


def test_an_existing_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="file exists already"):
        start_output(str(tmp_path / "file"))
    with pytest.raises(UsageError, match="choose another folder"):
        start_output(str(tmp_path / "file" / "output"))


@pytest.mark.parametrize(("folder", "says"), [
    ("", "path is empty"), ("hdfs://name/output", "cannot write hdfs://name.*names no such cluster"),
    ("nosuch://name/output", "nosuch")])
def test_a_path_that_is_none_is_refused(folder: str, says: str) -> None:
    with pytest.raises((InputError, UsageError), match=says):
        start_output(folder)


# Replacing an older output


def output(folder: Path, *lines: list[str], overwrite: bool = True) -> None:
    token = start_output(str(folder), overwrite=overwrite)
    names = [write_text_part(str(folder), token, index, 0, part) for index, part in enumerate(lines)]
    commit_output(str(folder), token, names)


def test_overwrite_replaces_an_older_output_when_the_new_one_is_complete(folder: Path) -> None:
    output(folder, ["a"], ["b"], ["c"])
    token = start_output(str(folder), overwrite=True)
    name = write_text_part(str(folder), token, 0, 0, ["new"])
    assert lines_of(folder) == ["a", "b", "c"]
    (folder / "_temporary-of-a-killed-job").mkdir()
    (folder / "_temporary-of-a-killed-job" / "part-00000").write_text("half")
    commit_output(str(folder), token, [name])
    assert (tree(folder), lines_of(folder)) == (["_SUCCESS", "part-00000"], ["new"])


def test_two_jobs_that_replace_one_output_do_not_mix(folder: Path) -> None:
    """One is whole, and the other is told."""
    output(folder, ["old"])
    for _ in range(10):
        tokens = {who: start_output(str(folder), overwrite=True) for who in "ab"}
        names = {who: [write_text_part(str(folder), token, index, 0, [who]) for index in range(40)]
                 for who, token in tokens.items()}

        def commit(who: str, tokens: dict[str, str] = tokens, names: dict[str, list[str]] = names) -> str | None:
            try:
                commit_output(str(folder), tokens[who], names[who])
            except ClusterError as error:
                return str(error)
            return None

        with ThreadPoolExecutor(2) as pool:
            told = list(pool.map(commit, "ab"))
        loser = told[0] or told[1]
        assert told.count(None) == 1
        assert loser and "another job has replaced the output" in loser
        assert lines_of(folder) == ["ab"[told.index(None)]] * 40
        assert tree(folder) == ["_SUCCESS", *names["a"]]


def test_overwrite_that_fails_leaves_the_older_output(folder: Path) -> None:
    output(folder, ["a"])
    token = start_output(str(folder), overwrite=True)
    write_text_part(str(folder), token, 0, 0, ["new"])
    abandon_output(str(folder), token)
    assert (tree(folder), lines_of(folder)) == (["_SUCCESS", "part-00000"], ["a"])


def test_overwrite_keeps_a_file_of_that_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="exists already and is a file, which overwrite=True keeps"):
        start_output(str(tmp_path / "file"), overwrite=True)
    assert (tmp_path / "file").read_text() == "mine"


def test_overwrite_makes_a_new_folder_fills_an_empty_one_and_leaves_any_other_alone(folder: Path) -> None:
    output(folder.parent / "made", ["a"])
    folder.mkdir(parents=True)
    output(folder, ["a"])
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"holds mine\.txt, which is no file of an output"):
        start_output(str(folder), overwrite=True)
    assert tree(folder) == ["_SUCCESS", "mine.txt", "part-00000"]
    assert lines_of(folder.parent / "made") == ["a"]


def test_what_comes_into_the_folder_meanwhile_is_not_removed(folder: Path) -> None:
    output(folder, ["a"])
    token = start_output(str(folder), overwrite=True)
    write_text_part(str(folder), token, 0, 0, ["new"])
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"mine\.txt"):
        commit_output(str(folder), token)
    abandon_output(str(folder), token)
    assert tree(folder) == ["_SUCCESS", "mine.txt", "part-00000"]


def test_an_unknown_compression_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="'zip'; known are gzip, bzip2, xz, zlib, zstd, lz4, lz4frame, snappy"):
        codec_named("zip")


@pytest.mark.parametrize("compression", [None, "gz", "bz2", "xz"])
def test_a_disk_that_fails_while_writing_is_named_and_no_part_is_left(
    folder: Path, compression: str | None
) -> None:
    token = start_output(str(folder))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(ClusterError, match=f"cannot write {folder}.*part-00000.*: File too large"):
            records = [os.urandom(100) for _ in range(100)]
            write_text_part(str(folder), token, 0, 0, records, codec=compression and codec_named(compression))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert tree(folder) == ["_temporary-"]


def test_a_full_disk_says_what_to_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = start_output(str(folder))
    full = Path("/dev/full")  # every write to it fails as on a full disk
    monkeypatch.setattr("mpirdd.store.atomic.open", lambda *_: full.open("wb"), raising=False)
    with pytest.raises(ClusterError, match=r"part-00000 .*No space left on device; free some space"):
        write_text_part(str(folder), token, 0, 0, ["a"])


def test_a_forbidden_folder_says_what_to_do(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # nothing is forbidden to root
    try:
        with pytest.raises(UsageError, match="Permission denied; choose a folder that you may write to"):
            start_output(str(tmp_path / "output"))
    finally:
        os.seteuid(user)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="no /proc")
@pytest.mark.parametrize("folder", ["/proc/mpirdd-output", "/proc/mpirdd/output"])
def test_a_file_system_that_makes_no_folders_is_named_as_such(folder: str) -> None:
    with pytest.raises(UsageError, match=f"cannot make the output folder {folder} on .*choose one elsewhere"):
        start_output(folder)


def test_large_lines_behind_small_ones_are_held_once() -> None:
    """Joined and encoded together they would be held three times."""
    def lines() -> Iterator[str]:
        yield from ["x"] * 2000
        for _ in range(40):
            yield "x" * (2 << 20)

    tracemalloc.start()
    try:
        written = sum(map(len, outputs._encoded(lines())))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert written == 4000 + 40 * ((2 << 20) + 1)
    assert peak < (outputs._TAKEN + 6) * (2 << 20)


# --- other file systems ---------------------------------------------------------------------------------------------


class Listed:
    """A file system without renames, as far as ``replaces`` asks it."""

    can_rename = False

    def __init__(self, *names: str) -> None:
        self.names = names

    def info(self, path: str) -> FileInfo:
        return FileInfo(path, 0, True)

    def entries(self, folder: str) -> list[FileInfo]:
        return [FileInfo(f"{folder}/{name}", 1) for name in self.names]


@pytest.mark.parametrize("names", [(), ("x",), ("_SUCCESS", "part-00000")])
def test_an_object_stores_folder_is_refused_in_the_words_of_a_local_one(folder: Path, names: tuple[str, ...]) -> None:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).touch()
    with pytest.raises(UsageError) as local:
        start_output(str(folder))
    with pytest.raises(UsageError) as remote:
        replaces(Listed(*names), "s3://b/out", False)  # type: ignore[arg-type]
    assert str(remote.value).replace("s3://b/out", str(folder)) == str(local.value)


def test_what_a_killed_job_has_left_on_an_object_store_is_no_output() -> None:
    assert not replaces(Listed("_temporary-1", "_temporary-2"), "gs://b/out", False)  # type: ignore[arg-type]


def fails_at(count: int, function: Callable[..., Any]) -> Callable[..., Any]:
    """``function``, which fails when it is called for the ``count``-th time."""
    calls = iter(range(1, 1_000_000))

    def called(*arguments: Any, **more: Any) -> Any:
        if next(calls) == count:
            raise OSError(errno.EIO, "the disk fails", str(arguments[-1]))
        return function(*arguments, **more)

    return called


def test_a_commit_that_fails_in_the_middle_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = start_output(str(folder))
    names = [write_text_part(str(folder), token, index, 0, [index]) for index in range(4)]
    monkeypatch.setattr(os, "replace", fails_at(3, os.replace))
    with pytest.raises(ClusterError, match="the disk fails"):
        commit_output(str(folder), token, names)
    assert tree(folder) == ["_temporary-", *(f"_temporary-/part-0000{index}" for index in (2, 3))]
    abandon_output(str(folder), token)
    assert not folder.exists()


def test_a_commit_that_fails_while_a_store_copies_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fsspec")
    root = f"memory:///{uuid4().hex}/out"
    fs = filesystem_of(root)
    for failing, count in (("rename", 3), ("create", 1), ("create", 2)):  # the claim, and _SUCCESS
        output = CopiedFolder(fs, root, Token(uuid4().hex))
        names = [output.write(f"part-0000{index}", 0, [b"x"]) for index in range(4)]
        with monkeypatch.context() as patched, pytest.raises(ClusterError, match="the disk fails"):
            patched.setattr(fs, failing, fails_at(count, getattr(fs, failing)))
            output.commit(names)
        output.abandon()
        assert fs.info(root) is None or fs.entries(root) == []
    output = CopiedFolder(fs, root, Token(uuid4().hex))
    output.commit([output.write("part-00000", 0, [b"x"])])
    assert [name_of(each.path) for each in fs.entries(root)] == ["_SUCCESS", "part-00000"]
