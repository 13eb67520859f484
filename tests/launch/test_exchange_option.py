"""``--exchange``: the same results either way, and a line where it costs the run its recovery."""

from __future__ import annotations

from pathlib import Path

import pytest
from launcher import KIND, with_mpirun, with_open_mpi
from ways import run

pytestmark = [with_mpirun, pytest.mark.timeout(120)]
PROGRAM = """
from mpirdd import Context

with Context() as sc:
    print(sorted(sc.parallelize(range(100), 5).map(lambda n: (n % 3, n)).groupByKey(4).mapValues(sum).collect()))
    print(sc.settings.exchange)
"""
SUMS = str([(rest, sum(range(rest, 100, 3))) for rest in range(3)])


@pytest.mark.parametrize("how", ["collective", "pairwise"])
def test_both_kinds_give_the_same(how: str, tmp_path: Path) -> None:
    ended = run(f"mpirdd run -n 4 --exchange {how}", tmp_path, PROGRAM)
    assert ended.code == 0, ended.all
    assert ended.out.splitlines() == [SUMS, how]
    told = "--exchange collective: the loss of a rank will end this run" in ended.err
    assert told == (how == "collective" and KIND == "Open MPI")


@with_open_mpi
def test_a_run_that_is_to_survive_losses_refuses_what_nobody_can_leave(tmp_path: Path) -> None:
    ended = run("mpirdd run -n 2", tmp_path, "from mpirdd import Context\nContext(exchange='collective')\n")
    assert ended.code == 1
    assert "fix: mpirdd run --exchange collective" in ended.err
