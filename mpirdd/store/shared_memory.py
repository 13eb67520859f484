"""Encoded values in memory that all processes of a host can map: one copy, whoever reads it.

The memory is a file without a name (``memfd_create``). Another process of the same user opens it by way of the
process that holds it, as ``/proc/<pid>/fd/<n>``, and maps it read-only. A file below ``/dev/shm`` would do the same
work and leave itself behind when its owner is killed; this one goes with the last process that has it open or
mapped, whatever happens, and is not bound by the 64 MB that containers often give ``/dev/shm``. All bytes are
written by calls before anything is mapped, and then *sealed*: no access can fail for lack of memory (SIGBUS), and
nobody can change or shorten the file.

Where there is no such file (no ``/proc``, other process namespaces, no file descriptors left), an ``OSError`` or a
``SharedFrames`` without ``address`` says so, and its user sends the bytes instead.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Sequence
from contextlib import suppress
from stat import S_ISREG

from mpirdd.protocol.frames import Buffer, Frames
from mpirdd.protocol.messages import Address

_ALIGN_BYTES = 64
"""Frames begin at multiples of this: what numpy likes best, a cache line."""


class SharedFrames:
    """Frames side by side in one piece of memory, read-only. Made by ``Filling.finish`` or ``attach``.

    What is decoded from the frames may refer to the memory; it lives as long as anything does, ``close`` or not.
    """

    def __init__(self, memory: memoryview, sizes: tuple[int, ...], descriptor: int | None, name: str) -> None:
        self.memory = memory
        self.sizes = sizes
        self._descriptor, self._name = descriptor, name

    @property
    def frames(self) -> Frames:
        """The frames, as views of the memory."""
        return [self.memory[at : at + size] for at, size in zip(_offsets(self.sizes), self.sizes, strict=False)]

    @property
    def address(self) -> Address | None:
        """Where other processes of this host find it until ``close``; None if they cannot."""
        if self._descriptor is None:
            return None
        return Address(f"/proc/{os.getpid()}/fd/{self._descriptor}", self._name, self.sizes)

    def close(self) -> None:
        """No other process can find it from now on. Idempotent."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __del__(self) -> None:
        with suppress(OSError):
            self.close()


class Filling:
    """Shared frames that are being written: ``write`` every byte once, then ``finish``."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = tuple(sizes)
        self.left_bytes = _offsets(self.sizes)[-1]
        self._name = f"mpirdd-{os.urandom(16).hex()}"
        self._private: bytearray | None = None
        self._descriptor: int | None = None
        try:
            self._descriptor = os.memfd_create(self._name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            os.posix_fallocate(self._descriptor, 0, self.left_bytes)  # here is where it shows that there is no room
        except (OSError, AttributeError):
            self._abandon()
            self._private = bytearray(self.left_bytes)

    def write(self, offset: int, data: Buffer) -> None:
        """Put bytes in their place."""
        view = memoryview(data).cast("B")
        self.left_bytes -= view.nbytes
        if self._descriptor is None:
            assert self._private is not None
            self._private[offset : offset + view.nbytes] = view
            return
        while view.nbytes:
            written = os.pwrite(self._descriptor, view, offset)
            view, offset = view[written:], offset + written

    def finish(self) -> SharedFrames:
        """The shared frames; nothing can be written any more."""
        if self._descriptor is None:
            assert self._private is not None
            return SharedFrames(memoryview(self._private).toreadonly(), self.sizes, None, self._name)
        fcntl.fcntl(
            self._descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
        frames = SharedFrames(_map(self._descriptor, self.sizes), self.sizes, self._descriptor, self._name)
        self._descriptor = None
        return frames

    def _abandon(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __del__(self) -> None:
        self._abandon()


def fill(frames: Frames) -> SharedFrames:
    """A copy of ``frames``, for this process and others."""
    views = [memoryview(frame).cast("B") for frame in frames]
    filling = Filling([view.nbytes for view in views])
    offsets = _offsets(filling.sizes)
    for at, view in zip(offsets, views, strict=False):
        filling.write(at, view)
    return filling.finish()


def attach(address: Address) -> SharedFrames:
    """The frames that another process of this host holds.

    Raises:
        OSError: it cannot be opened from here, or it is not there (any more).
    """
    # A number of a process may mean another one here (a container): the name, which cannot be guessed, tells.
    if address.name not in os.readlink(address.path):
        raise FileNotFoundError(f"{address.path} is not the memory {address.name}")
    descriptor = os.open(address.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        status = os.fstat(descriptor)
        if not S_ISREG(status.st_mode) or status.st_size != _offsets(address.sizes)[-1]:
            raise FileNotFoundError(f"{address.path} is not the memory {address.name}")
        return SharedFrames(_map(descriptor, address.sizes), address.sizes, descriptor, address.name)
    except BaseException:  # whatever it is, an interrupt of the program among them, the descriptor must not stay
        os.close(descriptor)
        raise


def _map(descriptor: int, sizes: tuple[int, ...]) -> memoryview:
    return memoryview(mmap.mmap(descriptor, _offsets(sizes)[-1], prot=mmap.PROT_READ))


def _offsets(sizes: Sequence[int]) -> list[int]:
    """Where each frame begins, and behind them where the last one ends."""
    offsets, at = [], 0
    for size in sizes:
        offsets.append(at)
        at += -(-size // _ALIGN_BYTES) * _ALIGN_BYTES
    return [*offsets, at]
