"""Executors die in the middle of a spill: half of a value written, or half of one read back. The
answer is right, and only lost partitions run again."""

from __future__ import annotations

from collections import Counter

import pytest
from runs import Runs, no_recovery

pytestmark = [pytest.mark.skipif(bool(no_recovery()), reason=no_recovery()), pytest.mark.timeout(120), pytest.mark.second_lane]

RECORDS, KEYS, MAPS, REDUCES = 40_000, 10_000, 6, 3
"""Some 100 bytes for each record, encoded or not: map output and each reduce partition are larger than the budget of 1 MiB."""

JOB = """
from mpirdd.ops.current_task import current_task
from mpirdd.store import spill

def die_halfway(call, whose):
    '''On an executor: the first of all ranks that writes or reads such a file ends when half of it is done.'''
    whole = getattr(spill.SpillFile, call)
    def half(file, buffers, at, *more):
        task = current_task()
        user = "exchange" if task is None else "task" if file in task.memory._files else "store"
        if user == whose and times("spill") == 0:
            data = b"".join(memoryview(buffer).cast("B") for buffer in buffers)
            if call == "_append":
                os.pwrite(file._file, data[:len(data) // 2], at)
            else:
                os.pread(file._file, len(data) // 2, at)
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(file, buffers, at, *more)
    setattr(spill.SpillFile, call, half)

def noted(name):
    def note(partition, records):
        with open(name, "a") as file:
            file.write(f"{{partition}} {{os.environ['OMPI_COMM_WORLD_RANK']}}\\n")
        return records
    return note

def pair(place):
    return place * 7919 % {KEYS}, f"value {{place:010d}} and some more that it is long for"

def digest(records):
    number = value = last = 0
    ordered = True
    for key, texts in records:
        number, value = number + 1, value + key * sum(int(text[6:16]) for text in texts)
        ordered, last = ordered and last <= key, key
    return [(number, value, ordered)]

with Context(memory=1 << 20) as sc:
    sc._driver.on_every_executor(lambda: die_halfway({call!r}, {whose!r}))
    pairs = sc.parallelize(range({RECORDS}), {MAPS}).mapPartitionsWithIndex(noted("maps")).map(pair)
    done = {operation}
    parts = done.mapPartitionsWithIndex(noted("reduces")).mapPartitions(digest).collect()
    print(*map(sum, zip(*parts)))
"""
OPERATIONS = {
    "combine": f"pairs.mapValues(lambda value: (value,)).reduceByKey(add, {REDUCES})",
    "group": f"pairs.groupByKey({REDUCES})",
    "sort": f"pairs.mapValues(lambda value: (value,)).repartitionAndSortWithinPartitions({REDUCES}, lambda key: key % {REDUCES})",
}
VALUE = sum(place * 7919 % KEYS * place for place in range(RECORDS))


@pytest.mark.parametrize(("call", "whose", "operation"), [
    ("_append", "store", "combine"),
    ("_append", "store", "sort"),
    ("_append", "task", "combine"),
    ("_append", "task", "group"),
    ("_append", "task", "sort"),
    ("_fill", "exchange", "combine"),
    ("_append", "exchange", "group"),
    ("_fill", "store", "group"),
    ("_fill", "task", "combine"),
    ("_fill", "task", "group"),
    ("_fill", "task", "sort"),
])
def test_a_rank_dies_in_the_middle_of_a_spill(runs: Runs, call: str, whose: str, operation: str) -> None:
    """The ``store`` writes map output and reads it again in the ``exchange``; the other end writes
    what arrives. The reduce task reads that from the store. Its sorted runs and combine files are
    the ``task``'s own."""
    done = runs(JOB.format(call=call, whose=whose, operation=OPERATIONS[operation], RECORDS=RECORDS, KEYS=KEYS, MAPS=MAPS),
                ranks=4)
    assert done.code == 0 and done.noise() == [], done.err
    number, value, ordered = map(int, done.out.split())
    assert (number, value) == (RECORDS if operation == "sort" else KEYS, VALUE)
    assert operation != "sort" or ordered == REDUCES
    (lost,) = done.lost()
    assert ran(runs, "maps", lost) == dict.fromkeys(range(MAPS), 1)
    assert ran(runs, "reduces", lost) == dict.fromkeys(range(REDUCES), 1)


def ran(runs: Runs, name: str, lost: int) -> Counter[int]:
    """How often each partition ran on the living: once, wherever it ran before."""
    lines = [tuple(map(int, line.split())) for line in (runs.folder / name).read_text().splitlines()]
    return Counter(partition for partition, rank in lines if rank != lost)
