"""Event logs, reports and traces at URLs: fsspec's ``memory://``, and stores that fail. Real servers are in tests/stores."""

from __future__ import annotations

import json
import os
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from event_logs import eventful, write

from mpirdd import Context
from mpirdd.formats.filesystems import filesystem_of, join, name_of
from mpirdd.formats.filesystems.generic import GenericFileSystem
from mpirdd.formats.filesystems.protocol import failure
from mpirdd.launch import cli, remote_logs
from mpirdd.launch.remote_logs import AnyLogFiles, RemoteLog
from mpirdd.observe.event_files import read_log
from mpirdd.protocol.errors import MpirddError, UsageError

pytest.importorskip("fsspec")
DEAD = "webhdfs://127.0.0.1:1/logs/"
JOB = """
import os, signal, sys
from mpirdd import Context
with Context() as sc:
    print(sc.parallelize(range(10), 2).sum(), flush=True)
    if sys.argv[1:] == ["killed"]:
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def folder() -> Iterator[str]:
    root = f"memory:///{uuid4().hex}"
    yield root
    filesystem_of(root).remove(root, recursive=True)


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where local files lie meanwhile; a test that wants some to stay takes them away."""
    place = tmp_path / "scratch"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    yield place
    assert not list(place.iterdir())


def names(folder: str) -> list[str]:
    files = filesystem_of(folder)
    return [name_of(each.path) for each in files.entries(folder)] if files.info(folder) else []


def put(url: str, text: str) -> None:
    with filesystem_of(url).create(url, overwrite=True) as file:
        file.write(text.encode())


def text_at(url: str) -> str:
    return AnyLogFiles().read(url).decode()


def lines(*events: str) -> str:
    return "".join(f'{{"event":"{event}","t":0}}\n' for event in events)


def kept_in(said: str) -> Path:
    found = re.search(r"is kept in (\S+\.\w+)", said)
    assert found is not None, said
    return Path(found[1])


# The log


