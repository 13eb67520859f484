"""For all suites."""

from __future__ import annotations

import os

import pytest

from mpirdd.edge.allotment import launched_rank


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if launched_rank(os.environ):
        config.option.xmlpath = None  # one report, by the rank that runs the tests
