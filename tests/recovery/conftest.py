from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from runs import Runs


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    """Nothing is left behind: no process, no private folder of the launcher."""
    runs = Runs(tmp_path)
    yield runs
    assert runs.clean() == []
    assert [name for name in os.listdir(tmp_path) if name.startswith(("mpirdd-", ".mpirdd-"))] == []
