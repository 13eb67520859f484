"""Spill files: written values come back, errors report damage and name a full disk, and nothing
stays behind."""

from __future__ import annotations

import errno
import gc
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpirdd.protocol.errors import ClusterError, CorruptSpill, ScratchError, ScratchFull
from mpirdd.store.codec import decode, encode
from mpirdd.store.scratch import Scratch
from mpirdd.store.spill import Segment, SpillFile
from mpirdd.store.task_memory import TaskMemory

NOISE = Random(1).randbytes(300_000)
TEXT = b"the quick brown fox jumps over the lazy dog " * 10_000


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Scratch]:
    scratch = Scratch(str(tmp_path))
    yield scratch
    scratch.remove()


@given(st.lists(st.lists(st.binary(max_size=50) | st.sampled_from([NOISE, TEXT]), min_size=1, max_size=6), max_size=8))
@settings(deadline=None, max_examples=40)
def test_what_was_written_is_read_in_any_order(values: list[list[bytes]]) -> None:
    scratch = Scratch()
    file = SpillFile(scratch)
    segments = [*file.write_all(values[::2]), *(file.write(value) for value in values[1::2])]  # type: ignore[arg-type]
    for segment, value in reversed(list(zip(segments, [*values[::2], *values[1::2]], strict=True))):
        assert [bytes(frame) for frame in file.read(segment)] == value
        assert segment.nbytes == sum(map(len, value))
    file.close()
    scratch.remove()


def test_more_frames_than_a_system_call_takes_come_back(scratch: Scratch) -> None:
    frames = [b"%d" % number for number in range(3_000)]
    file = SpillFile(scratch)
    assert list(map(bytes, file.read(file.write(frames)))) == frames  # type: ignore[arg-type]


def test_arrays_come_back_writable(scratch: Scratch) -> None:
    file = SpillFile(scratch)
    value = {"a": np.arange(100_000.0), "b": np.zeros(50_000, dtype=np.int8)}
    read = decode(file.read(file.write(encode(value))))
    assert all((read[name] == value[name]).all() and read[name].flags.writeable for name in value)


def test_text_is_compressed_and_noise_is_not(scratch: Scratch) -> None:
    file = SpillFile(scratch)
    assert file.write([TEXT]).length < len(TEXT) / 10
    assert len(NOISE) < file.write([NOISE]).length < len(NOISE) + 100


@pytest.mark.parametrize("data", [TEXT, NOISE, b"short"])
@pytest.mark.parametrize("place", [0, 5, 9, 20, 28, 34, -1])
def test_a_flipped_bit_anywhere_is_found(scratch: Scratch, data: bytes, place: int) -> None:
    file = SpillFile(scratch)
    file.write([b"before"])
    segment = file.write([data])
    at = segment.offset + place % segment.length
    (byte,) = os.pread(file._file, 1, at)
    os.pwrite(file._file, bytes([byte ^ 4]), at)
    with pytest.raises(CorruptSpill, match=r"does not hold what was written.*failing") as raised:
        file.read(segment)
    assert os.uname().nodename in str(raised.value)
    assert isinstance(raised.value, ClusterError)


def test_a_file_that_was_cut_is_found(scratch: Scratch) -> None:
    file = SpillFile(scratch)
    segment = file.write([NOISE])
    os.ftruncate(file._file, 1_000)
    with pytest.raises(CorruptSpill, match="ends early"):
        file.read(segment)


def test_a_segment_that_is_not_there_is_found(scratch: Scratch) -> None:
    file = SpillFile(scratch)
    segment = file.write([NOISE])
    with pytest.raises(CorruptSpill):
        file.read(Segment(segment.offset + 8, segment.length - 8, (segment.sizes[0] - 8,)))


def test_no_file_has_a_name(scratch: Scratch) -> None:
    file = SpillFile(scratch)
    file.write([TEXT])
    assert os.listdir(scratch.path()) == []


def test_a_file_is_closed_with_its_last_reference(scratch: Scratch) -> None:
    scratch.path()
    gc.collect()
    before = set(os.listdir("/proc/self/fd"))
    file = SpillFile(scratch)
    assert set(os.listdir("/proc/self/fd")) - before
    del file
    gc.collect()
    assert set(os.listdir("/proc/self/fd")) == before


def test_several_threads_write_and_read_at_once(scratch: Scratch) -> None:
    file = SpillFile(scratch)
    wrong: list[int] = []

    def work(number: int) -> None:
        for turn in range(50):
            frames: list[bytes | bytearray | memoryview] = [b"%d %d" % (number, turn) * 500, b"x" * turn]
            if list(map(bytes, file.read(file.write(frames)))) != frames:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True, text=True, timeout=20)
    if mounted.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True, timeout=20)


def test_a_full_disk_is_named_with_what_is_free_and_what_to_do(small_disk: Path) -> None:
    file = SpillFile(Scratch(str(small_disk)))
    with pytest.raises(ScratchFull, match="--scratch") as raised:
        for _ in range(30):
            file.write([NOISE])
    assert str(small_disk) in str(raised.value)
    assert re.search(r"has [\d.]+ [KM]iB free.*, and 29\d KiB more are to be spilled", str(raised.value)), str(raised.value)
    assert os.uname().nodename in str(raised.value)


