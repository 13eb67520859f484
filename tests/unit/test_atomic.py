"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from xxhash import xxh3_64_hexdigest

from mpirdd.protocol.errors import ClusterError, InputError
from mpirdd.store.atomic import WholeFile, WholeFolder, read_manifest, rename_whole, write_manifest


def test_a_file_appears_when_its_block_has_ended_well(tmp_path: Path) -> None:
    path = tmp_path / "part"
    with WholeFile(str(path)) as file:
        assert file.write(b"some ") == 5
        file.write(memoryview(b"bytes"))
        assert not path.exists()
    assert path.read_bytes() == b"some bytes"
    assert (file.size, file.checksum) == (10, xxh3_64_hexdigest(b"some bytes"))
    assert os.listdir(tmp_path) == ["part"]


def test_a_second_writer_replaces_the_first_whole(tmp_path: Path) -> None:
    path = tmp_path / "part"
    for text in (b"longer than", b"the"):
        with WholeFile(str(path)) as file:
            file.write(text)
    assert path.read_bytes() == b"the"


def test_nothing_is_left_of_a_block_that_raised_and_its_error_passes_unchanged(tmp_path: Path) -> None:
    """An OSError of the user's records is none of the file's."""
    with pytest.raises(FileNotFoundError, match="the user's"), WholeFile(str(tmp_path / "part")) as file:
        file.write(b"some")
        raise FileNotFoundError("the user's")
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failing_disk_is_told_and_nothing_is_left(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, call, fails)
    with pytest.raises(ClusterError, match=f"cannot write {tmp_path}/part on .*Input/output error"), \
            WholeFile(str(tmp_path / "part")) as file:
        file.write(b"some")
    assert not os.listdir(tmp_path)


def test_the_caller_says_what_the_error_is(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="No such file"), \
            WholeFile(str(tmp_path / "none" / "part"), failed=lambda error: ValueError(error.strerror)):
        pass


def test_a_folder_gets_its_name_whole(tmp_path: Path) -> None:
    aside = tmp_path / ".aside"
    aside.mkdir()
    (aside / "one").write_bytes(b"1")
    rename_whole(str(aside), str(tmp_path / "final"))
    assert os.listdir(tmp_path / "final") == ["one"]


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = str(tmp_path / "manifest.json")
    write_manifest(path, {"version": 3, "parts": [["a", 1], ["b", None]], "é": "ü"})
    assert read_manifest(path, version=3) == {"version": 3, "parts": [["a", 1], ["b", None]], "é": "ü"}
    with pytest.raises(InputError, match="has version 3; this mpirdd reads 4"):
        read_manifest(path, version=4)


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{}", b"\xff", b'{"version": 3, "parts": [], "checksum": "0"}', b'{"checksum": 1}'])
def test_a_damaged_manifest_is_refused(text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_bytes(text)
    with pytest.raises(InputError, match="damaged"):
        read_manifest(str(path), version=3)


def test_a_folder_that_could_not_be_filled_is_gone_and_the_next_try_works(tmp_path: Path) -> None:
    final = tmp_path / "final"
    with pytest.raises(ZeroDivisionError), WholeFolder(str(final)) as unfinished:
        (Path(unfinished) / "deep").mkdir()
        (Path(unfinished) / "deep" / "half").write_bytes(b"half")
        raise ZeroDivisionError
    assert not os.listdir(tmp_path)
    with WholeFolder(str(final)) as unfinished:
        (Path(unfinished) / "one").write_bytes(b"1")
        assert not final.exists()
    assert os.listdir(tmp_path) == ["final"]
    assert os.listdir(final) == ["one"]


def test_ctrl_c_while_a_folder_is_forced_to_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt), WholeFolder(str(tmp_path / "final")) as unfinished:
        (Path(unfinished) / "one").write_bytes(b"1")
    assert not os.listdir(tmp_path)


def test_a_folder_that_cannot_take_its_name_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    final = tmp_path / "final"
    final.mkdir()
    (final / "other").touch()
    with pytest.raises(ClusterError, match=f"cannot write {final}"), WholeFolder(str(final)):
        pass
    assert os.listdir(tmp_path) == ["final"]
