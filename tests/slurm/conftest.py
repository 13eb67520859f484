from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster, why_not
from user import User


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    problem = why_not()
    if problem:
        pytest.skip(f"no Slurm can run here: {problem}")
    with Cluster() as up:
        yield up


@pytest.fixture
def user(cluster: Cluster, tmp_path: Path) -> Iterator[User]:
    reasons = cluster.resume()
    if reasons:  # after a test whose job could not be ended; that test has failed, and the next ones shall not
        warnings.warn(f"Slurm had taken nodes out of service: {reasons}", stacklevel=1)
    yield User(cluster, tmp_path)
    cluster.cancel_all()  # a job that a failed test has left would hold its nodes from the next one
