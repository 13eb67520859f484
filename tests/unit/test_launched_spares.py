"""How many ranks a run with spares starts."""

from __future__ import annotations

import pytest

from mpirdd.launch.spares import Ranks, planned, why_none
from mpirdd.protocol.errors import UsageError
from mpirdd.protocol.settings import Settings

SLURM = {"SLURM_JOB_ID": "1", "SLURM_NTASKS": "8"}


def test_spares_come_on_top_of_n_and_are_among_the_tasks_of_slurm() -> None:
    assert planned(8, 2, {}, given=True) == planned(8, 2, {}, given=False) == planned(8, 2, SLURM, given=True) == Ranks(8, 2)
    assert planned(8, 2, SLURM, given=False) == Ranks(6, 2)
    assert planned(8, 0, SLURM, given=False) == Ranks(8, 0)
    with pytest.raises(UsageError, match="--spares 7 leaves no executor: this Slurm job has 8 tasks"):
        planned(8, 7, SLURM, given=False)


def test_a_start_on_fewer_hosts_has_executors_before_spares() -> None:
    ranks = Ranks(7, 2)
    assert [ranks.of(started) for started in (9, 8, 7, 4)] == [Ranks(7, 2), Ranks(7, 1), Ranks(7, 0), Ranks(4, 0)]
    assert [str(ranks.of(started)) for started in (9, 8, 7)] == ["7 ranks and 2 spares", "7 ranks and 1 spare", "7 ranks"]


def test_a_run_that_cannot_have_spares_says_why() -> None:
    def why(ranks: int = 4, can_recover: bool = True, recover: bool = True) -> str:
        return why_none(1, ranks, mpi="MPICH 5.0", can_recover=can_recover, recover=recover)

    assert why() == why_none(0, 1, mpi="", can_recover=False, recover=False) == ""
    assert "with MPICH 5.0 the loss of a rank ends the run" in why(can_recover=False)
    assert "with --no-ft the loss" in why(recover=False)
    assert "with --exchange collective the loss" in why_none(
        1, 4, mpi="", can_recover=True, recover=False, exchange="collective")
    assert "a run of one rank" in why(ranks=1)
    with pytest.raises(UsageError, match="spares must be 0 or more, not -1"):
        Settings(spares=-1)