def test_a_log_lies_in_a_private_file_until_its_end_and_then_at_the_url(
    folder: str, scratch: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with RemoteLog(f"{folder}/logs/", "my job") as log:
        local = Path(log.path)
        assert capsys.readouterr().err == f"mpirdd: event log: {local} while the run goes on (for mpirdd top), then {log.url}\n"
        assert stat.S_IMODE(local.parent.stat().st_mode) == 0o700 and local.parent.parent == scratch
        assert re.fullmatch(rf"{folder}/logs/my-job-\d{{8}}-\d{{6}}-{os.getpid()}\.jsonl", log.url)
        assert names(f"{folder}/logs") == []  # the file that was written to see whether one can be is gone
        local.write_text(lines("run", "end"))
    assert text_at(log.url) == lines("run", "end")
    assert capsys.readouterr().err == ""


def test_a_log_that_is_there_gets_the_new_run_behind_it(folder: str) -> None:
    url = join(folder, "run.jsonl")
    put(url, lines("run", "end"))
    with RemoteLog(url, "job") as log:
        assert log.url == url and Path(log.path).read_text() == lines("run", "end")
        with open(log.path, "a") as file:
            file.write(lines("run"))
    assert text_at(url) == lines("run", "end", "run")
    put(url, "precious")
    with pytest.raises(UsageError, match="exists and is no event log; choose another name"):
        RemoteLog(url, "job")
    assert text_at(url) == "precious"


def test_a_run_that_writes_nothing_leaves_nothing(folder: str) -> None:
    with RemoteLog(join(folder, "run.jsonl"), "job"):
        pass
    assert names(folder) == []


@pytest.mark.parametrize("there", ["", lines("run")])
def test_the_log_of_another_run_is_not_overwritten(folder: str, there: str, capsys: pytest.CaptureFixture[str]) -> None:
    url = join(folder, "run.jsonl")
    if there:
        put(url, there)
    with RemoteLog(url, "job") as log:
        put(url, lines("run", "end", "run", "end"))
        with open(log.path, "a") as file:
            file.write(lines("run"))
    said = capsys.readouterr().err
    assert f"cannot write {url}: another run has put its log there since this one began; the event log is kept in" in said
    assert text_at(url) == lines("run", "end", "run", "end")
    assert kept_in(said).read_text() == there + lines("run")
    remote_logs.remove_tree(str(kept_in(said).parent))


@pytest.mark.parametrize("error", [failure(5, "x", "the disk is full"), KeyboardInterrupt()])
def test_what_cannot_be_put_is_kept_and_its_path_told(
    folder: str, error: BaseException, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = RemoteLog(join(folder, "run.jsonl"), "job")
    Path(log.path).write_text(lines("run"))

    def fail(*arguments: object, **more: object) -> None:
        raise error

    monkeypatch.setattr(GenericFileSystem, "create", fail)
    if isinstance(error, OSError):
        log.end()
    else:
        with pytest.raises(KeyboardInterrupt):
            log.end()
    said = capsys.readouterr().err
    assert ("cannot write" in said and "the disk is full" in said) == isinstance(error, OSError), said
    assert kept_in(said) == Path(log.path) and Path(log.path).read_text() == lines("run")
    remote_logs.remove_tree(str(Path(log.path).parent))


@pytest.mark.parametrize(("url", "said"), [
    (DEAD, "server does not answer"), ("nosuch://b/x/", "no file system that mpirdd or fsspec knows"),
    ("https://127.0.0.1:1/x.jsonl", "."), ("simplecache::memory://x/y/", ".")])
def test_a_url_that_cannot_be_written_is_told_at_the_start(tmp_path: Path, url: str, said: str) -> None:
    with pytest.raises(MpirddError, match=said):
        RemoteLog(url, "job")


# A Context without a launcher


def test_a_context_puts_its_log_when_it_stops(folder: str) -> None:
    url = join(folder, "run.jsonl")
    for count in (1, 2):
        with Context("counts", events=url) as sc:
            assert names(folder) == ["run.jsonl"] * (count - 1)
            sc.parallelize(range(10), 2).count()
        assert sum('"event":"run"' in line for line in text_at(url).splitlines()) == count
    log = read_log([url], files=AnyLogFiles())
    assert (log.events[-1]["event"], log.events[-1]["status"]) == ("end", "ok")
    with Context(events=f"{folder}/logs/") as sc:
        sc.parallelize(range(10), 2).count()
    (name,) = names(f"{folder}/logs")
    assert name.startswith("mpirdd-") and text_at(join(folder, "logs", name)).startswith('{"event":"run"')


def test_a_context_is_not_made_where_its_log_cannot_be_written() -> None:
    with pytest.raises(MpirddError, match=r"127\.0\.0\.1:1.*server does not answer"):
        Context(events=DEAD)
    with Context() as sc:
        assert sc.parallelize([1]).count() == 1


def test_a_url_of_a_local_file_is_one(tmp_path: Path) -> None:
    with Context(events=f"file://{tmp_path}/logs/") as sc:
        sc.parallelize(range(10), 2).count()
    (path,) = (tmp_path / "logs").iterdir()
    assert read_log([f"file://{path}"], files=AnyLogFiles()).events[-1]["status"] == "ok"


# `mpirdd run` on one rank, which is a child then: the store is the launcher's


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    (tmp_path / "job.py").write_text(JOB)
    return str(tmp_path / "job.py")


@pytest.mark.timeout(60)
def test_the_launcher_puts_log_and_report(job: str, folder: str, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("plotly")
    assert cli.main(["run", "-n", "1", "--report", f"{folder}/run.html", job]) == 0
    out, err = capfd.readouterr()
    assert out == "45\n" and f"then {folder}/run.events.jsonl\n" in err and f"report: {folder}/run.html (" in err
    assert names(folder) == ["run.events.jsonl", "run.html"]
    assert remote_logs.head(f"{folder}/run.html", 15) == b"<!DOCTYPE html>"


@pytest.mark.timeout(60)
def test_the_log_of_a_killed_driver_is_put_with_an_end(job: str, folder: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "-n", "1", "--events", f"{folder}/logs/", job, "killed"]) == 137
    (name,) = names(f"{folder}/logs")
    events = read_log([join(folder, "logs", name)], files=AnyLogFiles()).events
    assert name.startswith("job-") and [event["event"] for event in events][::len(events) - 1] == ["run", "end"]
    assert (events[-1]["status"], events[-1]["error"]) == ("killed", "it was killed by signal 9")


def test_a_wrong_url_is_told_before_the_program_runs(job: str, capfd: pytest.CaptureFixture[str]) -> None:
    for words in (["--events", DEAD], ["--events", "nosuch://b/x"]):
        assert cli.main(["run", "-n", "1", *words, job]) in (1, 2)
        out, err = capfd.readouterr()
        assert (out, err.count("\n")) == ("", 1) and words[1].partition("/")[0] in err


# The readers


@pytest.fixture
def at_url(folder: str, tmp_path: Path) -> str:
    """A folder with an older log and a newer one."""
    put(join(folder, "z-20260101-000000-9.jsonl"), write(tmp_path / "old", eventful("old.py")).read_text())
    put(join(folder, "a-20260102-000000-1.jsonl"), write(tmp_path / "new", eventful("new.py")).read_text())
    put(join(folder, "other.txt"), "hello\n")
    return folder


def test_every_command_reads_a_log_at_a_url(at_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("plotly")
    assert cli.main(["summary", at_url]) == 0
    assert "new.py: failed after 7.5 s" in capsys.readouterr().out
    assert cli.main(["summary", join(at_url, "z-20260101-000000-9.jsonl")]) == 0
    assert "old.py: failed after 7.5 s" in capsys.readouterr().out
    assert cli.main(["top", at_url]) == 0
    assert "collect at new.py:6" in capsys.readouterr().out
    for _ in range(2):  # what it has written itself is replaced
        assert cli.main(["trace", at_url, "-o", f"{at_url}/out/trace.json.gz"]) == 0
        assert cli.main(["report", at_url, "-o", f"{at_url}/out/run.html"]) == 0
    assert "report: " in capsys.readouterr().out and names(f"{at_url}/out") == ["run.html", "trace.json.gz"]


def test_no_other_file_at_a_url_is_replaced(at_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("report", "trace"):
        assert cli.main([command, at_url, "-o", join(at_url, "other.txt")]) == 2
        assert "is another file, so it is left as it is" in capsys.readouterr().err
        assert cli.main([command, at_url, "-o", at_url]) == 2
        assert "it is a folder" in capsys.readouterr().err
    assert text_at(join(at_url, "other.txt")) == "hello\n"


def test_what_cannot_be_read_there_is_told(at_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    for url, said in ((join(at_url, "absent"), "there is no event log"), (join(at_url, "other.txt"), "no event log of mpirdd"),
                      (DEAD, "server does not answer")):
        assert cli.main(["summary", url]) == 2
        err = capsys.readouterr().err
        assert said in err and err.count("\n") == 1
    put(join(at_url, "b-20270101-000000-1.jsonl"), json.dumps(eventful()[0]) + "\n[1]\n")
    assert cli.main(["summary", at_url]) == 0
    assert f"{at_url}/b-20270101-000000-1.jsonl: line 2 is damaged" in capsys.readouterr().err


def test_a_trace_that_cannot_be_put_is_kept(
    at_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*arguments: object, **more: object) -> None:
        raise failure(28, "x", "no space is left")

    monkeypatch.setattr(GenericFileSystem, "create", fail)
    assert cli.main(["trace", at_url, "-o", f"{at_url}/trace.json"]) == 1
    said = capsys.readouterr().err
    assert f"cannot write {at_url}/trace.json: no space is left; what was to be there is kept in" in said
    assert kept_in(said).read_text().startswith('{"displayTimeUnit":"ms"')
    remote_logs.remove_tree(str(kept_in(said).parent))


def test_stacks_are_asked_for_by_the_local_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["stack", "s3://bucket/run.jsonl"]) == 2
    assert "which is a local file while the run goes on: the run has told its path" in capsys.readouterr().err
