"""``mpirdd.mapreduce.run`` against plain Python, and Hadoop Streaming's contract inside the engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mpirdd import Context, TaskError, UsageError, mapreduce

TEXT = "the quick fox\r\njumps over\tthe lazy dog\n\nthe fox again é ü\n" * 300


def words(offset: int, line: str) -> Iterator[tuple[str, int]]:
    for word in line.split():
        yield word, 1


def total(word: str, counts: Iterator[int]) -> Iterator[tuple[str, int]]:
    yield word, sum(counts)


@pytest.fixture
def path(tmp_path: Path) -> str:
    for number in range(3):
        (tmp_path / f"{number}.txt").write_bytes(TEXT.encode())
    return str(tmp_path / "*.txt")


def lines_of(folder: Path) -> list[list[str]]:
    assert (folder / "_SUCCESS").exists()
    return [part.read_text().splitlines() for part in sorted(folder.glob("part-*"))]


@pytest.mark.parametrize("combiner", [None, total])
def test_a_word_count_is_that_of_a_counter_and_sorted_by_key(sc: Context, path: str, tmp_path: Path, combiner: Any) -> None:
    output = tmp_path / "out"
    assert mapreduce.run(path, words, total, combiner, output=str(output), num_reducers=2) is None
    parts = lines_of(output)
    assert len(parts) == 2
    for part in parts:
        assert len(part) > 1
        assert part == sorted(part, key=lambda line: line.split("\t")[0])
    counts = Counter(3 * TEXT.split())
    assert sorted(line for part in parts for line in part) == sorted(f"{word}\t{count}" for word, count in counts.items())


def test_the_key_of_a_line_is_its_offset_in_its_file(sc: Context, tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_bytes(b"\xef\xbb\xbfa\r\nb\xc3\xa9\n\rlast")
    pairs = mapreduce.run(str(tmp_path / "one.txt"), lambda offset, line: [(offset, line)],
                          lambda offset, lines: [(offset, list(lines))], num_reducers=1)
    assert pairs is not None
    assert pairs.collect() == [(3, ["a"]), (6, ["bé"]), (10, [""]), (11, ["last"])]


def test_pairs_go_where_the_partitioner_says_and_values_keep_their_order(sc: Context) -> None:
    data = sc.parallelize([(number, number % 10) for number in range(1_000)], 7)
    pairs = mapreduce.run(data, lambda number, key: [(key, number)], lambda key, numbers: [(key, list(numbers))],
                          partitioner=lambda key: key // 4, num_reducers=3)
    assert pairs is not None
    assert pairs.glom().collect() == [
        [(key, list(range(key, 1_000, 10))) for key in keys] for keys in (range(4), range(4, 8), range(8, 10))]


def test_a_reducer_may_leave_values_unread(sc: Context) -> None:
    data = sc.parallelize([(key % 5, key) for key in range(100)], 3)
    pairs = mapreduce.run(data, lambda key, value: [(key, value)], lambda key, values: [(key, next(values))], num_reducers=1)
    assert pairs is not None
    assert pairs.collect() == [(key, key) for key in range(5)]


def test_an_output_that_exists_is_refused_before_anything_runs(sc: Context, path: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exists already"):
        mapreduce.run(path, words, total, output=str(tmp_path))


def test_an_error_of_the_mapper_fails_the_job_and_leaves_no_output(sc: Context, path: str, tmp_path: Path) -> None:
    def broken(offset: int, line: str) -> Iterator[tuple[str, int]]:
        yield line, 1 // (len(line) and 0)

    with pytest.raises(TaskError, match="ZeroDivisionError"):
        mapreduce.run(path, broken, total, output=str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_none_is_left_out_of_the_output_with_its_tab(sc: Context, tmp_path: Path) -> None:
    data = sc.parallelize([("b", 1), ("a", 2)], 2)
    mapreduce.run(data, lambda key, value: [(key, value)], lambda key, values: [(key, None)],
                  output=str(tmp_path / "out"), num_reducers=1)
    assert lines_of(tmp_path / "out") == [["a", "b"]]


def test_files_that_are_not_utf8_are_read_as_errors_says(sc: Context, tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes("caf\xe9 caf\xe9 tea\n".encode("latin-1"))
    with pytest.raises(TaskError, match="is not UTF-8"):
        mapreduce.run(str(tmp_path / "latin.txt"), words, total, output=str(tmp_path / "strict"))
    mapreduce.run(str(tmp_path / "latin.txt"), words, total, output=str(tmp_path / "out"), errors="replace", num_reducers=1)
    assert lines_of(tmp_path / "out") == [["caf\ufffd\t2", "tea\t1"]]


def test_an_input_of_another_type_is_refused(sc: Context) -> None:
    with pytest.raises(UsageError, match=r"a path or an RDD of pairs as its input, not list; sc\.parallelize"):
        mapreduce.run([(1, 2)], words, total)  # type: ignore[arg-type]


def test_errors_name_the_operation_that_the_program_calls(sc: Context) -> None:
    data = sc.parallelize([(1, 2), (1, 3)], 1)
    pairs = mapreduce.run(data, lambda key, value: [(key, value)], lambda key, values: [1 // 0], num_reducers=1)
    assert pairs is not None
    with pytest.raises(TaskError) as caught:
        pairs.collect()
    assert "repartitionAndSort" not in caught.value.failure.stage
