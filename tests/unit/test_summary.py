"""The summary of a run and its hints: each comes where it should, and not where it should not."""

from __future__ import annotations

import pytest
from runlines import Log

from mpirdd.observe.hints import hints
from mpirdd.observe.summary import AtEnd, summary, terminal_width

EVEN = [0.1, 0.11, 0.1, 0.09, 0.1, 0.1, 0.1]


def hint(log: Log, word: str) -> list[str]:
    return [text for text in hints(log.state()) if word in text]


def test_a_stage_has_one_line_with_its_longest_task() -> None:
    log = Log()
    log.stage("groupByKey at skew.py:12", [*EVEN, 3.1], kind="map", each={"bytes_in": 387_500, "shuffle_written": 1_500_000})
    line = summary(log.state()).splitlines()[1]
    assert line.split("  ") == [
        "", "groupByKey at skew.py:12", "8 tasks", "median 0.1 s", "longest 3.1 s (31x, partition 7)", "in 3.0 MiB",
        "shuffle 11.4 MiB", "spill 0"]


def test_a_narrow_terminal_gets_no_columns_without_news_and_wrapped_hints() -> None:
    log = skewed(3.1, 4_000_000)
    log.stage("mapPartitionsWithIndex at a_program_with_a_long_name.py:512", EVEN)
    lines = summary(log.state(), width=110).splitlines()
    assert all(len(line) <= 110 for line in lines), lines
    assert "spill" not in lines[1] and "shuffle 4.5 MiB" in lines[1]
    assert lines[2].startswith("  mapPartitionsWith...ng_name.py:512  ") and lines[5].startswith("    ")
    assert "  in 0  " in summary(log.state()).splitlines()[1]


def test_stages_of_the_same_line_share_one() -> None:
    log = Log()
    for of in range(5):
        log.stage("reduceByKey at lr.py:9", EVEN, kind="map", of=100 + of)
    assert "35 tasks in 5 stages" in summary(log.state())


def test_many_stages_are_cut_to_the_longest() -> None:
    log = Log()
    for number in range(60):
        log.stage(f"count at job.py:{number}", [number / 100 + 0.1])
    text = summary(log.state())
    assert "job.py:59 " in text and "job.py:3 " not in text and "(20 stages that took less are left out" in text
    assert "job.py:3 " in summary(log.state(), most=None)


def test_the_summary_says_what_dominated_and_what_was_lost() -> None:
    log = Log()
    log.stage("count at job.py:3", [1.0] * 4, each={"gc_s": 0.2, "costs": {"compute_s": 0.7, "decode_s": 0.26, "encode_s": 0.04}})
    log.add("executor_lost", executor=2, host="node1", why="it died", blocks={}, tasks=1, left=3)
    log.add("task_failed", stage=1, partition=3, executor=1, host="node1", label="count at job.py:3", error="ValueError: x\ny",
            traceback="")
    text = summary(log.state())
    assert "your functions 70 %, decoding 26 % (garbage collection 20 % among them)" in text and "encoding" not in text
    assert "lost executor 2 on node1: it died" in text
    assert "1 failed attempt, the last in count at job.py:3, partition 3: ValueError: x\n" in text
    assert "still running, or killed" in text


def test_where_no_part_dominates_the_times_stand_alone() -> None:
    log = Log()
    log.stage("count at job.py:3", [1.0] * 3, each={"costs": {"compute_s": 0.04}})
    assert "\n  tasks took 3.0 s in all; jobs 1.0 s\n" in summary(log.state())


def test_jobs_that_failed_or_were_cancelled_are_told() -> None:
    log = Log()
    log.stage("count at job.py:3", EVEN)
    log.lines[-1]["status"] = "CANCELLED"
    for _ in range(2):
        log.stage("sum at job.py:4", EVEN)
        log.lines[-1].update(status="FAILED", error="ClusterError: all executors are lost")
    log.add("task_failed", stage=1, partition=3, executor=1, host="a", label="count", error="x" * 99_999, traceback="")
    assert len(summary(log.state())) < 2000
    log.lines.pop()
    text = summary(log.state())
    assert "  1 job cancelled: count at job.py:3, after 0.1 s\n" in text
    assert "  2 jobs failed, the last was sum at job.py:4, after 0.1 s: ClusterError: all executors are lost\n" in text


def test_what_is_no_terminal_has_whole_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")  # a shell may export it
    assert terminal_width(False) is None
    assert terminal_width(True) == 50


def test_a_run_without_stages_has_no_summary() -> None:
    written: list[str] = []
    at_end = AtEnd(written.append, terminal=False)
    log = Log()
    log.add("end", status="ok", jobs=0, tasks=0)
    for line in log.lines:
        at_end.take(line)
    assert written == []


# --- hints ----------------------------------------------------------------------------------------


def skewed(longest_s: float, nbytes: int, others: int = 100_000) -> Log:
    log = Log()
    log.stage("count at job.py:5", [*EVEN, longest_s], shuffles=(3,), each={"shuffle_read": others},
              task7={"shuffle_read": nbytes})
    return log


