"""Event logs, reports and traces on real stores: put there by the launcher or the driver, read from there by the commands."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from runs import ROOT, Runs
from servers import S3, MiniHdfs, why_no_s3
from store import Store

from mpirdd import Context
from mpirdd.formats.filesystems import Options
from mpirdd.launch import remote_logs
from mpirdd.launch.remote_logs import RemoteLog
from mpirdd.protocol.errors import MpirddError, UsageError

pytestmark = pytest.mark.timeout(150)
LINES = '{"event":"run","t":0}\n{"event":"end","t":1}\n'
JOB = """
with Context() as sc:
    print(sc.parallelize(range(40), 8).map(lambda x: (x % 3, x)).reduceByKey(add).count())
"""


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "scratch"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    return place


def left_in(scratch: Path) -> list[Path]:
    return list(scratch.glob(".mpirdd-events-*"))


@pytest.fixture(params=["s3", "hdfs"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A new folder on a store that every process reaches by the environment alone."""
    server: S3 | MiniHdfs = request.getfixturevalue(request.param)
    for name, value in getattr(server, "environment", {}).items():
        monkeypatch.setenv(name, value)
    return Store(f"{server.url}/{tmp_path.name}", {})


def mpirdd(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "mpirdd", *words], cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_a_log_is_put_whole_and_the_next_run_comes_behind_it(store: Store, scratch: Path) -> None:
    for count in (1, 2):
        with RemoteLog(store.path("logs", "run.jsonl"), "job", options=store.options) as log, open(log.path, "a") as file:
            assert store.names("logs") == ["run.jsonl"] * (count - 1)
            file.write(LINES)
        assert store.text("logs", "run.jsonl") == LINES * count and store.names("logs") == ["run.jsonl"]
    with RemoteLog(store.path("logs") + "/", "job", options=store.options) as log:
        Path(log.path).write_text(LINES * 200_000)  # several pieces
    assert store.fs.info(log.url).size == len(LINES) * 200_000  # type: ignore[union-attr]
    assert len(store.names("logs")) == 2 and store.unfinished() == 0 and left_in(scratch) == []


