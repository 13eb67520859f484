"""Engine tests: one run of pytest under mpirun, where rank 0 runs the tests and all other ranks are executors.

    mpirun -n 4 python -m pytest tests/engine        (also without mpirun: a world of one)

The tests of a module share one Context. A test that stops its Context lives in a module that does
not use the shared one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

# Long before numpy is imported, and the same for all ranks of a test run.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import hypothesis  # noqa: E402
import pytest  # noqa: E402
from beside import Calls  # noqa: E402

from mpirdd import Context  # noqa: E402
from mpirdd.launch import session  # noqa: E402

WORLD = session.transport()

# Few examples, as each runs jobs on all ranks; the same ones in every run, so that a failure can be repeated.
hypothesis.settings.register_profile(
    "engine", max_examples=12, deadline=None, derandomize=True, database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("engine")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if WORLD.rank:
        config.option.xmlpath = None  # rank 0 writes the report


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    if WORLD.rank:  # its pytest has nothing to say; what goes wrong on stderr does come out
        terminal = session.config.pluginmanager.get_plugin("terminalreporter")
        assert terminal is not None
        terminal._tw._file = open(os.devnull, "w")  # noqa: SIM115  (for as long as the process runs)


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


@pytest.fixture(scope="module")
def sc() -> Iterator[Context]:
    with Context() as context:
        yield context


@pytest.fixture(scope="session")
def ranks() -> int:
    return WORLD.size


@pytest.fixture(scope="session")
def executors() -> int:
    """Executors in the world: the default number of partitions."""
    return max(1, WORLD.size - 1)


@pytest.fixture
def calls(tmp_path: Path) -> Calls:
    """A function that tasks call and that counts it."""
    return Calls(str(tmp_path / "calls"))
