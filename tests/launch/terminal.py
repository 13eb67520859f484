"""A program on a pseudo-terminal, to type at and to read from."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\x1b\][^\x07]*\x07|\r")
_TO_LEAVE_S = 10.0


class Typed:
    """The program in a ``with`` block; it is ended there, with its session's processes, if it has not ended itself."""

    def __init__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 40, 150, 0, 0))
        self.said = ""
        """All that has come so far, without what steers the terminal."""
        self._seen = 0
        self.process = subprocess.Popen(
            command, cwd=folder, env=dict(environment), stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)

    def __enter__(self) -> Typed:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(_TO_LEAVE_S)
            self.process.kill()
        self.process.wait(_TO_LEAVE_S)
        os.close(self._master)

    def type(self, text: str) -> None:
        """Press keys. What has been said so far does not count for the next ``wait``."""
        self._seen = len(self.said)
        os.write(self._master, text.encode())

    def wait(self, pattern: str, timeout_s: float = 30.0) -> re.Match[str]:
        """Read until the pattern comes, behind what the last ``wait`` has found."""
        deadline = time.monotonic() + timeout_s
        while True:
            found = re.compile(pattern).search(self.said, self._seen)
            if found is not None:
                self._seen = found.end()
                return found
            if not self._read(deadline - time.monotonic()):
                raise AssertionError(f"{pattern!r} has not come:\n{self.said}")

    def end(self, timeout_s: float = 20.0) -> int:
        """Read to the end. Returns the exit code."""
        deadline = time.monotonic() + timeout_s
        while self._read(deadline - time.monotonic()):
            pass
        return self.process.wait(max(deadline - time.monotonic(), 1.0))

    def echoes(self) -> bool:
        """Is the terminal as a shell wants to find it?"""
        return bool(termios.tcgetattr(self._master)[3] & termios.ECHO)

    def _read(self, timeout_s: float) -> bool:
        if timeout_s <= 0 or not select.select([self._master], [], [], timeout_s)[0]:
            return False
        try:
            data = os.read(self._master, 1 << 16)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return False
        if b"\x1b[6n" in data:  # IPython asks where the cursor is
            os.write(self._master, b"\x1b[1;1R")
        self.said += _ESCAPES.sub("", data.decode(errors="replace"))
        return bool(data)
