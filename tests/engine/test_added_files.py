"""Files, modules and archives that a program adds for its tasks. Each test has its own Context,
since files go with it."""

from __future__ import annotations

import logging
import os
import pickle
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from beside import on_every_executor

from mpirdd import Context, SparkFiles
from mpirdd.protocol.errors import InputError, TaskError, UsageError


def test_an_added_file_is_on_every_rank_and_gone_with_the_context(tmp_path: Path) -> None:
    (tmp_path / "a b.txt").write_text("text")
    with Context() as sc:
        sc.addFile(str(tmp_path / "a b.txt"))
        assert sc.listFiles == [f"file:{tmp_path}/a%20b.txt"]
        roots = on_every_executor(sc, _root_and_text)
        assert all(text == "text" and mode == 0o700 for _, text, mode in roots)
        assert Path(SparkFiles.get("a b.txt")).read_text() == "text"
        folders = {SparkFiles.getRootDirectory(), *(folder for folder, _, _ in roots)}
        assert all(os.path.isdir(folder) for folder in folders)
    with Context() as sc:
        assert sc.listFiles == []
        sc.parallelize(range(10), 10).count()  # the executors have heard of the end of the other one
        assert not any(os.path.exists(folder) for folder in folders)


def _root_and_text() -> tuple[str, str, int]:
    root = SparkFiles.getRootDirectory()
    with open(SparkFiles.get("a b.txt")) as file:
        return root, file.read(), os.stat(root).st_mode & 0o777


def test_a_file_added_between_jobs_is_there_for_the_second(tmp_path: Path) -> None:
    with Context() as sc:
        rdd = sc.parallelize(range(8), 8).map(lambda _: os.path.exists(SparkFiles.get("late")))
        assert not any(rdd.collect())
        (tmp_path / "late").touch()
        sc.addFile(str(tmp_path / "late"))
        assert all(rdd.collect())


def test_a_path_is_added_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a").write_text("1")
    with Context() as sc:
        sc.addFile(str(tmp_path / "a"))
        (tmp_path / "a").write_text("2")
        with caplog.at_level(logging.WARNING):
            sc.addFile(str(tmp_path / "a"))
        assert "has been added before" in caplog.text
        assert len(sc.listFiles) == 1
        assert Path(SparkFiles.get("a")).read_text() == "1"