def test_a_write_that_cannot_fit_is_refused_before_it_begins(small_disk: Path) -> None:
    file = SpillFile(Scratch(str(small_disk)))
    with pytest.raises(ScratchFull, match=r"has 4\.0 MiB free \(of which 205 KiB are left to others\), and 9\.\d MiB more"):
        file.write([NOISE] * 33)
    assert os.statvfs(small_disk).f_bavail == os.statvfs(small_disk).f_blocks


def test_a_closed_file_gives_its_space_back(small_disk: Path) -> None:
    scratch = Scratch(str(small_disk))
    SpillFile(scratch).close()  # the scratch folder itself stays
    free = os.statvfs(small_disk).f_bavail
    for _ in range(10):
        file = SpillFile(scratch)
        for _ in range(6):
            file.write([NOISE])
        assert os.statvfs(small_disk).f_bavail < free
        file.close()
        assert os.statvfs(small_disk).f_bavail == free


def test_the_last_value_s_space_can_be_taken_back_and_is_written_over(scratch: Scratch) -> None:
    file = SpillFile(scratch)
    first, second, third = (file.write([frame]) for frame in (NOISE, TEXT, NOISE))
    file.take_back(first)  # others lie behind it
    assert file.size == os.fstat(file._file).st_size == third.offset + third.length
    file.take_back(third)
    assert file.size == os.fstat(file._file).st_size == second.offset + second.length
    assert file.write([b"next"]).offset == third.offset
    assert bytes(file.read(second)[0]) == TEXT


def test_messages_about_a_full_disk_have_numbers_that_say_something(
    scratch: Scratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **options: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    file = SpillFile(scratch)
    monkeypatch.setattr(os, "pwritev", full)
    with pytest.raises(ScratchFull, match=r"has [\d.]+ \w+ free, and 37 B more are to be spilled") as raised:
        file.write([b"short"])
    assert not re.search(r"\b0\.0\b", str(raised.value)), "a size that rounds to nothing"
    assert file.size == 0, "the space of what was not written"
    monkeypatch.setattr("mpirdd.store.spill.new_name", full)
    with pytest.raises(ScratchFull, match="and a spill file is to be made there"):
        SpillFile(scratch)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="nowhere"):
        SpillFile(Scratch(str(tmp_path / "nowhere")))


def test_an_error_of_the_disk_is_named(scratch: Scratch) -> None:
    file = SpillFile(scratch)
    segment = file.write([NOISE])
    read_only = os.open("/dev/null", os.O_WRONLY)
    os.dup2(read_only, file._file)
    os.close(read_only)
    with pytest.raises(ScratchError, match="cannot read a spill file in"):
        file.read(segment)


class Miser:
    """Lends 100 bytes."""

    task_limit_bytes = 100

    def __init__(self) -> None:
        self.lent = 0

    def claim(self, nbytes: int) -> bool:
        fits = self.lent + nbytes <= 100
        self.lent += nbytes if fits else 0
        return fits

    def release(self, nbytes: int) -> None:
        self.lent -= nbytes

    def process_bytes(self) -> int:
        return 0

    @property
    def process_limit_bytes(self) -> int:
        return 0


def test_task_memory_gives_everything_back_at_its_end(scratch: Scratch) -> None:
    scratch.path()
    miser = Miser()
    memory = TaskMemory(miser, scratch)
    assert (memory.grow(60), memory.grow(60), memory.grow(40), memory.grow(1)) == (True, False, True, False)
    memory.give_back(30)
    assert miser.lent == memory.held_bytes == 70
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    memory.spill_file().write([TEXT])
    memory.close()
    assert (miser.lent, len(os.listdir("/proc/self/fd"))) == (0, before)


def test_a_committed_file_has_its_name_once_it_is_whole_and_loses_it_when_it_is_closed(tmp_path: Path) -> None:
    scratch = Scratch(str(tmp_path))
    file = SpillFile(scratch, named=True)
    segment = file.write([b"one", b"two"])
    assert all(name.startswith(".") for name in os.listdir(scratch.path()))
    file.commit("rdd-1-part-00000-")
    (name,) = os.listdir(scratch.path())
    assert name.startswith("rdd-1-part-00000-")
    assert [bytes(frame) for frame in file.read(segment)] == [b"one", b"two"]
    costs = scratch.costs.take()
    assert costs["written_bytes"] == costs["read_bytes"] == segment.length
    assert costs["commit_s"] > 0
    file.close()
    assert os.listdir(scratch.path()) == []
    scratch.remove()


def test_a_file_that_is_never_committed_goes_too(tmp_path: Path) -> None:
    scratch = Scratch(str(tmp_path))
    file = SpillFile(scratch, named=True)
    file.write([b"one"])
    file.close()
    assert os.listdir(scratch.path()) == []
    scratch.remove()
