"""Encoded values in memory that all processes of a host can map: one copy for all readers.

The memory is a file without a name (``memfd_create``). Another process of the same user opens it through the process that holds
it, as ``/proc/<pid>/fd/<n>``, and maps it read-only. A file below ``/dev/shm`` would do the same, but would stay when its
owner is killed. This one vanishes with the last process that has it open or mapped, whatever happens, and is not bound by the
64 MB that containers often give ``/dev/shm``. All bytes are written by system calls before anything is mapped, and then the
file is *sealed*: no access can fail for lack of memory (SIGBUS), and nobody can change or shorten the file.

If such a file is not available (no ``/proc``, other process namespaces, no file descriptors left), ``attach`` raises ``OSError``,
or the ``SharedFrames`` have no ``address``; the caller then sends the bytes instead.
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
"""Frames begin at multiples of this: a cache line, which suits numpy best."""


class SharedFrames:
    """Frames side by side in one piece of memory, read-only. Made by ``Filling.finish`` or ``attach``.

    Values decoded from the frames may refer to the memory. It lives as long as any of them, whether or not ``close`` was called.
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
        """Where other processes of this host find the memory until ``close``; None if they cannot."""
        if self._descriptor is None:
            return None
        return Address(f"/proc/{os.getpid()}/fd/{self._descriptor}", self._name, self.sizes)

    def close(self) -> None:
        """From now on no other process can find the memory. Idempotent."""
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
            os.posix_fallocate(self._descriptor, 0, self.left_bytes)  # fails here if there is no room
        except (OSError, AttributeError):
            self._abandon()
            self._private = bytearray(self.left_bytes)

    def write(self, offset: int, data: Buffer) -> None:
        """Write bytes at ``offset``."""
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
    """A copy of ``frames``, shared with other processes where possible."""
    views = [memoryview(frame).cast("B") for frame in frames]
    filling = Filling([view.nbytes for view in views])
    offsets = _offsets(filling.sizes)
    for at, view in zip(offsets, views, strict=False):
        filling.write(at, view)
    return filling.finish()


def attach(address: Address) -> SharedFrames:
    """The frames that another process of this host holds.

    Raises:
        OSError: this process cannot open them, or they are not there (any more).
    """
    # In a container, a process id may mean another process here: the name, which cannot be guessed, tells.
    if address.name not in os.readlink(address.path):
        raise FileNotFoundError(f"{address.path} is not the memory {address.name}")
    descriptor = os.open(address.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        status = os.fstat(descriptor)
        if not S_ISREG(status.st_mode) or status.st_size != _offsets(address.sizes)[-1]:
            raise FileNotFoundError(f"{address.path} is not the memory {address.name}")
        return SharedFrames(_map(descriptor, address.sizes), address.sizes, descriptor, address.name)
    except BaseException:  # even on an interrupt, the descriptor must not stay open
        os.close(descriptor)
        raise


def _map(descriptor: int, sizes: tuple[int, ...]) -> memoryview:
    return memoryview(mmap.mmap(descriptor, _offsets(sizes)[-1], prot=mmap.PROT_READ))


def _offsets(sizes: Sequence[int]) -> list[int]:
    """The beginning of each frame, and the end of the last one."""
    offsets, at = [], 0
    for size in sizes:
        offsets.append(at)
        at += -(-size // _ALIGN_BYTES) * _ALIGN_BYTES
    return [*offsets, at]