def test_a_skewed_key_is_told() -> None:
    [text] = hint(skewed(3.1, 4_000_000), "skewed")
    assert "partition 7 took 3.1 s, 31 times the median" in text and "3.8 MiB" in text


@pytest.mark.parametrize(("operation", "remedy"), [
    ("groupByKey", "reduceByKey or aggregateByKey instead"), ("leftOuterJoin", "broadcast it as a dict"),
    ("partitionBy", "). A salt in the key spreads it.")])
def test_what_helps_against_a_skewed_key_depends_on_the_operation(operation: str, remedy: str) -> None:
    log = Log()
    log.node(3, f"{operation} at job.py:4", "shuffled")
    log.lines += skewed(3.1, 4_000_000).lines
    log.lines = [line for number, line in enumerate(log.lines) if line["event"] != "run" or not number]
    [text] = hint(log, "skewed")
    assert f"the keys of {operation} at job.py:4 are skewed" in text and remedy in text


@pytest.mark.parametrize(("longest_s", "nbytes"), [(0.2, 4_000_000), (3.1, 110_000)])
def test_an_even_shuffle_is_not_called_skewed(longest_s: float, nbytes: int) -> None:
    assert not hint(skewed(longest_s, nbytes), "skewed")


def slow(**of_longest: object) -> Log:
    log = Log()
    log.stage("count at job.py:5", [*EVEN, 3.1], each={"bytes_in": 1000, "records_in": 10, "cpu_s": 0.1}, task7=of_longest)
    return log


@pytest.mark.parametrize(("of_longest", "told"), [
    ({"cpu_s": 3.0}, "with no more data than the others: a few of its records cost far more than the rest"),
    ({"cpu_s": 0.2}, "used the processor for 0.2 s only, with no more data than the others: it waited"),
    ({"cpu_s": 3.0, "bytes_in": 4_000_000}, "read 3.8 MiB where the others read 1000 B: its input is cut unevenly"),
    ({"cpu_s": 3.0, "records_in": 500}, "read 500 records where the others read 10: its input is cut unevenly"),
    ({"cpu_s": 0.2, "costs": {"read_s": 2.5}}, "2.5 s of them with files, and read no more than the others"),
])
def test_a_task_that_is_slow_for_another_reason_than_its_keys_is_told_as_that(of_longest: dict[str, object], told: str) -> None:
    [text] = hint(slow(**of_longest), "31 times the median")
    assert told in text and "are skewed. Look" not in text


def test_slow_first_tasks_of_all_executors_are_told_as_that() -> None:
    for second, told in ((2.9, True), (0.1, False)):
        log = Log()
        log.stage("count at job.py:5", [3.1, second, *EVEN], each={"cpu_s": 0.1}, task1={"executor": 2})
        [text] = hint(log, "partition 0 took 3.1 s")
        assert ("the first one on executor 1" in text) == told == ("it waited" not in text)


def test_of_two_partitions_the_larger_one_is_told() -> None:
    log = Log()
    log.stage("count at job.py:5", [6.0, 0.4], each={"bytes_in": 100}, task0={"bytes_in": 9000})
    assert hint(log, "read 8.8 KiB where the others read 100 B: its input is cut unevenly")


def test_without_processor_time_nothing_is_said_of_waiting() -> None:
    assert hint(skewed(3.1, 110_000), "a few of its records cost far more")


def twice(*, persisted: bool = False, seconds: float = 0.5, of_second: int = 0, kind: str = "narrow") -> Log:
    log = Log()
    log.node(1, "textFile at job.py:2", "source", input="/data/x.txt")
    log.node(2, "map at job.py:3", kind, (1,))
    if persisted:
        log.add("persist", node=2, level="memory", copies=1)
    log.stage("count at job.py:4", [seconds] * 4, nodes=(1, 2))
    log.stage("sum at job.py:5", [seconds] * 4, nodes=(1, 2), of=of_second)
    return log


def test_an_rdd_that_two_jobs_compute_could_be_cached() -> None:
    [text] = hint(twice(), "cache()")
    assert text.startswith("map at job.py:3: computed in 2 stages, up to 2.0 s of task time after the first")


def test_nothing_is_to_be_cached_that_is_kept_or_cheap_or_made_again_after_a_loss() -> None:
    assert not hint(twice(persisted=True), "cache()")
    assert not hint(twice(seconds=0.01), "cache()")
    assert not hint(twice(of_second=1), "cache()")  # the same output again


def test_data_of_the_program_and_shuffles_need_no_cache() -> None:
    log = Log()
    log.node(1, "parallelize at job.py:2", "source")
    log.stage("count at job.py:4", [0.5] * 4, nodes=(1,))
    log.stage("sum at job.py:5", [0.5] * 4, nodes=(1,))
    assert not hint(log, "cache()")


def read(partitions: int, *, gzip: bool, path: str = "/data/x.gz") -> Log:
    log = Log()
    log.node(1, "textFile at job.py:2", "source", partitions=partitions, input=path, gzip=gzip)
    log.stage("count at job.py:4", [2.0] * partitions, nodes=(1,))
    return log


def test_one_partition_of_a_compressed_file_is_told() -> None:
    [text] = hint(read(1, gzip=True), "compressed")
    assert "/data/x.gz is compressed, so it is read as one partition, by one of 4 executors" in text


