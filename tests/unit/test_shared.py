"""Memory that the processes of a host share."""

from __future__ import annotations

import errno
import gc
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpirdd.protocol.messages import Address
from mpirdd.store import shared_memory as shared
from mpirdd.store.codec import decode, encode
from mpirdd.store.shared_memory import Filling, attach, fill

READ = """
import sys
from mpirdd.store.shared_memory import attach
from mpirdd.protocol.messages import Address
path, name, *sizes = sys.argv[1:]
print([bytes(frame) for frame in attach(Address(path, name, tuple(map(int, sizes)))).frames])
"""


def open_files() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def test_another_process_reads_the_frames() -> None:
    segment = fill([b"one", b"", bytearray(b"x" * 100)])
    address = segment.address
    assert address is not None
    said = subprocess.run([sys.executable, "-c", READ, address.path, address.name, *map(str, address.sizes)],
                          capture_output=True, text=True, timeout=60)
    assert said.stdout.strip() == repr([b"one", b"", b"x" * 100]), said.stderr


def test_arrays_are_read_only_views() -> None:
    array = np.arange(100_000.0)
    segment = fill(encode({"a": array, "b": [array[:5]]}))
    value = decode(segment.frames)
    assert (value["a"] == array).all()
    assert not value["a"].flags.writeable
    assert np.shares_memory(value["a"], np.frombuffer(segment.memory, np.uint8))
    assert value["a"].ctypes.data % 64 == 0


def test_what_was_decoded_outlives_the_segment_and_its_owner() -> None:
    owner = fill(encode(np.arange(50_000)))
    assert owner.address is not None
    value = decode(attach(owner.address).frames)
    owner.close()
    del owner
    gc.collect()
    assert value.sum() == sum(range(50_000))


def test_no_file_and_no_descriptor_is_left() -> None:
    before, there = open_files(), set(os.listdir("/dev/shm"))
    for _ in range(20):
        segment = fill(encode(np.arange(50_000)))
        assert segment.address is not None
        attach(segment.address)
    del segment
    assert open_files() == before
    assert {name for name in set(os.listdir("/dev/shm")) - there if "mpirdd" in name} == set()


def test_a_closed_segment_cannot_be_found() -> None:
    segment = fill([b"x" * 100])
    address = segment.address
    assert address is not None
    segment.close()
    segment.close()
    assert segment.address is None
    with pytest.raises(OSError):
        attach(address)


def test_another_file_is_not_taken_for_it(tmp_path: Path) -> None:
    segment = fill([b"x" * 64])
    assert segment.address is not None
    with (tmp_path / "other").open("wb+") as other:
        other.write(b"y" * 64)
        other.flush()
        with pytest.raises(FileNotFoundError):
            attach(segment.address._replace(path=f"/proc/self/fd/{other.fileno()}"))
    with pytest.raises(FileNotFoundError):
        attach(segment.address._replace(sizes=(200,)))
    with pytest.raises(OSError):
        attach(Address("/proc/self/fd/99999", "name", (1,)))


def test_nobody_can_write_to_a_finished_segment() -> None:
    segment = fill([b"x" * 5000])
    assert segment.address is not None
    with pytest.raises(PermissionError):
        descriptor = os.open(segment.address.path, os.O_RDWR)
        try:
            os.write(descriptor, b"y")
        finally:
            os.close(descriptor)
    with pytest.raises(TypeError):
        segment.memory[0] = 1


def no_room(*arguments: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("missing", ["room", "memfd"])
def test_without_shared_memory_the_frames_are_private(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    before = open_files()
    if missing == "room":
        monkeypatch.setattr(shared.os, "posix_fallocate", no_room)
    else:
        monkeypatch.delattr(shared.os, "memfd_create")
    segment = fill([b"one", b"two"])
    assert segment.address is None
    assert [bytes(frame) for frame in segment.frames] == [b"one", b"two"]
    assert open_files() == before


def test_a_segment_is_filled_in_any_order() -> None:
    filling = Filling([100, 30])
    content = bytes(range(192))
    assert filling.left_bytes == 192
    for at in (64, 128, 0):
        filling.write(at, content[at : at + 64])
    assert filling.left_bytes == 0
    assert [bytes(frame) for frame in filling.finish().frames] == [content[:100], content[128:158]]
