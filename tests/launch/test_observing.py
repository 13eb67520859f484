"""The readers of event logs on real runs: ``mpirdd run --report`` and ``--ui``, ``mpirdd report``, ``top`` and ``trace``."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from browser import Browser, with_chromium
from event_logs import NASTY, eventful, write
from launcher import with_mpirun
from perfetto import opened, with_perfetto
from trace_format import checked
from ways import ROOT, Ended, run

pytestmark = [with_mpirun, pytest.mark.timeout(100), pytest.mark.second_lane]
JOB = """
import os, sys
from mpirdd import Context
with Context(sys.argv[1] if len(sys.argv) > 1 else "job") as sc:
    pairs = sc.parallelize(range(2000), 8).map(lambda i: (i % 7, i)).cache()
    pairs.count()
    print(len(pairs.groupByKey(4).collect()))
"""
FAILS = JOB + """
    pairs.map(lambda pair: 1 // (pair[1] - 1999)).count()
"""
HANGS = JOB + """
    import time
    pairs.map(lambda pair: (open("running", "w").close(), time.sleep(60))).count()
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the report and the log of a run on three ranks whose name is meant to do harm."""
    folder = tmp_path_factory.mktemp("run")
    ended = run("mpirdd run -n 3 --hot-keys 3 --report run.html", folder, JOB, NASTY, timeout_s=80)
    assert (ended.code, ended.out) == (0, "7\n"), ended.all
    assert "report: run.html" in ended.err
    return folder


@pytest.fixture(scope="module")
def browsers() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


@pytest.fixture
def browser(browsers: Browser) -> Browser:
    browsers.complaints.clear()
    browsers.requests.clear()
    browsers.look(width=1400, height=900)
    return browsers


def mpirdd(folder: Path, *words: str, timeout_s: float = 40) -> Ended:
    done = subprocess.run([sys.executable, "-m", "mpirdd", *words], cwd=folder, capture_output=True, text=True,
                          timeout=timeout_s, env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120"})
    return Ended(done.returncode, done.stdout, done.stderr)


@with_chromium
def test_the_report_opens_without_complaint_and_a_click_on_a_stage_shows_its_tasks(finished: Path, browser: Browser) -> None:
    browser.open(finished / "run.html")
    browser.until("document.querySelectorAll('.js-plotly-plot').length >= 4")
    assert browser.run("document.getElementById('title').textContent") == NASTY
    assert browser.run("document.title") != "taken"
    stages = browser.run("[...document.querySelectorAll('#stage-table tbody tr')].map(row => row.cells[1].textContent)")
    assert stages == ["count", "groupByKey", "collect"]
    browser.run("document.querySelectorAll('#stage-table tbody tr')[1].click()")
    browser.until("document.querySelectorAll('#task-table tbody tr').length === 8")
    assert browser.run("document.querySelector('#stage-tasks h3').textContent").startswith("Stage 2: groupByKey at job.py:7")
    browser.run("document.querySelectorAll('#stage-table thead button')[1].click()")
    names = browser.run("[...document.querySelectorAll('#stage-table tbody tr')].map(row => row.cells[1].textContent)")
    assert names == ["collect", "count", "groupByKey"]
    browser.look(width=420, height=800, dark=True)
    browser.until("getComputedStyle(document.body).backgroundColor === 'rgb(18, 21, 27)'")
    browser.until("document.documentElement.scrollWidth <= 420")  # charts follow the window a moment later
    assert browser.complaints == []
    assert {urlsplit(address).scheme for address in browser.requests} <= {"file", "data", "blob"}


@with_chromium
def test_a_report_of_all_that_can_happen_opens_without_complaint(tmp_path: Path, browser: Browser) -> None:
    write(tmp_path / "a.jsonl", eventful(NASTY))
    assert mpirdd(tmp_path, "report", "a.jsonl", "-o", "a.html").code == 0
    browser.look(width=1400, height=900, dark=True)
    browser.open(tmp_path / "a.html")
    browser.until("document.querySelectorAll('.js-plotly-plot').length === 5")
    assert browser.run("[...document.querySelectorAll('section')].map(part => part.id)") == [
        "hints", "errors", "timeline", "stages", "lineage", "memory", "shuffles", "partitions", "profile", "jobs",
        "executors", "kept", "settings"]
    browser.run("document.querySelector('#timeline-plot').emit('plotly_click', {points: [{customdata: 1}]})")
    browser.until("document.querySelectorAll('#task-table tbody tr').length === 4")
    browser.run("Plotly.relayout('timeline-plot', {'xaxis.range[0]': 1, 'xaxis.range[1]': 2}).then(() => 0)")
    assert browser.run("[0.9997, 119.7, 179.7, 7199.7].map(seconds)") == ["1 s", "120 s", "3 min 0 s", "2 h 0 min"]
    assert browser.run("document.title") != "taken"
    assert browser.complaints == []


def test_the_log_names_the_hottest_keys_where_asked(finished: Path) -> None:
    lines = map(json.loads, (finished / "run.events.jsonl").read_text().splitlines())
    found = [line for line in lines if line["event"] == "keys"]
    assert [(line["label"], line["records"], line["keys"]) for line in found] == [
        ("groupByKey at job.py:7", 2000, [["0", 286], ["1", 286], ["2", 286]])]


def test_commands_read_the_log_of_a_run_and_what_is_left_of_it(finished: Path, tmp_path: Path) -> None:
    log = finished / "run.events.jsonl"
    top = mpirdd(finished, "top", "--once", log.name)
    assert top.code == 0
    assert "succeeded" in top.out
    assert "groupByKey at job.py:7" in top.out
    assert mpirdd(finished, "top", str(log)).code == 0  # ends, as the run has
    trace = mpirdd(finished, "trace", log.name, "-o", str(tmp_path / "t.json"))
    assert trace.code == 0, trace.all
    found = checked(json.loads((tmp_path / "t.json").read_text())["traceEvents"])
    assert {entry["name"] for entry in found["s"]} == {"shuffle write", "shuffle", "shuffle read"}
    assert {entry["pid"] for entry in found["X"]} == {0, 1, 2}
    cut = tmp_path / "cut.jsonl"
    cut.write_bytes(log.read_bytes()[:-300])
    assert "was killed" in mpirdd(tmp_path, "top", "cut.jsonl").out
    assert mpirdd(tmp_path, "report", "cut.jsonl", "-o", "cut.html").code == 0
    assert "The log has no end" in (tmp_path / "cut.html").read_text()


@with_chromium
@with_perfetto
def test_perfetto_reads_the_whole_trace(finished: Path, tmp_path: Path, browser: Browser) -> None:
    write(tmp_path / "made.jsonl", eventful())
    for log in (finished / "run.events.jsonl", tmp_path / "made.jsonl"):
        path = tmp_path / f"{log.stem}.json"
        assert mpirdd(tmp_path, "trace", str(log), "-o", str(path)).code == 0
        entries = checked(json.loads(path.read_text())["traceEvents"])
        with opened(path, browser) as trace:
            assert trace.query("select name, value from stats where value > 0 and severity != 'info'") == []
            assert trace.query("select count(*) from slice where dur >= 0 and cat != 'loss'") == [[len(entries["X"])]]
            assert trace.query("select count(*) from flow") == [[len(entries["s"])]]
            kinds = trace.query("select distinct a.cat, b.cat from flow join slice a on a.id = slice_out join slice b on "
                                "b.id = slice_in order by 1, 2")
            assert set(map(tuple, kinds)) <= {("exchange", "exchange"), ("exchange", "task"), ("part", "exchange"),
                                              ("task", "exchange"), ("exchange", "part")}
            names = {name for [name] in trace.query("select name from process where name is not null")}
            assert {name.partition(" (")[0] for name in names} == {"driver", "executor 1", "executor 2"}


def test_wrong_files_are_told_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello\n")
    for words, said in (
            (("report", "none", "-o", "x.html"), "none: no such file"), (("report", "text", "-o", "x.html"), "no event log"),
            (("trace", "text", "-o", "x"), "no event log"), (("top", "--once", "none"), "none: no such file"),
            (("top", "text"), "no event log"), (("run", "--report", "no/x.html", "text"), "cannot be written"),
            (("run", "--report", "nosuch://b/x.html", "text"), "nosuch:// is no file system"),
            (("run", "--events", "nosuch://b/x/", "--ui", "text"), "nosuch:// is no file system"),
            (("report", "text", "-o", "nosuch://b/x.html"), "nosuch:// is no file system")):
        ended = mpirdd(tmp_path, *words)
        assert (ended.code, said in ended.err, ended.err.count("\n")) == (2, True, 1), ended.all
    assert not (tmp_path / "x.html").exists() and not (tmp_path / "nosuch:").exists()


@pytest.mark.parametrize("ranks", [1, 3])
def test_a_program_that_fails_gets_its_report_and_keeps_its_exit_code(tmp_path: Path, ranks: int) -> None:
    ended = run(f"mpirdd run -n {ranks} --report run.html --events log.jsonl", tmp_path, FAILS, timeout_s=80)
    assert ended.code == 1, ended.all
    assert "ZeroDivisionError" in ended.err
    assert "ZeroDivisionError" in (tmp_path / "run.html").read_text()
    assert (tmp_path / "log.jsonl").exists()


@pytest.mark.parametrize("ranks", [1, 3])
def test_a_run_that_is_told_to_end_gets_its_report(tmp_path: Path, ranks: int) -> None:
    child = _start(tmp_path, HANGS, "-n", str(ranks), "--report", "run.html")
    _until(child, tmp_path / "running")
    child.send_signal(signal.SIGTERM)
    _, err = child.communicate(timeout=30)
    assert child.returncode == 143, err
    data = (tmp_path / "run.html").read_text()
    assert '"title":"job"' in data
    assert '"status":"terminated"' in data or '"status":"failed"' in data


def test_the_log_of_a_driver_that_was_killed_on_one_rank_says_so(tmp_path: Path) -> None:
    """No parent of ours is there to end it."""
    child = _start(tmp_path, HANGS, "-n", "1", "--events", "log.jsonl")
    _until(child, tmp_path / "running")
    child.kill()
    child.communicate(timeout=30)
    summary = mpirdd(tmp_path, "summary", "log.jsonl")
    assert (summary.code, "job.py: killed after" in summary.out) == (0, True), summary.all
    report = mpirdd(tmp_path, "report", "log.jsonl", "-o", "x.html")
    assert report.code == 0, report.all
    page = (tmp_path / "x.html").read_text()
    assert '"status":"killed"' in page
    assert "The log has no end, and the driver is gone: the run was killed." in page


def test_the_live_report_is_there_for_those_who_know_the_token_until_the_run_ends(tmp_path: Path) -> None:
    child = _start(tmp_path, HANGS, "-n", "2", "--ui")
    assert child.stderr is not None
    found = re.search(r"http://127\.0\.0\.1:(\d+)/(\?token=\S+)", child.stderr.readline())
    assert found is not None
    port, query = int(found[1]), found[2]
    _until(child, tmp_path / "running")
    listening = [line.split()[1] for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()
                 if line.split()[3] == "0A"]
    assert [address for address in listening if address.endswith(f":{port:04X}")] == [f"0100007F:{port:04X}"]
    for path in ("/", "/data", "/?token=", "/data?token=wrong", f"/{query[:-1]}", "/favicon.ico"):
        for method in ("GET", "POST", "HEAD", "NONSENSE"):
            assert _asked(port, path, method) == (403, {"content-length": "0", "connection": "close"}, b""), (path, method)
    assert b"Plotly" in _asked(port, f"/{query}")[2]
    status, headers, body = _asked(port, f"/data{query}")
    data = json.loads(body)
    assert (status, headers["cache-control"], data["status"], data["live"]) == (200, "no-store", "running", True)
    assert [stage["name"] for stage in data["stages"]][:3] == ["count", "groupByKey", "collect"]
    assert _asked(port, f"/../etc/passwd{query}")[0] == 404
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=30)
    with pytest.raises(OSError, match="refused"):
        _asked(port, f"/{query}")
    assert not list(tmp_path.glob(".mpirdd-events-*"))


def test_top_waits_for_a_log_and_follows_it_to_its_end(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole", eventful()).read_bytes()
    child = subprocess.Popen([sys.executable, "-m", "mpirdd", "top", "later.jsonl"], cwd=tmp_path, stdout=subprocess.PIPE,
                             text=True, env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120"})
    (tmp_path / "part").write_bytes(whole[:2000])
    shutil.move(tmp_path / "part", tmp_path / "later.jsonl")
    with (tmp_path / "later.jsonl").open("ab") as file:
        file.write(whole[2000:])
    out, _ = child.communicate(timeout=40)
    assert child.returncode == 0
    assert "failed" in out
    assert "executor 2 was lost: a task called os._exit(7) there" in out


def _start(folder: Path, text: str, *options: str) -> subprocess.Popen[str]:
    (folder / "job.py").write_text(text)
    return subprocess.Popen(
        [sys.executable, "-m", "mpirdd", "run", *options, "job.py"], cwd=folder, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)})


def _until(child: subprocess.Popen[str], path: Path) -> None:
    """Wait until the file is there; the test's own time limit is the end of it."""
    import time

    while not path.exists():
        assert child.poll() is None, child.communicate()
        time.sleep(0.05)


def _asked(port: int, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()
