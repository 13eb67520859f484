"""Which files a path means: folders within folders, and the ways in which programs write paths."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from mpirdd.formats.paths import find_inputs, local_path, shown_paths
from mpirdd.protocol.errors import InputError, InvalidType


def names(paths: Any, **more: bool) -> list[str]:
    return [os.path.basename(file.path) for file in find_inputs(paths, **more)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """b.txt, a/1.txt, a/deep/2.txt, c/3.txt, and what is passed over."""
    for name in ("b.txt", "a/1.txt", "a/deep/2.txt", "c/3.txt", "a/_SUCCESS", "_temporary/x", ".git/config"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


# Folders within folders


def test_a_folder_within_an_input_folder_is_an_error_with_the_way_out(folder: Path) -> None:
    for path, inner in ((folder, "a"), (folder / "a", "a/deep"), (f"{folder}/*", "a/deep")):
        with pytest.raises(InputError, match=rf"holds the folder {folder}/{inner}, .*recursive=True.*input\.dir\.recursive"):
            find_inputs(path)


def test_hidden_folders_are_passed_over(folder: Path) -> None:
    (folder / "c" / "_temporary-1").mkdir()
    (folder / "c" / ".snapshot").mkdir()
    assert names(folder / "c") == ["3.txt"]


def test_recursive_reads_all_files_below_in_the_order_of_their_paths(folder: Path) -> None:
    assert names(folder, recursive=True) == ["1.txt", "2.txt", "b.txt", "3.txt"]
    assert names(f"{folder}/{{a,c}}", recursive=True) == ["1.txt", "2.txt", "3.txt"]
    assert names(folder / "c", recursive=True) == ["3.txt"]


def test_a_folder_of_empty_folders_has_no_files(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert find_inputs(tmp_path, recursive=True) == []


def test_linked_folders_are_read_and_circles_are_refused(folder: Path) -> None:
    (folder / "c" / "other").symlink_to(folder / "a" / "deep")
    assert names(folder / "c", recursive=True) == ["3.txt", "2.txt"]
    (folder / "a" / "deep" / "up").symlink_to(folder / "a")
    with pytest.raises(InputError, match="up leads back to a folder above it"):
        find_inputs(folder, recursive=True)


# How paths are written


class Own:
    """As libraries have their own."""

    def __init__(self, path: Any) -> None:
        self.path = path

    def __fspath__(self) -> Any:
        return self.path


def test_path_objects_are_paths(folder: Path) -> None:
    for path in (folder / "b.txt", Own(f"{folder}/b.txt")):
        assert names(path) == ["b.txt"]
    assert names(folder / "c" / "*.txt") == ["3.txt"]
    (folder / "one,two").write_text("")
    assert names(folder / "one,two") == ["one,two"]
    assert local_path(folder / "new") == f"{folder}/new"


def test_a_list_of_paths_is_read_one_after_the_other(folder: Path) -> None:
    assert names([folder / "c", f"{folder}/b.txt,{folder}/a/1.txt"]) == ["3.txt", "b.txt", "1.txt"]
    assert names((f"{folder}/b.txt",)) == ["b.txt"]
    assert shown_paths([folder / "c", "b.txt"]) == f"{folder}/c,b.txt"
    assert shown_paths(Path("b.txt")) == "b.txt"
    with pytest.raises(InputError, match="empty list"):
        find_inputs([])


def test_the_home_folder_is_expanded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    assert names("~/b.txt") == ["b.txt"]
    assert names([Path("~/c")]) == ["3.txt"]
    assert local_path("~") == str(folder)
    with pytest.raises(InputError, match=re.escape(f"{folder}/nothing does not exist")):
        find_inputs("~/nothing")
    monkeypatch.chdir(folder)
    assert local_path("a~b") == f"{folder}/a~b"


@pytest.mark.parametrize("path", [b"bytes", 5, None, Own(b"bytes"), {"a"}, [b"x"], ["a", None], [["a"]], 1.5])
def test_what_is_no_path_is_refused_by_its_type(path: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "a").rename(folder / "was a")
    (folder / "a").write_text("")
    with pytest.raises(InvalidType, match=r"path must be str or os\.PathLike|is bytes; os\.fsdecode"):
        find_inputs(path)


@pytest.mark.parametrize("path", ["a\0b", Path("a\0b"), "file:///a%00b", ["\0"]])
def test_a_nul_in_a_path_is_refused(path: Any) -> None:
    with pytest.raises(InputError, match="holds a NUL character"):
        find_inputs(path)


# Outputs of more than 100,000 parts

WRITTEN = ["part-00002", "part-10000", "part-99999", "part-99999-a.gz", "part-100000", "part-100000.gz", "part-1000000"]


def test_parts_are_read_in_the_order_in_which_they_were_written(tmp_path: Path) -> None:
    """By their text, part-100000 comes before part-99999."""
    for name in [*WRITTEN, "part-r-99999", "part-r-100000", "a-99999", "a-100000"]:
        (tmp_path / name).write_text("")
    expected = ["a-100000", "a-99999", *WRITTEN, "part-r-99999", "part-r-100000"]
    assert names(str(tmp_path)) == names(f"{tmp_path}/*-*") == expected
