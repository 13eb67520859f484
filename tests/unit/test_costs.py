"""A rank counts each second once, and all of a task's seconds."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import pytest

from mpirdd.formats.splits import FileSplit
from mpirdd.formats.text import read_lines, read_lines_at
from mpirdd.store.costs import Costs
from mpirdd.store.spilled_list import SpilledList
from mpirdd.store.task_memory import TaskMemory


def test_what_a_task_is_made_of_adds_up_to_the_task() -> None:
    costs = Costs()
    began, counted_s = perf_counter(), costs.counted_s
    frames = costs.encode(list(range(10_000)))
    assert costs.decode(frames) == list(range(10_000))
    costs.add(read_s=0.0, read_bytes=7)
    seconds = perf_counter() - began
    sleep(0.01)  # the rank may lose its core here; its clock is not read again
    costs.add_task(seconds, counted_s)
    taken = costs.take()
    assert taken["read_bytes"] == 7
    assert min(taken["encode_s"], taken["decode_s"], taken["compute_s"]) > 0
    assert taken["encode_s"] + taken["decode_s"] + taken["compute_s"] == pytest.approx(seconds)
    assert taken["task_s"] == seconds
    assert costs.take() == {}


def test_seconds_within_others_are_counted_once() -> None:
    costs = Costs()

    class Slow:
        def __reduce__(self) -> tuple[Any, ...]:
            began = perf_counter()
            sleep(0.05)
            costs.add(read_s=perf_counter() - began)
            return list, ()

    began, counted_s = perf_counter(), costs.counted_s
    costs.encode(Slow())
    costs.add_rest("exchange_s", began, counted_s)
    taken = costs.take()
    assert taken["read_s"] >= 0.05
    assert taken["encode_s"] + taken["exchange_s"] < taken["read_s"]


def test_a_list_on_disk_counts_its_encoding_its_file_and_its_decoding() -> None:
    memory = TaskMemory.unbounded()
    spilled = SpilledList(memory.spill_file())
    spilled.write(["text"] * 1000)
    assert list(spilled) == ["text"] * 1000
    taken = memory.costs.take()
    assert {"encode_s", "write_s", "written_bytes", "read_s", "read_bytes", "decode_s"} <= taken.keys()


@pytest.mark.parametrize("read", [read_lines, read_lines_at])
def test_reading_text_counts_every_byte_of_the_split_chunk_by_chunk(tmp_path: Path, read: Any) -> None:
    path = tmp_path / "lines.txt"
    path.write_text("one line\n" * 1000)
    costs = Costs()
    counted: list[int] = []

    class Counting(Costs):
        def add(self, **seconds: float) -> None:
            counted.append(1)
            costs.add(**seconds)

    assert len(list(read(FileSplit(str(path), 0, 9000), chunk_bytes=3000, costs=Counting()))) == 1000
    taken = costs.take()
    assert taken["input_bytes"] == 9000
    assert min(taken["input_s"], taken["lines_s"]) > 0
    assert len(counted) <= 8  # three chunks are read and cut; nothing is counted line by line
