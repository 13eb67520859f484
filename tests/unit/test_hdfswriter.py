"""``HdfsWriter`` over a cluster that forgets to notice a dead DataNode: whatever block cannot begin, the file is whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpirdd.formats.filesystems import hdfswriter
from mpirdd.formats.filesystems.bounded import BoundedCalls
from mpirdd.formats.filesystems.hdfswriter import HdfsWriter

BLOCK = 300


class Cluster:
    """One file. ``bad`` are the numbers of the blocks that cannot begin, in the order in which any file begins them; the error
    of such a block comes ``late`` writes later."""

    def __init__(self, bad: set[int], late: int = 0) -> None:
        self.bad, self.late = bad, late
        self.blocks, self.files, self.aside, self.set = count(), list[Any](), b"", 0

    def create(self, replicas: int | None = None, block_bytes: int | None = None) -> Any:
        self.files.append(File(self, replicas or 3, block_bytes or BLOCK))
        return self.files[-1]

    def layout(self) -> tuple[int, int]:
        return self.files[-1].replicas, self.files[-1].block_bytes

    def whole_bytes(self) -> int:
        return len(self.files[-1].whole)

    def set_aside(self) -> None:
        self.aside = self.files[-1].whole

    def read_aside(self, start: int, length: int) -> bytes:
        return self.aside[start : start + length]

    def set_replicas(self, replicas: int) -> None:
        self.set = replicas

    def remove(self) -> None:
        self.files = []

    def remove_aside(self) -> None:
        self.aside = b""

    def is_about_data(self, error: BaseException) -> bool:
        return isinstance(error, RuntimeError)

    @contextmanager
    def told(self) -> Iterator[None]:
        yield


class File:
    def __init__(self, cluster: Cluster, replicas: int, block_bytes: int) -> None:
        self.cluster, self.replicas, self.block_bytes = cluster, replicas, block_bytes
        self.whole, self.current, self.closed = b"", b"", False
        self.fails_in: int | None = None

    def write(self, data: bytes) -> int:
        self._fail_if_due()
        for start in range(len(data)):
            if not self.current and next(self.cluster.blocks) in self.cluster.bad:
                self.fails_in = self.cluster.late
            self._fail_if_due()
            self.current += data[start : start + 1]
            if len(self.current) == self.block_bytes:
                if self.fails_in is not None:
                    raise RuntimeError("a DataNode is away")
                self.whole, self.current = self.whole + self.current, b""
        if self.fails_in is not None:
            self.fails_in -= 1
        return len(data)

    def close(self) -> None:
        if self.fails_in is not None:
            raise RuntimeError("a DataNode is away")
        self.whole, self.current, self.closed = self.whole + self.current, b"", True

    def _fail_if_due(self) -> None:
        if self.fails_in == 0:
            raise RuntimeError("a DataNode is away")


@pytest.fixture(autouse=True)
def small_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in (("WRITE_BYTES", 50), ("_KEPT_BYTES", 900), ("_COPIED_BYTES", 70), ("_LARGE_BLOCK_BYTES", 3000)):
        monkeypatch.setattr(hdfswriter, name, size)


@given(st.integers(0, 3000), st.sets(st.integers(0, 12), max_size=8), st.integers(0, 4), st.integers(1, 120))
def test_the_file_is_whole_whatever_block_cannot_begin(size: int, bad: set[int], late: int, piece: int) -> None:
    data, cluster = bytes(number % 251 for number in range(size)), Cluster(bad, late)
    with HdfsWriter(cluster, BoundedCalls()) as writer:
        for start in range(0, size, piece):
            writer.write(data[start : start + piece])
    file = cluster.files[-1]
    assert file.closed and file.whole == data and not cluster.aside
    assert file.replicas == 3 or cluster.set == 3


def test_what_no_try_can_mend_is_told_with_the_first_error_and_leaves_nothing() -> None:
    cluster = Cluster(set(range(1000)))
    with pytest.raises(RuntimeError, match="a DataNode is away"), HdfsWriter(cluster, BoundedCalls()) as writer:
        writer.write(b"x" * 100)
    assert cluster.files == []


def test_a_refusal_of_the_namenode_is_not_tried_again() -> None:
    cluster = Cluster(set())
    cluster.is_about_data = lambda error: False  # type: ignore[method-assign]
    cluster.bad = {0}
    with pytest.raises(RuntimeError), HdfsWriter(cluster, BoundedCalls()) as writer:
        writer.write(b"x" * 100)
    assert next(cluster.blocks) == 1
