from __future__ import annotations

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
def user(cluster: Cluster, tmp_path: Path) -> User:
    return User(cluster, tmp_path)
