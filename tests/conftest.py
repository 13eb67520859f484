"""For all suites."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import settings

from mpirdd.launch.launchers import launched_rank

settings.register_profile("any machine", deadline=None)  # how long an example takes depends on what else the machine does
settings.load_profile("any machine")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job; tests send it to what they start
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if launched_rank(os.environ):
        config.option.xmlpath = None  # one report, by the rank that runs the tests


def pytest_itemcollected(item: pytest.Item) -> None:
    """The processes of pytest-xdist must find the same names, in which sets of words have no place either."""
    if " at 0x" in item.nodeid:
        raise pytest.UsageError(f"{item.nodeid} is another name in each process: give the test ids without addresses")
