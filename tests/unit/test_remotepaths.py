"""URLs mean files by the same rules as local paths."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from mpirdd.formats import sequencefile
from mpirdd.formats.filesystems import Options, filesystem_of, join
from mpirdd.formats.lineends import TextOptions
from mpirdd.formats.paths import find_inputs, full_path
from mpirdd.formats.remotepaths import in_default_filesystem
from mpirdd.formats.splits import FileSplit
from mpirdd.formats.text import plan_splits, read_lines
from mpirdd.protocol.errors import InputError

pytest.importorskip("fsspec")


@pytest.fixture
def folder() -> Iterator[str]:
    root = f"memory:///{uuid4().hex}"
    fs = filesystem_of(root)
    for name in ("a.txt", "b.txt", "c.csv", "_SUCCESS", ".hidden", "data[1].txt", "deep/d.txt", "deep/er/e.txt"):
        with fs.create(join(root, *name.split("/"))) as file:
            file.write(f"{name}\n".encode())
    yield root
    fs.remove(root, recursive=True)


def found(folder: str, paths: str | list[str], **more: bool) -> list[str]:
    return [file.path.removeprefix(folder + "/") for file in find_inputs(paths, **more)]


def test_parts_are_read_in_the_order_in_which_they_were_written(folder: str) -> None:
    fs = filesystem_of(folder)
    written = [f"out/part-{number:05d}" for number in (0, 20_000, 99_999, 100_000, 200_000, 1_000_000)]
    for name in reversed(written):
        fs.create(join(folder, *name.split("/"))).close()
    assert found(folder, f"{folder}/out") == found(folder, f"{folder}/out/part-*") == written


def test_files_lists_globs_and_braces(folder: str) -> None:
    assert found(folder, f"{folder}/a.txt") == ["a.txt"]
    assert found(folder, f"{folder}/b.txt,{folder}/a.txt") == ["b.txt", "a.txt"]
    assert found(folder, [f"{folder}/c.csv", f"{folder}/a.txt"]) == ["c.csv", "a.txt"]
    assert found(folder, f"{folder}/*.txt") == ["a.txt", "b.txt", "data[1].txt"]
    assert found(folder, f"{folder}/{{a,c}}.*") == ["a.txt", "c.csv"]
    assert found(folder, f"{folder}/{{a.txt,nothing}}") == ["a.txt"]
    assert found(folder, f"{folder}/[^a].txt") == ["b.txt"]
    assert found(folder, f"{folder}/data[1].txt") == ["data[1].txt"]
    assert found(folder, f"{folder}/deep/er/") == ["deep/er/e.txt"]
    assert found(folder, f"{folder}/d*/*.txt") == ["deep/d.txt"]


def test_a_file_that_exists_goes_by_its_name_with_its_commas(folder: str) -> None:
    with filesystem_of(folder).create(join(folder, "x,y.txt")) as file:
        file.write(b"this\n")
    assert found(folder, f"{folder}/x,y.txt") == found(folder, [f"{folder}/x,y.txt"]) == ["x,y.txt"]
    assert found(folder, f"{folder}/a.txt,{folder}/x,y.txt".replace("x,y", "b")) == ["a.txt", "b.txt"]


def test_folders_within_folders_need_recursive(folder: str) -> None:
    with pytest.raises(InputError, match=r"holds the folder .*/deep, .* recursive=True"):
        find_inputs(folder)
    assert found(folder, folder, recursive=True) == ["a.txt", "b.txt", "c.csv", "data[1].txt", "deep/d.txt", "deep/er/e.txt"]


@pytest.mark.parametrize("missing", ["nothing.txt", "*.json", "{x,y}", "nothing/*"])
def test_what_is_not_there_is_named(folder: str, missing: str) -> None:
    with pytest.raises(InputError, match=r"does not exist|matches no file") as caught:
        find_inputs(f"{folder}/a.txt,{folder}/{missing}")
    assert f"{folder}/{missing}" in str(caught.value)


def test_two_stars_are_refused_and_not_taken_for_one(folder: str) -> None:
    for pattern in (f"{folder}/**/*.txt", f"{folder}/{{deep,**}}", "/no/such/**"):
        with pytest.raises(InputError, match=r"\*\* is not known.*recursive=True"):
            find_inputs(pattern)
    assert found(folder, f"{folder}/a**") == ["a.txt"]


def test_memory_has_no_host() -> None:
    assert full_path("memory://out") == "memory:///out" == full_path("memory:///out/")


def test_a_default_file_system_takes_paths_without_scheme() -> None:
    options = Options(hadoop={"fs.defaultFS": "hdfs://host:8020/"})
    assert full_path("/a/b", options) == "hdfs://host:8020/a/b"
    assert full_path("a", options) == f"hdfs://host:8020/user/{getpass.getuser()}/a"
    assert full_path("file:///a", options) == "/a" and full_path("S3://b/c/", options) == "s3://b/c"
    assert in_default_filesystem("/a", Options(hadoop={"fs.defaultFS": "file:///"})) == "/a"


def test_a_later_split_reads_the_start_of_its_file_too() -> None:
    """The byte order mark of UTF-16, the header of a SequenceFile."""
    root = f"memory:///{uuid4().hex}"
    fs = filesystem_of(root)
    lines = [f"\u00e4 {number}" for number in range(3000)]
    with fs.create(join(root, "wide")) as file:
        file.write("\n".join(lines).encode("utf-16"))
    splits = plan_splits(find_inputs(join(root, "wide")), 5)
    options = TextOptions.of("utf-16", "strict", None)
    assert len(splits) == 5 and [line for split in splits for line in read_lines(split, options=options)] == lines
    form = sequencefile.format_of("org.apache.hadoop.io.IntWritable", "org.apache.hadoop.io.Text")
    with fs.create(join(root, "pairs")) as file:
        for data in sequencefile.write_records([(number, "x" * 100) for number in range(9000)], form):
            file.write(data)
    cut = sequencefile.plan_splits(find_inputs(join(root, "pairs")), 4)
    assert len(cut) == 4 and [key for split in cut for key, _ in sequencefile.read_records(split)] == list(range(9000))
    fs.remove(root, recursive=True)


def test_a_file_is_cut_at_its_own_blocks_and_its_lines_come_once() -> None:
    root = f"memory:///{uuid4().hex}"
    fs = filesystem_of(root)
    lines = [f"{number:07d}" for number in range(5000)]
    with fs.create(join(root, "a.txt")) as file:
        file.write("\n".join(lines).encode())
    splits = plan_splits(find_inputs(join(root, "a.txt")), 7)
    assert len(splits) == 7 and all(isinstance(split, FileSplit) for split in splits)
    assert [line for split in splits for line in read_lines(split)] == lines
    assert sum(read_lines(split).count() for split in splits) == len(lines)
    fs.remove(root, recursive=True)
    with pytest.raises(InputError, match=r"cannot read memory:///.*a\.txt from .*nothing is there"):
        list(read_lines(splits[0]))


@pytest.mark.parametrize("local", [True, False])
def test_names_of_columns_may_begin_with_an_underscore(tmp_path: Path, local: bool) -> None:
    """Spark writes such tables, and reads them. What jobs leave beside an output ``year=2024`` is still not read."""
    root = str(tmp_path) if local else f"memory:///{uuid4().hex}"
    fs = filesystem_of(root)
    for name in ("_k=1", "_temporary-k=2-x", ".k=3", "_log"):
        with fs.create(join(root, name, "x")):
            pass
    with fs.create(join(root, "_k=4")):  # a file
        pass
    assert [(file.path, file.folders) for file in find_inputs(root, columns=True)] == [(join(root, "_k=1", "x"), (("_k", "1"),))]
    assert find_inputs(root, recursive=True) == []
    fs.remove(root, recursive=True)
