"""``Context.costs``: what executors count of a job's time, over all of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from beside import about_keeping

from mpirdd import Context

PARTS = ("input_s", "lines_s", "read_s", "write_s", "commit_s", "encode_s", "decode_s", "compute_s")


def grown(sc: Context, before: dict[str, float]) -> dict[str, float]:
    return {name: cost - before.get(name, 0) for name, cost in sc.costs().items()}


def test_the_parts_of_a_job_over_text_add_up_to_its_tasks(sc: Context, tmp_path: Path) -> None:
    path = tmp_path / "numbers.txt"
    path.write_text("".join(f"{number}\n" for number in range(50_000)))
    before = sc.costs()
    assert sc.textFile(str(path), 4).map(int).sum() == sum(range(50_000))
    costs = grown(sc, before)
    assert costs["input_bytes"] == pytest.approx(path.stat().st_size, rel=1e-3)  # save ends of lines across splits
    assert min(costs["input_s"], costs["lines_s"], costs["compute_s"]) > 0
    assert sum(costs.get(part, 0) for part in PARTS) == pytest.approx(costs["task_s"], rel=0.01)


@about_keeping
def test_a_kept_partition_is_neither_read_nor_encoded_again(sc: Context, tmp_path: Path) -> None:
    path = tmp_path / "numbers.txt"
    path.write_text("".join(f"{number}\n" for number in range(1000)))
    numbers = sc.textFile(str(path), 4).map(int).cache()
    assert numbers.count() == 1000
    before = sc.costs()
    assert numbers.sum() == sum(range(1000))
    costs = grown(sc, before)
    assert costs["compute_s"] > 0
    assert {name for name, cost in costs.items() if cost} <= {"compute_s", "task_s"}


def test_a_shuffle_counts_both_ends_and_the_exchange_between_them(sc: Context) -> None:
    before = sc.costs()
    assert sc.parallelize([(number % 7, number) for number in range(10_000)], 4).groupByKey(2).count() == 7
    costs = grown(sc, before)
    assert min(costs["encode_s"], costs["exchange_s"], costs["decode_s"], costs["compute_s"]) > 0
    if not costs.get("read_s"):  # of what the exchange reads from files, none is in the tasks
        assert sum(costs.get(part, 0) for part in PARTS) == pytest.approx(costs["task_s"], rel=0.01)