def test_another_file_of_the_same_name_is_refused_unless_it_is_the_same(tmp_path: Path) -> None:
    for name, content in (("x", "1"), ("y", "1"), ("z", "2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text(content)
    with Context() as sc:
        sc.addFile(str(tmp_path / "x" / "a"))
        sc.addFile(str(tmp_path / "y" / "a"))
        with pytest.raises(UsageError, match=r"z/a cannot be added: another file of the name a"):
            sc.addFile(str(tmp_path / "z" / "a"))
        assert sc.listFiles == [f"file:{tmp_path}/x/a", f"file:{tmp_path}/y/a"]
        assert sc.parallelize([0]).map(lambda _: Path(SparkFiles.get("a")).read_text()).first() == "1"


def test_folders_are_added_only_when_asked_for(tmp_path: Path) -> None:
    (tmp_path / "dir" / "sub").mkdir(parents=True)
    (tmp_path / "dir" / "sub" / "run").write_text("text")
    (tmp_path / "dir" / "sub" / "run").chmod(0o755)
    with Context() as sc:
        with pytest.raises(UsageError, match="recursive=True"):
            sc.addFile(f"{tmp_path}/dir")
        sc.addFile(f"{tmp_path}/dir/", recursive=True)
        assert sc.listFiles == [f"file:{tmp_path}/dir/"]
        found = sc.parallelize([0]).map(lambda _: os.access(SparkFiles.get("dir/sub/run"), os.X_OK))
        assert found.first()


def test_what_cannot_be_added_is_refused(tmp_path: Path) -> None:
    with Context() as sc:
        for path in ("http://127.0.0.1:1/file", "hdfs://127.0.0.1:1/file", "ftp://127.0.0.1:1/file"):
            with pytest.raises(InputError, match=r"cannot read .*does not answer|no NameNode answers"):
                sc.addFile(path)
        for path in (str(tmp_path / "gone"), ""):
            with pytest.raises(InputError):
                sc.addFile(path)
        assert sc.listFiles == []


def test_a_module_that_was_added_can_be_imported_everywhere(tmp_path: Path) -> None:
    (tmp_path / "added_module.py").write_text("def double(x): return 2 * x")
    with zipfile.ZipFile(tmp_path / "added_package.zip", "w") as archive:
        archive.writestr("added_package/__init__.py", "from .inner import triple")
        archive.writestr("added_package/inner.py", "def triple(x): return 3 * x")
    with Context() as sc:
        sc.addPyFile(str(tmp_path / "added_module.py"))
        sc.addPyFile(str(tmp_path / "added_package.zip"))
        import added_module
        import added_package

        for name in ("added_module", "added_package"):
            assert sys.modules[name].__file__.startswith(SparkFiles.getRootDirectory())
        rdd = sc.parallelize(range(8), 8)
        assert rdd.map(added_module.double).collect() == [2 * x for x in range(8)]
        assert rdd.map(added_package.triple).collect() == [3 * x for x in range(8)]
        assert rdd.map(_import_inside).collect() == [6 * x for x in range(8)]
    assert "added_module" not in sys.modules
    assert not any("mpirdd-files" in entry for entry in sys.path)


def _import_inside(x: int) -> Any:
    from added_module import double
    from added_package import triple

    return double(triple(x))


def test_the_next_context_gets_its_own_version_of_a_module(tmp_path: Path) -> None:
    for version in (1, 22):
        (tmp_path / "versioned.py").write_text(f"VERSION = {version}")
        with Context() as sc:
            sc.addPyFile(str(tmp_path / "versioned.py"))
            found = sc.parallelize(range(8), 8).map(lambda _: __import__("versioned").VERSION).distinct().collect()
            assert found == [version]


@pytest.mark.parametrize("name", ["data.zip", "data.tar", "data.tar.gz", "data.tgz"])
def test_archives_are_unpacked_everywhere(tmp_path: Path, name: str) -> None:
    (tmp_path / "script").write_text("text")
    (tmp_path / "script").chmod(0o755)
    path = tmp_path / name
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(tmp_path / "script", "deep/script")
    else:
        with tarfile.open(path, "w:gz" if name.endswith("gz") else "w") as tar:
            tar.add(tmp_path / "script", "deep/script")
    with Context() as sc:
        sc.addArchive(str(path))
        sc.addArchive(f"{path}#nick")
        assert sc.listArchives == [f"file:{path}", f"file:{path}#nick"]
        assert sc.listFiles == []
        for inside in (f"{name}/deep/script", "nick/deep/script"):
            found = sc.parallelize(range(4), 4).map(lambda _, inside=inside: _text_and_executable(inside)).collect()
            assert found == [("text", True)] * 4


def _text_and_executable(name: str) -> tuple[str, bool]:
    path = Path(SparkFiles.get(name))
    return path.read_text(), os.access(path, os.X_OK)


def test_archives_that_are_damaged_or_lead_out_are_refused(tmp_path: Path) -> None:
    (tmp_path / "no.zip").write_text("no archive")
    (tmp_path / "no.tgz").write_text("no archive")
    with zipfile.ZipFile(tmp_path / "out.zip", "w") as archive:
        archive.writestr("../../out", "text")
    (tmp_path / "file").touch()
    with tarfile.open(tmp_path / "out.tar", "w") as tar:
        tar.add(tmp_path / "file", "../../out")
    with tarfile.open(tmp_path / "cut.tgz", "w:gz") as tar:
        tar.add(__file__, "file")
    (tmp_path / "cut.tgz").write_bytes((tmp_path / "cut.tgz").read_bytes()[:-500])
    with Context() as sc:
        for name in ("no.zip", "no.tgz", "out.zip", "out.tar", "cut.tgz"):
            with pytest.raises(InputError, match=f"{name} cannot be unpacked"):
                sc.addArchive(str(tmp_path / name))
        assert os.listdir(SparkFiles.getRootDirectory()) == []
        assert sc.listArchives == []


def test_what_is_no_archive_is_sent_as_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "plain.bin").write_bytes(pickle.dumps(5))
    with Context() as sc:
        with caplog.at_level(logging.WARNING):
            sc.addArchive(str(tmp_path / "plain.bin"))
        assert "no archive" in caplog.text
        found = sc.parallelize([0]).map(lambda _: Path(SparkFiles.get("plain.bin")).read_bytes())
        assert found.first() == pickle.dumps(5)


def test_a_file_that_an_executor_could_not_write_fails_the_task_that_asks_for_it(tmp_path: Path, ranks: int) -> None:
    if ranks == 1:
        pytest.skip("needs an executor in a process of its own")
    (tmp_path / "a").write_text("text")
    with Context() as sc:
        on_every_executor(sc, _no_more_files)
        sc.addFile(str(tmp_path / "a"))
        with pytest.raises(TaskError, match=r"ClusterError: cannot write .*/a on"):
            sc.parallelize([0]).map(lambda _: SparkFiles.get("a")).collect()
        assert Path(SparkFiles.get("a")).read_text() == "text"


def _no_more_files() -> None:
    os.rmdir(SparkFiles.getRootDirectory())


def test_spark_files_has_no_instances() -> None:
    with pytest.raises(NotImplementedError):
        SparkFiles()


def test_a_stopped_context_adds_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    sc = Context()
    sc.stop()
    for add in (sc.addFile, sc.addPyFile, sc.addArchive):
        with pytest.raises(UsageError, match="stopped"):
            add(str(tmp_path / "a"))
