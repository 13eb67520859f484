"""The benchmarks' own machinery, without MPI: right text, paired runs, complete records."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # benchmarks/ is not installed

import benchmarks
from benchmarks import __main__ as benchmarks_main
from benchmarks import arrays, at_scale, harness, pagecache, parts, peers, plain, processes, simulation, text
from benchmarks.handwritten.lines import lines_of
from benchmarks.operations import Operation, data
from benchmarks.operations.table import OPERATIONS, chosen
from mpirdd import Context

RECORD_KEYS = {
    "benchmark", "command_line", "options", "valid", "when", "versions", "host", "git", "flags", "page_cache", "load_before",
    "took_s",
}


def program(body: str, *arguments: object) -> list[str]:
    """The command of a program that runs ``body``, where ``report`` is the path it must write."""
    start = "import json, sys, time\nreport = sys.argv[-1]"
    return [sys.executable, "-c", f"{start}\n{body}", *map(str, arguments)]


WRITE = "open(report, 'w').write(json.dumps({'seconds': [2.0, 1.0, 4.0]}))"


@pytest.fixture(scope="module")
def sc() -> Iterator[Context]:
    with Context() as context:
        yield context


@pytest.fixture
def zipf(tmp_path: Path) -> text.Text:
    return text.zipf_text(0.3, seed=7, folder=tmp_path)


def test_generated_text_has_the_counts_that_its_generator_states(zipf: text.Text) -> None:
    counts = Counter(Path(zipf.path).read_text().split())
    assert (sum(counts.values()), len(counts)) == (zipf.words, zipf.distinct)
    assert text.digest(counts.items()) == zipf.digest


def test_generated_text_is_of_the_size_asked_and_ends_its_last_line(zipf: text.Text) -> None:
    content = Path(zipf.path).read_bytes()
    assert len(content) == zipf.size_bytes
    assert 0.3e6 <= len(content) < 0.32e6
    assert content.endswith(b"\n")


def test_lines_have_about_ten_words_and_common_words_follow_zipf(zipf: text.Text) -> None:
    lines = Path(zipf.path).read_text().splitlines()
    assert 9 < zipf.words / len(lines) < 11
    (_, first), (_, second), *_ = Counter(" ".join(lines).split()).most_common(2)
    assert 1.7 < first / second < 2.7  # 2 ** 1.1 is 2.14


def test_same_seed_gives_same_text_and_another_seed_another(tmp_path: Path, zipf: text.Text) -> None:
    again = text.zipf_text(0.3, seed=7, folder=tmp_path / "again")
    assert Path(again.path).read_bytes() == Path(zipf.path).read_bytes()
    assert text.zipf_text(0.3, seed=8, folder=tmp_path).digest != zipf.digest


def test_text_is_generated_once(tmp_path: Path, zipf: text.Text) -> None:
    before = os.stat(zipf.path).st_mtime_ns
    assert text.zipf_text(0.3, seed=7, folder=tmp_path) == zipf
    assert os.stat(zipf.path).st_mtime_ns == before


def test_digest_does_not_depend_on_order_but_on_every_count() -> None:
    assert text.digest([("a", 1), ("b", 2)]) == text.digest([("b", 2), ("a", 1)])
    assert text.digest([("a", 1), ("b", 2)]) != text.digest([("a", 1), ("b", 3)])


@pytest.mark.parametrize("parts", [1, 2, 3, 7, 50])
def test_byte_ranges_give_every_line_once(tmp_path: Path, parts: int) -> None:
    path = tmp_path / "lines.txt"
    path.write_text("one\n\ntwo words\nthé third, longer than its range\nlast")
    lines = [line for part in range(parts) for line in lines_of(str(path), part, parts) if line]
    assert lines == [line for line in path.read_text().split("\n") if line]


def test_array_checksum_tells_arrays_apart_whatever_their_order() -> None:
    first, second = arrays.make(0, 1, 10), arrays.make(1, 0, 10)
    assert arrays.checksum([first, second]) == arrays.checksum([second, first])
    assert arrays.checksum([first, second]) != arrays.checksum([first, first])


def test_runs_alternate_and_ratios_are_taken_within_pairs(tmp_path: Path) -> None:
    order = tmp_path / "order"
    body = f"open({str(order)!r}, 'a').write(sys.argv[1])\n{WRITE}"
    runs = harness.alternate(3, 30, {"engine": program(body, "a"), "handwritten": program(body, "b")})
    assert order.read_text() == "ababab"
    assert harness.inner(runs["engine"]) == [2.0, 2.0, 2.0]
    assert harness.ratio([2.0, 9.0, 4.0], [1.0, 3.0, 4.0]) == {
        "median": 2.0, "min": 1.0, "max": 3.0, "values": [2.0, 3.0, 1.0]}


def test_cpu_time_is_that_of_the_program_and_its_children() -> None:
    """Each says itself how much it has used; a little more comes when the interpreter ends."""
    burn = "while time.process_time() < 0.2: pass"
    child = f"import subprocess\nsubprocess.run([sys.executable, '-c', 'import time\\n{burn}'], check=True)"
    run = harness.launch(program(f"{child}\n{burn}\n{WRITE}"), 30)
    assert run.cpu_s >= 0.4
    assert harness.launch(program(WRITE), 30).cpu_s < run.cpu_s


def test_failing_program_shows_its_exit_code_and_the_end_of_its_output() -> None:
    with pytest.raises(harness.ProgramFailed, match=r"(?s)exit code 3.*the reason"):
        harness.launch(program("print('the reason')\nsys.exit(3)"), 30)


def test_program_without_a_report_fails() -> None:
    with pytest.raises(harness.ProgramFailed, match="exit code 0"):
        harness.launch(program("pass"), 30)


def test_late_program_is_stopped_with_its_children(tmp_path: Path) -> None:
    child = tmp_path / "child"
    body = ("import subprocess\nchild = subprocess.Popen(['sleep', '60'], start_new_session=True)\n"
            f"open({str(child)!r}, 'w').write(str(child.pid))\ntime.sleep(60)")
    with pytest.raises(harness.ProgramFailed, match="took more than 1 s"):
        harness.launch(program(body), 1)
    assert_gone(int(child.read_text()))


def test_processes_left_behind_are_counted_and_killed(tmp_path: Path) -> None:
    child = tmp_path / "child"
    body = ("import subprocess\nchild = subprocess.Popen(['sleep', '60'], start_new_session=True)\n"
            f"open({str(child)!r}, 'w').write(str(child.pid))\n{WRITE}")
    assert harness.launch(program(body), 30).left_behind == 1
    assert_gone(int(child.read_text()))


def assert_gone(process: int) -> None:
    """Fail unless the process has ended, or was killed and is about to."""
    for _ in range(100):
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return
        if state == "Z":
            return
        time.sleep(0.05)
    pytest.fail(f"process {process} is still there")


def test_cpu_percent_tells_a_busy_process_from_an_idle_one() -> None:
    assert processes.cpu_s(os.getpid()) > 0
    (idle,) = processes.cpu_percent([os.getpid()], 0.2)  # this process sleeps meanwhile
    assert idle < 50


@pytest.mark.parametrize(("at_least", "reached", "met"), [
    (False, 1.0, True), (False, 1.3, True), (False, 1.4, False), (True, 1.4, True), (True, 1.0, False)])
def test_target_is_met_at_its_limit_and_on_the_right_side(at_least: bool, reached: float, met: bool) -> None:
    assert harness.Target("ratio", 1.3, reached, at_least).record()["met"] is met


def test_sizes_come_from_the_option_else_quick_else_full() -> None:
    full, quick = {"mb": 250.0, "ranks": 3}, {"mb": 20.0}
    assert vars(harness.parse("x", full, quick, []))["mb"] == 250.0
    options = harness.parse("x", full, quick, ["--quick", "--ranks", "5"])
    assert (options.mb, options.ranks) == (20.0, 5)


def test_a_benchmark_prints_one_json_line_with_all_to_repeat_it(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = harness.main("x", lambda options: {"valid": True, "targets": [harness.Target("t", 1, 2).record()]},
                        full={"mb": 1.0}, quick={}, argv=["--results", str(tmp_path / "new")])
    shown = capsys.readouterr()
    (line,) = shown.out.splitlines()
    record = json.loads(line)
    assert code == 0
    assert record.keys() >= RECORD_KEYS
    assert record["options"] == {"quick": False, "seed": 1, "timeout": 600, "page_cache": "warm", "mb": 1.0}
    assert record["command_line"] == "python -m benchmarks.x --seed 1 --timeout 600 --page-cache warm --mb 1.0"
    assert (tmp_path / "new" / "x.jsonl").read_text() == shown.out
    assert record["versions"].keys() == {"python", "mpi", "mpirdd", "mpi4py", "numpy"}
    assert "MISSED" in shown.err


def test_a_failed_program_gives_a_record_and_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def measure(options: object) -> harness.Record:
        raise harness.ProgramFailed("no luck")

    assert harness.main("x", measure, full={}, quick={}, argv=["--results", str(tmp_path)]) == 1
    record = json.loads(capsys.readouterr().out)
    assert (record["valid"], record["error"]) == (False, "no luck")


def test_the_set_appends_a_line_for_each_benchmark_named(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks import idle, tasks

    for module in (idle, tasks):
        monkeypatch.setattr(module, "measure", lambda options: {"valid": options.quick})
    output = tmp_path / "lines.json"
    output.write_text("{}\n")
    results = f"--results={tmp_path / 'results'}"
    assert benchmarks_main.main(["--quick", "--output", str(output), results, "tasks", "idle"]) == 0
    assert benchmarks_main.main(["--output", str(output), results, "idle"]) == 1
    records = [json.loads(line) for line in output.read_text().splitlines()[1:]]
    assert [(record["benchmark"], record["valid"]) for record in records] == [
        ("tasks", True), ("idle", True), ("idle", False)]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", benchmarks.NAMES)
def test_every_named_benchmark_has_a_command_and_sizes(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = __import__(f"benchmarks.{name}", fromlist=["main"])
    with pytest.raises(SystemExit, match="0"):
        module.main(["--help"])
    assert "--ranks" in capsys.readouterr().out


def test_an_unknown_benchmark_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        benchmarks_main.main(["wordcuont"])
    assert "wordcuont" in capsys.readouterr().err


def test_the_peak_memory_of_each_rank_is_seen_from_outside() -> None:
    mark = "MPIRDD_TEST_PEAKS=yes"
    body = "import sys; held = bytearray(80 << 20); del held; print(flush=True); sys.stdin.read()"
    variables = {**os.environ, **dict([mark.split("=")]), "OMPI_COMM_WORLD_RANK": "2"}
    with processes.Peaks(mark) as peaks, subprocess.Popen(
        [sys.executable, "-c", body], env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        until = time.monotonic() + 30
        while peaks.bytes_by_rank.get(2, 0) < 80 << 20 and time.monotonic() < until:
            time.sleep(0.05)
        process.communicate()
    assert set(peaks.bytes_by_rank) == {2}
    assert 80 << 20 <= peaks.bytes_by_rank[2] < 200 << 20


def test_help_of_the_set_says_what_each_measures_and_how_long(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        benchmarks_main.main(["--help"])
    shown = capsys.readouterr().out
    for name in benchmarks.NAMES:
        (line,) = [line for line in shown.splitlines() if line.startswith(f"  {name} ")]
        assert len(line.split()) > 4
    assert shown.count(" min\n") == len(benchmarks.NAMES)


def test_a_page_cache_that_may_not_be_dropped_is_recorded_as_warm_with_the_reason(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pagecache, "CONTROL", tmp_path / "absent" / "drop_caches")
    assert pagecache.state("drop").startswith("warm: ")
    assert "No such file" in pagecache.state("drop")
    monkeypatch.setattr(pagecache, "CONTROL", tmp_path / "drop_caches")
    assert pagecache.state("drop") == "dropped before each run"
    assert (tmp_path / "drop_caches").read_text() == "1\n"
    assert pagecache.state("warm") == "warm"


@pytest.mark.parametrize(("job", "ran", "more_events"), [("map", 300, 1), ("shuffle", 600, 21), ("kept", 300, 302)])
def test_simulated_executors_run_every_task_once(job: str, ran: int, more_events: int) -> None:
    found = simulation.simulate(job, executors=20, tasks=300)
    assert found["once"]
    assert (found["tasks"], found["events"]) == (ran, ran + more_events)


@pytest.mark.parametrize("job", list(at_scale.JOBS))
def test_a_cluster_in_one_process_is_right_and_counts_what_passes_the_driver(job: str) -> None:
    few, many = (at_scale.run_one(job, executors, tasks=2) for executors in (3, 6))
    assert few["right"] and many["right"]
    assert many["tasks"] == 2 * few["tasks"] == (6 if job == "function" else 12)
    assert few["sent"] < many["sent"] < 3 * few["sent"]
    assert all(found[key] > 0 for found in (few, many) for key in at_scale.COUNTED)


def test_the_size_of_objects_counts_each_once_and_leaves_out_what_is_named() -> None:
    text = "x" * 1000
    assert at_scale.deep_bytes([[text, text]], ()) - at_scale.deep_bytes([[1, 1]], ()) == sys.getsizeof(text) - sys.getsizeof(1)
    assert at_scale.deep_bytes([Namespace(text=text)], (str,)) < 1000


def test_plain_word_count_is_right(zipf: text.Text) -> None:
    assert plain.wordcount(zipf.path)["digest"] == zipf.digest


def test_the_parts_of_an_iteration_add_up_to_what_the_clock_says() -> None:
    costs = {"input_s": 0.2, "read_s": 0.1, "lines_s": 0.3, "decode_s": 0.4, "compute_s": 2.0, "encode_s": 0.1, "exchange_s": 0.5,
             "write_s": 0.2, "commit_s": 0.1, "task_s": 3.1, "input_bytes": 1000}
    found = parts.of_interval(3.0, 2, costs, 0.6)
    assert tuple(found) == parts.PARTS
    assert sum(found.values()) == pytest.approx(3.0)
    assert found == pytest.approx({parts.LAUNCH: 1.05, "read": 0.15, "parse": 0.45, "deserialise": 0.2, "compute": 0.7,
                                   "serialise": 0.05, "exchange": 0.25, "write": 0.15})


def test_a_later_iteration_is_shown_whole_and_is_the_median_one() -> None:
    intervals = [{"seconds": seconds, "parts": {"compute": seconds}} for seconds in (9.0, 3.0, 1.0, 2.0)]
    assert parts.first_and_later(intervals) == {"first": {"compute": 9.0}, "later": {"compute": 2.0}}


def test_timed_parsers_parse_as_before_and_count_their_seconds() -> None:
    from benchmarks.engine import split

    class Seconds(list[float]):
        add = list.append

    def blocks(lines: Iterator[str]) -> Iterator[list[int]]:
        while block := list(map(int, islice(lines, 2))):
            time.sleep(0.001)
            yield block

    spent = Seconds()
    assert list(split.timed_blocks(blocks, spent)(iter("12345"))) == [[1, 2], [3, 4], [5]]
    assert sum(spent) >= 0.003
    spent = Seconds()
    parse = split.timed_lines(int, spent)
    assert [parse(str(number)) for number in range(48)] == list(range(48))
    assert len(spent) == 3  # one in 16 is timed, and counts for all


def test_an_interval_ends_where_the_job_prints_an_iteration() -> None:
    from benchmarks.engine import split

    ended: list[str] = []
    output = split.Watched(lambda: ended.append(output.getvalue()))
    print("7 rows, 1.0 s", file=output)
    print("iteration 1  objective 3 s", file=output)
    print("iteration 2  objective 2 s", file=output)
    assert ended == ["7 rows, 1.0 s\n", "7 rows, 1.0 s\niteration 1  objective 3 s\n"]


def test_costs_are_split_in_every_mode_that_a_job_ran_in_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def alternate(repeats: int, timeout_s: float, commands: dict[str, list[str]], *, cold: bool) -> dict[str, list[harness.Run]]:
        launched.update(commands)
        one = {"intervals": [{"seconds": 1.0, "parts": {"compute": 1.0}}] * 2}
        return {name: [harness.Run(one, 0.0, 1.0, 1.0, 0)] for name in commands}

    launched: dict[str, list[str]] = {}
    monkeypatch.setattr(harness, "alternate", alternate)
    report = {"first": [2.0], "later": [1.0, 1.0], "costs": {}}
    commands = {"engine": harness.on_engine("job", 3, "kmeans", "data", "--iterations", "30"), "handwritten": ["mpirun"],
                "mapreduce": harness.on_engine("job", 3, "kmeans", "data", "--iterations", "30", mode="mapreduce")}
    pair = harness.Pair(commands, {name: [harness.Run(report, 0.0, 9.0, 9.0, 0)] for name in commands})
    found = peers.disk_record(pair, Namespace(timeout=9, page_cache="warm", iterations=30))
    assert list(found["split"]) == list(launched) == ["engine", "mapreduce"]
    assert launched["mapreduce"] == [
        word.replace("engine/job.py", "engine/split.py") for word in commands["mapreduce"]] + ["--iterations", "6"]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_each_operation_gives_what_its_loop_gives(operation: Operation, sc: Context) -> None:
    parts = [[list(data.make(name, 400, 1, partition)) for partition in range(data.PARTITIONS)] for name in operation.data]
    rdds = [sc.parallelize(range(data.PARTITIONS), data.PARTITIONS).flatMap(partial(data.make, name, 400, 1))
            for name in operation.data]
    assert operation.engine(*rdds) == operation.loop(*parts)


def test_operations_are_chosen_by_their_name_or_method() -> None:
    assert [one.name for one in chosen("sum; reduceByKey, text keys")] == ["sum", "reduceByKey, text keys"]
    assert len(chosen("distinct")) > 1
    assert len(chosen("")) == len(OPERATIONS)
