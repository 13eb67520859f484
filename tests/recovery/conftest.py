from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from runs import MATRIX_SAMPLE, MATRIX_SEED, Runs, Took

TOOK = pytest.StashKey[Took]()


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    """Nothing stays behind: no process, and no private folder of the launcher. A killed rank's
    scratch folder goes at the next start, but is empty, since spill files have no names."""
    runs = Runs(tmp_path)
    yield runs
    assert runs.clean() == []
    left = [tmp_path / name for name in os.listdir(tmp_path) if name.startswith(("mpirdd-", ".mpirdd-"))]
    assert [path for path in left if not path.name.startswith("mpirdd-spill-") or os.listdir(path)] == []


@pytest.fixture(scope="session")
def took(pytestconfig: pytest.Config) -> Took:
    return pytestconfig.stash.setdefault(TOOK, Took())


def pytest_sessionfinish(session: pytest.Session) -> None:
    output: dict[str, object] | None = getattr(session.config, "workeroutput", None)
    if output is not None:  # a process of pytest-xdist, which tells the one that prints
        output["took"] = session.config.stash.get(TOOK, Took()).longest


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    took = node.config.stash.setdefault(TOOK, Took())
    for kind, (seconds, what) in getattr(node, "workeroutput", {}).get("took", {}).items():
        took.note(kind, seconds, what)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    everything = os.environ.get("MPIRDD_MATRIX") == "all"
    which = "all cells" if everything else f"{MATRIX_SAMPLE} cells, MPIRDD_MATRIX_SEED={MATRIX_SEED} (MPIRDD_MATRIX=all runs all)"
    terminalreporter.write_line(f"never-hang matrix: {which}")
    for kind, (seconds, what) in sorted(terminalreporter.config.stash.get(TOOK, Took()).longest.items()):
        terminalreporter.write_line(f"  {kind}: at most {seconds:.1f} s ({what})")
