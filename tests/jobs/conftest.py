"""Alone and on three ranks, in each mode."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from running import JOBS, LIMIT_S, MODES, Job, run

from mpirdd.launch.mpirun import find_launcher
from mpirdd.protocol.errors import ClusterError

sys.path.insert(0, str(JOBS))  # what a job starts from (centres, a random graph) is taken from the job itself


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.timeout(3 * LIMIT_S))


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[1, 3], ids=["alone", "on 3 ranks"])
def ranks(request: pytest.FixtureRequest) -> int:
    if request.param > 1:
        try:
            find_launcher()
        except ClusterError:
            pytest.skip("no mpirun")
    return int(request.param)


@pytest.fixture
def job(ranks: int, mode: str, tmp_path: Path) -> Job:
    return lambda name, *arguments: run(name, *arguments, ranks=ranks, mode=mode, scratch=tmp_path)