def test_one_partition_of_a_format_that_is_not_cut_is_told() -> None:
    [text] = hint(read(1, gzip=True, path="/data/x.npz"), "not cut")
    assert "/data/x.npz is of a format that is not cut, so it is read as one partition, by one of 4 executors. Write it" in text


def test_many_compressed_files_or_a_plain_one_are_fine() -> None:
    assert not hint(read(8, gzip=True), "compressed")
    assert not hint(read(1, gzip=False), "compressed")


@pytest.mark.parametrize(("nbytes", "told"), [(8_400_000, True), (150_000, False)])
def test_a_function_with_many_megabytes_should_broadcast_them(nbytes: int, told: bool) -> None:
    log = Log()
    log.stage("count at job.py:4", [1.0] * 4)
    log.add("closure", label="map at job.py:3", kind="step", of=2, bytes=nbytes, copies=4)
    assert bool(hint(log, "Broadcast")) == told


@pytest.mark.parametrize(("write_s", "mode", "told"), [(0.7, "memory", True), (0.1, "memory", False), (0.7, "mapreduce", False)])
def test_a_stage_that_spills_most_of_the_time_is_told(write_s: float, mode: str, told: bool) -> None:
    log = Log()
    log.lines[0]["mode"] = mode
    log.stage("sortByKey at job.py:4", [1.0] * 4, each={
        "spilled": 50_000_000, "costs": {"write_s": write_s, "compute_s": 1 - write_s}})
    assert bool(hint(log, "spill files")) == told


def tiny(seconds: float, jobs_s: float) -> Log:
    log = Log()
    log.stage("count at job.py:4", [seconds] * 1000)
    log.lines[-1]["seconds"] = jobs_s
    return log


def test_tasks_shorter_than_their_start_are_told() -> None:
    [text] = hint(tiny(0.0001, 1.0), "fewer partitions")
    assert text.startswith("1,000 tasks took 0.1 ms each")


def test_longer_tasks_or_busy_executors_are_fine() -> None:
    assert not hint(tiny(0.01, 2.6), "fewer partitions")
    assert not hint(tiny(0.0001, 0.03), "fewer partitions")


@pytest.mark.parametrize(("lines_s", "told"), [(0.6, True), (0.2, False)])
def test_parsing_is_told_when_it_dominates(lines_s: float, told: bool) -> None:
    log = Log()
    log.stage("count at job.py:4", [1.0] * 4, each={"costs": {"lines_s": lines_s, "compute_s": 1 - lines_s}})
    assert bool(hint(log, "parsing")) == told


def cached(*, level: str = "memory", again: bool = True, why: str = "not_kept") -> Log:
    """8 partitions that three jobs compute or read, of which three find no room, or lose it."""
    log = Log()
    log.node(2, "map at job.py:3")
    log.add("persist", node=2, level=level, copies=1)
    log.stage("count at job.py:4", [1.0] * 8, nodes=(2,))
    log.add("kept", executor=1, blocks=[[2, part, 40 << 20, 0] for part in range(5)])
    log.add(why, executor=1, blocks=[["rdd", 2, part] if why == "evicted" else [2, part] for part in (5, 6, 7)])
    for of in (11, 12):
        log.stage("sum at job.py:5", [0.01] * 8, nodes=(2,), of=of)
        if again:
            log.add("recomputed", executor=1, blocks=[[2, part] for part in (5, 6, 7)])
    return log


@pytest.mark.parametrize("why", ["not_kept", "evicted"])
def test_a_cache_that_does_not_fit_is_told(why: str) -> None:
    [text] = hint(cached(why=why), "the cache does not fit")
    assert text == (
        "map at job.py:3: the cache does not fit: 3 of 8 partitions, which take about 40.0 MiB each, are computed again in each "
        "job, some 6.0 s in all. persist(StorageLevel.MEMORY_AND_DISK), or give more memory a rank (--memory, now 1.0 GiB).")
    assert not hint(cached(), "cache() it")


def test_a_cache_that_costs_nothing_or_spills_or_was_lost_is_not_called_too_small() -> None:
    assert not hint(cached(again=False), "does not fit")
    assert not hint(cached(level="memory+disk"), "does not fit")
    log = Log()
    log.node(2, "map at job.py:3")
    log.add("persist", node=2, level="memory", copies=1)
    log.stage("count at job.py:4", [1.0] * 8, nodes=(2,))
    log.add("kept", executor=1, blocks=[[2, 0, 1000, 0]])
    log.add("executor_lost", executor=1, host="node1", why="it died", blocks={"rdd": 1}, tasks=0, left=3)
    log.add("recomputed", executor=2, blocks=[[2, 0]])
    assert not hint(log, "does not fit")


def test_a_healthy_run_gets_no_hint() -> None:
    log = Log()
    log.node(1, "textFile at job.py:2", "source", input="/data/x.txt")
    log.stage("count at job.py:4", EVEN, nodes=(1,), each={"costs": {"compute_s": 0.08, "lines_s": 0.02}})
    assert hints(log.state()) == []
