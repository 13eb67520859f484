"""The networks that the contract checks run on.

    python -m pytest tests/contract                     the in-process network
    mpirun -n 3 python -m pytest tests/contract         MPI; all ranks run all tests in lockstep, those of the group twice:
                                                        pairwise, and with MPI's own collectives

Under mpirun with one rank both run.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from ends import Check, run_in_process, run_over_mpi


def _from_launcher(*names: str) -> int | None:
    return next((int(os.environ[name]) for name in names if name in os.environ), None)


RANK = _from_launcher("OMPI_COMM_WORLD_RANK", "PMI_RANK") or 0
SIZE = _from_launcher("OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
"""None without a launcher."""

NETWORKS = [pytest.param("mpi", marks=pytest.mark.mpi)]
COLLECTIVE = [pytest.param("mpi collective", marks=pytest.mark.mpi)]
if (SIZE or 1) == 1:
    NETWORKS += [pytest.param(size, id=f"{size} in process") for size in (1, 2, 3, 4, 6)]


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if SIZE is not None:
        config.option.with_mpi = True  # what pytest-mpi asks for before it runs tests marked ``mpi``
    if RANK:
        config.option.xmlpath = None  # rank 0 writes the report


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    if RANK:  # verdicts are the same everywhere, so rank 0 alone tells them
        reporter: Any = session.config.pluginmanager.get_plugin("terminalreporter")
        reporter._tw._file = open(os.devnull, "w")  # noqa: SIM115 - until the process ends


@pytest.fixture(scope="session")
def mpi() -> Any:
    """This rank's transport, the world beside it, and after a failure its text, since no check can
    follow."""
    from mpi4py import MPI

    from mpirdd.comm.mpi import MpiTransport

    class World:
        transport = MpiTransport()
        communicator = MPI.COMM_WORLD.Dup()
        broken = ""

    return World


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "everywhere" in metafunc.fixturenames:
        of_messages = metafunc.module.__name__ == "test_messages"
        metafunc.parametrize("everywhere", NETWORKS if of_messages else NETWORKS + COLLECTIVE, indirect=True)


@pytest.fixture
def everywhere(request: pytest.FixtureRequest) -> Callable[[Check], None]:
    """Runs a check on all ends of a network."""
    if request.param not in ("mpi", "mpi collective"):
        return lambda check: run_in_process(check, request.param)
    world = request.getfixturevalue("mpi")
    if world.broken:
        pytest.skip(f"{world.broken} has failed and may have left messages behind")

    def run(check: Check) -> None:
        problems = run_over_mpi(
            check, world.transport, world.communicator, collective=request.param == "mpi collective")
        if problems:
            world.broken = request.node.name
            pytest.fail("\n".join(problems), pytrace=False)

    return run