def test_a_log_that_somebody_else_has_put_stays(store: Store, scratch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with RemoteLog(store.path("run.jsonl"), "job", options=store.options) as log:
        store.write(LINES, "run.jsonl")
        Path(log.path).write_text(LINES * 3)
    assert store.text("run.jsonl") == LINES
    said = capsys.readouterr().err
    assert f"another run has put its log there since this one began; the event log is kept in {log.path}" in said
    assert Path(log.path).read_text() == LINES * 3
    store.write("precious", "other.jsonl")
    with pytest.raises(UsageError, match="exists and is no event log"):
        RemoteLog(store.path("other.jsonl"), "job", options=store.options)
    assert store.text("other.jsonl") == "precious" and sorted(store.names()) == ["other.jsonl", "run.jsonl"]


def test_a_report_replaces_an_older_one_and_nothing_else(store: Store) -> None:
    for text in ("one", "another"):
        with remote_logs.written_aside(store.path("run.html"), store.options) as path:
            Path(path).write_text(text)
        assert remote_logs.head(store.path("run.html"), 512, store.options) == text.encode()
    assert store.names() == ["run.html"] and remote_logs.head(store.path("absent"), 512, store.options) == b""
    with pytest.raises(UsageError, match="it is a folder"):
        remote_logs.head(store.url, 512, store.options)


def test_wrong_places_are_told_at_the_start(s3: S3, hdfs: MiniHdfs, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(MpirddError, match="there is no bucket nosuch"):
        RemoteLog("s3://nosuch/logs/", "job")
    with pytest.raises(MpirddError, match="there is no bucket nosuch"):
        Context(events="s3://nosuch/run.jsonl")
    with pytest.raises(MpirddError, match="the secret key is wrong"):
        RemoteLog("s3://test/logs/other/", "job", options=Options.of({**s3.options, "secret_access_key": "wrong"}))
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(MpirddError, match="no NameNode answers"):
            RemoteLog(f"hdfs://127.0.0.1:{nobody.getsockname()[1]}/logs/", "job")


def test_a_context_without_a_launcher_puts_its_log(place: Store) -> None:
    with Context(events=place.path("logs") + "/") as sc:
        assert sc.parallelize(range(40), 4).sum() == 780
    (name,) = place.names("logs")
    shown = mpirdd("summary", place.path("logs", name))
    assert shown.returncode == 0 and ": ok after " in shown.stdout, shown.stderr


def test_a_run_puts_log_and_report_and_the_commands_read_them(place: Store, runs: Runs, scratch: Path) -> None:
    pytest.importorskip("plotly")
    runs.environment["TMPDIR"] = str(scratch)
    done = runs(JOB, "--events", place.path("logs") + "/", "--report", place.path("reports", "run.html"), ranks=3)
    assert (done.code, done.out) == (0, "3\n"), done.err
    (name,) = place.names("logs")
    assert re.fullmatch(r"job-\d{8}-\d{6}-\d+\.jsonl", name) and place.names("reports") == ["run.html"]
    assert f"then {place.path('logs', name)}\n" in done.err and left_in(scratch) == []
    folder = place.path("logs")
    shown = mpirdd("summary", folder)
    assert shown.returncode == 0 and "job.py: ok after " in shown.stdout and "reduceByKey at job.py" in shown.stdout, shown.stderr
    assert "succeeded" in mpirdd("top", folder).stdout
    for output, command in (("trace.json.gz", "trace"), ("again.html", "report"), ("again.html", "report")):
        made = mpirdd(command, folder, "-o", place.path("reports", output))
        assert made.returncode == 0, made.stderr
    assert sorted(place.names("reports")) == ["again.html", "run.html", "trace.json.gz"]
    assert place.unfinished() == 0


@pytest.mark.parametrize("ranks", [1, 3])
def test_the_log_of_a_killed_driver_is_put_with_an_end(place: Store, runs: Runs, scratch: Path, ranks: int) -> None:
    runs.environment["TMPDIR"] = str(scratch)
    started = runs.start("""
def wait(x):
    touch("begun")
    time.sleep(60)
with Context() as sc:
    sc.parallelize(range(8), 8).count()
    sc.parallelize(range(4), 4).foreach(wait)
""", "--events", place.path("run.jsonl"), ranks=ranks)
    started.wait_for_file(runs.folder / "begun", 30)
    (local,) = scratch.glob(".mpirdd-events-*/run.jsonl")
    found = re.search(r'"pid":(\d+)', local.read_text())
    assert found is not None and place.names() == []
    os.kill(int(found[1]), signal.SIGKILL)
    done = started.done()
    assert done.code != 0
    *_, last = place.text("run.jsonl").splitlines()
    assert '"event":"end"' in last and '"status":"killed"' in last, done.err
    assert place.names() == ["run.jsonl"] and left_in(scratch) == []


def test_a_server_that_is_gone_at_the_end_loses_no_log(runs: Runs, tmp_path: Path, scratch: Path) -> None:
    if problem := why_no_s3():
        pytest.skip(f"no S3 here: {problem}")
    (tmp_path / "own").mkdir()
    with S3(tmp_path / "own") as own:
        runs.environment |= {**own.environment, "TMPDIR": str(scratch)}
        started = runs.start(JOB + """
touch("stopped")
wait_for_file("gone")
""", "--events", f"{own.url}/logs/run.jsonl", ranks=2)
        started.wait_for_file(runs.folder / "stopped", 60)
    (runs.folder / "gone").touch()
    done = started.done()
    found = re.search(r"does not answer.*; the event log is kept in (\S+\.jsonl)", done.err)
    assert (done.code, done.out) == (0, "3\n") and found is not None, done.err
    assert ": ok after " in mpirdd("summary", found[1]).stdout
