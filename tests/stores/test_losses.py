"""Executors, DataNodes, NameNodes and drivers that die while a job writes to or reads from a store."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from runs import Runs, no_recovery
from saving import ALL_LOST, LOSSES, saving
from servers import MiniHdfs
from store import Store

pytestmark = [pytest.mark.skipif(bool(no_recovery()), reason=no_recovery()), pytest.mark.timeout(300)]
WHOLE = ["_SUCCESS", *(f"part-{index:05d}" for index in range(8))]


@pytest.fixture(params=["hdfs", "s3"])
def place(request: pytest.FixtureRequest, runs: Runs, tmp_path: Path) -> Store:
    """A new folder; the runs reach it."""
    server = request.getfixturevalue(request.param)
    runs.environment |= getattr(server, "environment", {})
    return Store(f"{server.url}/{tmp_path.name}", getattr(server, "options", {}))


def assert_whole(place: Store) -> None:
    assert place.names("out") == WHOLE and place.unfinished() == 0
    assert [name for name in place.names() if name != "out"] == []
    for index in range(8):
        lines = place.text("out", f"part-{index:05d}").splitlines()
        assert lines == [str(number) for number in range(100 * index, 100 * (index + 1))]


@pytest.mark.parametrize(("before", "fate", "lost"), LOSSES.values(), ids=LOSSES)
def test_output_is_whole_whatever_dies_when(runs: Runs, place: Store, before: str, fate: str, lost: int) -> None:
    done = runs(saving(before, fate, place.path("out")))
    assert (done.code, done.out, done.noise()) == (0, f"{sum(range(800))}\n", []), done.err
    assert len(done.lost()) == lost
    assert_whole(place)


def test_when_all_are_lost_nothing_is_visible_and_the_next_commit_leaves_nothing(runs: Runs, place: Store) -> None:
    done = runs(saving(fate=ALL_LOST, out=place.path("out")), ranks=3)
    assert done.code == 1 and "all executors are lost" in done.err
    assert place.names("out") == [] and place.unfinished() == 0
    started = runs.start(saving(out=place.path("out")), ranks=3)
    started.wait_for_file(runs.folder / "half a part", 30)
    os.kill(runs.wait_for_pid(0), signal.SIGKILL)
    assert started.done().code != 0
    assert place.names("out") == []
    done = runs(saving(out=place.path("out")), ranks=3)
    assert (done.code, done.out) == (0, f"{sum(range(800))}\n"), done.err
    assert_whole(place)


def test_slow_attempts_and_retries_do_not_double_output(runs: Runs, place: Store) -> None:
    done = runs(f"""
def troubled(partition, records):
    records = list(records)
    if partition == 3 and times("raised") == 0:
        yield records[0]
        raise ValueError("once")
    if partition == 6 and times("slow") == 0:
        yield records[0]
        wait_for_file("second attempt")  # this one goes on only when the other has begun
        records = records[1:]
    elif partition == 6:
        touch("second attempt")
    yield from records
with Context() as sc:
    sc.parallelize(range(800), 8).mapPartitionsWithIndex(troubled).saveAsTextFile({place.path("out")!r})
    print(sc.textFile({place.path("out")!r}).map(int).sum())
""", "--task-retries", "1", "--speculation", ranks=4)
    assert (done.code, done.out) == (0, f"{sum(range(800))}\n"), done.err
    assert_whole(place)


READ = """
import time
def slowly(partition, lines):
    for place, line in enumerate(lines):
        if place % 3000 == 0:
            touch("reading")
            time.sleep(0.01)
        yield line
with Context(most_losses=0) as sc:
    lines = sc.textFile({url!r}, 8)
    print(lines.mapPartitionsWithIndex(slowly).map(int).sum(), flush=True)
    wait_for_file("changed")
    print(sc.textFile({url!r}, 8).map(int).sum())
    lines.coalesce(2).saveAsTextFile({out!r})
    print(sc.textFile({out!r}).map(int).sum())
"""


def test_runs_go_on_without_a_datanode_and_with_the_other_namenode(runs: Runs, hdfs: MiniHdfs, tmp_path: Path) -> None:
    store = Store(f"{hdfs.url}/{tmp_path.name}", {})
    store.write("".join(f"{number}\n" for number in range(200_000)), "in")
    runs.environment["HADOOP_CONF_DIR"] = str(hdfs.conf)
    service = f"hdfs://mini/{tmp_path.name}"
    started = runs.start(READ.format(url=f"{service}/in", out=f"{service}/out"), ranks=3)
    started.wait_for_file(runs.folder / "reading", 30)
    hdfs.ask("stop-datanode", 0)
    try:
        started.wait_for("199", 60)
        hdfs.ask("fail-over")
        try:
            (runs.folder / "changed").touch()
            done = started.done(90)
        finally:
            hdfs.ask("fail-over")
    finally:
        hdfs.ask("start-datanodes")
    assert (done.code, done.out) == (0, f"{sum(range(200_000))}\n" * 3), done.err
    assert store.names("out") == ["_SUCCESS", "part-00000", "part-00001"]


WRITE = """
def slowly(partition, records):
    for place, record in enumerate(records):
        if partition == 3 and place == 5000:
            touch("writing")
            wait_for_file("changed")
        yield record
with Context(most_losses=0) as sc:
    sc.parallelize(range(80_000), 8).mapPartitionsWithIndex(slowly).map("{{:0500d}}".format).saveAsTextFile({out!r})
    print(sc.textFile({out!r}).map(int).sum())
"""


def test_output_is_whole_when_a_datanode_dies_while_it_is_written(runs: Runs, hdfs: MiniHdfs, tmp_path: Path) -> None:
    """The NameNode does not notice, and goes on offering the dead DataNode for each new block."""
    store = Store(f"{hdfs.url}/{tmp_path.name}", {})
    started = runs.start(WRITE.format(out=store.path("out")), ranks=3)
    started.wait_for_file(runs.folder / "writing", 30)
    hdfs.ask("stop-datanode", 0)
    try:
        (runs.folder / "changed").touch()
        done = started.done(90)
    finally:
        hdfs.ask("start-datanodes")
    assert (done.code, done.out) == (0, f"{sum(range(80_000))}\n"), done.err
    assert store.names() == ["out"] and store.names("out") == WHOLE
