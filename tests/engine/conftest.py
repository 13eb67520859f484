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


def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Ranks other than 0 serve as executors instead of running tests."""
    return _serve() if _rank() else None


def pytest_report_header() -> str:
    world = session.transport()
    return f"mpirdd: {world.size} rank{'s' if world.size > 1 else ''}"


@pytest.fixture(scope="session")
def sc():
    with Context() as context:
        yield context


@pytest.fixture(scope="session")
def ranks() -> int:
    return session.transport().size


def _rank() -> int:
    return session.transport().rank


def _serve() -> bool:
    session.serve()
    return True
