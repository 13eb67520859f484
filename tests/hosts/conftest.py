from __future__ import annotations

from collections.abc import Iterator

import pytest
from network import Hosts, why_not


@pytest.fixture(scope="session")
def hosts() -> Iterator[Hosts]:
    problem = why_not()
    if problem:
        pytest.skip(f"no hosts can be made here: {problem}")
    with Hosts(3) as up:
        yield up
