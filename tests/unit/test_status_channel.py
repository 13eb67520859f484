"""The launcher's end of its talk with the driver."""

from __future__ import annotations

import os
import signal
import socket

import pytest

from mpirdd.launch import status_channel
from mpirdd.launch.status_channel import STREAMS_VARIABLE, StatusChannel


class ComesLate(StatusChannel):
    """The driver takes the streams just when the launcher has looked for it, and before the launcher goes on."""

    _pid: int | None = None
    _looked = False

    @property  # type: ignore[override]
    def driver_pid(self) -> int | None:
        seen = self._pid
        if not self._looked:
            self._looked = True
            path = self.environment()[STREAMS_VARIABLE]
            with socket.socket(socket.AF_UNIX) as driver, status_channel._short_name(*os.path.split(path)) as name:
                driver.connect(name)
                assert self._server is not None
                self._lend(self._server)
                for lent in socket.recv_fds(driver, 1, 3)[1]:
                    os.close(lent)
        return seen

    @driver_pid.setter
    def driver_pid(self, pid: int | None) -> None:
        self._pid = pid


def test_a_signal_that_comes_when_the_driver_does_reaches_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, int]] = []
    with ComesLate(near=True) as channel, monkeypatch.context() as patch:
        patch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
        channel.signal_driver(signal.SIGUSR2)
        channel.signal_driver(signal.SIGWINCH)
    assert sent == [(os.getpid(), signal.SIGUSR2), (os.getpid(), signal.SIGWINCH)]
