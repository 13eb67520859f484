"""Engine tests: one run of pytest under mpirun, where rank 0 runs the tests and all other ranks are executors.

    mpirun -n 4 python -m pytest tests/engine        (also without mpirun: a world of one)

The Context is shared, as making one is cheap but not what these tests are about; a test that stops it makes its own.
"""

from __future__ import annotations

import os

# Long before numpy is imported, and the same for all ranks of a test run.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import pytest

from mpirdd import Context
from mpirdd.edge import session


WORLD = session.transport()


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    if WORLD.rank:  # its pytest has nothing to say; what goes wrong on stderr does come out
        config.pluginmanager.get_plugin("terminalreporter")._tw._file = open(os.devnull, "w")


def pytest_runtestloop() -> bool | None:
    """Ranks other than 0 serve as executors instead of running tests."""
    if WORLD.rank == 0:
        return None
    session.serve()
    return True


def pytest_sessionfinish(session: pytest.Session) -> None:
    if WORLD.rank:
        session.exitstatus = pytest.ExitCode.OK  # not "no tests ran"


def pytest_report_header() -> str:
    return f"mpirdd: {WORLD.size} rank{'s' if WORLD.size > 1 else ''}"


@pytest.fixture(scope="session")
def sc():
    with Context() as context:
        yield context


@pytest.fixture(scope="session")
def ranks() -> int:
    return WORLD.size
