"""For all suites."""

from __future__ import annotations

import os
import signal

import pytest

from mpirdd.edge.allotment import launched_rank


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job; tests send it to what they start
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if launched_rank(os.environ):
        config.option.xmlpath = None  # one report, by the rank that runs the tests
